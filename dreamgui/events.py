"""The whole vocabulary of progress: what a recipe yields and what a page, a terminal or a test reads.

Events carry numbers, texts, paths and pictures, never tensors. A picture is a PIL image when a recipe yields
it; the job writes it to its folder, and whoever follows the job finds a path in its place.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from PIL import Image

Picture = Image.Image | Path


@dataclass(frozen=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True)
class Progress(Event):
    """``done`` of ``total`` parts of what ``label`` names are finished."""

    label: str
    done: int
    total: int


@dataclass(frozen=True)
class Note(Event):
    """A sentence the user should read."""

    text: str


@dataclass(frozen=True)
class Cropped(Event):
    """A photograph became a crop. ``box`` is x0, y0, x1, y1 in pixels of the upright photograph."""

    source: str
    saved: Path
    box: tuple[int, int, int, int]
    framing: str
    score: float


@dataclass(frozen=True)
class Skipped(Event):
    """A photograph wasn't used, and why."""

    source: str
    reason: str


@dataclass(frozen=True)
class ClassImage(Event):
    """The class image number ``index`` (from 0) was generated or found again."""

    index: int
    image: Picture


@dataclass(frozen=True)
class Loss(Event):
    """Losses of one training step (from 1). ``prior`` is None without prior preservation."""

    step: int
    instance: float
    prior: float | None
    learning_rate: float
    grad_norm: float
    seconds: float


@dataclass(frozen=True)
class Validation(Event):
    """The loss on photographs that aren't trained on, with noise that never changes, after ``step`` steps."""

    step: int
    loss: float


@dataclass(frozen=True)
class Sampled(Event):
    """A picture generated from the weights as they were after ``step`` steps."""

    step: int
    prompt: str
    seed: int
    image: Picture


@dataclass(frozen=True)
class SampleLikeness(Event):
    """Mean likeness, 0 to 1, of the samples after ``step`` steps, over the ``faces`` found in ``pictures``, or None without a face."""

    step: int
    value: float | None
    faces: int
    pictures: int


@dataclass(frozen=True)
class Preview(Event):
    """A small picture of what is being generated, before its end."""

    image: Picture


@dataclass(frozen=True)
class ControlMap(Event):
    """The control map of a generation with ControlNet."""

    control: str
    image: Picture


@dataclass(frozen=True)
class Cell(Event):
    """One cell of a comparison: ``model`` generated ``prompt`` from ``seed``. Scores by name, None where not measurable."""

    model: str
    prompt: str
    seed: int
    image: Picture
    scores: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Score(Event):
    """A model's figures over all its cells, for instance likeness from 0 to 1 with its 95 % interval."""

    model: str
    values: dict[str, float | None]


@dataclass(frozen=True)
class Begun(Event):
    """Work on a run or a sweep of this name has begun: requests to it are answered from now on."""

    what: str
    name: str


@dataclass(frozen=True)
class Saved(Event):
    """Something that matters is on the disk and was read back. ``what``: dataset, model, checkpoint, run, report, picture."""

    what: str
    name: str
    path: Path


@dataclass(frozen=True)
class Ending(Event):
    """Base of the three endings. Only the job writes one, exactly one."""


@dataclass(frozen=True)
class Done(Ending):
    """The job reached its end."""

    seconds: float


@dataclass(frozen=True)
class Failed(Ending):
    """The job broke off: what happened, and what to do next."""

    what: str
    next_step: str


@dataclass(frozen=True)
class Cancelled(Ending):
    """The user stopped the job. What it had saved is kept."""

    seconds: float


EVENTS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        Progress, Note, Cropped, Skipped, ClassImage, Loss, Validation, Sampled, SampleLikeness, Preview, ControlMap, Cell, Score, Begun, Saved, Done, Failed, Cancelled,
    )
}  # fmt: skip
OLD_NAMES = {"Hint": "ControlMap"}
"""Names in logs that earlier versions wrote."""


def to_json(event: Event) -> dict[str, Any]:
    """An event as plain JSON data. Pictures must be paths already."""
    data = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(event).items()}
    return {"event": type(event).__name__, **data}


def from_json(data: dict[str, Any]) -> Event:
    """The event that :func:`to_json` wrote."""
    values = dict(data)
    name = values.pop("event")
    kind = EVENTS[OLD_NAMES.get(name, name)]
    for item in fields(kind):
        text = values.get(item.name)
        if isinstance(text, str) and item.type in ("Path", "Picture"):
            values[item.name] = Path(text)
        elif item.name == "box":
            values[item.name] = tuple(values[item.name])
    return kind(**values)
