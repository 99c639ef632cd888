"""Photographs in, a data set of square crops in varied framing out."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from dreamgui.config import CropJob, Framing
from dreamgui.data.crop import Photograph, take_in
from dreamgui.data.dataset import Dataset
from dreamgui.data.framing import LEAST_CROPS, Placement, missing, placements, plan
from dreamgui.data.photos import expand, load_image, shown_name
from dreamgui.errors import BadPhoto, NotEnoughPhotos, OutOfRange, StopRequested
from dreamgui.events import Cropped, Event, Note, Progress, Saved, Skipped
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

_READERS = 2
"""Photographs in memory at a time: more would be faster, but one of 100 megapixels takes 300 MB."""


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
    uploads = workspace.place("uploads", workspace.fresh("uploads", name))
    dataset: Dataset | None = None
    try:
        # Photographs in: checked, faces found, copies kept for later corrections.
        photographs: list[Photograph] = []
        options: list[list[Placement]] = []
        reader = _Reader(uploads, job.detection_confidence)
        with (
            ThreadPoolExecutor(_READERS) as pool,
            closing(pool.map(reader, range(1, len(files) + 1), files)) as taken,
        ):
            for number, photograph in enumerate(taken, 1):
                yield Progress("Looking for faces", number, len(files))
                if isinstance(photograph, Skipped):
                    yield photograph
                    continue
                face, others = photograph.face.box, [other.box for other in photograph.others]
                try:
                    options.append(
                        placements(face, others, photograph.size, job.size_px, job.max_enlargement)
                    )
                except BadPhoto as reason:
                    yield Skipped(photograph.source, reason.what)
                    continue
                photographs.append(photograph)
                yield from _remarks(photograph)
        if not photographs:
            raise NotEnoughPhotos(
                f"None of the {len(files)} files is a photograph with a usable face.",
                "The list says why for each; choose photographs in which the face is clearly seen.",
            )

        # Crops out, each written before it is shown.
        chosen = plan(options, shares)
        dataset = Dataset.create(
            workspace.place("datasets", name),
            job.size_px,
            job.max_enlargement,
            job.instance_prompt,
            uploads.name,
        )
        if name != job.dataset:
            yield Note(f"The data set is called {name}, as {job.dataset!r} is taken or can't be a name.")
        for index, group in groupby(chosen, key=lambda item: item[0]):
            photograph = photographs[index]
            image = load_image(photograph.kept)
            for _, placement in group:
                entry = dataset.add(photograph, image, placement)
                yield Cropped(
                    entry.source, dataset.path(entry), entry.box, entry.framing, round(entry.score, 3)
                )
                yield Progress("Cutting crops", len(dataset.entries), len(chosen))
        yield from _summary(dataset, [placement for _, placement in chosen], shares)
    except StopRequested:
        if dataset is None or not dataset.entries:
            raise
        yield Note(f"Stopped: {len(dataset.entries)} crops were made.")
    finally:
        if dataset is None or not dataset.entries:
            shutil.rmtree(uploads, ignore_errors=True)
    Dataset.load(dataset.folder)
    yield Saved("dataset", name, dataset.folder)


class _Reader:
    """Takes one photograph in; a bad one becomes the event that names it, so that the others go on."""

    def __init__(self, uploads: Path, min_confidence: float) -> None:
        self.uploads = uploads
        self.min_confidence = min_confidence

    def __call__(self, number: int, file: Path) -> Photograph | Skipped:
        try:
            return take_in(file, self.uploads, number, self.min_confidence)
        except BadPhoto as error:
            return Skipped(shown_name(file), error.what)


def _shares(job: CropJob) -> dict[Framing, float]:
    full = 1 - job.close_up_share - job.medium_share
    if full < -1e-9:
        raise OutOfRange(
            f"Close-ups ({job.close_up_share:g}) and medium shots ({job.medium_share:g}) add up to more than 1.",
            "Lower one of the two; what is left is for full figures.",
        )
    return {"close-up": job.close_up_share, "medium": job.medium_share, "full": max(0.0, full)}


def _remarks(photograph: Photograph) -> Iterator[Note]:
    if photograph.others:
        count = len(photograph.others) + 1
        yield Note(f"{photograph.source}: {count} faces; the largest and most central one was taken.")
    if photograph.touches_edge:
        yield Note(f"{photograph.source}: the photograph's edge cuts the face; better leave it out.")


def _summary(dataset: Dataset, chosen: Sequence[Placement], shares: dict[Framing, float]) -> Iterator[Note]:
    """What the user should know before training on these crops."""
    counts = Counter(entry.source for entry in dataset.entries)
    if any(count > 1 for count in counts.values()):
        yield Note(
            f"{len(counts)} photographs gave {len(dataset.entries)} crops, some of them two or three framings."
        )
    adjusted = [entry for entry in dataset.entries if entry.adjustment]
    for entry in adjusted[:5]:
        yield Note(f"{entry.source}, {entry.framing}: {entry.adjustment}.")
    if len(adjusted) > 5:
        yield Note(
            f"{len(adjusted) - 5} more crops were moved or made smaller to stay inside their photographs."
        )
    if len(dataset.entries) < LEAST_CROPS:
        yield Note(
            f"{len(dataset.entries)} crops are few; with {LEAST_CROPS} or more photographs the likeness gets better."
        )
    for framing, lack in missing(chosen, shares).items():
        yield Note(
            f"{lack} more in the framing {framing!r} would bring the wanted mix; these photographs don't allow it."
        )
