"""ZeroGPU: a recipe's work on the device, in child processes that have a GPU for about a minute each.

The package ``spaces`` forks such a process, takes the seconds that are asked for from the visitor's daily minutes, and
kills it once they are over: https://huggingface.co/docs/hub/spaces-zerogpu. Of what the child does, only files and what
it yields come back. A training saves a checkpoint when its slice ends, and the next slice resumes it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import cache, wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgui import bootstrap
from dreamgui.config import ClassImagesJob, CompareJob, ControlJob, GenerateJob, JobConfig, TrainJob
from dreamgui.errors import DreamError, NotEnough, SliceOver, StopRequested
from dreamgui.events import Begun, ClassImage, Event, Loss, Note, SampleLikeness, Saved, Validation
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

SLICE_SECONDS = 60
"""Longest slice of a training. A free account has some 3.5 minutes a day (spring of 2026)."""
MOST_SECONDS = 120
"""Longest time for what isn't resumed: pictures and reports. Longer ones may be refused to a free account."""
SAVING_SECONDS = 12
"""Kept at a slice's end, for its checkpoint."""
GRACE_SECONDS = 5
"""After so many of them a recipe that isn't between two training steps is ended too."""
LOADING_SECONDS = 25
STEP_SECONDS = 0.15
"""One picture's part of a training step without a CUDA graph: a guess on the safe side, never measured on ZeroGPU."""
DENOISING_SECONDS = 0.05
"""One denoising step of one picture, likewise."""

_kept: list[Models] = []

Recipe = Callable[..., Generator[Event, None, Any]]


@dataclass(frozen=True)
class Ended:
    """Last word of a slice: the recipe's result, its error, or that it goes on."""

    value: Any = None
    error: DreamError | StopRequested | None = None
    cut: bool = False
    unfinished: bool = False


def uses_device(recipe: Recipe) -> Recipe:
    """Let a recipe run where the device is: here, or on ZeroGPU in slices. Its arguments and events are pickled there."""

    @wraps(recipe)
    def run(job: Any, workspace: Workspace, models: Models, *more: Any) -> Generator[Event, None, Any]:
        if not bootstrap.on_zero_gpu() or bootstrap.is_short():
            return recipe(job, workspace, models, *more)
        return _in_slices(f"{run.__module__}:{run.__name__}", job, workspace, more)

    return run


def announce() -> None:
    """Tell ZeroGPU, where it is, the function to lend a GPU to. It looks for those when the page is launched."""
    if bootstrap.on_zero_gpu():
        lent_slice()


@cache
def lent_slice() -> Callable[..., Iterator[Any]]:
    """Return the one function that ZeroGPU lends a GPU to. It has to be known before the page is launched."""
    return import_module("spaces").GPU(duration=seconds_of)(_slice)


def seconds_of(recipe: str, job: Any, *_: Any) -> int:
    """Return the seconds of GPU to ask for: as many as the job takes by estimate, capped by a slice's length.

    Args:
        recipe: its module and name; further arguments are those of the slice.
        job: the recipe's job; another kind is given half of the longest time.
    """
    resumes = isinstance(job, TrainJob | ClassImagesJob)
    most = int(os.environ.get("DREAMGUI_SLICE_SECONDS") or SLICE_SECONDS) if resumes else MOST_SECONDS
    return min(most, round(LOADING_SECONDS + SAVING_SECONDS + _working_seconds(job)))


def _working_seconds(job: Any) -> float:
    if isinstance(job, TrainJob):
        pictures = job.batch_size * job.accumulate * (2 if job.prior_preservation else 1)
        samples = len(job.sample_prompts) * job.steps // job.sample_every if job.sample_every else 0
        return job.steps * pictures * STEP_SECONDS + samples * job.sample_steps * DENOISING_SECONDS
    if isinstance(job, ClassImagesJob):
        return job.class_count * job.class_steps * DENOISING_SECONDS
    if isinstance(job, GenerateJob):
        width, height = job.width_height or (512, 512)
        return job.count * job.steps * DENOISING_SECONDS * width * height / 512**2
    if isinstance(job, ControlJob):
        return len(job.models) * len(job.scales) * job.steps * DENOISING_SECONDS
    if isinstance(job, CompareJob):
        return len(job.models) * len(job.prompts) * job.seeds * job.steps * DENOISING_SECONDS
    return MOST_SECONDS / 2


def _in_slices(recipe: str, job: JobConfig, workspace: Workspace, more: Any) -> Generator[Event, None, Any]:
    """Run a recipe slice by slice. Yield each event once, and return what it returns."""
    told = _Told()
    if getattr(job, "compile", False):
        job = job.model_copy(update={"compile": False})
        yield Note("The model isn't compiled: on ZeroGPU a slice is over before that pays.")
    with tempfile.TemporaryDirectory(prefix="dreamgui-slice-") as folder:
        stop = Path(folder) / "stop"
        while True:
            before = told.advances
            ended = yield from _one_slice(recipe, job, workspace, more, stop, told)
            if ended.error:
                raise ended.error
            if not ended.unfinished:
                if ended.cut:
                    yield Note(
                        "The GPU's time was over before this job's end; what was made until then is kept."
                    )
                return ended.value
            if stop.exists():
                yield Note(
                    "Stopped between two slices. A training has a checkpoint there, and can be resumed."
                )
                raise StopRequested
            if told.advances == before:
                raise NotEnough(
                    f"A slice of {seconds_of(recipe, job)} s on ZeroGPU is too short for one step of this job.",
                    "Set DREAMGUI_SLICE_SECONDS to more, or choose hardware of your own in the Space's settings.",
                )
            if told.run:
                job = job.model_copy(update={"run": told.run, "resume": True, "resume_from": 0})


def _one_slice(
    recipe: str, job: JobConfig, workspace: Workspace, more: Any, stop: Path, told: _Told
) -> Generator[Event, None, Ended]:
    ended = Ended(error=NotEnough("ZeroGPU has ended the slice early.", told.next_step))
    try:
        for item in lent_slice()(recipe, job, workspace, more, str(stop)):
            if isinstance(item, Ended):
                ended = item
            elif told.is_new(item):
                try:
                    yield item
                except StopRequested:
                    stop.touch()
    # The package tells by Gradio's own error that there are no minutes left, or no GPU.
    except vars(sys.modules["gradio"])["Error"] as error:
        raise NotEnough(f"ZeroGPU: {getattr(error, 'message', error)}", told.next_step) from error
    return ended


def _slice(recipe: str, job: Any, workspace: Workspace, more: Any, stop: str) -> Iterator[Event | Ended]:
    """Run a recipe in the process that has the GPU, until its end, Stop, or the end of its time."""
    bootstrap.end_after(seconds_of(recipe, job) - SAVING_SECONDS)
    module, _, name = recipe.partition(":")
    stream = getattr(import_module(module), name)(job, workspace, _models_of(workspace), *more)
    thrown: StopRequested | None = None
    try:
        event = next(stream)
        while True:
            yield event
            if thrown is None and Path(stop).exists():
                thrown = StopRequested()
            elif thrown is None and bootstrap.is_over(GRACE_SECONDS):
                thrown = SliceOver()
            else:
                event = next(stream)
                continue
            event = stream.throw(thrown)
    except StopIteration as end:
        yield Ended(end.value, cut=isinstance(thrown, SliceOver))
    except SliceOver:
        yield Ended(unfinished=True)
    except (DreamError, StopRequested) as error:
        yield Ended(error=error)
    finally:
        workspace.release_unused()


def _models_of(workspace: Workspace) -> Models:
    """Return the one manager of this process, which may serve slices of several visitors, with a workspace's names."""
    from dreamgui.models.manager import Models

    if not _kept:
        _kept.append(Models(workspace))
    return _kept[0].seen_from(workspace)


class _Told:
    """Events that earlier slices have told. A resumed training tells its curve again.

    Attributes:
        advances: number of steps and class images so far.
        run: name of the run that is trained, "" before it has begun.
    """

    def __init__(self) -> None:
        self.advances = 0
        self.run = ""
        self._seen: set[Any] = set()

    @property
    def next_step(self) -> str:
        """Advice where there is no further slice."""
        if self.run:
            return f"Resume the run {self.run!r} when you have minutes again; it goes on from its last checkpoint."
        return "Try again later, or duplicate the Space and choose hardware of your own."

    def is_new(self, event: Event) -> bool:
        """Return whether this is to be told, and remember it."""
        key: Any = None
        if isinstance(event, Loss | Validation | SampleLikeness):
            key = type(event), event.step
        elif isinstance(event, ClassImage):
            key = type(event), event.index
        elif isinstance(event, Note | Begun | Saved):
            key = event
        new = key is None or key not in self._seen
        self._seen.add(key)
        if isinstance(event, Begun) and event.what == "run":
            self.run = event.name
        self.advances += new and isinstance(event, Loss | ClassImage)
        return new
