"""Workshop, below Convert: exports with their certificate, LoRAs merged, extracted and resized, mixed models, tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from dreamgui.config import ExportJob, ExtractJob, JobConfig, MergeJob, MixJob, ResizeJob, TokensJob
from dreamgui.events import Cell, Saved, Score
from dreamgui.models.cards import certificate_place
from dreamgui.services import Services
from dreamgui.ui.form import Form
from dreamgui.ui.markup import facts, file_size, table
from dreamgui.ui.panel import RunPanel
from dreamgui.ui.pictures import gallery, offered
from dreamgui.ui.stream import JobView
from dreamgui.ui.watch import Updates, Watch
from dreamgui.ui.widgets import extra
from dreamgui.workspace import EXPORTS, read_json

LARGEST_DOWNLOAD_BYTES = 500_000_000
PLOT = "energy.svg"


@dataclass(frozen=True)
class Tool:
    """One job of the workshop.

    Attributes:
        title: over its form, and what its button says.
        idle: what it is good for.
        skip: optional choices of models; empty they mean what the command line's help says, a chooser can't be empty.
    """

    job: type[JobConfig]
    title: str
    idle: str
    skip: tuple[str, ...] = ()


TOOLS = (
    Tool(
        ExportJob, "Export", "A file for A1111, ComfyUI, kohya or diffusers, proved by a picture.", ("base",)
    ),
    Tool(MergeJob, "Merge a LoRA", "A LoRA baked into its base model's UNet.", ("model",)),
    Tool(ExtractJob, "Extract a LoRA", "What a trained UNet learnt, as a small file.", ("against",)),
    Tool(ResizeJob, "Resize a LoRA", "A smaller rank that keeps as much as it can hold."),
    Tool(MixJob, "Mix two models", "A weighted sum, or what one learnt added to the other.", ("minus",)),
    Tool(TokensJob, "Look at a token", "What the base model draws for it already, and rarer ones."),
)


def create_workshop(services: Services, watch: Watch, local: bool) -> list[Form]:
    """Each tool in a closed section; the forms are returned so that their choices can be refreshed."""
    with gr.Accordion(
        "Workshop: export, merge, extract, resize, mix, tokens", open=False, elem_id="workshop"
    ):
        return [_place(tool, services, watch, local) for tool in TOOLS]


def _place(tool: Tool, services: Services, watch: Watch, local: bool) -> Form:
    kind = tool.job.kind
    form, panel = Form(tool.job, services, kind, local), RunPanel(services, kind, kind, tool.idle)
    fields = tool.job.model_fields
    with (
        gr.Accordion(tool.title, open=False, elem_id=f"{kind}-section"),
        gr.Row(elem_classes="dg-columns"),
    ):
        with gr.Column(scale=2, min_width=320):
            for name in fields:
                if not extra(fields[name], "fold") and name != "out":
                    form.show(name) if name not in tool.skip else None
            panel.place_buttons(tool.title)
            if any(name not in form.names and name not in tool.skip for name in fields):
                form.fold(skip=tool.skip)
        with gr.Column(scale=3, min_width=320):
            panel.place_progress()
            result = gr.HTML(elem_id=f"{kind}-result")
            pictures = gr.Gallery(
                show_label=False, elem_id=f"{kind}-pictures", columns=3, height="auto", interactive=False, visible=False
            )  # fmt: skip
            download = gr.DownloadButton("Download", visible=False, elem_id=f"{kind}-download", size="sm")
    panel.runs(form)

    def render(view: JobView) -> Updates:
        updates = panel.updates(view)
        if view.news(Saved, Score):
            updates[result] = result_card(view)
            updates[download] = _download(services, view)
        if view.news(Cell):
            drawn = gallery((cell.image, cell.model) for cell in view.all(Cell))
            updates[pictures] = gr.update(value=drawn, visible=bool(drawn))
        return updates

    watch.attach(kind, render, [*panel.outputs, result, pictures, download])
    return form


def result_card(view: JobView) -> str:
    """An export's certificate; else the figures, and how much of a change each rank captures."""
    saved = view.last(Saved)
    if saved and saved.what == "export":
        return certificate_card(saved.path)
    rows = [
        (name, f"{value:.4g}")
        for score in view.all(Score)
        for name, value in score.values.items()
        if value is not None
    ]
    plot = saved.path / PLOT if saved else None
    drawn = plot.read_text(encoding="utf-8") if plot and plot.is_file() else ""
    return table(("Figure", "Value"), rows) + drawn


def certificate_card(export: Path) -> str:
    """What an export's certificate says; a sentence where there is none."""
    try:
        proof: dict[str, Any] = read_json(certificate_place(export))
        files = [
            (name, f"{one['tensors']} tensors, {file_size(one['size_bytes'])}", one["sha256"][:16] + "...")
            for name, one in proof["files"].items()
        ]
        return facts(
            [
                ("Certificate", "passed" if proof["passed"] else "not passed"),
                ("Written to", f"{export.parent.name}/{export.name}"),
                ("Read by", proof["reader"]),
                ("Picture", f"{proof['prompt']!r}, seed {proof['seed']}, {proof['size_px']} px"),
                (
                    "Mean difference",
                    f"{proof['mean_difference']:.3f} of 255 ({proof['tolerance_mean']:g} passes)",
                ),
                (
                    "Largest difference",
                    f"{proof['max_difference']:.0f} of 255 ({proof['tolerance_max']:g} passes)",
                ),
            ]
        ) + table(("File", "Read back bitwise", "SHA-256"), files)
    except (OSError, ValueError, KeyError, TypeError):
        return facts([("Certificate", f"can't be read any more beside {export.name}")])


def _download(services: Services, view: JobView) -> Any:
    """One file in the workspace's exports, unless it is too large to be copied for the browser."""
    saved = view.last(Saved)
    inside = saved is not None and saved.path.parent == services.workspace.root / EXPORTS
    if saved is None or not inside or not saved.path.is_file():
        return gr.update(visible=False)
    if saved.path.stat().st_size > LARGEST_DOWNLOAD_BYTES:
        return gr.update(visible=False)
    return gr.update(visible=True, value=offered(saved.path))
