"""The page: a head, five tabs, and the endpoints for programs."""

from __future__ import annotations

from html import escape

import gradio as gr

from dreamgui.services import Services
from dreamgui.ui.endpoints import ACTIONS, add_endpoints
from dreamgui.ui.form import Form
from dreamgui.ui.session import QUIET, Device
from dreamgui.ui.stream import doing
from dreamgui.ui.tabs.compare import create_compare_tab
from dreamgui.ui.tabs.control import create_control_tab
from dreamgui.ui.tabs.convert import create_convert_tab
from dreamgui.ui.tabs.dataset import create_dataset_tab
from dreamgui.ui.tabs.train import create_train_tab
from dreamgui.ui.tabs.workshop import TOOLS, create_workshop
from dreamgui.ui.watch import Watch

TITLE = "DreamGUI"
LEAD = (
    "Teach Stable Diffusion one person. New here? Press <b>Use the demo's photographs</b>, "
    "then take the tabs from left to right."
)
CACHE_SWEEP_SECONDS, CACHE_AGE_SECONDS = 300, 6 * 3600
QUEUE_LENGTH = 100


def create_ui(services: Services, device: Device | None = None, local: bool = True) -> gr.Blocks:
    """The whole page.

    Args:
        services: workspace, jobs and models.
        device: the background loader of torch, for the status line.
        local: whoever opens the page may name files of this machine (never on a shared link or a Space).
    """
    device = device or Device(services)
    with gr.Blocks(
        title=TITLE,
        analytics_enabled=False,
        delete_cache=(CACHE_SWEEP_SECONDS, CACHE_AGE_SECONDS),
        fill_width=True,
    ) as blocks:
        with gr.Row(elem_id="head", equal_height=True):
            gr.HTML(f"<h1>{TITLE}</h1><p>{LEAD}</p>", elem_id="title")
            line = gr.HTML(elem_id="status-line")
        watch = Watch(
            blocks, services.jobs, [model.kind for model in ACTIONS] + [tool.job.kind for tool in TOOLS]
        )
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Dataset", id="dataset", elem_id="tab-dataset"):
                create_dataset_tab(services, watch, local)
            with gr.Tab("Convert", id="convert", elem_id="tab-convert") as convert:
                create_convert_tab(services, watch, local)
                _refresh(convert, create_workshop(services, watch, local), blocks)
            with gr.Tab("Train", id="train", elem_id="tab-train") as train:
                _refresh(train, create_train_tab(services, watch, local))
            with gr.Tab("Compare", id="compare", elem_id="tab-compare") as compare:
                _refresh(compare, [create_compare_tab(services, watch)], blocks)
            with gr.Tab("ControlNet", id="control", elem_id="tab-control") as control:
                _refresh(control, [create_control_tab(services, watch)], blocks)
        watch.begin(line, lambda: status_line(services, device))
        add_endpoints(services, device, local)
    return blocks.queue(max_size=QUEUE_LENGTH, default_concurrency_limit=4, api_open=False)


def _refresh(tab: gr.Tab, forms: list[Form], blocks: gr.Blocks | None = None) -> None:
    """Bring choices of models and data sets up to date when the tab is selected, and when the page of ``blocks`` opens."""
    for form in forms:
        tab.select(form.refresh, form.choosers, form.choosers, **QUIET)
        if blocks:
            blocks.load(form.refresh, form.choosers, form.choosers, **QUIET)


def status_line(services: Services, device: Device) -> str:
    """The device, and what runs on it."""
    active = services.jobs.active()
    name = escape(str(device.status()["device"]))
    what = escape(doing(active[0]).capitalize()) if active else "Ready"
    waiting = f", {len(active) - 1} waiting" if len(active) > 1 else ""
    dot = f'<span class="dg-dot{" dg-on" if active else ""}"></span>'
    return f'{dot}{what}{waiting}<span class="dg-device">{name}</span>'
