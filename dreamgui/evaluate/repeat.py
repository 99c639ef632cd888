"""Repetition of a report: its settings read back, and its pictures compared bit by bit with the new ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from pydantic import ValidationError

from dreamgui.config import CompareJob
from dreamgui.errors import BadInput
from dreamgui.events import Cell
from dreamgui.workspace import Workspace, read_json

Place = tuple[str, str, int]
"""Model, prompt and seed."""


@dataclass(frozen=True)
class Repeated:
    """The outcome of a repetition.

    Attributes:
        report: name of the earlier report.
        identical: number of pictures that are the same in every pixel.
        compared: number of pictures that both have.
        differing: model, prompt and seed of each that isn't the same.
    """

    report: str
    identical: int
    compared: int
    differing: tuple[Place, ...]

    @property
    def sentence(self) -> str:
        """Return a sentence for the page and the report."""
        return f"{self.identical} of {self.compared} pictures are identical to those of the report {self.report!r}."

    def data(self) -> dict[str, object]:
        """Return it as report.json holds it."""
        return {**asdict(self), "differing": [list(place) for place in self.differing]}


@dataclass(frozen=True)
class Earlier:
    """A report that was read back.

    Attributes:
        report: its name.
        job: its settings.
        hashes: of the pixels of its pictures, by model, prompt and seed.
    """

    report: str
    job: CompareJob
    hashes: Mapping[Place, str]

    def compared(self, cells: Iterable[Cell]) -> Repeated:
        """Return how many of these pictures are those of the report.

        Args:
            cells: with PIL pictures, class pictures among them.
        """
        places = [((cell.model, cell.prompt, cell.seed), cell.image) for cell in cells]
        both = [(place, image) for place, image in places if place in self.hashes]
        differing = tuple(
            place
            for place, image in both
            if isinstance(image, Image.Image) and pixel_hash(image) != self.hashes[place]
        )
        return Repeated(self.report, len(both) - len(differing), len(both), differing)


def pixel_hash(picture: Image.Image) -> str:
    """Return the SHA-256 of a picture's size and RGB pixels, as 64 hexadecimal digits."""
    bare = picture.convert("RGB")
    return hashlib.sha256(b"%d x %d\n" % bare.size + bare.tobytes()).hexdigest()


def read_report(path: Path, report_name: str, workspace: Workspace) -> Earlier:
    """Return an earlier report.

    Pictures of a report without hashes, of an earlier version, are hashed from its files.

    Args:
        path: of its report.json or its folder, or its name in the workspace.
        report_name: of the new report.
        workspace: in which a name is looked up.

    Raises:
        BadInput: it can't be read, or isn't a comparison's or a demo's.
    """
    file = _file(path, workspace)
    try:
        data = read_json(file)
        job = CompareJob.model_validate({**data["settings"], "report": report_name})
        rows = [*data["images"], *data.get("class_images", ())]
        hashes = {
            (str(row["model"]), str(row["prompt"]), int(row["seed"])): _hash_of(row, file.parent)
            for row in rows
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise BadInput(
            f"{file} isn't the report.json of a comparison that can be generated again: {_why(error)}.",
            "Choose the report.json of a comparison or of the demo.",
        ) from error
    return Earlier(file.parent.name, job, {place: found for place, found in hashes.items() if found})


def _why(error: Exception) -> str:
    """The reason in words: the program's own terms help nobody."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return (
        "it lacks parts of one"
        if isinstance(error, KeyError | TypeError | AttributeError)
        else "it isn't JSON of one"
    )


def _file(path: Path, workspace: Workspace) -> Path:
    if not path.exists() and path.name in workspace.names("reports") and path.parent == Path():
        path = workspace.find("reports", path.name)
    return path / "report.json" if path.is_dir() else path


def _hash_of(row: Mapping[str, Any], folder: Path) -> str:
    """A picture's hash: the report's, else that of its file beside it, or "" where there is neither."""
    if row.get("sha256"):
        return str(row["sha256"])
    place = folder / str(row.get("path", ""))
    if not place.resolve().is_relative_to(folder.resolve()) or not place.is_file():
        return ""
    try:
        with Image.open(place) as picture:
            return pixel_hash(picture)
    except (OSError, UnidentifiedImageError):
        return ""
