"""View of a job, made from its events, and the figures that components show of it.

:class:`JobView` collects a job's events. The functions below it are pure. A follower (``watch.py``) feeds the view
and passes it to a tab's ``render``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pandas as pd

from dreamgui import events
from dreamgui.events import Event
from dreamgui.jobs.job import Job, State

CURVE_POINTS = 300
HALF_LIFE_STEPS = 12
PACE_STEPS = 30
AnyEvent = TypeVar("AnyEvent", bound=Event)


@dataclass
class JobView:
    """Events of a job so far.

    Attributes:
        job: the job, or None where none was started yet.
        seen: its events up to now, by class, each list in the order of arrival.
        count: number of events.
        fresh: classes of the events of the last :meth:`take`.
        state: state of the job at the last look.
        stopping: Stop had been pressed at the last look.
        new: first look; everything is rendered, and an earlier job's results are cleared.
    """

    job: Job | None = None
    seen: dict[type[Event], list[Event]] = field(default_factory=dict)
    count: int = 0
    fresh: set[type[Event]] = field(default_factory=set)
    state: State | None = None
    stopping: bool = False
    new: bool = True
    _looked: bool = False

    def take(self, news: Iterable[Event]) -> None:
        """Add events."""
        self.fresh = set()
        for event in news:
            self.seen.setdefault(type(event), []).append(event)
            self.fresh.add(type(event))
            self.count += 1

    def catch_up(self) -> bool:
        """Take the job's new events and return whether anything changed."""
        self.new, self._looked = not self._looked, True
        if self.job is None:
            return self.new
        before, self.state = (self.state, self.stopping), self.job.state
        self.stopping = self.job.stopping
        self.take(self.job.events(self.count))
        return self.new or bool(self.fresh) or before != (self.state, self.stopping)

    def news(self, *kinds: type[Event]) -> bool:
        """Return whether events of these classes must be rendered after the last look."""
        return self.new or not self.fresh.isdisjoint(kinds)

    def all(self, kind: type[AnyEvent]) -> list[AnyEvent]:
        """Return the events of this class."""
        return self.seen.get(kind, [])  # pyright: ignore[reportReturnType]

    def last(self, kind: type[AnyEvent]) -> AnyEvent | None:
        """Return the newest event of this class, or None."""
        found = self.all(kind)
        return found[-1] if found else None

    @property
    def ending(self) -> events.Ending | None:
        """Ending of the job, or None while it goes on."""
        return self.last(events.Done) or self.last(events.Failed) or self.last(events.Cancelled)


def view_of(job: Job | None) -> JobView:
    """Return a view of a job's events so far."""
    view = JobView(job)
    view.catch_up()
    return view


def waiting_text(ahead: list[Job], comes_between: bool = False) -> str:
    """Return the text of a waiting job: the first job ahead of it, or the step of a training that lets it in."""
    if ahead and comes_between:
        return "Waiting for the training's current step to end"
    return f"Waiting: {ahead[0].config.doing}" if ahead else "Starting"


def fraction_done(view: JobView) -> float | None:
    """Return the finished share of the current part, 0..1, or None if unknown."""
    if isinstance(view.ending, events.Done):
        return 1.0
    progress = view.last(events.Progress)
    return min(1.0, progress.done / progress.total) if progress and progress.total > 0 else None


def seconds_left(view: JobView) -> float | None:
    """Return the seconds that a training's remaining steps take at the recent pace, or None for other parts."""
    losses, progress = view.all(events.Loss), view.last(events.Progress)
    if (
        not losses
        or progress is None
        or abs(progress.done - losses[-1].step) > 1
        or progress.done >= progress.total
    ):
        return None
    recent = losses[-PACE_STEPS:]
    return (progress.total - progress.done) * sum(loss.seconds for loss in recent) / len(recent)


def duration(seconds: float) -> str:
    """Return a time as text: 0.4 s, 48 s, 3 min 5 s, 2 h 10 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def loss_frame(losses: list[events.Loss]) -> pd.DataFrame:
    """Return smoothed losses for ``gr.LinePlot``.

    Single steps jump with the sampled noise level; a running mean with a half-life of 12 steps shows the trend.

    Returns:
        Columns step, loss, series ("instance" or "prior"); at most about 300 rows a series.
    """
    frame = pd.DataFrame(
        {
            "step": [loss.step for loss in losses],
            "instance": [loss.instance for loss in losses],
            "prior": pd.Series([loss.prior for loss in losses], dtype=float),
        }
    )
    frame[["instance", "prior"]] = frame[["instance", "prior"]].ewm(halflife=HALF_LIFE_STEPS).mean()
    stride = max(1, -(-len(frame) // CURVE_POINTS))
    thin = frame[(len(frame) - 1 - frame.index) % stride == 0]
    long = thin.melt("step", ["instance", "prior"], "series", "loss").dropna()
    return pd.DataFrame(long, columns=["step", "loss", "series"]).round({"loss": 5})


def summary(view: JobView) -> dict[str, Any]:
    """Return a job as JSON for a program: kind, state, saved results and figures."""
    job, ending, progress = view.job, view.ending, view.last(events.Progress)
    if job is None:
        return {"job": "", "state": "none"}
    return {
        "job": job.id,
        "kind": job.kind,
        "state": job.state,
        "progress": {"label": progress.label, "done": progress.done, "total": progress.total}
        if progress
        else None,
        "seconds": getattr(ending, "seconds", None),
        "error": {"what": ending.what, "next_step": ending.next_step}
        if isinstance(ending, events.Failed)
        else None,
        "notes": [note.text for note in view.all(events.Note)],
        "saved": [{"what": saved.what, "name": saved.name} for saved in view.all(events.Saved)],
        "figures": figures(view),
    }


def figures(view: JobView) -> dict[str, Any]:
    """Return the figures of a job, by its events."""
    found: dict[str, Any] = {}
    if losses := view.all(events.Loss):
        recent = losses[-PACE_STEPS:]
        priors = [loss.prior for loss in recent if loss.prior is not None]
        found["steps"] = losses[-1].step
        found["instance_loss"] = sum(loss.instance for loss in recent) / len(recent)
        found["prior_loss"] = sum(priors) / len(priors) if priors else None
        found["seconds_per_step"] = sum(loss.seconds for loss in recent) / len(recent)
    if cropped := view.all(events.Cropped):
        found["crops"] = len(cropped)
    if skipped := view.all(events.Skipped):
        found["skipped"] = [{"source": item.source, "reason": item.reason} for item in skipped]
    if generated := view.all(events.ClassImage):
        found["class_images"] = len(generated)
    if cells := view.all(events.Cell):
        found["cells"] = [
            {"model": cell.model, "prompt": cell.prompt, "seed": cell.seed, "scores": cell.scores}
            for cell in cells
        ]
    if scores := view.all(events.Score):
        found["scores"] = {score.model: score.values for score in scores}
    return found
