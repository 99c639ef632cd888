from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from dreamgui.config import ClassImagesJob
from dreamgui.errors import StopRequested, UnknownName
from dreamgui.events import ClassImage, Event, Note, Progress, Saved
from dreamgui.models.manager import Models
from dreamgui.recipes import class_images as module
from dreamgui.recipes.class_images import class_images
from dreamgui.recipes.drawn import drawn
from dreamgui.workspace import Workspace
from tests.tiny import make_tiny_base

torch.set_num_threads(1)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    make_tiny_base(workspace)
    return workspace


@pytest.fixture
def models(workspace: Workspace) -> Models:
    return Models(workspace, torch.device("cpu"))


@pytest.fixture
def seeds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds that were really drawn."""
    seeds: list[int] = []

    def counted(parts, requests, progress):  # type: ignore[no-untyped-def]
        seeds.extend(request.seed for request in requests)
        return (yield from drawn(parts, requests, progress))

    monkeypatch.setattr(module, "drawn", counted)
    return seeds


def job(count: int = 3, **settings: Any) -> ClassImagesJob:
    return ClassImagesJob(model="tiny", class_count=count, class_steps=2, **settings)


def run(job: ClassImagesJob, workspace: Workspace, models: Models) -> list[Event]:
    return list(class_images(job, workspace, models))


def test_pictures_are_kept(workspace: Workspace, models: Models) -> None:
    events = run(job(), workspace, models)
    pictures = [event for event in events if isinstance(event, ClassImage)]
    assert [event.index for event in pictures] == [0, 1, 2]
    assert all(isinstance(event.image, Path) for event in pictures)
    assert all(Image.open(str(event.image)).size == (64, 64) for event in pictures)
    assert events[-2] == Progress("Class images", 3, 3)
    assert isinstance(events[-1], Saved) and events[-1].path.parent == workspace.root / "classes"


def test_only_missing_ones_are_drawn(workspace: Workspace, models: Models, seeds: list[int]) -> None:
    run(job(4), workspace, models)
    assert seeds == [0, 1, 2, 3]
    again = run(job(2), workspace, models)
    assert seeds == [0, 1, 2, 3] and sum(isinstance(event, ClassImage) for event in again) == 2
    assert any(isinstance(event, Note) and "2 class images" in event.text for event in again)
    run(job(6), workspace, models)
    assert seeds == [0, 1, 2, 3, 4, 5]


def test_other_settings_draw_others(workspace: Workspace, models: Models, seeds: list[int]) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"class_seed": 5},
        {"class_negative_prompt": "man"},
        {"class_guidance_scale": 2.0},
    ]
    for changed in changes:
        run(job(1, **changed), workspace, models)
    assert seeds == [0, 5, 0, 0]
    assert len(workspace.names("classes")) == 4


def test_a_truncated_picture_is_drawn_again(workspace: Workspace, models: Models, seeds: list[int]) -> None:
    run(job(3), workspace, models)
    file = next((workspace.root / "classes").rglob("00001.png"))
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    run(job(3), workspace, models)
    assert seeds == [0, 1, 2, 1] and file.read_bytes() == whole


def test_stop_keeps_what_was_drawn(
    workspace: Workspace, models: Models, seeds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "pictures_at_once", lambda *_: 1)
    stream = class_images(job(5), workspace, models)
    for event in stream:
        if isinstance(event, ClassImage) and event.index == 1:
            break
    with pytest.raises(StopRequested):
        stream.throw(StopRequested())
    run(job(5), workspace, models)
    assert seeds == [0, 1, 2, 3, 4]


def test_unknown_base(workspace: Workspace, models: Models) -> None:
    with pytest.raises(UnknownName, match="tiny"):
        run(ClassImagesJob(model="nothing"), workspace, models)
