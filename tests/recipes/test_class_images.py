from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dreamgui import cli
from dreamgui.config import ClassImagesJob, Framing, TrainJob
from dreamgui.data.class_images.plan import plan_slots
from dreamgui.diffusion import class_images as module
from dreamgui.diffusion import latents
from dreamgui.diffusion.class_images import HOPELESS, TRIES
from dreamgui.diffusion.generation import generated
from dreamgui.diffusion.sample import ImageRequest
from dreamgui.errors import BadInput, NotEnoughPhotos, StopRequested, UnknownName
from dreamgui.events import ClassImage, Event, Note, Progress, Saved, Skipped
from dreamgui.models.manager import Models
from dreamgui.recipes.class_images import class_images, class_job
from dreamgui.recipes.train import train
from dreamgui.workspace import Workspace
from tests.data.class_pictures import framed
from tests.data.conftest import packaged
from tests.diffusion.made import make_dataset
from tests.tiny import make_tiny_base

torch.set_num_threads(1)
# The manager collects garbage after each use; what was imported needn't be looked at again and again.
gc.freeze()
ASTRONAUT = packaged("skimage", "data/astronaut.png")
NOBODY = Image.new("RGB", (128, 128), "teal")


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
    """The seeds that were really drawn, each by the tiny model, which never draws a face: tried once."""
    seeds: list[int] = []

    def counted(parts, requests, progress):  # type: ignore[no-untyped-def]
        seeds.extend(request.seed for request in requests)
        return (yield from generated(parts, requests, progress))

    monkeypatch.setattr(module, "generated", counted)
    monkeypatch.setattr(module, "TRIES", 1)
    return seeds


@pytest.fixture
def able(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Callable[[ImageRequest], Image.Image]], list[ImageRequest]]:
    """Let the model draw what a function of the request says, one picture at a time."""
    requests: list[ImageRequest] = []

    def install(artist: Callable[[ImageRequest], Image.Image]) -> list[ImageRequest]:
        def by_artist(parts, batch, progress):  # type: ignore[no-untyped-def]
            requests.extend(batch)
            yield progress
            return [artist(request) for request in batch]

        monkeypatch.setattr(module, "generated", by_artist)
        monkeypatch.setattr(module, "pictures_at_once", lambda *_: 2)
        return requests

    return install


def asked_for(request: ImageRequest) -> Framing:
    endings: dict[str, Framing] = {"close-up": "close-up", "portrait": "medium", "full body": "full"}
    return endings[request.prompt.rpartition(", ")[2]]


def job(count: int = 3, **settings: Any) -> ClassImagesJob:
    wanted = {"class_variants": False, **settings}
    return ClassImagesJob(model="tiny", class_count=count, class_steps=2, **wanted)


def run(job: ClassImagesJob, workspace: Workspace, models: Models) -> list[Event]:
    return list(class_images(job, workspace, models))


def notes(events: list[Event]) -> str:
    return " ".join(event.text for event in events if isinstance(event, Note))


def shown(events: list[Event]) -> list[Path]:
    """The files that events show, in the order of their index."""
    pictures = sorted((event.index, event.image) for event in events if isinstance(event, ClassImage))
    assert [index for index, _ in pictures] == list(range(len(pictures)))
    return [image for _, image in pictures if isinstance(image, Path)]


def test_pictures_are_kept(workspace: Workspace, models: Models) -> None:
    events = run(job(), workspace, models)
    assert all(Image.open(file).size == (64, 64) for file in shown(events)) and len(shown(events)) == 3
    assert events[-2] == Progress("Class images", 3, 3)
    assert isinstance(events[-1], Saved) and events[-1].path.parent == workspace.root / "classes"
    assert events[-1].name.startswith("a-photo-of-woman-face-")


def test_only_missing_ones_are_drawn(workspace: Workspace, models: Models, seeds: list[int]) -> None:
    run(job(4), workspace, models)
    assert seeds == [0, 1, 2, 3]
    again = run(job(2), workspace, models)
    assert seeds == [0, 1, 2, 3] and len(shown(again)) == 2
    assert "2 class images" in notes(again)
    run(job(6), workspace, models)
    assert seeds == [0, 1, 2, 3, 4, 5]


def test_other_settings_draw_others(workspace: Workspace, models: Models, seeds: list[int]) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"class_seed": 5},
        {"class_negative_prompt": "man"},
        {"class_guidance_scale": 2.0},
        {"class_prompt": "人"},
    ]
    for changed in changes:
        run(job(1, **changed), workspace, models)
    assert seeds == [0, 5, 0, 0, 0]
    assert len(workspace.names("classes")) == 5


def test_a_truncated_picture_is_drawn_again(workspace: Workspace, models: Models, seeds: list[int]) -> None:
    run(job(3), workspace, models)
    file = next((workspace.root / "classes").rglob("plain-00001.png"))
    before, whole = np.array(Image.open(file)).astype(int), file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    run(job(3), workspace, models)
    assert seeds == [0, 1, 2, 1]
    # Alone, not among three: processors may round a sum otherwise.
    assert np.abs(np.array(Image.open(file)).astype(int) - before).max() <= 1


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


def test_unknown_base_or_data_set(workspace: Workspace, models: Models) -> None:
    with pytest.raises(UnknownName, match="tiny"):
        run(ClassImagesJob(model="nothing"), workspace, models)
    with pytest.raises(UnknownName, match="nobody"):
        run(job(class_variants=True, dataset="nobody"), workspace, models)


def test_the_mix_is_followed_and_shared(workspace: Workspace, models: Models, able: Any) -> None:
    requests = able(lambda request: framed(ASTRONAUT, asked_for(request)))
    files = shown(run(job(10, class_variants=True), workspace, models))
    assert Counter(file.name.rpartition("-")[0] for file in files) == {"close-up": 4, "medium": 4, "full": 2}
    assert Counter(asked_for(request) for request in requests) == {"close-up": 4, "medium": 4, "full": 2}
    assert [file.name for file in files] == [
        slot.file for slot in plan_slots(10, {"close-up": 4, "medium": 4, "full": 2})
    ]

    dataset = make_dataset(workspace, "anna", count=4)
    only_close = shown(run(job(6, class_variants=True, dataset="anna"), workspace, models))
    assert {file.name.rpartition("-")[0] for file in only_close} == {"close-up"}
    assert len(requests) == 12 and set(only_close[:4]) < set(files)
    assert dataset.size_px == 64


def test_wrong_drawings_are_drawn_again(workspace: Workspace, models: Models, able: Any) -> None:
    """Full figures come right at the second try, portraits never."""
    tries: Counter[str] = Counter()

    def artist(request: ImageRequest) -> Image.Image:
        framing = asked_for(request)
        tries[framing] += 1
        if framing == "medium":
            return NOBODY if request.seed // 2000 % 2 else framed(ASTRONAUT, "full")
        return framed(ASTRONAUT, "close-up" if request.seed < 3 * 2000 else framing)

    requests = able(artist)
    told = run(job(6, class_variants=True), workspace, models)
    slots = plan_slots(6, {"close-up": 40, "medium": 40, "full": 20})
    wanted = Counter(slot.framing for slot in slots)
    assert tries["close-up"] == wanted["close-up"] and tries["full"] == 2 * wanted["full"]
    assert wanted["medium"] < tries["medium"] <= TRIES * wanted["medium"]
    assert len({request.seed for request in requests}) == len(requests)
    again = sum(tries.values()) - 6
    assert f"{again} images" in notes(told)
    assert f"0 show no face and {wanted['medium']} have another framing" in notes(told)
    before = len(requests)
    assert len(shown(run(job(6, class_variants=True), workspace, models))) == 6 and len(requests) == before


def test_a_face_suffices_without_variants(workspace: Workspace, models: Models, able: Any) -> None:
    requests = able(lambda request: NOBODY if request.seed == 1 else framed(ASTRONAUT, "medium"))
    told = run(job(3), workspace, models)
    assert [request.prompt for request in requests] == ["a photo of woman face"] * 4
    assert sorted(request.seed for request in requests) == [0, 1, 2, 3 * 2000 + 1]
    assert notes(told) == "1 images without a face or in another framing were generated again."


@pytest.mark.parametrize("variants", [False, True])
def test_a_model_that_draws_no_faces_is_left_alone(
    workspace: Workspace, models: Models, able: Any, variants: bool
) -> None:
    requests = able(lambda request: NOBODY)
    told = run(job(40, class_variants=variants), workspace, models)
    assert len(shown(told)) == 40 and len(requests) <= 40 + HOPELESS + 2
    assert "No face was found in any image" in notes(told) and "40 show no face" in notes(told)
    run(job(50, class_variants=variants), workspace, models)
    assert len(requests) <= 50 + HOPELESS + 2


def test_own_pictures(workspace: Workspace, models: Models, tmp_path: Path) -> None:
    folder = tmp_path / "own pictures"
    (folder / "more").mkdir(parents=True)
    canvas = Image.new("RGB", (900, 300), "white")
    canvas.paste(framed(ASTRONAUT, "medium", 300), (600, 0))
    canvas.save(folder / "a.jpg", exif=b"Exif\0\0secret", quality=95)
    NOBODY.save(folder / "more" / "b.png")
    NOBODY.save(folder / "copy.png")
    (folder / "text.jpg").write_text("no picture")
    events = run(job(class_folder=folder), workspace, models)
    skipped = {event.source: event.reason for event in events if isinstance(event, Skipped)}
    assert "plain text" in skipped["text.jpg"] and "same file" in skipped["b.png"]
    files = shown(events)
    assert len(files) == 2 and all(Image.open(file).size == (64, 64) for file in files)
    assert all(
        file.is_relative_to(workspace.root / "classes") and b"secret" not in file.read_bytes()
        for file in files
    )
    right = Image.open(files[0]).convert("RGB").resize((1, 1)).getpixel((0, 0))
    assert isinstance(right, tuple) and max(right) < 200, "the square isn't the part with the face"

    written = [file.stat().st_mtime_ns for file in files]
    assert shown(run(job(class_folder=folder), workspace, models)) == files
    assert [file.stat().st_mtime_ns for file in files] == written
    fewer = run(job(1, class_folder=folder), workspace, models)
    assert shown(fewer) == files[:1] and "4 pictures; 1 of them" in notes(fewer)


def test_a_folder_without_pictures(workspace: Workspace, models: Models, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no folder"):
        run(job(class_folder=tmp_path / "gone"), workspace, models)
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(BadInput, match="no pictures"):
        run(job(class_folder=folder), workspace, models)
    (folder / "text.jpg").write_text("no picture")
    with pytest.raises(NotEnoughPhotos, match="None of the 1"):
        run(job(class_folder=folder), workspace, models)
    assert job(class_folder=" ").class_folder is None


def test_a_training_has_all_fields_and_knows_the_usual_number(tmp_path: Path) -> None:
    for name, field in ClassImagesJob.model_fields.items():
        assert name in TrainJob.model_fields
        if name not in ("class_count", "dataset"):
            assert TrainJob.model_fields[name].default == field.default
    assert class_job(TrainJob(class_seed=3, dataset="anna"), 12) == ClassImagesJob(
        class_seed=3, dataset="anna", class_count=120
    )
    assert class_job(TrainJob(class_count=7), 12).class_count == 7
    assert (
        class_job(TrainJob(), 300).class_count
        == class_job(TrainJob(class_folder=tmp_path), 3).class_count
        == 2000
    )


def test_a_second_training_neither_draws_nor_encodes(
    workspace: Workspace, models: Models, seeds: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_dataset(workspace, "anna", count=3)
    encoded: list[int] = []
    moments = latents._moments

    def counted(parts: Any, pixels: torch.Tensor) -> torch.Tensor:
        encoded.append(len(pixels))
        return moments(parts, pixels)

    monkeypatch.setattr(latents, "_moments", counted)
    wanted = {"model": "tiny", "dataset": "anna", "steps": 1, "sample_every": 0, "class_steps": 2}
    list(train(TrainJob(**wanted, class_count=3, run="first"), workspace, models))
    assert (len(seeds), sum(encoded)) == (3, 3 + 3)
    list(train(TrainJob(**wanted, class_count=2), workspace, models))
    list(train(TrainJob(**wanted, class_count=3, method="unet"), workspace, models))
    assert (len(seeds), sum(encoded)) == (3, 3 + 3)
    # A set of which nothing is shared must not push the first one's latents out.
    list(train(TrainJob(**wanted, class_count=1, class_variants=False), workspace, models))
    assert (len(seeds), sum(encoded)) == (4, 3 + 4)
    list(train(TrainJob(**wanted, run="usual"), workspace, models))
    assert (len(seeds), sum(encoded)) == (31, 3 + 31)
    assert models.catalog.run("usual").job["class_count"] == 30
    assert models.catalog.run("first").job["class_count"] == 3


def test_from_the_command_line(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        "class-images",
        "--model",
        "tiny",
        "--class-count",
        "2",
        "--class-steps",
        "1",
        "--no-class-variants",
    ]
    assert cli.main(["--home", str(workspace.root), *asked]) == 0
    out = capsys.readouterr().out
    assert (
        "saved class images a-photo-of-woman-face-" in out and "Of the 2 class images 2 show no face" in out
    )


def test_the_class_prompt_follows_the_datasets(
    workspace: Workspace, models: Models, seeds: list[int]
) -> None:
    sheet = make_dataset(workspace).folder / "dataset.json"
    sheet.write_text(sheet.read_text("utf-8").replace("sks woman", "ohwx man"), "utf-8")
    wanted = {"model": "tiny", "dataset": "anna", "class_count": 1, "class_steps": 2}
    for given, prompt in (({}, "a-photo-of-man-face"), ({"class_prompt": "a dog"}, "a-dog")):
        list(class_images(ClassImagesJob.model_validate({**wanted, **given}), workspace, models))
        assert workspace.names("classes")[-1].startswith(prompt)
    assert seeds
