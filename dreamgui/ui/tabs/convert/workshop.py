"""Workshop, below Convert: exports with their certificate, runs pushed to the Hub, LoRAs merged, extracted and resized, mixed models, tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from dreamgui.config import ExportJob, ExtractJob, JobConfig, MergeJob, MixJob, PushJob, ResizeJob, TokensJob
from dreamgui.events import Cell, Saved, Score
from dreamgui.models.catalog.cards import certificate_place
from dreamgui.services import Services
from dreamgui.sizes import file_size
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.markup import facts, table
from dreamgui.ui.parts.panel import RunPanel
from dreamgui.ui.parts.pictures import gallery, offered
from dreamgui.ui.parts.stream import JobView
from dreamgui.ui.parts.watch import Updates, Watch
from dreamgui.workspace import EXPORTS, read_json

LARGEST_DOWNLOAD_BYTES = 500_000_000
PLOT = "energy.svg"


@dataclass(frozen=True)
class Tool:
    """One job of the workshop.

    Attributes:
        title: title of its form and label of its button.
        idle: text before its first job: its use.
        skip: optional choices of models that the page leaves out, as a chooser can't be empty.
    """

    job: type[JobConfig]
    title: str
    idle: str
    skip: tuple[str, ...] = ()


TOOLS = (
    Tool(
        ExportJob,
        "Export",
        "Writes a file for A1111, ComfyUI, kohya or diffusers, and checks it with a picture.",
        ("base",),
    ),
    Tool(
        PushJob,
        "Push to the Hub",
        "Uploads a run with a description and generated pictures, private by default.",
    ),
    Tool(MergeJob, "Merge a LoRA", "Merges a LoRA into its base model's UNet.", ("model",)),
    Tool(ExtractJob, "Extract a LoRA", "Turns the change in a trained UNet into a small file.", ("against",)),
    Tool(ResizeJob, "Resize a LoRA", "Reduces the rank and keeps as much of the change as fits."),
    Tool(
        MixJob,
        "Mix two models",
        "Computes a weighted sum, or adds one model's training to the other.",
        ("minus",),
    ),
    Tool(TokensJob, "Inspect a token", "Shows the base model's pictures of a token, and rarer tokens."),
)


def create_workshop(services: Services, watch: Watch, local: bool) -> list[Form]:
    """Place each tool in a closed accordion and return the forms, whose choices are refreshed later."""
    with gr.Accordion(
        "Workshop: export, push, merge, extract, resize, mix, tokens", open=False, elem_id="workshop"
    ):
        return [_place(tool, services, watch, local) for tool in TOOLS]


def _place(tool: Tool, services: Services, watch: Watch, local: bool) -> Form:
    kind = tool.job.kind
    form, panel = Form(tool.job, services, kind, local), RunPanel(services, kind, kind, tool.idle)
    with (
        gr.Accordion(tool.title, open=False, elem_id=f"{kind}-section"),
        gr.Row(elem_classes="dg-columns"),
    ):
        with gr.Column(scale=2, min_width=320):
            form.front(tool.skip)
            panel.place_buttons(tool.title)
            form.groups(tool.skip)
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
            generated = gallery((cell.image, cell.model) for cell in view.all(Cell))
            updates[pictures] = gr.update(value=generated, visible=bool(generated))
        return updates

    watch.attach(kind, render, [*panel.outputs, result, pictures, download])
    return form


def result_card(view: JobView) -> str:
    """Return an export's certificate, else the figures, and the curve of an extraction."""
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
    curve = plot.read_text(encoding="utf-8") if plot and plot.is_file() else ""
    return table(("Figure", "Value"), rows) + curve


def certificate_card(export: Path) -> str:
    """Return an export's certificate as HTML, or a sentence where none is readable."""
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
        return facts([("Certificate", f"missing or unreadable beside {export.name}")])


def _download(services: Services, view: JobView) -> Any:
    """Offer one file of the workspace's exports, unless it is too large to copy for the browser."""
    saved = view.last(Saved)
    inside = saved is not None and saved.path.parent == services.workspace.root / EXPORTS
    if saved is None or not inside or not saved.path.is_file():
        return gr.update(visible=False)
    if saved.path.stat().st_size > LARGEST_DOWNLOAD_BYTES:
        return gr.update(visible=False)
    return gr.update(visible=True, value=offered(saved.path))
