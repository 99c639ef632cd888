"""Generate tab: a prompt, a model, and the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from dreamgui.config import GenerateJob
from dreamgui.config.generate import RANDOM_SEED
from dreamgui.events import Cell, Preview, Saved
from dreamgui.pictures.store import picture_name, summaries
from dreamgui.services import Services
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.late import answers
from dreamgui.ui.parts.overview import Overview
from dreamgui.ui.parts.panel import RunPanel
from dreamgui.ui.parts.pictures import as_it_is, shown
from dreamgui.ui.parts.session import QUIET, as_ui_error, owner_of
from dreamgui.ui.parts.stream import JobView
from dreamgui.ui.parts.toasts import inform
from dreamgui.ui.parts.watch import Updates, Watch
from dreamgui.ui.tabs.generate.add_lora import AddLora
from dreamgui.ui.tabs.generate.from_file import SettingsFromFile, settings_of
from dreamgui.ui.tabs.generate.kept import KeptPictures
from dreamgui.ui.tabs.generate.painting import MaskPainter
from dreamgui.ui.tabs.generate.shelf import PictureShelf
from dreamgui.ui.tabs.next_step import NextStep

IDLE = "Choose a model and write a prompt. {token} stands for the person that the run was trained on."
SIZES = [
    ("As trained", ""),
    *((each, each) for each in ("512x512", "512x768", "768x512", "768x1024", "1024x768")),
]


def create_generate_tab(
    services: Services, watch: Watch, local: bool
) -> tuple[list[Form], list[PictureShelf], NextStep]:
    """Create the tab and return its forms, whose choices are refreshed later, its galleries, and its way on."""
    form = Form(GenerateJob, services, "generate", local)
    panel = RunPanel(services, "generate", "generate", IDLE)
    with gr.Row(elem_classes="dg-columns"):
        with gr.Column(scale=2, min_width=320):
            from_file, overview, start_image = _fields(form, panel)
            add_lora = AddLora(services)
        with gr.Column(scale=3, min_width=320):
            panel.place_progress()
            onward = NextStep("Next: compare with the base", "generate-next", "picture")
            preview = gr.Image(
                show_label=False,
                height=200,
                elem_id="generate-preview",
                interactive=False,
                visible=False,
                buttons=[],
            )
            results = PictureShelf(services, "results")
            kept = KeptPictures(services)
    panel.runs(form, raw=True)
    overview.follow()
    from_file.fills(form)
    for shelf in (results, kept.shelf):
        _listen(shelf, form, services, start_image)

    def render(view: JobView) -> Updates:
        updates = panel.updates(view) | onward.show(view)
        if view.news(Preview, Cell) or view.ending:
            updates[preview] = _preview(view)
        if view.news(Cell):
            updates |= results.show(_results(view))
        return updates

    add_lora.attach(watch, form["model"])
    watch.attach("generate", render, [*panel.outputs, *onward.outputs, preview, *results.outputs])
    return [form, add_lora.form], [results, kept.shelf], onward


def _fields(form: Form, panel: RunPanel) -> tuple[SettingsFromFile, Overview, gr.Accordion]:
    """Place the form and return the place for a picture's settings, the overview, and the accordion of the start image."""
    form.show("prompt", lines=3)
    # Without a value the newest model is chosen.
    form.show("model", value=None)
    with gr.Row():
        form.own(
            "size",
            gr.Dropdown(
                SIZES,
                value="",
                label=GenerateJob.model_fields["size"].title,
                info="Other sizes can be typed.",
                allow_custom_value=True,
                elem_id="generate-size",
                min_width=140,
            ),
        )
        form.show("seed", min_width=140, info="-1 takes a new one each time.")
    _seed_buttons(form)
    form.show("count")
    panel.place_buttons("Generate")
    overview = Overview(form, ("prompt", "seed", "image", "mask"))
    overview.place_filter()
    form.front()
    with gr.Column(elem_classes="dg-groups"):
        with gr.Accordion("Start image", open=False, elem_id="generate-group-start-image") as start_image:
            with gr.Row():
                for name in ("image", "mask"):
                    field = GenerateJob.model_fields[name]
                    form.own(
                        name,
                        gr.Image(
                            type="filepath",
                            sources=["upload", "clipboard"],
                            height=190,
                            min_width=140,
                            label=field.title,
                            elem_id=f"generate-{name}",
                            buttons=[],
                        ),
                    )
            MaskPainter(form["image"], form["mask"])
            form.show("image_strength")
        form.groups(count=False)
        return SettingsFromFile(), overview, start_image


def _seed_buttons(form: Form) -> None:
    """Place buttons for a new seed each time, and for that of the newest picture."""
    with gr.Row(elem_classes="dg-buttons"):
        random = gr.Button("Random seed", size="sm", elem_id="generate-random-seed", min_width=110)
        keep = gr.Button("Keep the last seed", size="sm", elem_id="generate-keep-seed", min_width=110)

    def last() -> Any:
        newest = next(iter(summaries(form.services.workspace)), None)
        if newest is None:
            inform("No picture has been generated yet.")
            return gr.skip()
        return int(newest.name.rpartition("-")[2])

    answers(random.click, lambda: RANDOM_SEED, [], [form["seed"]])
    answers(keep.click, last, [], [form["seed"]])


def _listen(shelf: PictureShelf, form: Form, services: Services, start_image: gr.Accordion) -> None:
    """Connect a gallery's buttons with the form and the queue."""

    def use(name: str) -> list[Any]:
        settings, remarks = settings_of(as_ui_error(lambda: shelf.read(name)), services.catalog)
        for sentence in remarks:
            inform(sentence)
        return form.prefill(settings)

    def another(name: str, request: gr.Request) -> None:
        settings, _ = settings_of(as_ui_error(lambda: shelf.read(name)), services.catalog)
        job = as_ui_error(lambda: form.with_values({**settings, "seed": RANDOM_SEED, "count": 1}))
        as_ui_error(lambda: services.jobs.submit(job, owner_of(request)))

    answers(shelf.use.click, use, [shelf.picked], form.inputs)
    shelf.again.click(another, shelf.picked, None, **QUIET)
    shelf.start.click(
        lambda name: (as_ui_error(lambda: shelf.file(name)), gr.Accordion(open=True)),
        shelf.picked,
        [form["image"], start_image],
        **QUIET,
    )


def _preview(view: JobView) -> Any:
    """Return an update with the newest preview, hidden before the first one and after the end."""
    newest = view.last(Preview)
    if newest is None or view.ending or not isinstance(newest.image, Path) or not newest.image.is_file():
        return gr.update(value=None, visible=False)
    return gr.update(value=shown(newest.image), visible=True)


def _results(view: JobView) -> list[tuple[str, str, str]]:
    """Return the job's pictures: names, files with their texts, captions."""
    saved = {item.path: item.name for item in view.all(Saved)}
    pictures = []
    for cell in view.all(Cell):
        if not isinstance(cell.image, Path) or not cell.image.is_file():
            continue
        name = picture_name(cell.image) if cell.image in saved or "pictures" in cell.image.parts else ""
        likeness = cell.scores.get("likeness")
        caption = f"{cell.model}, seed {cell.seed}" + (f", likeness {likeness:.2f}" if likeness else "")
        pictures.append((name, as_it_is(cell.image) if name else shown(cell.image), caption))
    return pictures
