"""The job models: limits, defaults, and one place for the fields."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dreamgui.config import JOBS, CompareJob, CropJob, TrainJob
from dreamgui.errors import OutOfRange


@pytest.mark.parametrize(
    "values",
    [
        {"steps": 0},
        {"steps": 10**6},
        {"learning_rate": float("nan")},
        {"learning_rate": -1},
        {"alpha": float("inf")},
        {"prior_weight": float("nan")},
        {"rank": "many"},
        {"method": "hypernetwork"},
        {"unknown": 1},
    ],
)
def test_values_outside_the_limits_are_refused_in_a_sentence(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        TrainJob.model_validate(values)
    sentence = str(OutOfRange.from_validation(caught.value))
    assert next(iter(values)) in sentence and sentence.endswith("start again.")


def test_jobs_are_frozen_and_survive_json() -> None:
    for kind, model in JOBS.items():
        required = {"photos": ["a.jpg"], "image": "a.jpg"}
        job = model.model_validate({k: v for k, v in required.items() if k in model.model_fields})
        assert job.kind == kind and model.model_validate_json(job.model_dump_json()) == job
        with pytest.raises(ValidationError):
            job.seed = 1  # type: ignore[attr-defined]


def test_every_field_says_what_it_is() -> None:
    for model in JOBS.values():
        assert all(field.description for field in model.model_fields.values()), model


def test_a_text_box_becomes_lines() -> None:
    assert CompareJob.model_validate({"prompts": " a \n\n b\n"}).prompts == ("a", "b")


def test_the_methods_usual_learning_rates() -> None:
    assert TrainJob(method="unet").effective_learning_rate == 2e-6
    assert TrainJob(method="lora").effective_learning_rate == 1e-4
    assert TrainJob(method="lora", rank=16).effective_alpha == 16
    assert TrainJob(learning_rate=0.5, alpha=1).effective_learning_rate == 0.5


def test_no_photographs_no_job() -> None:
    with pytest.raises(ValidationError):
        CropJob(photos=())
