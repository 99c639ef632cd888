"""Axes of a comparison: strengths, samplers and guidance scales; an axis that grows generates its missing cells only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dreamgui.config import CompareJob, CropJob
from dreamgui.data.faces import identity
from dreamgui.diffusion.sample import ImageRequest, generate
from dreamgui.errors import BadInput
from dreamgui.evaluate.measures import reading
from dreamgui.evaluate.model_rows import compared_rows
from dreamgui.events import Cell, Event, Note, Saved
from dreamgui.models.catalog.catalog import ModelSpec
from dreamgui.models.manager import Models
from dreamgui.recipes import compare as recipe
from dreamgui.recipes.crop import crop
from dreamgui.workspace import Workspace
from tests.data.conftest import packaged
from tests.evaluate.measures.test_clip import make_tiny_clip
from tests.evaluate.measures.tiny_onnx import tiny_recogniser
from tests.recipes.runs import make_run
from tests.tiny import make_tiny_base

PROMPT = "a photo of sks woman face in the forest"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    workspace = Workspace(tmp_path_factory.mktemp("axes"))
    make_tiny_base(workspace)
    make_run(workspace, "tiny", "adapter", "lora")
    models = Models(workspace, torch.device("cpu"))
    photos = (packaged("skimage", "data/astronaut.png"),)
    list(crop(CropJob(photos=photos, dataset="anna", size_px=64), workspace, models))
    return models


def job(**changes: Any) -> CompareJob:
    settings = {"models": ("tiny", "adapter"), "prompts": (PROMPT,), "steps": 1, "seed": 7, "dataset": "anna"}
    return CompareJob.model_validate({**settings, **changes})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seeds of all pictures that are generated."""
    seeds: list[int] = []
    plain = recipe.generated

    def counted(parts: Any, requests: Any, doing: Any) -> Iterator[Event]:
        seeds.extend(request.seed for request in requests)
        return (yield from plain(parts, requests, doing))

    monkeypatch.setattr(recipe, "generated", counted)
    # Random weights draw no face, and looking for one is what takes long.
    for module in (identity, reading):
        monkeypatch.setattr(module, "detect_faces", lambda image: [])
    return seeds


def told(models: Models, job: CompareJob) -> tuple[dict[tuple[str, int], Image.Image], str, Path]:
    """Cells, notes and the report of a comparison."""
    events = list(recipe.compare(job, models.catalog.workspace, models))
    cells = {
        (e.model, e.seed): e.image for e in events if isinstance(e, Cell) and isinstance(e.image, Image.Image)
    }
    notes = " ".join(event.text for event in events if isinstance(event, Note))
    assert isinstance(events[-1], Saved)
    return cells, notes, events[-1].path


def test_only_missing_cells_are_generated_when_an_axis_grows(models: Models, asked: list[int]) -> None:
    first, notes, _ = told(models, job(strengths="0.6", report="first"))
    assert set(first) == {("tiny", 7), ("adapter:0.6", 7)} and "earlier reports" not in notes
    assert len(asked) == 2 + 2 * 6
    with models.use(ModelSpec("tiny", lora_run="adapter", lora_scale=0.6)) as parts:
        [alone] = generate(parts, [ImageRequest(PROMPT, seed=7, steps=1)])
    assert np.array_equal(np.asarray(alone), np.asarray(first["adapter:0.6", 7]))
    asked.clear()
    grown, notes, folder = told(models, job(strengths="0.6 0.8", seeds=2, report="grown"))
    assert len(asked) == 2 + 6 + 2, (
        "a strength with its class pictures, and the second seed of the other rows"
    )
    assert "14 of 24 pictures are those of earlier reports" in notes
    assert all(np.array_equal(np.asarray(grown[place]), np.asarray(image)) for place, image in first.items())
    data = json.loads((folder / "report.json").read_text())
    assert data["reused"] == 14 and [row["strength"] for row in data["models"]] == [None, 0.6, 0.8]
    assert all(len(row["sha256"]) == 64 for row in data["models"])
    asked.clear()
    told(models, job(models=("tiny",), reuse=False))
    assert asked == [7]


def test_what_changed_since_is_generated_again(models: Models, asked: list[int]) -> None:
    _, _, folder = told(models, job(models=("tiny",), seed=50, report="changed"))
    asked.clear()
    told(models, job(models=("tiny",), seed=50))
    assert asked == []
    for other in models.catalog.workspace.names("reports"):
        for picture in models.catalog.workspace.place("reports", other).glob("images/model-01-prompt-01.png"):
            Image.new("RGB", (64, 64)).save(picture)
    told(models, job(models=("tiny",), seed=50))
    assert asked == [50], "a picture that isn't the report's any more is none of it"
    told(models, job(models=("tiny",), seed=50, steps=2))
    assert asked == [50, 50]
    assert folder.is_dir()


def test_samplers_and_guidance_scales_are_axes_with_their_own_floor(models: Models) -> None:
    asked = job(samplers="ddim euler", guidances="3, 5", strengths="0.8")
    rows = compared_rows(asked, models.catalog)
    assert [row.name for row in rows[:2]] == ["tiny ddim guidance 3", "tiny ddim guidance 5"]
    assert rows[-1].name == "adapter:0.8 euler guidance 5" and rows[-1].beside == "tiny euler guidance 5"
    assert {row.known_as for row in rows} == {"tiny", "adapter"} and len(rows) == 8
    cells, _, folder = told(models, job(models=("tiny",), samplers="ddim", guidances="3 5", steps=2))
    assert len(cells) == 2
    one, other = (np.asarray(image) for image in cells.values())
    assert not np.array_equal(one, other)
    assert "Sampler ddim, 2 steps, guidance 3, 5" in (folder / "README.md").read_text()
    many = job(models=[f"m{n}" for n in range(12)], strengths="0.1 0.2 0.3", guidances="1 2 3")
    with pytest.raises(BadInput, match="more than 100"):
        compared_rows(
            many.model_copy(update={"models": ("adapter",), "samplers": ("ddim",) * 12}), models.catalog
        )


def test_an_own_recogniser_and_a_clip_are_named_in_the_report(models: Models, tmp_path: Path) -> None:
    own, folder = tiny_recogniser(tmp_path / "mine.onnx"), make_tiny_clip(tmp_path / "tiny-clip")
    cells, _, report = told(models, job(models=("tiny",), recogniser=own, clip=folder, chosen_by="second"))
    data = json.loads((report / "report.json").read_text())
    assert data["metrics"]["sface"]["embedder"] == "ONNX file mine.onnx"
    assert data["metrics"]["clip_t"]["embedder"].startswith("CLIP tiny-clip (patch 8, 32 px")
    assert -1 <= data["models"][0]["clip_t"] <= 1 and len(cells) == 1
    with pytest.raises(BadInput, match="No CLIP can be read"):
        told(models, job(models=("tiny",), clip=tmp_path))


@pytest.mark.parametrize(
    ("field", "value"),
    [("strengths", "3"), ("samplers", "unknown"), ("guidances", "0.5"), ("strengths", "0,6")],
)
def test_values_out_of_range_are_refused(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=field):
        job(**{field: value})
