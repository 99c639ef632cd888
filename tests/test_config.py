"""The job models: limits, defaults, and one place for the fields."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

import dreamgui
from dreamgui.config import JOBS, ClassImagesJob, CompareJob, CropJob, SweepJob, TrainJob
from dreamgui.config.class_images import ClassImageSettings
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
        required = {"photos": ["a.jpg"], "image": "a.jpg", "file": "a.safetensors"}
        job = model.model_validate({k: v for k, v in required.items() if k in model.model_fields})
        assert job.kind == kind and model.model_validate_json(job.model_dump_json()) == job
        with pytest.raises(ValidationError):
            job.seed = 1  # type: ignore[attr-defined]


def test_a_job_says_what_it_does_and_where_the_page_shows_it() -> None:
    tabs = {path.parent.name for path in (Path(dreamgui.__file__).parent / "ui" / "tabs").glob("*/tab.py")}
    own = [(job.doing, job.noun) for job in JOBS.values()]
    assert len(set(own)) == len(JOBS) and all(doing and noun for doing, noun in own), "none is inherited"
    assert {job.tab for job in JOBS.values()} <= tabs


def test_every_field_says_what_it_is() -> None:
    for model in JOBS.values():
        assert all(field.description for field in model.model_fields.values()), model


def test_a_text_box_becomes_lines() -> None:
    assert CompareJob.model_validate({"prompts": " a \n\n b\n"}).prompts == ("a", "b")


@pytest.mark.parametrize(("preset", "prompts", "seeds"), [("quick", 5, 1), ("usual", 5, 4), ("paper", 25, 4)])
def test_presets_of_a_comparison_fill_in_what_was_not_given(preset: str, prompts: int, seeds: int) -> None:
    job = CompareJob.model_validate({"preset": preset}).with_preset()
    assert (len(set(job.prompts)), job.seeds) == (prompts, seeds)
    assert job.model_fields_set == {"preset"}, "prompts still follow the run"
    assert CompareJob.model_validate_json(job.model_dump_json()) == job
    given = CompareJob.model_validate({"preset": preset, "prompts": ["a"], "seeds": 2}).with_preset()
    assert (given.prompts, given.seeds) == (("a",), 2)


def test_a_picture_has_a_seed_of_its_own() -> None:
    job = CompareJob(seed=7, seeds=16, prompts=tuple("abcdefghijklmnopqrstuvwxy"))
    seeds = {job.seed_of(prompt, number) for prompt in range(25) for number in range(16)}
    assert len(seeds) == 25 * 16 and job.seed_of(3) == 10
    assert job.with_preset() is job


def test_the_methods_usual_learning_rates() -> None:
    assert TrainJob(method="unet").effective_learning_rate == 2e-6
    assert TrainJob(method="lora").effective_learning_rate == 1e-4
    assert TrainJob(method="lora", rank=16).effective_alpha == 16
    assert TrainJob(learning_rate=0.5, alpha=1).effective_learning_rate == 0.5


def test_no_photographs_no_job() -> None:
    with pytest.raises(ValidationError):
        CropJob(photos=())


def test_class_images_are_described_once_and_a_training_may_leave_their_number_open() -> None:
    """Programs that give values by place find each where it was."""
    shared = [*ClassImageSettings.model_fields]
    assert [*ClassImagesJob.model_fields] == ["model", *shared, "dataset"]
    names = [*TrainJob.model_fields]
    assert names[:6] == ["model", "dataset", "steps", "instance_prompt", "prior_preservation", "prior_weight"]
    assert names[6 : 6 + len(shared)] == shared and names[6 + len(shared)] == "batch_size"
    for name in shared:
        assert (ClassImagesJob.model_fields[name].description == TrainJob.model_fields[name].description) == (
            name != "class_count"
        )
    assert TrainJob(class_count=None).class_count is None and ClassImagesJob().class_count == 200
    with pytest.raises(ValidationError):
        ClassImagesJob.model_validate({"class_count": None})


def test_a_job_of_before_still_loads() -> None:
    """It knows neither the time between checkpoints nor the steps of a sample."""
    new = {"checkpoint_seconds", "sample_steps"}
    before = TrainJob(steps=7, class_count=3).model_dump(mode="json", exclude=new)
    assert TrainJob.model_validate(before) == TrainJob(steps=7, class_count=3)
    assert (TrainJob().checkpoint_seconds, TrainJob().sample_steps) == (60, 20)


@pytest.mark.parametrize("rates", ["1,5e-4", "2e-4 1,5e-4", "0,0001"])
def test_a_comma_that_can_be_a_decimal_comma_is_asked_about(rates: str) -> None:
    """1,5e-4 was trained at 1.0 and at 5e-4."""
    with pytest.raises(ValidationError, match="is ambiguous"):
        SweepJob.model_validate({"learning_rates": rates})


@pytest.mark.parametrize("rates", ["1e-4, 5e-5", "1e-4,5e-5", "0.0001,0.00005", "1e-4 5e-5", "1e-4\n5e-5"])
def test_numbers_that_are_clearly_apart_are_read(rates: str) -> None:
    assert SweepJob.model_validate({"learning_rates": rates}).learning_rates == (1e-4, 5e-5)
    for ranks in ("4,8,16", "4, 8, 16"):
        assert SweepJob.model_validate({"ranks": ranks}).ranks == (4, 8, 16)
