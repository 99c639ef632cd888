"""Train tab: train a base model on the person, with live loss and samples."""

from __future__ import annotations

from typing import Any, NamedTuple

import gradio as gr

from dreamgui.config import ClassImagesJob, TrainJob
from dreamgui.events import ClassImage, Loss, Progress, Sampled, SampleLikeness, Saved
from dreamgui.services import Services, gpu_count
from dreamgui.ui.parts.form import Form
from dreamgui.ui.parts.overview import Overview
from dreamgui.ui.parts.panel import RunPanel
from dreamgui.ui.parts.pictures import gallery
from dreamgui.ui.parts.stream import JobView
from dreamgui.ui.parts.watch import Updates, Watch
from dreamgui.ui.results.curve import curve_of, likeness_of, likeness_plot, loss_plot, room_for_plots
from dreamgui.ui.results.grid import short_prompts
from dreamgui.ui.tabs.kept import Kept
from dreamgui.ui.tabs.train.done import DoneActions, run_card
from dreamgui.ui.tabs.train.filling import follow_prompt, prefill
from dreamgui.ui.tabs.train.live import LiveButtons, Preflight
from dreamgui.ui.tabs.train.memory_line import MemoryLine
from dreamgui.ui.tabs.train.presets import Presets
from dreamgui.ui.tabs.train.resume import Resume
from dreamgui.ui.tabs.train.sweep import Sweep

IDLE = "Choose a method and press Train. The training continues when the page is closed."
ADVICE = "Go to Compare to see the run beside its base model."
CLASS_IDLE = "Training generates missing class images itself. Generate them here to see them first."
RESUMING = ("resume", "resume_from")
OF_THE_PERSON = (
    "instance_prompt",
    "class_prompt",
    "class_negative_prompt",
    "sample_prompts",
    "run",
    "class_folder",
)
SAMPLE_COLUMNS = 4
CLASS_IMAGES_SHOWN = 60
CLASS_IMAGE_SHOWN_PX = 192


class TrainForms(NamedTuple):
    """Forms of the tab, what was filled in last: [method, base], and the dataset's name, the buttons after a training,
    and the sweep.

    Whoever fills in settings sets these too, so that the same choices don't fill in their recommendations over them.
    """

    training: Form
    class_images: Form
    filled: gr.State
    followed: gr.State
    done: DoneActions
    sweep: Sweep


def create_train_tab(services: Services, watch: Watch, kept: Kept, local: bool) -> TrainForms:
    """Create the tab and return its forms, whose choices are refreshed when the tab is selected.

    When the page opens they refresh themselves."""
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
                form.show("learning_rate", placeholder="default", min_width=100)
                form.show("rank", min_width=100)
            panel.place_buttons("Train", stop_label="Stop and keep")
            memory = MemoryLine(services)
            overview = Overview(form, (*OF_THE_PERSON, "method"))
            resume = Resume(services)
            presets = Presets(services, form)
            overview.place_filter()
            # A row of its own resumes a run, with the run's settings in place of the form's.
            form.groups(skip=(*RESUMING, *(() if gpu_count() > 1 else ("processes", "shard"))), count=False)
            preflight = Preflight(services, form)
            classes = ClassImages(services, local)
            several = Sweep(services, form, local)
        with gr.Column(scale=3, min_width=320):
            several.place_results()
            panel.place_progress()
            live = LiveButtons(services)
            done = DoneActions(services)
            result = gr.HTML(elem_id="train-result")
            room = gr.HTML(elem_id="train-room")
            curve = loss_plot("train-loss")
            likeness = likeness_plot("train-likeness")
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
    overview.follow()
    filled = prefill(services, kept, form, classes.form, several.form, overview.advice)
    presets.follow(filled, watch.blocks.load)
    followed = follow_prompt(services, form, classes.form, several.form)

    def render(view: JobView) -> Updates:
        updates = panel.updates(view) | live.show(view)
        if view.news(Loss):
            updates[curve] = curve_update(view)
        if view.news(SampleLikeness):
            updates[likeness] = likeness_of(view.all(SampleLikeness), _total(view))
        if view.news(Sampled):
            updates[samples] = sample_update(view)
        if view.news(Saved):
            updates[result] = run_card(services, view)
        if view.new or view.ending:
            updates[room] = room_for_plots(view)
            updates |= resume.show() | done.show(view) | several.placed()
        return updates

    outputs = [
        *panel.outputs,
        *live.outputs,
        room,
        curve,
        likeness,
        samples,
        result,
        *resume.outputs,
        *done.outputs,
        several.results,
    ]
    watch.attach("train", render, outputs)
    done.attach(watch)
    classes.attach(watch, class_gallery)
    several.attach(watch)
    preflight.attach(watch)
    return TrainForms(form, classes.form, filled, followed, done, several)


def curve_update(view: JobView) -> Any:
    """Return the whole curve so far. The axis reaches to the last step."""
    losses = view.all(Loss)
    if not losses or view.job is None or not isinstance(view.job.config, TrainJob):
        return gr.update(visible=False)
    return curve_of(losses, _total(view))


def _total(view: JobView) -> int:
    """The number of steps. A resumed run's job may lack it, its progress has it."""
    return max((each.total for each in view.all(Progress) if each.label == "Training"), default=0)


def sample_update(view: JobView) -> Any:
    """Return the samples: a row per step with the newest on top, a column per prompt."""
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


class ClassImages:
    """Class images generated before the training, with their own prompt and negative prompt."""

    def __init__(self, services: Services, local: bool) -> None:
        self.services = services
        self.form = Form(ClassImagesJob, services, "class", local)
        self.panel = RunPanel(services, "class_images", "class", CLASS_IDLE)
        with gr.Accordion("Generate class images first", open=False, elem_id="class-section"):
            for name in ("model", "class_prompt", "class_negative_prompt", "class_count"):
                self.form.show(name)
            self.form.groups()
            self.panel.place_buttons("Generate class images")
            self.panel.place_progress()
        self.panel.runs(self.form)

    def place_results(self) -> gr.Gallery:
        """Place the gallery."""
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
                generated = view.all(ClassImage)[-CLASS_IMAGES_SHOWN:]
                pictures = gallery(((item.image, "") for item in generated), CLASS_IMAGE_SHOWN_PX)
                updates[results] = gr.update(value=pictures, visible=bool(pictures))
            return updates

        watch.attach("class_images", render, [*self.panel.outputs, results])
