"""The workshop's results are runs: they are in the catalog, draw, and say where they came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dreamgui.config import ExtractJob, MergeJob, MixJob, ResizeJob, TokensJob
from dreamgui.diffusion.sample import ImageRequest, generate
from dreamgui.errors import BadInput, UnknownName
from dreamgui.events import Cell, Event, Note, Saved, Score
from dreamgui.exporting.certificate import difference
from dreamgui.models.manager import Models
from dreamgui.recipes import recipe
from dreamgui.recipes.compare import model_row
from dreamgui.workspace import Workspace, read_json
from tests.recipes.runs import make_run
from tests.tiny import make_tiny_base

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    workspace = Workspace(tmp_path_factory.mktemp("workshop"))
    make_tiny_base(workspace)
    make_run(workspace, "tiny", "moved", "unet")
    make_run(workspace, "tiny", "adapted", "lora")
    return Models(workspace, torch.device("cpu"))


def run(models: Models, job: Any) -> tuple[list[Event], str]:
    events = list(recipe(job.kind)(job, models.catalog.workspace, models))
    assert isinstance(events[-1], Saved) and events[-1].what == "run"
    card = models.catalog.run(events[-1].name)
    assert card.finished and card.file_bytes > 0 and card.job["made"]["kind"] == job.kind
    assert card.name in models.catalog.names() and model_row(models.catalog, card.name).base == "tiny"
    return events, card.name


def picture(models: Models, name: str, lora_scale: float = 1.0) -> Any:
    with models.use(models.catalog.spec(name, lora_scale)) as parts:
        return generate(parts, [ImageRequest("a photo of a cat", steps=3)])[0]


def unet_of(models: Models, name: str) -> dict[str, torch.Tensor]:
    return load_file(models.catalog.run_file(name))


def test_merging(models: Models) -> None:
    _, name = run(models, MergeJob(lora="adapted", weight=0.5))
    assert name == "adapted-in-tiny"
    live, baked = picture(models, "adapted", 0.5), picture(models, name)
    assert difference(live, baked)[1] < 0.05 < difference(live, picture(models, "tiny"))[1]
    _, on_run = run(models, MergeJob(lora="adapted", model="moved", run="both"))
    assert on_run == "both" and not torch.equal(
        unet_of(models, "both")["conv_in.bias"], unet_of(models, name)["conv_in.bias"]
    )


def test_extracting_and_resizing(models: Models) -> None:
    events, name = run(models, ExtractJob(trained="moved", rank=32))
    card = models.catalog.run(name)
    assert (card.kind, card.rank, card.alpha, card.steps) == ("lora", 32, 32.0, 5)
    score = next(event for event in events if isinstance(event, Score))
    shares = [value for value in score.values.values() if value is not None]
    assert shares == sorted(shares) and 0 < shares[0] < shares[-1] <= 1
    folder = models.catalog.workspace.place("runs", name)
    energy = read_json(folder / "energy.json")
    assert len(energy["captured_by_rank"]) == 128 and 0 < energy["in_adapted_layers"] < 1
    assert (folder / "energy.svg").read_text().startswith("<svg")
    base, trained, extracted = (picture(models, each) for each in ("tiny", "moved", name))
    assert difference(extracted, trained)[1] < difference(base, trained)[1]

    _, small = run(models, ResizeJob(lora=name, rank=2, run="small"))
    assert models.catalog.run(small).rank == 2
    assert models.catalog.run(small).file_bytes < models.catalog.run(name).file_bytes / 4
    picture(models, small)


def test_mixing(models: Models) -> None:
    _, name = run(models, MixJob(first="tiny", second="moved", weight=0.25))
    base = load_file(models.catalog.folder("tiny") / "unet" / "diffusion_pytorch_model.safetensors")
    moved, mixed = unet_of(models, "moved"), unet_of(models, name)
    for key, value in mixed.items():
        assert torch.equal(value, (0.75 * base[key].float() + 0.25 * moved[key].float()).half()), key
    _, added = run(models, MixJob(first="moved", second="moved", way="add-difference", weight=1.0))
    for key, value in unet_of(models, added).items():
        expected = moved[key].float() + (moved[key].float() - base[key].float())
        assert torch.allclose(value.float(), expected, atol=1e-3), key


def test_wrong_kinds_are_said(models: Models) -> None:
    wrong: list[tuple[Any, str]] = [
        (MergeJob(lora="moved"), "is no LoRA"),
        (MergeJob(lora="adapted", model="adapted"), "is a LoRA"),
        (ExtractJob(trained="adapted"), "is a LoRA"),
        (ExtractJob(trained="tiny"), "is a base model"),
        (MixJob(first="adapted", second="tiny"), "is a LoRA"),
        (ResizeJob(lora="adapted", rank=4), "isn't smaller"),
    ]
    before = models.catalog.names()
    for job, words in wrong:
        with pytest.raises(BadInput, match=words):
            list(recipe(job.kind)(job, models.catalog.workspace, models))
    with pytest.raises(UnknownName):
        list(recipe("merge")(MergeJob(), models.catalog.workspace, models))
    assert models.catalog.names() == before


def test_tokens(models: Models) -> None:
    job = TokensJob(model="tiny", count=2, steps=2)
    events = list(recipe("tokens")(job, models.catalog.workspace, models))
    cells = [event for event in events if isinstance(event, Cell)]
    assert [(cell.model, cell.prompt, cell.seed) for cell in cells] == [
        ("tiny", "a photo of sks", 0), ("tiny", "a photo of sks", 1),
    ]  # fmt: skip
    assert any(isinstance(event, Note) and "one token" in event.text for event in events)


@pytest.mark.parametrize(
    ("token", "words"),
    [("(sks:1.3)", "weights of words"), ("\U0001f469" + "\u1e9e\u0950\ua015" * 13, "over 77")],
)
def test_a_token_that_is_not_read_as_it_is_meant(models: Models, token: str, words: str) -> None:
    job = TokensJob(model="tiny", token=token, count=1, steps=1)
    events = list(recipe("tokens")(job, models.catalog.workspace, models))
    first = next(number for number, event in enumerate(events) if isinstance(event, Cell))
    assert any(isinstance(event, Note) and words in event.text for event in events[:first])


def test_a_stopped_extraction_leaves_nothing(models: Models, tmp_path: Path) -> None:
    before = models.catalog.names()
    events = recipe("extract")(ExtractJob(trained="moved"), models.catalog.workspace, models)
    next(events)
    events.close()  # pyright: ignore[reportAttributeAccessIssue] - recipes are generators
    assert models.catalog.names() == before
