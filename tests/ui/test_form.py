"""Widgets come from the config models, and their values become configs again."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from dreamgui.config import CompareJob, ConvertJob, CropJob, JobConfig, TrainJob
from dreamgui.errors import OutOfRange
from dreamgui.models.catalog import UNET_FILE
from dreamgui.services import Services, gpu_count
from dreamgui.ui.build import create_ui
from dreamgui.ui.form import Form
from dreamgui.ui.tabs import train as tab
from dreamgui.ui.tabs.memory_line import MemoryLine
from tests.ui.fakes import add_base, fake_services


@pytest.fixture
def services(tmp_path: Path) -> Services:
    services = fake_services(tmp_path)
    add_base(services.workspace, "portraits")
    services.workspace.place("datasets", "anna").mkdir()
    return services


def whole_form(model: type[JobConfig], services: Services) -> Form:
    with gr.Blocks():
        form = Form(model, services, "x")
        form.fold()
    return form


def values(form: Form, **changes: Any) -> list[Any]:
    return [changes.get(name, getattr(form[name], "value", None)) for name in form.names]


@pytest.mark.parametrize("model", [ConvertJob, TrainJob, CompareJob])
def test_an_untouched_form_is_the_default_job(model: type[JobConfig], services: Services) -> None:
    form = whole_form(model, services)
    chosen = {"dataset": "anna"} if "dataset" in model.model_fields else {}
    assert form.read(*values(form)) == model(**chosen)


def test_each_kind_of_field_has_its_widget(services: Services) -> None:
    form = whole_form(TrainJob, services)
    kinds = {
        "model": gr.Dropdown,
        "method": gr.Radio,
        "steps": gr.Number,
        "learning_rate": gr.Number,
        "prior_weight": gr.Slider,
        "prior_preservation": gr.Checkbox,
        "sample_prompts": gr.Textbox,
    }
    assert {name: type(form[name]) for name in kinds} == kinds
    assert isinstance(whole_form(CompareJob, services)["models"], gr.CheckboxGroup)


def test_labels_and_ids_are_the_models(services: Services) -> None:
    widget = whole_form(TrainJob, services)["learning_rate"]
    assert widget.label == TrainJob.model_fields["learning_rate"].description
    assert widget.elem_id == "x-learning-rate"


def test_lines_become_prompts(services: Services) -> None:
    form = whole_form(CompareJob, services)
    job = form.read(*values(form, prompts="one\n\n two "))
    assert isinstance(job, CompareJob) and job.prompts == ("one", "two")


@pytest.mark.parametrize("blank", [None, 0])
def test_a_number_left_open_stays_open(blank: int | None, services: Services) -> None:
    form = whole_form(TrainJob, services)
    job = form.read(*values(form, learning_rate=blank))
    assert isinstance(job, TrainJob) and job.learning_rate is None


def test_out_of_range_is_said_in_the_field(services: Services) -> None:
    with gr.Blocks():
        form = Form(TrainJob, services, "x")
        for name in ("model", "dataset", "steps"):
            form.show(name)
    verdicts = dict(zip(form.names, form.check("portraits", "anna", 1_000_000), strict=True))
    assert [name for name, verdict in verdicts.items() if not verdict["is_valid"]] == ["steps"]
    assert verdicts["steps"]["message"] == "At most 20000."


def test_nothing_to_choose_says_which_tab_makes_it(services: Services) -> None:
    with gr.Blocks():
        form = Form(TrainJob, services, "x")
        form.show("dataset")
    assert form.check(None)[0]["message"] == "Choose one; Dataset makes it."


def test_folded_faults_are_left_to_read(services: Services) -> None:
    form = whole_form(TrainJob, services)
    given = values(form, max_grad_norm=-1.0)
    assert all(verdict["is_valid"] for verdict in form.check(*given))
    with pytest.raises(OutOfRange, match="max_grad_norm"):
        form.read(*given)


def test_a_required_field_is_asked_for(services: Services) -> None:
    with gr.Blocks():
        form = Form(CropJob, services, "x")
        form.own("photos", gr.File(file_count="multiple"))
    assert form.check(None)[0]["message"] == "This is needed."


def test_refresh_keeps_what_is_still_there(services: Services) -> None:
    form = whole_form(TrainJob, services)
    add_base(services.workspace, "newer")
    updates = dict(zip(["model", "dataset"], form.refresh("portraits", "gone"), strict=True))
    assert updates["model"]["value"] == "portraits" and updates["model"]["choices"] == ["portraits", "newer"]
    assert updates["dataset"]["value"] == "anna"


@pytest.mark.parametrize("count", [1, 4])
def test_the_number_of_processes_is_shown_where_there_are_gpus(
    services: Services, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(tab, "gpu_count", lambda: count)
    ids = {block["props"].get("elem_id") for block in create_ui(services).config["components"]}
    assert ("train-processes" in ids) == ("train-shard" in ids) == (count > 1) and "train-batch-size" in ids


def test_a_broken_off_run_goes_on_with_the_gpus_that_are_there(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = TrainJob(dataset="anna", processes=4, batch_size=8, method="unet", shard=True)
    card = SimpleNamespace(job=job.model_dump(mode="json"))
    with gr.Blocks():
        resume = tab.Resume(services)
    monkeypatch.setattr("dreamgui.models.catalog.Catalog.run", lambda self, name: card)
    for count, used in ((1, 1), (4, 4)):
        monkeypatch.setattr(tab, "gpu_count", lambda count=count: count)
        resumed = resume._config("anna-1")
        changes = {"run": "anna-1", "resume": True, "processes": used, "shard": used > 1}
        assert resumed == job.model_copy(update=changes)


def test_gpus_are_counted_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Path(f"/dev/nvidia{number}") for number in range(4)]
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(found))
    for allowed, count in (("0,2", 2), ("", 0), ("0,1,2,3,4", 4)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
        assert gpu_count() == count
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpu_count() == 4


def test_the_memory_tier_says_before_the_start_what_it_turns_on(services: Services) -> None:
    # As large as Stable Diffusion 1.5's, without content.
    os.truncate(services.workspace.place("models", "portraits") / UNET_FILE, 1_719_041_928)
    with gr.Blocks():
        form = Form(TrainJob, services, "train")
        line = MemoryLine(services)
        form.fold()
        line.follows(form)
    given = values(form, memory_tier="least", method="unet", dataset="anna")
    assert line.text(form, *given) == ""
    assert services.models.status()
    said = line.text(form, *given)
    assert "tier least" in said and "gradient checkpointing" in said and "by estimate" in said
    assert line.text(form, *values(form, memory_tier="none", dataset="anna")) == ""
    refused = values(form, optimizer_in_backward=True, accumulate=2, dataset="anna")
    assert "2 batches are added up" in line.text(form, *refused)
    assert "max_grad_norm" in line.text(form, *values(form, max_grad_norm=-1.0))


def test_the_memory_line_stands_in_the_page(services: Services) -> None:
    config = create_ui(services).config
    ids = {block["props"].get("elem_id"): block["id"] for block in config["components"]}
    heard = {
        trigger[0]
        for each in config["dependencies"]
        if each["outputs"] == [ids["train-memory"]]
        for trigger in each["targets"]
    }
    assert {ids["train-memory-tier"], ids["train-method"], ids["train-batch-size"]} <= heard
