from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dreamgui.diffusion.batches import Batch
from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.diffusion.step import TrainingStep
from dreamgui.errors import TrainingFailed
from dreamgui.models.manager import Parts


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


def training(parts: Parts, dtype: torch.dtype = torch.float32, **settings: float) -> TrainingStep:
    schedule = NoiseSchedule(parts.scheduler_config, parts.device)
    return TrainingStep(parts.unet, schedule, dtype, **settings)


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
