"""What a page shows follows from the events alone."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgui.config import ClassImagesJob, CompareJob, JobConfig, MergeJob, TrainJob
from dreamgui.events import Cell, Done, Loss, Note, Progress, Sampled
from dreamgui.jobs.job import Job
from dreamgui.services import Services
from dreamgui.ui.head.status import status_line
from dreamgui.ui.parts.markup import progress_card
from dreamgui.ui.parts.session import Device
from dreamgui.ui.parts.stream import JobView, duration, loss_frame, seconds_left, summary, view_of
from dreamgui.ui.results.grid import grid, prompts_of, short_prompts
from tests.ui.fakes import fake_services


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    return fake_services(tmp_path / "work", step_seconds=0.001)


def run(services: Services, config: JobConfig) -> Job:
    job = services.jobs.submit(config)
    job.wait()
    return job


def test_a_late_view_equals_one_that_followed(services: Services) -> None:
    job = services.jobs.submit(TrainJob(steps=40, sample_every=10))
    live = JobView(job)
    while live.ending is None:
        live.catch_up()
        time.sleep(0.005)
    late = view_of(job)
    assert late.seen == live.seen
    assert [loss.step for loss in late.all(Loss)] == list(range(1, 41))
    assert len(late.all(Sampled)) == 10


def test_news_are_told_once(services: Services) -> None:
    view = JobView(run(services, TrainJob(steps=5, sample_every=0)))
    assert view.catch_up() and view.news(Loss) and view.news(Cell)
    assert not view.catch_up() and not view.news(Loss)


def losses(count: int, prior: float | None = 0.2) -> list[Loss]:
    return [Loss(step, 0.1, prior, 1e-4, 1.0, 0.5) for step in range(1, count + 1)]


def test_the_curve_is_whole_and_short() -> None:
    frame = loss_frame(losses(20_000))
    assert set(frame["series"]) == {"instance", "prior"}
    assert len(frame) <= 2 * 301
    steps = list(frame["step"])
    assert max(steps) == 20_000 and min(steps) <= 70
    assert set(frame.loc[frame["series"] == "prior", "loss"]) == {0.2}


def test_without_prior_there_is_one_line() -> None:
    assert set(loss_frame(losses(10, prior=None))["series"]) == {"instance"}


def test_time_left_follows_the_pace() -> None:
    view = JobView()
    view.take([*losses(10), Progress("Training", 10, 30)])
    assert seconds_left(view) == pytest.approx(10.0)
    view.take([Progress("Generating samples", 1, 2)])
    assert seconds_left(view) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (48.2, "48 s"), (185, "3 min 5 s"), (120, "2 min"), (7_800, "2 h 10 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_waiting_job_says_what_it_waits_for(services: Services) -> None:
    training = services.jobs.submit(TrainJob(steps=5_000, sample_every=0))
    waiting = services.jobs.submit(ClassImagesJob(class_count=1))
    assert "Waiting: a training is running" in progress_card(view_of(waiting), services.jobs, "")
    waiting.stop()
    assert "Stopped" in progress_card(view_of(waiting), services.jobs, "")
    training.stop()
    waiting.wait()


def test_texts_are_escaped(services: Services) -> None:
    view = JobView(run(services, TrainJob(steps=1, sample_every=0)))
    view.catch_up()
    view.take([Note("<script>alert(1)</script> ${alert(2)}")])
    card = progress_card(view, services.jobs, "")
    assert "<script>" not in card and "&lt;script&gt;" in card


def test_the_grid_has_a_place_for_every_cell(services: Services) -> None:
    prompts = ("a face in <b>snow</b>", 'a face "on" ${1}')
    job = run(services, CompareJob(models=("a", "b"), prompts=prompts))
    view = view_of(job)
    whole = grid(view)
    assert len(whole["files"]) == whole["html"].count("data-file=") == 4
    assert "<b>snow" not in whole["html"]
    view.seen[Cell] = view.seen[Cell][:1]
    assert grid(view)["html"].count("dg-empty") == 3


def test_the_grid_shows_prompts_that_followed_the_run(services: Services) -> None:
    """Where none were given, the pictures' prompts aren't the job's."""
    view = view_of(run(services, CompareJob(models=("a", "b"), prompts=("sks in snow", "sks on the moon"))))
    view.seen[Cell] = [replace(cell, prompt=cell.prompt.replace("sks", "ohwx")) for cell in view.seen[Cell]]
    assert prompts_of(view) == ("ohwx in snow", "ohwx on the moon")
    assert grid(view)["html"].count("data-file=") == 4 and "dg-empty" not in grid(view)["html"]


def test_short_prompts_drop_the_common_beginning() -> None:
    assert short_prompts(("a photo in snow", "a photo on the moon")) == ["in snow", "on the moon"]
    assert short_prompts(("a photo", "a photo of her")) == ["a photo", "of her"]
    assert short_prompts(("alone",)) == ["alone"]


def test_a_summary_is_json_without_paths(services: Services, tmp_path: Path) -> None:
    text = repr(summary(view_of(run(services, TrainJob(steps=3, sample_every=1)))))
    assert str(tmp_path) not in text and "'state': 'done'" in text


def test_done_shows_a_full_end(services: Services) -> None:
    view = view_of(run(services, TrainJob(steps=2, sample_every=0, run="anna")))
    assert isinstance(view.ending, Done)
    link = '<a href="#library/run/anna"><b>anna</b></a>'
    assert f"Saved the run {link}." in progress_card(view, services.jobs, "", "Go on.")


def test_the_status_line_keeps_a_words_own_capitals(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said "A lora is being merged"."""
    job = Job(tmp_path / "20261129-120000-merge-0000", MergeJob())
    monkeypatch.setattr(services.jobs, "active", lambda kind=None: [job])
    line = status_line(services, Device(services))
    assert 'href="#convert">A LoRA is being merged</a>' in line and 'data-title="Merge"' in line
