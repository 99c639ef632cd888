"""Where VAE and text encoder are while a UNet learns. Moves are recorded: here is no second device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dreamgui.models import offload as offloadable
from dreamgui.models.catalog.cards import ModelSpec
from dreamgui.models.manager import LoraSettings, Models
from dreamgui.models.offload import HOST, Offloadable
from dreamgui.workspace import Workspace
from tests.tiny import make_tiny_base

CARD = torch.device("cuda")


class Module:
    """Is somewhere, and may have no room on the card."""

    def __init__(self, fits: bool = True) -> None:
        self.device, self.fits = CARD, fits

    def to(self, device: torch.device) -> None:
        if device == CARD and not self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.device = device


def test_they_leave_come_back_for_a_while_and_leave_again() -> None:
    modules = [Module(), Module()]
    both = Offloadable(modules, CARD)
    with both.resident():
        assert {one.device for one in modules} == {CARD}
    assert {one.device for one in modules} == {CARD} and not both.offloaded
    both.offload()
    assert {one.device for one in modules} == {HOST} and both.offloaded
    with pytest.raises(KeyError), both.resident():
        assert {one.device for one in modules} == {CARD}
        raise KeyError
    assert {one.device for one in modules} == {HOST}
    both.reload()
    assert {one.device for one in modules} == {CARD} and not both.offloaded


def test_what_does_not_fit_goes_on_resting() -> None:
    modules = [Module(), Module(fits=False)]
    both = Offloadable(modules, CARD)
    both.offload()
    with pytest.raises(torch.OutOfMemoryError), both.resident():
        pass
    assert {one.device for one in modules} == {HOST} and both.offloaded


def test_on_the_processor_nothing_moves() -> None:
    alone = Offloadable([Module()], HOST)
    alone.offload()
    assert alone.modules[0].device == CARD and not alone.offloaded


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every module's moves, by name of its class: the CPU takes the card's part, and "meta" the CPU's."""
    seen: list[tuple[str, str]] = []

    def move(self: Offloadable, device: torch.device) -> None:
        seen.extend((type(module).__name__, device.type) for module in self.modules)

    monkeypatch.setattr(offloadable, "HOST", torch.device("meta"))
    monkeypatch.setattr(Offloadable, "has_own_memory", True)
    monkeypatch.setattr(Offloadable, "_move", move)
    return seen


def test_the_manager_brings_them_back_for_the_next_user(tmp_path: Path, moves: list[tuple[str, str]]) -> None:
    workspace = Workspace(tmp_path)
    make_tiny_base(workspace)
    models = Models(workspace, torch.device("cpu"))
    both = ("AutoencoderKL", "CLIPTextModel")
    with models.train("tiny") as parts:
        moves.clear()
        parts.offloadable.offload()
        assert moves == [(name, "meta") for name in both]
    with models.use(ModelSpec("tiny")):
        assert moves[2:] == [(name, "cpu") for name in both]
    moves.clear()
    with models.train("tiny", LoraSettings(4, 4.0), text_encoder=True) as parts:
        # The base's own text encoder isn't used; the copy that learns stays.
        assert moves == [*((name, "cpu") for name in both), ("CLIPTextModel", "meta")]
        assert parts.offloadable.modules == [parts.vae]
    moves.clear()
    with models.train("tiny"):
        assert moves == [(name, "cpu") for name in both]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_they_give_their_memory_back(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    make_tiny_base(workspace)
    models = Models(workspace)
    with models.use(ModelSpec("tiny")) as parts:
        before: dict[str, Any] = {key: value.clone() for key, value in parts.vae.state_dict().items()}
        strides = [weight.stride() for weight in parts.vae.parameters()]
    with models.train("tiny") as parts:
        full = torch.cuda.memory_allocated()
        parts.offloadable.offload()
        assert torch.cuda.memory_allocated() < full and parts.vae.device.type == "cpu"
        with parts.offloadable.resident():
            assert parts.vae.device.type == parts.text_encoder.device.type == "cuda"
        assert parts.vae.device.type == "cpu"
    with models.use(ModelSpec("tiny")) as parts:
        assert parts.vae.device.type == parts.text_encoder.device.type == "cuda"
        assert all(torch.equal(before[key], value) for key, value in parts.vae.state_dict().items())
        assert [weight.stride() for weight in parts.vae.parameters()] == strides
