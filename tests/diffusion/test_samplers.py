from __future__ import annotations

from typing import get_args

from dreamgui.config import SAMPLER_NAMES, SchedulerName
from dreamgui.diffusion.samplers import SAMPLER_SETTINGS, SAMPLERS, make_sampler
from dreamgui.models.manager import Parts


def test_samplers_take_the_bases_settings(parts: Parts) -> None:
    sampler = make_sampler("dpm++", {**parts.scheduler_config, "prediction_type": "v_prediction"})
    assert sampler.config["prediction_type"] == "v_prediction"
    assert sampler.config["beta_end"] == 0.012


def test_each_sampler_of_the_settings_is_there() -> None:
    assert set(get_args(SchedulerName)) == set(SAMPLERS) == set(SAMPLER_NAMES)
    assert set(SAMPLER_SETTINGS) <= set(SAMPLERS)
