"""The page: a head, the tabs, and the endpoints for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from dreamgui.services import Services, VisitorServices
from dreamgui.ui.endpoints import ACTIONS, add_endpoints
from dreamgui.ui.guard.asked import Asked
from dreamgui.ui.guard.blocks import VisitorBlocks
from dreamgui.ui.guard.reading import Reading
from dreamgui.ui.guard.sessions import PageBlocks
from dreamgui.ui.head.queue_panel import QueuePanel
from dreamgui.ui.head.status import status_line
from dreamgui.ui.head.strip import Strip
from dreamgui.ui.head.your_data import add_your_data_endpoints, create_your_data
from dreamgui.ui.item_endpoints import add_item_endpoints
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.session import Device
from dreamgui.ui.parts.watch import Watch
from dreamgui.ui.quick_page import QuickPage
from dreamgui.ui.sent_page import SentPage
from dreamgui.ui.tabs.compare.tab import create_compare_tab
from dreamgui.ui.tabs.control.tab import create_control_tab
from dreamgui.ui.tabs.convert.tab import create_convert_tab
from dreamgui.ui.tabs.convert.workshop import create_workshop
from dreamgui.ui.tabs.dataset.tab import create_dataset_tab
from dreamgui.ui.tabs.generate.sending import sends_to_compare, sends_to_control
from dreamgui.ui.tabs.generate.tab import create_generate_tab
from dreamgui.ui.tabs.kept import Kept, refreshed
from dreamgui.ui.tabs.library.tab import create_library_tab
from dreamgui.ui.tabs.library.ways import OtherForms
from dreamgui.ui.tabs.to_compare import leads_to_compare
from dreamgui.ui.tabs.train.tab import create_train_tab

TITLE = "DreamGUI"
LEAD = (
    "Train Stable Diffusion on one person. New here? Press <b>Use demo photographs</b>, "
    "then go through the tabs from left to right."
)
CACHE_CLEANUP_SECONDS, CACHE_AGE_SECONDS = 300, 6 * 3600
QUEUE_LENGTH = 100
BEHIND_THE_GUARD = [
    Middleware(SentPage, title=TITLE),
    Middleware(QuickPage),
    Middleware(Asked),
    Middleware(Reading),
]
"""Middleware between the guard and Gradio, for each way of use."""


def create_ui(services: Services, device: Device | None = None) -> gr.Blocks:
    """Build the whole page.

    Args:
        services: workspace, jobs and models. With those of visitors the page is for strangers: nobody may name
            files of this machine, and each listener runs as its visitor.
        device: the background loader of torch, for the status line.
    """
    device = device or Device(services)
    local = not isinstance(services, VisitorServices)
    with (PageBlocks if local else VisitorBlocks)(
        title=TITLE,
        analytics_enabled=False,
        delete_cache=(CACHE_CLEANUP_SECONDS, CACHE_AGE_SECONDS),
        fill_width=True,
    ) as blocks:
        with gr.Row(elem_id="head", equal_height=True):
            gr.HTML(f"<h1>{TITLE}</h1><p>{LEAD}</p>", elem_id="title")
            line = gr.HTML(elem_id="status-line")
        if isinstance(services, VisitorServices):
            create_your_data(services, blocks)
        queue = QueuePanel(services, detailed=local)
        watch = Watch(blocks, services, [model.kind for model in ACTIONS])
        kept = Kept(services, blocks)
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Dataset", id="dataset", elem_id="tab-dataset"):
                cropped = create_dataset_tab(services, watch, local)
            with gr.Tab("Convert", id="convert", elem_id="tab-convert") as convert:
                converted = create_convert_tab(services, watch, local)
                workshop = create_workshop(services, watch, local)
                _refresh(convert.select, workshop, kept)
            with gr.Tab("Train", id="train", elem_id="tab-train") as train:
                training = create_train_tab(services, watch, kept, local)
                _refresh(train.select, [training.training, training.class_images], kept)
            with gr.Tab("Generate", id="generate", elem_id="tab-generate") as generate:
                generate_forms, shelves, generated = create_generate_tab(services, watch, local)
                _refresh(generate.select, generate_forms, kept)
            with gr.Tab("Compare", id="compare", elem_id="tab-compare") as compare:
                comparing, compared = create_compare_tab(services, watch, local)
                _refresh(compare.select, [comparing], kept)
            with gr.Tab("Library", id="library", elem_id="tab-library") as library:
                export, push = (
                    next(form for form in workshop if form.model.kind == kind) for kind in ("export", "push")
                )
                others = OtherForms(generate_forms[0], comparing, export, push, tabs)
                create_library_tab(services, library, training, others)
            with gr.Tab("ControlNet", id="control", elem_id="tab-control") as control:
                control_form = create_control_tab(services, watch, local)
                _refresh(control.select, [control_form], kept)
        # The training form is filled by its own listener as the page opens.
        _refresh(blocks.load, [*workshop, *generate_forms[1:]], kept)
        kept.restores([generate_forms[0], comparing, control_form])
        cropped.goes(
            "train", training.training["dataset"], lambda: services.workspace.names("datasets"), tabs
        )
        converted.goes("train", training.training["model"], lambda: services.catalog.bases(), tabs)
        training.done.goes_to_generate(generate_forms[0], tabs)
        training.done.goes_to_compare(comparing, tabs)
        training.done.goes_to_push(others.push, tabs)
        training.sweep.goes_to_compare(comparing, tabs)
        generated.leads(
            lambda event: leads_to_compare(services, event, generate_forms[0]["model"], comparing, tabs)
        )
        compared.goes("generate", generate_forms[0]["model"], services.catalog.all_names, tabs)
        for shelf in shelves:
            sends_to_control(shelf, control_form, tabs)
            sends_to_compare(shelf, comparing, tabs)
        strip = Strip(services)
        watch.begin(
            {
                line: lambda: status_line(services, device),
                queue.list: queue.html,
                strip.line: strip.value,
            }
        )
        add_endpoints(services, device, local)
        add_item_endpoints(services, local)
        if isinstance(services, VisitorServices):
            add_your_data_endpoints(services)
    return blocks.queue(max_size=QUEUE_LENGTH, default_concurrency_limit=4, api_open=False)


def _refresh(event: Callable[..., Any], forms: Sequence[Form], kept: Kept) -> None:
    """Refresh the choices of models and datasets in these forms at an event, by one listener."""

    def answer(text: str | None, *values: Any) -> dict[Any, Any]:
        left, updates = iter(values), {}
        for form in forms:
            asked = kept.in_place_of_none(text, form, list(islice(left, len(form.choosers))))
            updates |= {form[name]: update for name, update in refreshed(form, asked).items()}
        # A value that stays isn't sent: one that was filled in meanwhile would be overwritten.
        for chooser, value in zip(choosers, values, strict=True):
            if updates[chooser]["value"] == value:
                del updates[chooser]["value"]
        return updates

    choosers = [chooser for form in forms for chooser in form.choosers]
    answers(event, answer, [kept.text, *choosers], choosers)
