"""Kept settings: what a form takes of them, for whom, and the running job's in their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from dreamgui.config import CompareJob, JobConfig, TrainJob
from dreamgui.services import Services
from dreamgui.ui.parts.form import Form
from dreamgui.ui.tabs.kept import Kept
from dreamgui.ui.tabs.train.filling import of_the_same_person
from dreamgui.visitors import visiting
from tests.library.folders import add_dataset
from tests.ui.fakes import add_base, fake_services, fake_visitor_services


def kept_of(services: Services, model: type[JobConfig] = TrainJob) -> tuple[Kept, Form]:
    with gr.Blocks() as blocks:
        kept, form = Kept(services, blocks), Form(model, services, "x")
        form.groups()
    return kept, form


def text_of(settings: dict[str, Any], visitor: str = "visitor-") -> str:
    return json.dumps({"visitor": visitor, "forms": {"x": settings}})


@pytest.fixture
def services(tmp_path: Path) -> Services:
    services = fake_services(tmp_path)
    add_base(services.workspace)
    add_dataset(services.workspace, "anna")
    return services


def test_a_form_takes_what_its_widgets_can_hold(services: Services) -> None:
    kept, form = kept_of(services)
    right = {
        "steps": 0,
        "learning_rate": None,
        "method": "unet",
        "model": "portraits",
        "dataset": "anna",
        "run": "mine",
        "prior_preservation": False,
    }
    wrong = {
        "method": "another",
        "dataset": "gone",
        "model": ["portraits"] * 2,
        "rank": "8",
        "prior_preservation": "yes",
        "run": 7,
        "sample_prompts": "a" * 30_000,
        "unknown": 1,
    }
    assert kept.settings(text_of(right), form) == right
    assert kept.settings(text_of({**wrong, "model": "gone"}), form) == {}
    assert of_the_same_person({"instance_prompt": "a photo of sks", "steps": 5}) == {"steps": 5}


def test_several_models_come_back_as_far_as_all_are_there(services: Services) -> None:
    kept, form = kept_of(services, CompareJob)
    assert kept.settings(text_of({"models": ["portraits"]}), form) == {"models": ["portraits"]}
    assert kept.settings(text_of({"models": ["portraits", "gone"]}), form) == {}


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"visitor": "visitor-", "forms": {"x": 5}}'])
def test_what_cannot_be_read_is_nothing(services: Services, text: str | None) -> None:
    kept, form = kept_of(services)
    assert kept.settings(text, form) == {}


def test_another_visitor_of_the_same_browser_gets_nothing(tmp_path: Path) -> None:
    services = fake_visitor_services(tmp_path)
    with visiting(f"cookie-{1:032x}"):
        kept, form = kept_of(services)
        mine = text_of({"steps": 5}, kept.told(form).split()[0])
        assert kept.settings(mine, form) == {"steps": 5}
        assert kept.settings(text_of({"steps": 5}), form) == {}
    with visiting(f"cookie-{2:032x}"):
        assert kept.settings(mine, form) == {}


def test_the_running_jobs_settings_stand_in_for_kept_ones(services: Services) -> None:
    kept, form = kept_of(services)
    job = services.jobs.submit(
        TrainJob(steps=5000, dataset="anna", sample_prompts=("a", "b"), sample_every=0)
    )
    try:
        found = kept.settings("{}", form)
        assert found == {"steps": 5000, "dataset": "anna", "sample_prompts": "a\nb", "sample_every": 0}
        assert kept.settings(text_of({"steps": 7}), form) == {"steps": 7}
    finally:
        job.stop()
        job.wait()
    assert kept.settings("{}", form) == {}
