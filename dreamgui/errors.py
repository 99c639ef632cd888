"""Everything that can go wrong and that a user can do something about.

DreamError
├── BadInput            what was given can't be used
│   ├── BadPhoto        a photograph can't be read, or shows no face
│   ├── BadModelFile    a model file is broken, unsafe or of another family
│   ├── UnknownName     no such model, dataset, run or report
│   └── OutOfRange      a number or text outside its limits
├── NotEnough           disk, memory or photographs are short
│   ├── NotEnoughDisk
│   ├── NotEnoughMemory
│   └── NotEnoughPhotos
├── AlreadyRunning      a job of this kind is running or waiting
├── TrainingFailed      the loss is no longer a number, nothing was trained...
└── Damaged             something that we saved can't be read back

``StopRequested`` isn't an error: it is thrown into a recipe at its next ``yield`` when the user presses Stop.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import ValidationError

_PLACE = re.compile(r"(?<![\w/:.])(?:[A-Za-z]:[\\/]|/)(?:[^\s/\\'\"<>|:;,()]+[\\/])+")


def without_paths(text: str, *roots: Path) -> str:
    """Return a text in which each file is named without its folders, for people who shall not know of those.

    Args:
        roots: folders whose names may have spaces.
    """
    for root in map(str, roots):
        text = text.replace(f"{root}/", "").replace(root, "the workspace")
    return _PLACE.sub("", text)


class DreamError(Exception):
    """Base of all errors that are shown to the user: what happened and why, then what to do next."""

    def __init__(self, what: str, next_step: str = "") -> None:
        super().__init__(f"{what} {next_step}".strip())
        self.what = what
        self.next_step = next_step


class BadInput(DreamError):
    """Input that can't be used."""


class BadPhoto(BadInput):
    """A photograph can't be read, or shows no usable face."""


class BadModelFile(BadInput):
    """A model file is broken, unsafe, or of another family than Stable Diffusion 1.5."""


class UnknownName(BadInput):
    """No model, dataset, run or report has this name."""


class OutOfRange(BadInput):
    """A value lies outside the limits of its field."""

    @classmethod
    def from_validation(cls, error: ValidationError) -> OutOfRange:
        """One sentence a field from pydantic's report."""
        parts = []
        for item in error.errors():
            field = ".".join(str(part) for part in item["loc"]) or "the job"
            got = f" (got {item.get('input')!r:.80})" if item["loc"] and "token" not in field else ""
            message = item["msg"].removeprefix("Value error, ").removesuffix(".")
            parts.append(f"{field}: {message}{got}")
        return cls("; ".join(parts) + ".", "Correct the value and start again.")


class NotEnough(DreamError):
    """Something is short."""


class TooMuch(NotEnough):
    """A visitor, or all together, have as many jobs, files or places as they may have."""


class NotEnoughDisk(NotEnough):
    """The disk has too little room for what is about to be written."""


class NotEnoughMemory(NotEnough):
    """The device has too little memory."""


class NotEnoughPhotos(NotEnough):
    """Too few usable photographs."""


class AlreadyRunning(DreamError):
    """A job of the same kind is running or waiting."""


class TrainingFailed(DreamError):
    """Training can't go on, for instance because the loss is no longer a number."""


class Damaged(DreamError):
    """Something that this program saved can't be read back."""


class StopRequested(Exception):
    """The user pressed Stop. A recipe may catch it, keep what it has and return."""


class SliceOver(StopRequested):
    """The time on a lent GPU is over. A training saves a checkpoint and raises it again, and the next slice goes on."""
