from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr

from dreamgui.diffusion.schedule import NoiseSchedule, learning_rate_at
from dreamgui.errors import BadModelFile

CPU = torch.device("cpu")
CONFIG = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
}


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_forward_process_equals_diffusers(prediction: str) -> None:
    config = {**CONFIG, "prediction_type": prediction}
    theirs: Any = DDPMScheduler.from_config(config)
    ours = NoiseSchedule(config, CPU)
    latents, noise = torch.randn(2, 4, 4, 8, 8)
    timesteps = torch.tensor([0, 10, 500, 999])
    torch.testing.assert_close(
        ours.add_noise(latents, noise, timesteps), theirs.add_noise(latents, noise, timesteps)
    )
    target = noise if prediction == "epsilon" else theirs.get_velocity(latents, noise, timesteps)
    torch.testing.assert_close(ours.target(latents, noise, timesteps), target)
    torch.testing.assert_close(ours.snr(timesteps), compute_snr(theirs, timesteps))


def test_other_prediction_types_are_refused() -> None:
    with pytest.raises(BadModelFile, match="'sample'"):
        NoiseSchedule({**CONFIG, "prediction_type": "sample"}, CPU)


def test_learning_rates() -> None:
    assert learning_rate_at(1, 10, 0.5) == learning_rate_at(10, 10, 0.5) == 0.5
    warm = [learning_rate_at(step, 10, 1.0, "linear", 2) for step in range(1, 11)]
    assert warm[:3] == [0.5, 1.0, 1.0] and warm[-1] == pytest.approx(1 / 8)
    cosine = [learning_rate_at(step, 100, 1.0, "cosine") for step in range(1, 101)]
    assert cosine[0] == 1.0 and cosine[50] == pytest.approx(0.5) and 0 < cosine[-1] < 0.001
    assert cosine == sorted(cosine, reverse=True)
