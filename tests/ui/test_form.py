"""Widgets come from the config models, and their values become configs again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from filelock import FileLock
from gradio.blocks import postprocess_update_dict

from dreamgui.config import (
    JOBS,
    CompareJob,
    ConvertJob,
    CropJob,
    ExtractJob,
    JobConfig,
    MergeJob,
    ResizeJob,
    SweepJob,
    TrainJob,
)
from dreamgui.errors import OutOfRange
from dreamgui.models.catalog.cards import RunCard, write_run
from dreamgui.models.catalog.catalog import UNET_FILE
from dreamgui.services import Services, gpu_count
from dreamgui.training.resumable import LOCK
from dreamgui.ui.build import create_ui
from dreamgui.ui.parts.fault_line import fault_lines, still_said
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.widgets import extra
from dreamgui.ui.results.best import best_of
from dreamgui.ui.tabs.train import filling, tab
from dreamgui.ui.tabs.train import resume as train_resume
from dreamgui.ui.tabs.train.memory_line import MemoryLine
from dreamgui.workspace import write_json
from tests.ui.fakes import add_base, fake_services


@pytest.fixture
def services(tmp_path: Path) -> Services:
    services = fake_services(tmp_path)
    add_base(services.workspace, "portraits")
    write_json(services.workspace.place("datasets", "anna") / "dataset.json", {})
    return services


def whole_form(model: type[JobConfig], services: Services) -> Form:
    with gr.Blocks():
        form = Form(model, services, "x")
        form.groups()
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


@pytest.mark.parametrize("model", JOBS.values())
def test_the_model_decides_what_stands_in_front(model: type[JobConfig], services: Services) -> None:
    with gr.Blocks() as blocks:
        form = Form(model, services, "x")
        for name in (name for name, field in model.model_fields.items() if field.is_required()):
            form.own(name, gr.File())
        form.groups()
    ids = {block.elem_id: block for block in blocks.blocks.values()}
    for name, field in model.model_fields.items():
        group = extra(field, "group")
        around = form[name].parent
        while around and not isinstance(around, gr.Accordion):
            around = around.parent
        assert around is (ids[f"x-group-{group.lower().replace(' ', '-')}"] if group else None), name
        assert not around or (around.label == group and not around.open)


def test_changes_are_counted_in_the_browser_by_one_listener_a_form(services: Services) -> None:
    with gr.Blocks() as blocks:
        form = Form(TrainJob, services, "x")
        for name in ("method", "model", "dataset", "steps", "learning_rate", "rank"):
            form.show(name)
        before = len(blocks.fns)
        form.groups()
    [counting] = list(blocks.fns.values())[before:]
    assert counting.fn is None and counting.js
    accordions = [block for block in blocks.blocks.values() if isinstance(block, gr.Accordion)]
    assert counting.outputs == accordions and len(accordions) == 10
    assert [field._id for field in counting.inputs] == [
        form[name]._id
        for group in dict.fromkeys(extra(field, "group") for field in TrainJob.model_fields.values())
        for name in TrainJob.model_fields
        if group and extra(TrainJob.model_fields[name], "group") == group
    ]


def test_the_page_shows_six_settings_of_a_training_before_the_groups(services: Services) -> None:
    names = [name for name, field in TrainJob.model_fields.items() if not extra(field, "group")]
    assert sorted(names) == ["dataset", "learning_rate", "method", "model", "rank", "steps"]
    ids = [block["props"].get("elem_id") for block in create_ui(services).config["components"]]
    first_group = min(ids.index(each) for each in ids if each and each.startswith("train-group-"))
    assert all(ids.index(f"train-{name.replace('_', '-')}") < first_group for name in names)


def test_labels_and_ids_are_the_models(services: Services) -> None:
    widget = whole_form(TrainJob, services)["learning_rate"]
    field = TrainJob.model_fields["learning_rate"]
    assert widget.label == field.title and widget.info == extra(field, "info")
    assert field.description == f"{widget.label}: {widget.info}"
    assert widget.elem_id == "x-learning-rate"


def test_lines_become_prompts(services: Services) -> None:
    form = whole_form(CompareJob, services)
    job = form.read(*values(form, prompts="one\n\n two "))
    assert isinstance(job, CompareJob) and job.prompts == ("one", "two")


@pytest.mark.parametrize("blank", [None, ""])
def test_a_number_left_open_stays_open(blank: str | None, services: Services) -> None:
    form = whole_form(TrainJob, services)
    job = form.read(*values(form, learning_rate=blank))
    assert isinstance(job, TrainJob) and job.learning_rate is None


def test_the_page_gets_no_null_for_a_number_that_may_be_open(services: Services) -> None:
    """It would make it 0."""
    form = whole_form(TrainJob, services)
    open_numbers = [
        "learning_rate",
        "text_learning_rate",
        "alpha",
        "class_count",
        "ema_decay",
        "min_snr_gamma",
    ]
    assert [form[name].get_config()["value"] for name in open_numbers] == [""] * 6
    updates = dict(zip(form.names, form.prefill(dict.fromkeys(open_numbers)), strict=True))
    sent = [postprocess_update_dict(form[name], updates[name])["value"] for name in open_numbers]
    assert sent == [""] * 6
    assert form["learning_rate"].preprocess("") == ""


def test_a_typed_0_stays_0(services: Services) -> None:
    """Where it may be 0 it is; where a number may be open, its range tells whether 0 is one."""
    form = whole_form(TrainJob, services)
    job = form.read(*values(form, sample_every=0, warmup_steps=0))
    assert isinstance(job, TrainJob) and job.sample_every == 0
    with pytest.raises(OutOfRange, match=r"learning_rate.*greater than 0"):
        form.read(*values(form, learning_rate=0))
    with gr.Blocks():
        form = Form(TrainJob, services, "x")
        form.show("learning_rate")
    assert form.faults(0) == {"learning_rate": "More than 0."} and not form.faults("")


def test_an_emptied_number_is_told_and_never_0_nor_the_default(services: Services) -> None:
    with gr.Blocks():
        form = Form(TrainJob, services, "x")
        for name in ("steps", "seed", "rank"):
            form.show(name)
    assert form.names == ["steps", "seed", "rank"]
    assert form.faults(None, 0, None) == dict.fromkeys(["steps", "rank"], "Empty: type a number.")
    with pytest.raises(OutOfRange, match=r"Empty: 'Training steps', 'LoRA rank'\."):
        form.read(None, 0, None)
    with pytest.raises(OutOfRange, match="Empty"):
        whole_form(CompareJob, services).read(*values(whole_form(CompareJob, services), seed=None))


def test_out_of_range_is_said_in_the_field(services: Services) -> None:
    with gr.Blocks():
        form = Form(TrainJob, services, "x")
        for name in ("model", "dataset", "steps"):
            form.show(name)
    assert form.faults("portraits", "anna", 1_000_000) == {"steps": "At most 20000."}


def test_a_fraction_is_said_and_not_rounded(services: Services) -> None:
    with gr.Blocks():
        form = Form(TrainJob, services, "x")
        steps = form.show("steps")
    assert form.faults(steps.preprocess(2.5)) == {"steps": "A whole number."}


def test_nothing_to_choose_says_which_tab_makes_it(services: Services) -> None:
    with gr.Blocks():
        form = Form(TrainJob, services, "x")
        form.show("dataset")
    assert form.faults(None) == {"dataset": "Choose one. The Dataset tab makes it."}


def test_a_fault_in_a_closed_group_names_the_group(services: Services) -> None:
    form = whole_form(TrainJob, services)
    given = values(form, max_grad_norm=-1.0)
    faults = form.faults(*given)
    assert list(faults) == ["max_grad_norm"]
    assert 'data-group="#x-group-' in fault_lines(form, faults)
    with pytest.raises(OutOfRange, match="max_grad_norm"):
        form.read(*given)


def test_a_required_field_is_asked_for(services: Services) -> None:
    with gr.Blocks():
        form = Form(CropJob, services, "x")
        form.own("photos", gr.File(file_count="multiple"))
    assert form.faults(None) == {"photos": "Required."}
    assert still_said(form, '[[{"path": "a.png"}]]') == "" and "Required" in still_said(form, "[null]")


def test_refresh_keeps_what_is_still_there(services: Services) -> None:
    form = whole_form(TrainJob, services)
    add_base(services.workspace, "newer")
    updates = dict(zip(["model", "dataset"], form.refresh("portraits", "gone"), strict=True))
    assert updates["model"]["value"] == "portraits" and updates["model"]["choices"] == ["portraits", "newer"]
    assert updates["dataset"]["value"] == "anna"


def test_the_info_line_comes_back_with_the_choices(services: Services) -> None:
    with gr.Blocks():
        form = Form(CompareJob, services, "x")
        form.show("dataset")
    shutil.rmtree(services.workspace.place("datasets", "anna"))
    assert form.refresh(None)["info"] == "None yet. The Dataset tab makes one."
    write_json(services.workspace.place("datasets", "anna") / "dataset.json", {})
    assert form.refresh(None)["info"] == "Reference of the likeness."


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
        resume = train_resume.Resume(services)
    monkeypatch.setattr("dreamgui.models.catalog.catalog.Catalog.run", lambda self, name: card)
    fewer = {"processes": 1, "shard": False}
    for count, changes in ((1, fewer), (4, {})):
        monkeypatch.setattr(train_resume, "gpu_count", lambda count=count: count)
        resumed = resume._config("anna-1", 200)
        given = {"run": "anna-1", "resume": True, "resume_from": 200, **changes}
        assert resumed.model_dump(exclude_unset=True) == given


def test_what_can_be_resumed_is_offered_with_its_checkpoints(services: Services) -> None:
    """A training stopped on purpose is offered; one without a whole checkpoint, or that runs, isn't."""
    workspace = services.workspace
    for name, finished in (("stopped", True), ("bare", False), ("running", False), ("done", True)):
        folder = workspace.place("runs", name)
        folder.mkdir()
        job = TrainJob(run=name).model_dump(mode="json")
        write_run(
            folder,
            RunCard(
                name=name,
                kind="lora",
                base="portraits",
                learning_rate=1e-4,
                steps=9,
                finished=finished,
                job=job,
            ),
        )
        for step in (100, 200) if name in ("stopped", "running") else ():
            checkpoint = folder / "checkpoints" / f"step-{step:06d}"
            checkpoint.mkdir(parents=True)
            (checkpoint / "training.safetensors").write_bytes(b"12345678")
            write_json(checkpoint / "checkpoint.json", {"step": step, "size_bytes": 8})
    with gr.Blocks():
        resume = train_resume.Resume(services)
    with FileLock(workspace.place("runs", "running") / LOCK):
        row, run, step, until = resume.show().values()
    assert row["visible"] and run["choices"] == ["stopped"] and run["value"] == "stopped"
    assert step["choices"] == [100, 200] and step["value"] == 200
    assert until["value"] == 800
    assert resume._end("stopped", 800) == 1600
    given = {"run": "stopped", "resume": True, "resume_from": 200}
    for until, changes in ((1600, {"steps": 1600}), (800, {})):
        resumed = resume._config("stopped", 200, until).model_dump(exclude_unset=True)
        assert {
            name: resumed[name] for name in resumed if name not in ("processes", "shard")
        } == given | changes


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
        form.groups()
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


def test_the_forms_prompts_follow_the_chosen_dataset() -> None:
    prompts = filling.prompts_from("a photo of ohwx man face")
    assert prompts["class_prompt"] == "a photo of man face"
    assert prompts["sample_prompts"].splitlines()[0] == "a photo of ohwx man face in the forest"
    assert len(prompts["prompts"].splitlines()) == 5
    assert "class_prompt" not in filling.prompts_from("portrait of the boss")


def test_an_emptied_number_is_given_as_open(services: Services) -> None:
    """The label says what empty means; only what a program leaves out isn't given."""
    form = whole_form(TrainJob, services)
    job = form.read(*values(form, learning_rate=None))
    assert "learning_rate" in job.model_fields_set


def test_merge_and_resize_offer_loras_and_extract_whole_unets(services: Services) -> None:
    for name, kind in (("whole", "unet"), ("small", "lora")):
        folder = services.workspace.place("runs", name)
        folder.mkdir()
        (folder / "kept").write_bytes(b"1")
        write_run(
            folder,
            RunCard(name=name, kind=kind, base="portraits", learning_rate=1e-4, steps=9, finished=True),
        )
    offered = {}
    with gr.Blocks():
        for model, field in ((MergeJob, "lora"), (ResizeJob, "lora"), (ExtractJob, "trained")):
            offered[model.kind] = Form(model, services, "x").show(field).choices
    assert offered == {
        "merge": [("small", "small")],
        "resize": [("small", "small")],
        "extract": [("whole", "whole")],
    }


def test_the_page_is_built_without_torch() -> None:
    """It takes seconds to import; the page is there before."""
    code = "import sys, dreamgui.ui.build; print(sorted({'torch', 'diffusers', 'compel'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_a_switched_base_leaves_typed_class_images_and_rates_alone(services: Services) -> None:
    with gr.Blocks():
        form = Form(SweepJob, services, "sweep")
        form.show("ranks")
        form.show("learning_rates")
        form.show("unet_learning_rate")
    old, new = (
        {"learning_rates": (1e-3,), "unet_learning_rate": 5e-5},
        {"learning_rates": (4e-3,), "unet_learning_rate": 4e-4},
    )
    assert filling.untouched(form, old, new, ["4\n8\n16", "0.001", 5e-5]) == new
    assert filling.untouched(form, old, new, ["4\n8\n16", "0.002", 5e-5]) == {"unet_learning_rate": 4e-4}
    assert filling.untouched(form, {}, new, ["4\n8\n16", "0.0001", ""]) == new


def test_the_best_is_the_most_alike_then_the_lowest_loss() -> None:
    figures: dict[str, dict[str, float | None]] = {
        "low": {"likeness": 0.2}, "high": {"likeness": 0.6}, "lost": {"likeness": None, "validation": 0.1},
        "worse": {"validation": 0.2}, "nothing": {},
    }  # fmt: skip
    assert best_of(figures) == ["high", "low", "lost", "worse", "nothing"]
