"""Every listener that fills a field yields to what is typed meanwhile."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from dreamgui.ui.build import create_ui
from dreamgui.ui.parts.late import EDITABLE, answers
from tests.ui.fakes import fake_services

PROPERTIES_ONLY = {
    "convert-source": "is shown or hidden by the way",
    "train-rank": "is shown or hidden by the method",
    "kept-model": "its choices change with the pictures",
    "dataset-size-px": "its choices are made when it is opened",
}
FOLLOW_A_JOB = {
    "dataset-chosen": "a job's dataset is opened as its crops come",
    **dict.fromkeys(
        ("train-resume-run", "train-resume-step", "train-resume-until"),
        "which runs can be resumed changes with a job",
    ),
    "generate-model": "a LoRA that was just added is chosen",
    **dict.fromkeys(
        ("library-name", "library-tags", "library-note"), "another item's labels, when that item is chosen"
    ),
    "library-deleted": "what is in the trash changes with a deletion",
    "sweep-run": "the trainings of a sweep, choices only",
    **dict.fromkeys(
        (
            "compare-keep-row",
            "compare-report-one",
            "compare-report-other",
            "compare-pair-seed",
            "compare-left",
            "compare-right",
            "compare-prompt",
        ),
        "an ended comparison's choices",
    ),
}


def test_every_listener_that_fills_a_field_yields(tmp_path: Path) -> None:
    blocks = create_ui(fake_services(tmp_path))
    heard = [function for function in blocks.fns.values() if function.fn is not None]
    followed = {
        function.trigger_after for function in blocks.fns.values() if "answer.asked" in str(function.js)
    }
    unguarded = {
        str(output.elem_id)
        for function in heard
        if function._id not in followed
        for output in function.outputs
        if isinstance(output, EDITABLE) and output.visible != "hidden"
    }
    assert unguarded == {*PROPERTIES_ONLY, *FOLLOW_A_JOB}


def test_values_go_apart_from_all_else_that_is_answered() -> None:
    with gr.Blocks() as blocks:
        button, text, line = gr.Button(), gr.Dropdown(["a"]), gr.HTML()
        answers(
            button.click, lambda: {text: gr.update(value="a", choices=["a"]), line: "said"}, [], [text, line]
        )
    listener, taken = blocks.fns.values()
    assert listener.fn is not None
    update, said, carried = listener.fn({"held": ["old"]}, "old")
    assert update == gr.update(choices=["a"]) and said == "said"
    assert carried == {"asked": {"held": ["old"]}, "values": {"0": "a"}}
    assert taken.trigger_after == listener._id and taken.outputs == [text]
