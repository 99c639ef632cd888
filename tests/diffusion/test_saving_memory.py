"""The optimizer in the backward pass, weights in bf16, 8-bit state: as steps of a training."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dreamgui.diffusion.sample import ImageRequest, generate
from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.errors import BadInput, Damaged, TrainingFailed
from dreamgui.models.files.unet_folder import save_unet
from dreamgui.models.manager import LoraSettings, Models, Parts
from dreamgui.training.checkpoints import Checkpoints, MovementGuard
from dreamgui.training.steps.graph import FastStep, _impossible
from dreamgui.training.steps.optimizer_in_backward import InBackward
from dreamgui.training.steps.optimizers import eight_bit_trouble
from dreamgui.training.steps.settings import StepSettings
from dreamgui.training.steps.step import TrainingStep, recomputed
from dreamgui.training.steps.stochastic_rounding import RoundedAdamW
from tests.training.test_checkpoints import LOSSES
from tests.training.test_step import batch, training

HAS_8BIT = not eight_bit_trouble(torch.device("cpu"))
NEEDS_8BIT = pytest.mark.skipif(not HAS_8BIT, reason="needs bitsandbytes")
WAYS = [
    {"optimizer_in_backward": True},
    {"bf16": True},
    {"bf16": True, "optimizer_in_backward": True},
    *(
        pytest.param({"optimizer": "adamw-8bit", **way}, marks=NEEDS_8BIT)
        for way in ({}, {"optimizer_in_backward": True}, {"bf16": True, "optimizer_in_backward": True})
    ),
]


@contextmanager
def stepping(models: Models, bf16: bool = False, **settings: Any) -> Iterator[tuple[Parts, TrainingStep]]:
    """A training of the whole UNet with gradient checkpointing, as the tiers have it."""
    with models.train("tiny", bf16_weights=bf16) as parts:
        parts.unet.enable_gradient_checkpointing(recomputed)
        yield parts, training(parts, parts.dtype, **settings)


def test_in_the_backward_pass_it_learns_the_same(trained: Parts) -> None:
    """Where clipping doesn't bite."""
    with_own_copies = copy.deepcopy(trained)
    plain = training(with_own_copies, max_grad_norm=1e3)
    step = training(trained, max_grad_norm=1e3, optimizer_in_backward=True)
    for _ in range(3):
        expected, found = plain(batch(), 1e-3), step(batch(), 1e-3)
        assert found.instance == pytest.approx(expected.instance, rel=1e-5)
        assert found.grad_norm == pytest.approx(expected.grad_norm, rel=1e-4)
    for name, weight in plain.trained.items():
        assert torch.allclose(step.trained[name], weight, atol=1e-6), name


def test_what_a_pass_left_that_broke_off_is_forgotten(
    trained: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a CUDA graph that can't be made leaves it: the next step's norm is of that step alone."""
    taken, take = 0, InBackward._take

    def broken(self: InBackward, *given: Any) -> None:
        nonlocal taken
        taken += 1
        if taken == 5:
            raise RuntimeError("This can't be captured.")
        take(self, *given)

    monkeypatch.setattr(InBackward, "_take", broken)
    step = training(trained, optimizer_in_backward=True, max_grad_norm=1e3)
    with pytest.raises(RuntimeError, match="captured"):
        step(batch(), 0.0)
    runner = FastStep(step)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    runner._give_up("That was nothing.")
    assert runner.reason == "That was nothing."
    assert all(weight.grad is None for weight in step.trained.values())
    whole = training(copy.deepcopy(trained), max_grad_norm=1e3)
    assert step(batch(), 0.0).grad_norm == pytest.approx(whole(batch(), 0.0).grad_norm, rel=1e-4)


def test_gradients_never_all_exist(trained: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    most, take = 0, InBackward._take

    def counted(self: InBackward, *given: Any) -> None:
        nonlocal most
        most = max(most, sum(weight.grad is not None for weight in step.trained.values()))
        take(self, *given)

    monkeypatch.setattr(InBackward, "_take", counted)
    step = training(trained, optimizer_in_backward=True)
    assert step(batch(), 1e-3).grad_norm > 0
    assert most == 1 and all(weight.grad is None for weight in step.trained.values())


def test_each_weight_is_clipped_by_its_own_norm(trained: Parts) -> None:
    step = training(trained, optimizer_in_backward=True, max_grad_norm=1e-9)
    assert step(batch(), 1e-3).grad_norm > 1e-3
    moments = [state["exp_avg"] for state in step.optimizer.state.values()]
    # A tenth of the clipped gradient, after the first step.
    assert max(moment.norm().item() for moment in moments) == pytest.approx(1e-10, rel=1e-3)


@pytest.mark.parametrize("way", WAYS)
def test_it_learns(models: Models, way: dict[str, Any]) -> None:
    with stepping(models, **way) as (parts, step):
        before = step.fingerprint()
        totals = [report.instance for report in (step(batch(), 5e-3) for _ in range(14))]
        assert totals[-1] < totals[0] and not torch.equal(before, step.fingerprint())
        assert {weight.dtype for weight in step.trained.values()} == {
            torch.bfloat16 if way.get("bf16") else torch.float32
        }
        assert len(generate(parts, [ImageRequest("a photo", steps=2)])) == 1


@pytest.mark.parametrize("way", WAYS)
def test_going_on_is_bit_equal(models: Models, tmp_path: Path, way: dict[str, Any]) -> None:
    folder = Checkpoints(tmp_path / "run")
    with stepping(models, **way, ema_decay=0.9) as (_, step):
        for _ in range(2):
            step(batch(), 1e-3)
        folder.save(2, step, LOSSES, {})
        expected = [step(batch(), 1e-3) for _ in range(3)]
        weights = {name: weight.detach().clone() for name, weight in step.trained.items()}
        assert step.average is not None
        average = {name: weight.clone() for name, weight in step.average.weights.items()}
    checkpoint, _ = folder.newest()
    assert checkpoint is not None
    with stepping(models, **way, ema_decay=0.9) as (_, fresh):
        checkpoint.restore(fresh)
        guard = MovementGuard(fresh)
        assert [fresh(batch(), 1e-3) for _ in range(3)] == expected
        guard.look(last=True)
        assert all(torch.equal(weights[name], weight) for name, weight in fresh.trained.items())
        assert fresh.average is not None
        assert all(torch.equal(average[name], weight) for name, weight in fresh.average.weights.items())
    with stepping(models, bf16=not way.get("bf16"), ema_decay=0.9) as (_, other), pytest.raises(Damaged):
        checkpoint.restore(other)


@pytest.mark.parametrize("way", WAYS)
def test_a_loss_that_is_no_number_moves_nothing(models: Models, way: dict[str, Any]) -> None:
    with stepping(models, **way) as (_, step):
        step(batch(), 1e-3)
        before, good = step.fingerprint(), batch()
        with pytest.raises(TrainingFailed, match="learning rate"):
            step(replace(good, latents=good.latents * float("nan")), 1e-3)
        assert torch.equal(before, step.fingerprint())


def test_the_average_of_bf16_weights_is_fp32_and_kept(models: Models, tmp_path: Path) -> None:
    with stepping(models, bf16=True, ema_decay=0.999) as (parts, step):
        step(batch(), 1e-2)
        assert step.average is not None
        average = {name: weight.clone() for name, weight in step.average.weights.items()}
        assert {weight.dtype for weight in average.values()} == {torch.float32}
        with step.settled():
            assert torch.equal(parts.unet.conv_in.weight, average["conv_in.weight"])
            assert step.validate([batch(prior=False)]) > 0
            save_unet(tmp_path / "unet", parts.unet)
        assert parts.unet.conv_in.weight.dtype == torch.bfloat16
    saved = load_file(tmp_path / "unet" / "diffusion_pytorch_model.safetensors")
    assert torch.equal(saved["conv_in.weight"], average["conv_in.weight"].half())


def test_bf16_weights_are_written_as_they_are(models: Models, tmp_path: Path) -> None:
    with stepping(models, bf16=True) as (parts, step):
        step(batch(), 1e-2)
        for dtype in (torch.float16, torch.float32):
            save_unet(tmp_path / str(dtype), parts.unet, dtype)
            saved = load_file(tmp_path / str(dtype) / "diffusion_pytorch_model.safetensors")
            for name, weight in step.trained.items():
                assert saved[name].dtype == dtype
                # fp16 has more digits than bf16, but fewer below 2^-14.
                large = weight.detach().abs() > 2**-14
                assert torch.equal(saved[name].float()[large], weight.detach().float()[large]), name


def test_the_text_encoder_learns_in_the_backward_pass_until_it_is_frozen(models: Models) -> None:
    with models.train("tiny", LoraSettings(4, 4.0), text_encoder=True) as parts:
        schedule = NoiseSchedule(parts.scheduler_config, parts.device)
        settings = StepSettings(optimizer_in_backward=True)
        step = TrainingStep(parts.unet, schedule, torch.float32, settings, parts.text_encoder)
        words = replace(batch(), tokens=torch.randint(0, 49408, (4, 77)))
        before = step.fingerprint()
        step(words, 1e-3, 1e-3)
        step(words, 1e-3, 1e-3)
        assert (before != step.fingerprint()).all()
        step.freeze_text()
        before = step.fingerprint()
        step(batch(), 1e-3, 1e-3)
        still = before == step.fingerprint()
        assert still.tolist() == [name.startswith("text_encoder.") for name in step.trained]


def test_what_a_graph_can_hold(models: Models) -> None:
    with stepping(models, bf16=True) as (_, step):
        assert isinstance(step.optimizer, RoundedAdamW)
        step.device = torch.device("cuda")
        assert "rounded by chance" in _impossible(step)
    with stepping(models, optimizer_in_backward=True) as (_, step):
        step.device = torch.device("cuda")
        assert _impossible(step) == ""


def test_other_optimizers_do_not_round(models: Models) -> None:
    with pytest.raises(BadInput, match="can't round"), stepping(models, bf16=True, optimizer="prodigy"):
        pass


def test_without_bitsandbytes_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    assert "pip install bitsandbytes" in eight_bit_trouble(torch.device("cpu"))


@NEEDS_8BIT
def test_8bit_state_keeps_its_place_in_memory(models: Models, tmp_path: Path) -> None:
    """bitsandbytes pairs weights with state by place: a checkpoint must bring both back in the same order."""
    folder = Checkpoints(tmp_path / "run")

    @contextmanager
    def channels_last() -> Iterator[TrainingStep]:
        with models.train("tiny") as parts:
            parts.unet.to(memory_format=torch.channels_last)
            yield training(parts, optimizer="adamw-8bit")

    with channels_last() as step:
        for _ in range(3):
            step(batch(), 1e-3)
        folder.save(3, step, LOSSES, {})
        step(batch(), 1e-3)
        expected = {name: weight.detach().clone() for name, weight in step.trained.items()}
    checkpoint, _ = folder.newest()
    assert checkpoint is not None
    with channels_last() as fresh:
        checkpoint.restore(fresh)
        fresh(batch(), 1e-3)
        for name, weight in fresh.trained.items():
            assert torch.allclose(expected[name], weight, atol=2e-5), name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    "way",
    [
        {"optimizer_in_backward": True},
        {"bf16": True, "optimizer_in_backward": True},
        {"optimizer": "adamw-8bit", "optimizer_in_backward": True},
        {"optimizer": "adamw-8bit", "bf16": True, "optimizer_in_backward": True},
    ],
)
def test_on_a_gpu_it_learns_too(models: Models, way: dict[str, Any]) -> None:
    """With a graph where there can be one; its weights are those of plain steps."""
    device, bf16 = torch.device("cuda"), bool(way.get("bf16"))
    eight_bit = way.get("optimizer") == "adamw-8bit"
    if eight_bit and (trouble := eight_bit_trouble(device)):
        pytest.skip(trouble)
    ends = []
    for fast in (True, False):
        with stepping(models, bf16) as (parts, _):
            parts.unet.to(device)
            parts.device, parts.dtype = device, torch.bfloat16
            step = training(parts, torch.bfloat16, **{key: on for key, on in way.items() if key != "bf16"})
            runner = FastStep(step) if fast else step
            one = batch()
            given = replace(
                one, **{n: getattr(one, n).to(device) for n in ("latents", "noise", "timesteps", "text")}
            )
            for _ in range(5):
                step.read(runner.launch(given, 1e-3).tolist())
            if isinstance(runner, FastStep):
                assert runner.captured != (bf16 or eight_bit), runner.reason
            ends.append(torch.cat([weight.detach().float().flatten() for weight in step.trained.values()]))
    assert (ends[0] - ends[1]).abs().mean() < 1e-3
