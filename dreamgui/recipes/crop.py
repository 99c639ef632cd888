"""Photographs in, a data set of square crops in varied framing out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from PIL import Image

from dreamgui.config import CropJob, Framing
from dreamgui.data.crop import Photograph, cut, look_closely, take_in
from dreamgui.data.dataset import Dataset
from dreamgui.data.exchange import check_target, export, import_zip, is_export
from dreamgui.data.framing import Placement, inside, least_face_px, placements, plan
from dreamgui.data.held_out import choose_held_out
from dreamgui.data.incoming import gather, incoming
from dreamgui.data.quality import Quality, measure
from dreamgui.data.subject import majority
from dreamgui.data.twins import find_twins
from dreamgui.data.unpack import Member
from dreamgui.errors import BadPhoto, NotEnoughPhotos, OutOfRange, StopRequested
from dreamgui.evaluate.identity import Embedder
from dreamgui.events import Cropped, Event, Note, Progress, Saved, Skipped
from dreamgui.recipes.crop_remarks import remarks, summary
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

_READERS = 2
"""Photographs in memory at a time: more would be faster, but one of 100 megapixels takes 300 MB."""
_SURE_AGREEMENT = 0.5
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Shot:
    """What becomes of one photograph: its crops' squares, the index of the photograph that it nearly repeats,
    and whether it is set aside."""

    photograph: Photograph
    placements: tuple[Placement, ...]
    twin: int | None
    held_out: bool


def crop(job: CropJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Find the faces and the person of the set, let the wanted mix decide each photograph's framing, cut.

    A photograph that can't be used is named and left out. When stopped, the crops so far stay as a data set.
    A zip that was exported from a data set is imported instead.

    Raises:
        NotEnoughPhotos: none of the photographs can be used.
        OutOfRange: the shares of the framings add up to more than 1.
        BadInput: ``out`` is taken by something else, or a zip can't be imported.
    """
    shares = _shares(job)
    out = check_target(job.out) if job.out else None
    if len(job.photos) == 1 and is_export(job.photos[0]):
        yield from _import(job, workspace, out)
        return
    name = workspace.fresh("datasets", job.dataset)
    folder = workspace.place("datasets", name)
    uploads = workspace.place("uploads", workspace.fresh("uploads", name))
    dataset: Dataset | None = None
    try:
        # Photographs in: checked, faces found, copies kept for later corrections.
        with incoming(workspace.root / "uploads") as waiting, Embedder() as embed:
            workspace.require_space(sum(2 * path.stat().st_size for path in job.photos if path.is_file()))
            members = gather(job.photos, waiting / "zips")
            paths = [member.path for member in members if member.path and member.path.is_file()]
            workspace.require_space(sum(2 * path.stat().st_size for path in paths))
            photographs: list[Photograph] = []
            looks = _parallel(partial(_take_in, job, waiting / "photos", embed), enumerate(members, 1))
            for number, taken in enumerate(looks, 1):
                yield Progress("Looking for faces", number, len(members))
                if isinstance(taken, Skipped):
                    yield taken
                else:
                    photographs.append(taken)
            if not photographs:
                raise NotEnoughPhotos(
                    f"Of {len(members)} files none is a photograph with a usable face.",
                    "Choose photographs that show the face clearly; the list says why each was left out.",
                )

            # The person whom most of them show becomes the subject of each.
            photographs = yield from _agree(job, photographs, embed)
            shots, skipped = _choose(job, photographs, shares)
            yield from skipped
            if not shots:
                raise NotEnoughPhotos(
                    f"None of the {len(photographs)} faces is usable at {job.size_px} pixels.",
                    "Choose larger photographs, a smaller size, or allow more enlargement.",
                )
            (waiting / "photos").replace(uploads)
        shots = [_moved(shot, uploads) for shot in shots]

        # Crops out, each written before it is shown.
        dataset = Dataset.create(
            folder, job.size_px, job.max_enlargement, job.instance_prompt, uploads=uploads.name
        )
        if name != job.dataset:
            yield Note(
                f"The data set is called {name}: {job.dataset!r} is taken or can't be a folder's name."
            )
        total, first_files = sum(len(shot.placements) for shot in shots), dict[Path, str]()
        for shot, cuts in zip(shots, _parallel(partial(_cut, job.size_px), shots), strict=True):
            yield from remarks(shot.photograph)
            for placement, (picture, quality) in zip(shot.placements, cuts, strict=True):
                if shot.twin is not None:
                    twin = first_files.get(uploads / photographs[shot.twin].kept.name, "")
                    quality = quality.model_copy(update={"twin": twin})
                entry = dataset.add(shot.photograph, placement, picture, quality, shot.held_out)
                first_files.setdefault(shot.photograph.kept, entry.file)
                yield Cropped(entry.source, dataset.path(entry), entry.box, entry.framing, entry.score)
                yield Progress("Cutting crops", len(dataset.entries), total)
        yield from summary(dataset, shares, job.hold_out)
    except StopRequested:
        if dataset is None or not dataset.entries:
            raise
        yield Note(f"Stopped: {len(dataset.entries)} crops were made.")
    finally:
        if dataset is None or not dataset.entries:
            for leftover in (uploads, folder):
                shutil.rmtree(leftover, ignore_errors=True)
    yield Saved("dataset", name, folder)
    yield from _copy(Dataset.load(folder), out)


def _parallel(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
    """The results in order, worked out by a few threads, little ahead of whoever takes them: waiting results
    are pictures. Leaving early cancels what hasn't begun."""
    pool = ThreadPoolExecutor(_READERS)
    upcoming = iter(items)
    try:
        waiting: list[Future[Result]] = [pool.submit(work, item) for item in islice(upcoming, 2 * _READERS)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(work, item) for item in islice(upcoming, 1)]
    finally:
        pool.shutdown(cancel_futures=True)


def _take_in(
    job: CropJob, uploads: Path, embed: Embedder, numbered: tuple[int, Member]
) -> Photograph | Skipped:
    """A photograph; a bad one becomes its event, so that the others go on."""
    number, member = numbered
    if member.path is None:
        return Skipped(member.name, member.reason)
    least_px = least_face_px(job.size_px, job.max_enlargement)
    try:
        confidence = job.detection_confidence
        return take_in(member.path, uploads, number, confidence, least_px, member.name, embed)
    except BadPhoto as error:
        return Skipped(member.name, error.what)


def _agree(
    job: CropJob, photographs: Sequence[Photograph], embed: Embedder
) -> Generator[Event, None, list[Photograph]]:
    """The photographs with the person of the set as their subject, where there is such a person.

    Those in which nobody is surely that person are searched again for smaller faces.
    """
    person = majority([shot.embeddings for shot in photographs], [shot.weights for shot in photographs])
    if person is None:
        if len(photographs) > 1:
            yield Note(
                "No two photographs clearly show one person; the most prominent face of each was taken."
            )
        return list(photographs)
    agreed = [photograph.about(person) for photograph in photographs]
    doubtful = [index for index, shot in enumerate(agreed) if (shot.agreement or 0) < _SURE_AGREEMENT]
    least_px = least_face_px(job.size_px, job.max_enlargement)
    closer = _parallel(
        lambda index: look_closely(photographs[index], job.detection_confidence, least_px, embed), doubtful
    )
    for done, (index, again) in enumerate(zip(doubtful, closer, strict=True), 1):
        yield Progress("Looking again for the person", done, len(doubtful))
        found = again.about(person)
        if (found.agreement or 0) > (agreed[index].agreement or 0):
            agreed[index] = found
    return agreed


def _choose(
    job: CropJob, photographs: Sequence[Photograph], shares: dict[Framing, float]
) -> tuple[list[_Shot], list[Skipped]]:
    """Which squares each photograph gives, and which photographs are set aside."""
    usable: list[int] = []
    options: list[list[Placement]] = []
    skipped: list[Skipped] = []
    for index, photograph in enumerate(photographs):
        others = [face.box for face in photograph.others]
        limits = (photograph.size, job.size_px, job.max_enlargement)
        try:
            options.append(placements(photograph.face.box, others, *limits))
            usable.append(index)
        except BadPhoto as reason:
            photograph.kept.unlink()
            skipped.append(Skipped(photograph.source, f"{photograph.source}: {reason.what}."))
    chosen = [photographs[index] for index in usable]
    twins = find_twins(
        [photograph.mark for photograph in chosen],
        [photograph.embeddings[0] if photograph.embeddings else None for photograph in chosen],
    )
    unfit = [photograph.agreement == 0 or photograph.touches_edge for photograph in chosen]
    aside = choose_held_out(options, unfit, twins) if job.hold_out else []
    trained = [number for number in range(len(chosen)) if number not in aside]
    squares: dict[int, tuple[Placement, ...]] = {
        number: (min(options[number], key=lambda option: option.misfit),) for number in aside
    }
    for group, picked in groupby(plan([options[number] for number in trained], shares), key=itemgetter(0)):
        squares[trained[group]] = tuple(placement for _, placement in picked)
    earlier = {number: usable[twin] for number, twin in twins.items()}
    shots = [
        _Shot(photograph, squares[number], earlier.get(number), number in aside)
        for number, photograph in enumerate(chosen)
    ]
    return shots, skipped


def _moved(shot: _Shot, uploads: Path) -> _Shot:
    photograph = replace(shot.photograph, kept=uploads / shot.photograph.kept.name)
    return replace(shot, photograph=photograph)


def _cut(size_px: int, shot: _Shot) -> list[tuple[Image.Image, Quality]]:
    """A photograph's crops with their figures."""
    face = shot.photograph.face
    pictures = cut(shot.photograph, shot.placements, size_px)
    return [
        (picture, measure(picture, inside(placement.box, face.box), face.landmarks, face.size_px))
        for placement, picture in zip(shot.placements, pictures, strict=True)
    ]


def _shares(job: CropJob) -> dict[Framing, float]:
    full = 1 - job.close_up_share - job.medium_share
    if full < -1e-9:
        raise OutOfRange(
            f"Close-ups ({job.close_up_share:g}) and medium shots ({job.medium_share:g}) are more than 1.",
            "Lower one of the two; what is left is for full figures.",
        )
    return {"close-up": job.close_up_share, "medium": job.medium_share, "full": max(0.0, full)}


def _copy(dataset: Dataset, out: Path | None) -> Iterator[Event]:
    if out:
        yield Saved("export", dataset.folder.name, export(dataset, out))


def _import(job: CropJob, workspace: Workspace, out: Path | None) -> Iterator[Event]:
    """An exported data set, as it was."""
    dataset = import_zip(job.photos[0], workspace, job.dataset)
    yield Note("This zip is an exported data set: it was taken in as it is, its crops can't be cut again.")
    for number, entry in enumerate(dataset.entries, 1):
        yield Cropped(entry.source, dataset.path(entry), entry.box, entry.framing, entry.score)
        yield Progress("Taking crops in", number, len(dataset.entries))
    yield Saved("dataset", dataset.folder.name, dataset.folder)
    yield from _copy(dataset, out)
