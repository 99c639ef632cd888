from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.training.steps.batches import Batch
from dreamgui.training.steps.loss import dreambooth_loss, min_snr_weight
from dreamgui.training.steps.settings import StepSettings
from tests.diffusion.test_schedule import CONFIG, CPU

SCHEDULE = NoiseSchedule({**CONFIG, "prediction_type": "epsilon"}, CPU)


def batch(instances: int, timesteps: list[int]) -> Batch:
    shape = (len(timesteps), 4, 8, 8)
    return Batch(
        torch.zeros(shape),
        torch.zeros(shape),
        torch.tensor(timesteps),
        torch.zeros(len(timesteps), 77, 8),
        instances,
    )


def prediction(*errors: float) -> torch.Tensor:
    """Off by these, for a target of zero."""
    return torch.tensor(errors).view(-1, 1, 1, 1).expand(-1, 4, 8, 8)


def test_instance_and_prior_are_apart() -> None:
    losses = dreambooth_loss(
        prediction(1.0, 3.0, 2.0, 0.0), batch(2, [5, 6, 7, 8]), SCHEDULE, StepSettings(prior_weight=0.5)
    )
    assert losses.instance.item() == pytest.approx(5.0)
    assert losses.prior is not None and losses.prior.item() == pytest.approx(2.0)
    assert losses.total.item() == pytest.approx(5.0 + 0.5 * 2.0)


def test_without_a_prior() -> None:
    losses = dreambooth_loss(prediction(1.0, 3.0), batch(2, [5, 6]), SCHEDULE, StepSettings(prior_weight=9.0))
    assert losses.prior is None and losses.total.item() == pytest.approx(5.0)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_min_snr_gamma(kind: str) -> None:
    schedule = NoiseSchedule({**CONFIG, "prediction_type": kind}, CPU)
    timesteps = torch.tensor([0, 300, 900])
    snr = schedule.snr(timesteps)
    assert snr[0] > 5 > snr[2]
    expected = torch.minimum(snr, torch.tensor(5.0)) / (snr if kind == "epsilon" else snr + 1)
    torch.testing.assert_close(min_snr_weight(schedule, timesteps, 5.0), expected)
    weighed = dreambooth_loss(
        prediction(1, 1, 1), batch(3, [0, 300, 900]), SCHEDULE, StepSettings(min_snr_gamma=5.0)
    )
    plain = dreambooth_loss(prediction(1, 1, 1), batch(3, [0, 300, 900]), SCHEDULE)
    assert weighed.total < plain.total


def test_weights_count_each_latent() -> None:
    weight = torch.ones(2, 1, 8, 8)
    weight[:, :, :4] = 0.0
    weight[:, :, 4:] = 2.0
    errors = prediction(1.0, 1.0).clone()
    errors[:, :, :4] = 100.0
    weighed = replace(batch(2, [5, 6]), weight=weight)
    assert dreambooth_loss(errors, weighed, SCHEDULE).total.item() == pytest.approx(1.0)
