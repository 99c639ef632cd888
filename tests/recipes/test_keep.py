"""A kept model, or a LoRA at a strength, becomes a run that generates the same pictures."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from dreamgui.config import KeepJob
from dreamgui.diffusion.sample import ImageRequest, generate
from dreamgui.errors import BadInput, UnknownName
from dreamgui.events import Saved
from dreamgui.models.catalog.catalog import KEPT_CARD, LORA_FILE, SNAPSHOTS
from dreamgui.models.lora.adapters import LoraFile, read_lora, write_lora
from dreamgui.models.lora.kinds import Decomposed
from dreamgui.models.manager import Models
from dreamgui.recipes.workshop.keep import keep
from dreamgui.workspace import Workspace
from tests.recipes.runs import make_run
from tests.tiny import make_tiny_base


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A LoRA and a UNet, each with a model kept at step 2 that is another's."""
    workspace = Workspace(tmp_path_factory.mktemp("keep"))
    make_tiny_base(workspace)
    for name, kind in (("adapter", "lora"), ("whole", "unet")):
        make_run(workspace, "tiny", name, kind)
        folder = workspace.place("runs", name)
        kept = folder / SNAPSHOTS / "2"
        kept.mkdir(parents=True)
        if kind == "lora":
            shutil.copy(folder / LORA_FILE, kept)
        else:
            shutil.copytree(folder / "unet", kept / "unet")
        (kept / KEPT_CARD).write_text(json.dumps({"seconds": 4.5}))
    return Models(workspace, torch.device("cpu"))


def kept(models: Models, **values: object) -> str:
    events = list(keep(KeepJob.model_validate(values), models.catalog.workspace, models))
    assert isinstance(events[-1], Saved)
    return events[-1].name


def pixels(models: Models, name: str, strength: float = 1.0) -> np.ndarray:
    with models.use(models.catalog.spec(name, strength)) as parts:
        [picture] = generate(parts, [ImageRequest("a photo of sks woman face", seed=3, steps=2)])
    return np.asarray(picture, np.int16)


@pytest.mark.parametrize("run", ["adapter", "whole"])
def test_a_kept_model_becomes_a_run(models: Models, run: str) -> None:
    name = kept(models, model=f"{run}@2")
    card = models.catalog.run(name)
    assert name == f"{run}-step-2" and name in models.catalog.names()
    assert (card.steps, card.seconds, card.finished, card.kind) == (
        2,
        4.5,
        True,
        models.catalog.run(run).kind,
    )
    assert (
        card.job["made"]["kind"] == "keep" and card.file_bytes == models.catalog.run_file(name).stat().st_size
    )
    assert np.array_equal(pixels(models, name), pixels(models, f"{run}@2"))
    folder = models.catalog.workspace.place("runs", name)
    assert not (folder / KEPT_CARD).exists() and not (folder / SNAPSHOTS).exists()


def test_a_strength_is_multiplied_into_the_lora(models: Models) -> None:
    name = kept(models, model="adapter", strength=0.5, run="half")
    assert name == "half"
    difference = np.abs(pixels(models, name) - pixels(models, "adapter", 0.5))
    assert difference.max() <= 2, "fp16 rounds the scaled weights"
    assert not np.array_equal(pixels(models, name), pixels(models, "adapter"))
    again = kept(models, model="adapter@2", strength=0.5)
    assert again == "adapter-step-2-strength-0.5" and models.catalog.run(again).steps == 2


@pytest.mark.parametrize(
    ("values", "error", "told"),
    [
        ({"model": "tiny"}, BadInput, "base model"),
        ({"model": "adapter"}, BadInput, "run of its own"),
        ({"model": "whole", "strength": 0.5}, BadInput, "no LoRA"),
        ({"model": "adapter@9"}, UnknownName, "adapter@9"),
        ({"model": "gone", "strength": 0.5}, UnknownName, "gone"),
        ({"model": "../runs/adapter", "strength": 0.5}, UnknownName, "adapter"),
    ],
)
def test_what_is_no_kept_model_is_refused(
    models: Models, values: dict[str, object], error: type[Exception], told: str
) -> None:
    before = models.catalog.workspace.names("runs")
    with pytest.raises(error, match=told):
        kept(models, **values)
    assert models.catalog.workspace.names("runs") == before


def test_a_dora_has_no_strength_to_multiply(models: Models) -> None:
    folder = make_run(models.catalog.workspace, "tiny", "dora", "lora")
    lora = read_lora(folder / LORA_FILE)
    path, change = next(iter(lora.layers.items()))
    dora = Decomposed(change, torch.ones(change.shape[0]))
    write_lora(folder / LORA_FILE, LoraFile({**lora.layers, path: dora}))
    with pytest.raises(BadInput, match="DoRA"):
        kept(models, model="dora", strength=0.5)
