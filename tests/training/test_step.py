from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmarks.plain import PlainLoop
from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.errors import BadInput, TrainingFailed
from dreamgui.models.manager import LoraSettings, Models, Parts
from dreamgui.training.steps.batches import Batch
from dreamgui.training.steps.settings import StepSettings
from dreamgui.training.steps.step import TEXT, TrainingStep


def batch(prior: bool = True) -> Batch:
    chance = torch.Generator().manual_seed(0)
    count = 4 if prior else 2
    latents, noise = torch.randn(2, count, 4, 8, 8, generator=chance)
    return Batch(
        latents,
        noise,
        torch.tensor([100, 400, 600, 900][:count]),
        torch.randn(count, 77, 32, generator=chance),
        2,
    )


def training(parts: Parts, dtype: torch.dtype = torch.float32, **settings: Any) -> TrainingStep:
    schedule = NoiseSchedule(parts.scheduler_config, parts.device)
    return TrainingStep(parts.unet, schedule, dtype, StepSettings(**settings))


def test_one_batch_can_be_learnt(trained: Parts) -> None:
    step = training(trained)
    frozen = {n: w.detach().clone() for n, w in trained.unet.named_parameters() if not w.requires_grad}
    before = {name: weight.detach().clone() for name, weight in step.trained.items()}
    reports = [step(batch(), 5e-3) for _ in range(12)]
    totals = [report.instance + (report.prior or 0) for report in reports]
    assert totals[-1] < totals[len(totals) // 2] < totals[0] and totals[-1] < 0.96 * totals[0]
    assert all(report.grad_norm > 0 for report in reports)
    assert all(not torch.equal(before[name], weight) for name, weight in step.trained.items())
    now = dict(trained.unet.named_parameters())
    assert all(torch.equal(weight, now[name]) for name, weight in frozen.items())


def test_prior_weight_zero_leaves_the_class_out(trained: Parts) -> None:
    step = training(trained, prior_weight=0.0)
    both = step.losses(batch())
    assert both.prior is not None and torch.equal(both.total, both.instance)


def test_without_a_prior(trained: Parts) -> None:
    report = training(trained)(batch(prior=False), 1e-4)
    assert report.prior is None and report.instance > 0


def test_the_norm_is_clipped(trained: Parts) -> None:
    rough, gentle = training(trained), training(trained, max_grad_norm=1e-9)
    before = {name: weight.detach().clone() for name, weight in gentle.trained.items()}
    assert gentle(batch(), 0.0).grad_norm > 1e-3
    assert rough.trained.keys() == before.keys()
    assert all(torch.equal(before[name], weight) for name, weight in gentle.trained.items())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_changes_nothing(trained: Parts, value: float) -> None:
    step = training(trained)
    step(batch(), 1e-3)
    before = {name: weight.detach().clone() for name, weight in step.trained.items()}
    good = batch()
    broken = replace(good, latents=good.latents * value)
    with pytest.raises(TrainingFailed, match="learning rate"):
        step(broken, 1e-3)
    assert all(torch.equal(before[name], weight) for name, weight in step.trained.items())
    assert step(batch(), 1e-3).instance > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_learns_fp32_weights(trained: Parts, dtype: torch.dtype) -> None:
    """What a GPU does, forced on the CPU: autocast, and loss scaling where the format is fp16."""
    exact, step = training(trained), training(trained, dtype)
    assert step.scaler.is_enabled() == (dtype == torch.float16)
    assert step.losses(batch()).total.item() == pytest.approx(exact.losses(batch()).total.item(), rel=0.02)
    before = {name: weight.detach().clone() for name, weight in step.trained.items()}
    reports = [step(batch(), 5e-3) for _ in range(12)]
    assert all(weight.dtype == torch.float32 for weight in step.trained.values())
    assert all(not torch.equal(before[name], weight) for name, weight in step.trained.items())
    assert reports[-1].instance < reports[0].instance


def test_an_overflow_of_fp16_is_left_out(trained: Parts) -> None:
    step = training(trained, torch.float16)
    scale = 2.0**60
    step.scaler.load_state_dict({**step.scaler.state_dict(), "scale": scale})
    before = {name: weight.detach().clone() for name, weight in step.trained.items()}
    assert step(batch(), 1e-3).grad_norm == 0.0
    assert all(torch.equal(before[name], weight) for name, weight in step.trained.items())
    assert step.scaler.state_dict()["scale"] < scale


def test_small_batches_added_up_are_one_large_batch(models: Models) -> None:
    after = []
    for accumulate in (1, 2):
        with models.train("tiny") as parts:
            step = training(parts, accumulate=accumulate, prior_weight=0.5)
            reports = [step(batch(), 1e-3) for _ in range(3)]
            after.append((reports, {name: weight.detach() for name, weight in step.trained.items()}))
    (whole, one), (halves, two) = after
    for large, small in zip(whole, halves, strict=True):
        assert small.instance == pytest.approx(large.instance, rel=1e-4)
        assert small.prior == pytest.approx(large.prior, rel=1e-4)
        assert small.grad_norm == pytest.approx(large.grad_norm, rel=1e-3)
    # Adam's first steps are as long for tiny gradients as for large ones, so single numbers may differ.
    moved = sum(float((one[name] - two[name]).abs().sum()) for name in one)
    assert moved / sum(weight.numel() for weight in one.values()) < 2e-5


def test_the_average_follows_and_changes_places(trained: Parts) -> None:
    step = training(trained, ema_decay=0.5)
    expected = {name: weight.detach().clone() for name, weight in step.trained.items()}
    for number in (1, 2, 3):
        step(batch(), 1e-2)
        decay = min(0.5, (1 + number) / (10 + number))
        for name, weight in step.trained.items():
            expected[name].lerp_(weight.detach(), 1 - decay)
    now = {name: weight.detach().clone() for name, weight in step.trained.items()}
    with step.settled():
        for name, weight in step.trained.items():
            torch.testing.assert_close(weight.detach(), expected[name])
    assert all(torch.equal(now[name], weight) for name, weight in step.trained.items())
    assert any(not torch.equal(now[name], expected[name]) for name in now)


@pytest.mark.parametrize(("name", "rate"), [("prodigy", 1.0), ("schedule-free", 5e-3), ("adamw", 5e-3)])
def test_each_optimizer_learns(trained: Parts, name: str, rate: float) -> None:
    if name != "adamw":
        pytest.importorskip({"prodigy": "prodigyopt", "schedule-free": "schedulefree"}[name])
    step = training(trained, optimizer=name)
    reports = [step(batch(), rate) for _ in range(16)]
    assert reports[-1].instance < reports[0].instance
    before = step.fingerprint()
    with step.settled():
        assert torch.equal(before, step.fingerprint()) == (name != "schedule-free")
    torch.testing.assert_close(step.validate([batch(prior=False)]), step.validate([batch(prior=False)]))
    good = batch()
    before = step.fingerprint()
    with pytest.raises(TrainingFailed):
        step(replace(good, latents=good.latents * float("nan")), rate)
    assert torch.equal(before, step.fingerprint())


def test_an_optimizer_that_is_not_there_is_named(trained: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, package in (("prodigy", "prodigyopt"), ("schedule-free", "schedulefree")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(BadInput, match=f"pip install {package}"):
            training(trained, optimizer=name)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(BadInput, match="adamw"):
        training(trained, optimizer="adamw-8bit")


def test_the_text_encoder_learns_until_it_is_frozen(models: Models) -> None:
    for lora in (None, LoraSettings(4, 4.0)):
        with models.train("tiny", lora, text_encoder=True) as parts:
            schedule = NoiseSchedule(parts.scheduler_config, parts.device)
            step = TrainingStep(parts.unet, schedule, torch.float32, None, parts.text_encoder)
            text = {name: weight for name, weight in step.trained.items() if name.startswith(TEXT)}
            assert text and len(text) < len(step.trained)
            assert all("lora" in name for name in text) == (lora is not None)
            words = replace(batch(), tokens=torch.randint(0, 49408, (4, 77)))
            before = {name: weight.detach().clone() for name, weight in text.items()}
            step(words, 1e-3, 0.0)
            assert all(torch.equal(before[name], weight) for name, weight in text.items())
            step(words, 1e-3, 1e-3)
            assert any(not torch.equal(before[name], weight) for name, weight in text.items())
            step.freeze_text()
            before = {name: weight.detach().clone() for name, weight in text.items()}
            step(batch(), 1e-3, 1e-3)
            assert all(torch.equal(before[name], weight) for name, weight in text.items())


def test_the_losses_are_the_plain_loops(models: Models) -> None:
    """Fused AdamW with the clip inside, against foreach AdamW after a separate clip, as scripts have it."""
    for lora in (None, LoraSettings(4, 4.0)):
        seen = []
        with models.train("tiny", lora) as parts:
            plain = PlainLoop(parts, 64)
            for _ in range(5):
                one = batch()
                seen.append(plain.train_on(one.latents, one.noise, one.timesteps, one.text, one.instances))
        with models.train("tiny", lora) as parts:
            step = training(parts)
            for loss, instance, norm in seen:
                report = step(batch(), 1e-4)
                assert report.prior is not None
                assert report.instance + report.prior == pytest.approx(loss, rel=1e-5)
                assert report.instance == pytest.approx(instance, rel=1e-5)
                assert report.grad_norm == pytest.approx(norm, rel=1e-4)
