"""Compare's and ControlNet's prompts and dataset follow the first run chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from dreamgui.config import CompareJob, ControlJob
from dreamgui.models.catalog.cards import RunCard
from dreamgui.models.catalog.catalog import write_run
from dreamgui.services import Services
from dreamgui.ui.parts.form import Form
from dreamgui.ui.tabs.followed_run import follow_run
from tests.library.folders import add_dataset
from tests.ui.fakes import fake_services


@pytest.fixture
def services(tmp_path: Path) -> Services:
    services = fake_services(tmp_path)
    add_dataset(services.workspace, "boris")
    for name, words in (("ohwx", "ohwx man"), ("zwx", "zwx woman")):
        card = RunCard(
            name=name, kind="lora", base="portraits", dataset="boris", rank=4, alpha=4, learning_rate=1e-4, steps=1,
            seconds=1, file_bytes=1, finished=True, job={"instance_prompt": f"a photo of {words} face"},
        )  # fmt: skip
        write_run(services.workspace.place("runs", name), card)
    return services


def answer(services: Services, kind: type, names: list[str], given: list[Any]) -> dict[str, Any]:
    """Return what the listener fills in for these models, what was filled in before and the fields' values."""
    with gr.Blocks() as blocks:
        form = Form(kind, services, "form")
        for name in ("models", *names):
            form.show(name)
        follow_run(services, form)
    listener = next(function for function in blocks.fns.values() if function.fn is not None)
    *_, carried = listener.fn(*given, {"held": given[2:]}, *given[2:])
    return {names[int(place)]: value for place, value in carried["values"].items()}


STANDARD = CompareJob.model_fields["prompts"].default


def test_prompts_and_dataset_are_the_runs(services: Services) -> None:
    found = answer(
        services, CompareJob, ["prompts", "dataset"], [["portraits", "ohwx"], {}, "\n".join(STANDARD), "anna"]
    )
    assert found["dataset"] == "boris"
    assert found["prompts"].count("ohwx man face") == len(STANDARD) and "sks" not in found["prompts"]


def test_one_prompt_follows_too(services: Services) -> None:
    standard = ControlJob.model_fields["prompt"].default
    found = answer(services, ControlJob, ["prompt"], [["ohwx"], {}, standard])
    assert found == {"prompt": standard.replace("sks woman", "ohwx man")}
    found = answer(services, ControlJob, ["prompt"], [["zwx"], found, found["prompt"]])
    assert found == {"prompt": standard.replace("sks", "zwx")}


def test_what_was_typed_or_chosen_stays(services: Services) -> None:
    before = {"prompts": "filled", "dataset": "boris"}
    found = answer(services, CompareJob, ["prompts", "dataset"], [["ohwx"], before, "my own", "anna"])
    assert found == {}


def test_a_base_alone_keeps_the_dataset(services: Services) -> None:
    found = answer(
        services, CompareJob, ["prompts", "dataset"], [["portraits"], {}, "\n".join(STANDARD), "anna"]
    )
    assert found == {"prompts": "\n".join(STANDARD)}
