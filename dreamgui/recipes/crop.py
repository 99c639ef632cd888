"""Photographs in, a data set of square crops in varied framing out."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dreamgui.config import CropJob, Framing
from dreamgui.data.crop import Photograph, cut, take_in
from dreamgui.data.dataset import Dataset
from dreamgui.data.framing import LEAST_CROPS, Placement, missing, placements, plan
from dreamgui.data.photos import expand, shown_name
from dreamgui.errors import BadPhoto, NotEnoughPhotos, OutOfRange, StopRequested
from dreamgui.events import Cropped, Event, Note, Progress, Saved, Skipped
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

_READERS = 2
"""Photographs in memory at a time: more would be faster, but one of 100 megapixels takes 300 MB."""
_NOTED_ADJUSTMENTS = 5
Item = TypeVar("Item")
Result = TypeVar("Result")


def crop(job: CropJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Find the faces, let the wanted mix decide each photograph's framing, cut the crops.

    A photograph that can't be used is named and left out. When stopped, the crops so far stay as a data set.

    Raises:
        NotEnoughPhotos: none of the photographs can be used.
        OutOfRange: the shares of the framings add up to more than 1.
    """
    shares = _shares(job)
    files = expand(job.photos)
    workspace.require_space(sum(2 * file.stat().st_size for file in files if file.is_file()))
    name = workspace.fresh("datasets", job.dataset)
    folder = workspace.place("datasets", name)
    uploads = workspace.place("uploads", workspace.fresh("uploads", name))
    dataset: Dataset | None = None
    try:
        # Photographs in: checked, faces found, copies kept for later corrections.
        photographs: list[Photograph] = []
        options: list[list[Placement]] = []
        for number, taken in enumerate(_parallel(partial(_take_in, job, uploads), enumerate(files, 1)), 1):
            yield Progress("Looking for faces", number, len(files))
            if isinstance(taken, Skipped):
                yield taken
            else:
                photograph, allowed = taken
                photographs.append(photograph)
                options.append(allowed)
                yield from _remarks(photograph)
        if not photographs:
            raise NotEnoughPhotos(
                f"Of {len(files)} files none is a photograph with a usable face.",
                "Choose photographs in which the face is clearly seen; the list says why each was left out.",
            )

        # Crops out, each written before it is shown.
        chosen = plan(options, shares)
        groups = [
            (photographs[index], [placement for _, placement in group])
            for index, group in groupby(chosen, key=itemgetter(0))
        ]
        dataset = Dataset.create(
            folder, job.size_px, job.max_enlargement, job.instance_prompt, uploads=uploads.name
        )
        if name != job.dataset:
            yield Note(
                f"The data set is called {name}: {job.dataset!r} is taken or can't be a folder's name."
            )
        crops_of = _parallel(lambda group: cut(*group, job.size_px), groups)
        for (photograph, group), crops in zip(groups, crops_of, strict=True):
            for placement, picture in zip(group, crops, strict=True):
                entry = dataset.add(photograph, placement, picture)
                yield Cropped(entry.source, dataset.path(entry), entry.box, entry.framing, entry.score)
                yield Progress("Cutting crops", len(dataset.entries), len(chosen))
        yield from _summary(dataset, [placement for _, placement in chosen], shares)
    except StopRequested:
        if dataset is None or not dataset.entries:
            raise
        yield Note(f"Stopped: {len(dataset.entries)} crops were made.")
    finally:
        if dataset is None or not dataset.entries:
            for leftover in (uploads, folder):
                shutil.rmtree(leftover, ignore_errors=True)
    Dataset.load(folder)
    yield Saved("dataset", name, folder)


def _parallel(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """The results in order, worked out by a few threads; leaving early cancels what hasn't begun."""
    pool = ThreadPoolExecutor(_READERS)
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _take_in(
    job: CropJob, uploads: Path, numbered: tuple[int, Path]
) -> tuple[Photograph, list[Placement]] | Skipped:
    """A photograph and the framings that it allows; a bad one becomes its event, so that the others go on."""
    number, file = numbered
    try:
        photograph = take_in(file, uploads, number, job.detection_confidence)
    except BadPhoto as error:
        return Skipped(shown_name(file), error.what)
    others = [face.box for face in photograph.others]
    try:
        allowed = placements(photograph.face.box, others, photograph.size, job.size_px, job.max_enlargement)
    except BadPhoto as reason:
        photograph.kept.unlink()
        return Skipped(photograph.source, f"{photograph.source}: {reason.what}.")
    return photograph, allowed


def _shares(job: CropJob) -> dict[Framing, float]:
    full = 1 - job.close_up_share - job.medium_share
    if full < -1e-9:
        raise OutOfRange(
            f"Close-ups ({job.close_up_share:g}) and medium shots ({job.medium_share:g}) are more than 1.",
            "Lower one of the two; what is left is for full figures.",
        )
    return {"close-up": job.close_up_share, "medium": job.medium_share, "full": max(0.0, full)}


def _remarks(photograph: Photograph) -> Iterator[Note]:
    if photograph.others:
        count = len(photograph.others) + 1
        yield Note(f"{photograph.source}: {count} faces; the largest and most central one was taken.")
    if photograph.touches_edge:
        yield Note(f"{photograph.source}: the face touches the photograph's edge; better drop its crops.")


def _summary(dataset: Dataset, chosen: Sequence[Placement], shares: dict[Framing, float]) -> Iterator[Note]:
    """What the user should know before training on these crops."""
    crops, sources = len(dataset.entries), Counter(entry.upload for entry in dataset.entries)
    if crops > len(sources):
        yield Note(f"{len(sources)} photographs gave {crops} crops, some two or three of different framing.")
    adjusted = [entry for entry in dataset.entries if entry.adjustment]
    for entry in adjusted[:_NOTED_ADJUSTMENTS]:
        yield Note(f"{entry.source}, {entry.framing}: {entry.adjustment}.")
    if (further := len(adjusted) - _NOTED_ADJUSTMENTS) > 0:
        yield Note(f"Further crops moved or made smaller to stay inside their photographs: {further}.")
    if crops < LEAST_CROPS:
        yield Note(f"{crops} crops are few; from {LEAST_CROPS} on the likeness gets better.")
    for framing, lack in missing(chosen, shares).items():
        yield Note(
            f"The wanted mix has {lack} more crops in the framing {framing!r}; these photographs don't allow "
            "them."
        )
