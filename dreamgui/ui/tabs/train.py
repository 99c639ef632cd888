"""Train: teach a base model the person, with the loss and samples as they come."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dreamgui.config import ClassImagesJob, JobConfig, TrainJob
from dreamgui.data.dataset import Dataset
from dreamgui.errors import DreamError, UnknownName
from dreamgui.events import ClassImage, Loss, Sampled, Saved
from dreamgui.services import Services, gpu_count
from dreamgui.ui.form import Form, make_config
from dreamgui.ui.grid import short_prompts
from dreamgui.ui.markup import duration, facts, file_size
from dreamgui.ui.panel import RunPanel
from dreamgui.ui.pictures import gallery
from dreamgui.ui.session import QUIET, owner_of, told
from dreamgui.ui.stream import JobView, loss_frame
from dreamgui.ui.tabs.memory_line import MemoryLine
from dreamgui.ui.tabs.sweep import Sweep
from dreamgui.ui.tabs.train_live import LiveButtons, Preflight
from dreamgui.ui.watch import Updates, Watch

IDLE = "Choose what to train and press Train. The page may be closed meanwhile; the training goes on."
ADVICE = "Go to Compare to see it beside its base model."
CLASS_IDLE = "A training draws missing class images itself; here they can be drawn and looked at beforehand."
SERIES_COLOURS = {"instance": "#2b8676", "prior": "#c0803a"}
USUAL = ("steps", "rank", "batch_size")
SAMPLE_COLUMNS = 4
CLASS_IMAGES_SHOWN = 60
CLASS_IMAGE_SHOWN_PX = 192


def create_train_tab(services: Services, watch: Watch, local: bool) -> list[Form]:
    """The tab's widgets and listeners; its forms are returned so that their choices can be refreshed when it is
    selected. When the page opens they refresh themselves."""
    form = Form(TrainJob, services, "train", local)
    panel = RunPanel(services, "train", "train", IDLE, ADVICE)
    with gr.Row(elem_classes="dg-columns"):
        with gr.Column(scale=2, min_width=320):
            form.show("method")
            with gr.Row():
                form.show("model", min_width=140)
                form.show("dataset", min_width=140)
            with gr.Row():
                form.show("steps", min_width=100)
                form.show("learning_rate", label="Learning rate", placeholder="usual", min_width=100)
                form.show("rank", min_width=100)
            panel.place_buttons("Train", stop_label="Stop and keep")
            memory = MemoryLine(services)
            resume = Resume(services)
            form.fold(skip=() if gpu_count() > 1 else ("processes", "shard"))
            preflight = Preflight(services, form)
            classes = ClassImages(services, local)
            several = Sweep(services, form, local)
        with gr.Column(scale=3, min_width=320):
            panel.place_progress()
            several.place_results()
            live = LiveButtons(services)
            result = gr.HTML(elem_id="train-result")
            curve = gr.LinePlot(
                x="step",
                y="loss",
                color="series",
                color_map=SERIES_COLOURS,
                elem_id="train-loss",
                height=260,
                visible=False,
                x_title="step",
                y_title="loss, smoothed",
                color_title=" ",
                buttons=[],
                show_label=False,
            )
            samples = gr.Gallery(
                show_label=False,
                elem_id="train-samples",
                columns=2,
                object_fit="contain",
                height="auto",
                interactive=False,
                visible=False,
            )
            class_gallery = classes.place_results()
    panel.runs(form)
    memory.follows(form)
    _prefill(services, watch, form, classes.form)

    def render(view: JobView) -> Updates:
        updates = panel.updates(view) | live.show(view)
        if view.news(Loss):
            updates[curve] = curve_update(view)
        if view.news(Sampled):
            updates[samples] = sample_update(view)
        if view.news(Saved):
            updates[result] = run_card(services, view)
        if view.new or view.ending:
            updates |= resume.show()
        return updates

    watch.attach("train", render, [*panel.outputs, *live.outputs, curve, samples, result, *resume.outputs])
    classes.attach(watch, class_gallery)
    several.attach(watch)
    preflight.attach(watch)
    return [form, classes.form]


def curve_update(view: JobView) -> Any:
    """The whole curve so far; the axis already reaches to the last step."""
    job, losses = view.job, view.all(Loss)
    if not losses or job is None or not isinstance(job.config, TrainJob):
        return gr.update(visible=False)
    return gr.update(
        value=loss_frame(losses), x_lim=[0, max(job.config.steps, losses[-1].step)], visible=True
    )


def sample_update(view: JobView) -> Any:
    """Samples, a row a time with the newest on top, a column a prompt."""
    samples = view.all(Sampled)
    if not samples:
        return gr.update(value=[], visible=False)
    prompts = tuple(dict.fromkeys(sample.prompt for sample in samples))
    short = dict(zip(prompts, short_prompts(prompts), strict=True))
    ordered = sorted(samples, key=lambda sample: (-sample.step, prompts.index(sample.prompt)))
    pictures = gallery((item.image, f"{item.step}: {short[item.prompt]}") for item in ordered)
    return gr.update(
        value=pictures, visible=True, columns=len(prompts) * max(1, SAMPLE_COLUMNS // len(prompts))
    )


def run_card(services: Services, view: JobView) -> str:
    """What the training left behind."""
    saved = next((item for item in reversed(view.all(Saved)) if item.what == "run"), None)
    if saved is None:
        return ""
    try:
        card = services.catalog.run(saved.name)
    except DreamError:
        return ""
    what = "Whole UNet" if card.kind == "unet" else f"LoRA of rank {card.rank}, alpha {card.alpha:g}"
    return facts(
        [
            ("Run", card.name),
            ("Trained", f"{what} on {card.base}"),
            (
                "Steps",
                f"{card.steps} at a learning rate of {card.learning_rate:g}, in {duration(card.seconds)}",
            ),
            ("File", file_size(card.file_bytes)),
        ]
    )


def _prefill(services: Services, watch: Watch, form: Form, class_form: Form) -> None:
    """Choosing a base or a method fills in what the model's card recommends; a data set brings its prompt.

    Once a choice: what a user types meanwhile stays, though the page asks again whenever it sets the choice itself.
    """
    fields = [*form.inputs, *class_form.inputs]
    filled = gr.State(None)

    def recommended(method: str, base: str | None) -> list[Any]:
        card = told(lambda: services.catalog.card(base)) if base else None
        advice = card.recommended if card else {}
        usual = {
            name: field.default
            for name, field in TrainJob.model_fields.items()
            if name in USUAL or field.default is None
        }
        class_advice = advice.get("class_images", {})
        shared = {name: value for name, value in class_advice.items() if name in TrainJob.model_fields}
        settings = {**usual, **shared, **advice.get(method, {})}
        settings = {
            name: value for name, value in settings.items() if name not in ("method", "model", "dataset")
        }
        return [*form.prefill(settings), *class_form.prefill({"model": base, **class_advice} if base else {})]

    def chosen(method: str, base: str | None, before: list[str | None] | None) -> list[Any]:
        if before == [method, base]:
            return [gr.skip() for _ in (*fields, filled)]
        return [*recommended(method, base), [method, base]]

    def opened(method: str, *choices: Any) -> dict[Any, Any]:
        fresh = dict(zip(form.choosers, form.refresh(*choices), strict=True))
        found = fresh[form["model"]]["value"]
        return dict(zip(fields, recommended(method, found), strict=True)) | fresh | {filled: [method, found]}

    def prompt_of(dataset: str | None) -> list[Any]:
        if not dataset:
            return form.prefill({})
        loaded = told(lambda: Dataset.load(services.workspace.find("datasets", dataset)))
        return form.prefill({"instance_prompt": loaded.instance_prompt})

    def rank_visible(method: str) -> Any:
        return gr.update(visible=method == "lora")

    method, base, dataset = form["method"], form["model"], form["dataset"]
    assert isinstance(method, gr.Radio) and isinstance(base, gr.Dropdown) and isinstance(dataset, gr.Dropdown)
    for chooser in (method, base):
        chooser.change(chosen, [method, base, filled], [*fields, filled], **QUIET)
    watch.blocks.load(opened, [method, *form.choosers], [*fields, filled], **QUIET)
    method.change(rank_visible, method, form["rank"], **QUIET)
    dataset.change(prompt_of, dataset, form.inputs, **QUIET)


class Resume:
    """Trainings that were broken off and can go on from their last checkpoint."""

    def __init__(self, services: Services) -> None:
        self.services = services
        with gr.Row(visible=False, elem_id="train-resume-row", elem_classes="dg-buttons") as self._row:
            self._run = gr.Dropdown(label="Broken off", elem_id="train-resume-run", scale=3, min_width=140)
            self._button = gr.Button("Resume", elem_id="train-resume-start", scale=1, min_width=90)
        self._button.click(self._resume, self._run, **QUIET)

    @property
    def outputs(self) -> list[Any]:
        """The components that :meth:`show` speaks of."""
        return [self._row, self._run]

    def show(self) -> Updates:
        """Offer the runs that aren't finished."""
        busy = {
            job.config.run for job in self.services.jobs.active("train") if isinstance(job.config, TrainJob)
        }
        runs = [
            card.name for card in self.services.catalog.runs() if not card.finished and card.name not in busy
        ]
        return {
            self._row: gr.update(visible=bool(runs)),
            self._run: gr.update(choices=runs, value=runs[-1] if runs else None),
        }

    def _resume(self, run: str | None, request: gr.Request) -> None:
        told(lambda: self.services.jobs.submit(self._config(run or ""), owner_of(request)))

    def _config(self, run: str) -> JobConfig:
        if not run:
            raise UnknownName("No run was chosen.", "Choose the one that shall go on.")
        job: dict[str, Any] = {**self.services.catalog.run(run).job, "run": run, "resume": True}
        # Another number learns the same, and where there is one GPU the page shows no number to change.
        if job.get("processes", 1) > gpu_count():
            job |= {"processes": 1, "shard": False}
        return make_config(TrainJob, job)


class ClassImages:
    """Drawing class images ahead of the training, with their own prompt and negative prompt."""

    def __init__(self, services: Services, local: bool) -> None:
        self.services = services
        self.form = Form(ClassImagesJob, services, "class", local)
        self.panel = RunPanel(services, "class_images", "class", CLASS_IDLE)
        with gr.Accordion("Class images", open=False, elem_id="class-section"):
            for name in ("model", "class_prompt", "class_negative_prompt", "class_count"):
                self.form.show(name)
            self.form.fold()
            self.panel.place_buttons("Draw class images")
            self.panel.place_progress()
        self.panel.runs(self.form)

    def place_results(self) -> gr.Gallery:
        """Put the gallery here."""
        return gr.Gallery(
            show_label=False,
            elem_id="class-gallery",
            columns=8,
            height="auto",
            object_fit="cover",
            visible=False,
            interactive=False,
        )

    def attach(self, watch: Watch, results: gr.Gallery) -> None:
        """Watch the job."""

        def render(view: JobView) -> Updates:
            updates = self.panel.updates(view)
            if view.news(ClassImage):
                drawn = view.all(ClassImage)[-CLASS_IMAGES_SHOWN:]
                pictures = gallery(((item.image, "") for item in drawn), CLASS_IMAGE_SHOWN_PX)
                updates[results] = gr.update(value=pictures, visible=bool(pictures))
            return updates

        watch.attach("class_images", render, [*self.panel.outputs, results])
