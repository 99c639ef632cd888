"""Between photographs and crops: who is looked at, which squares are cut, which photographs are set aside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

from PIL import Image

from dreamgui.config import CropJob, Framing
from dreamgui.data.crop import Photograph, cut, look_closely, take_in
from dreamgui.data.dataset.held_out import choose_held_out
from dreamgui.data.faces.identity import Embedder
from dreamgui.data.faces.subject import majority
from dreamgui.data.framing import Placement, choose_framings, fit, inside, least_face_px, placements
from dreamgui.data.photos.leaving import work_until
from dreamgui.data.photos.near_duplicates import find_near_duplicates
from dreamgui.data.photos.unpack import Member
from dreamgui.data.quality import Quality, measure
from dreamgui.errors import BadPhoto, OutOfRange
from dreamgui.events import Event, Note, Progress, Skipped

_READERS = 2
"""Photographs in memory at a time: more would be faster, but one of them may take 300 MB."""
BEAT_SECONDS = 1.0
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class CropPlan:
    """Plan for one photograph: its crops' squares, the index of the photograph that it nearly repeats,
    and whether it is set aside."""

    photograph: Photograph
    placements: tuple[Placement, ...]
    near_duplicate: int | None
    held_out: bool


def shares_of(job: CropJob) -> dict[Framing, float]:
    """Return the wanted share of each framing, 0 to 1.

    Raises:
        OutOfRange: they add up to more than 1.
    """
    full = 1 - job.close_up_share - job.medium_share
    if full < -1e-9:
        raise OutOfRange(
            f"Close-ups ({job.close_up_share:g}) and medium shots ({job.medium_share:g}) are more than 1.",
            "Lower one of the two; what is left is for full figures.",
        )
    return {"close-up": job.close_up_share, "medium": job.medium_share, "full": max(0.0, full)}


def taken_in(
    job: CropJob, uploads: Path, embed: Embedder, numbered: tuple[int, Member]
) -> Photograph | Skipped:
    """A photograph. A bad one becomes its event, so that the others go on."""
    number, member = numbered
    if member.path is None:
        return Skipped(member.name, member.reason)
    least_px = least_face_px(job.size_px, job.max_enlargement)
    try:
        confidence = job.detection_confidence
        needed = not job.take_as_is
        return take_in(member.path, uploads, number, confidence, least_px, member.name, embed, needed)
    except BadPhoto as error:
        return Skipped(member.name, f"{error.what} {error.next_step}")


def about_one_person(
    job: CropJob, photographs: Sequence[Photograph], embed: Embedder
) -> Generator[Event, None, list[Photograph]]:
    """The photographs with the person of the set as their subject, where there is such a person.

    Those in which nobody is surely that person are searched again for smaller faces.
    """
    person = majority([shot.embeddings for shot in photographs], [shot.weights for shot in photographs])
    if person is None:
        if sum(photograph.face.found for photograph in photographs) > 1:
            yield Note(
                "No two photographs clearly show one person; the most prominent face of each was taken."
            )
        return list(photographs)
    agreed = [photograph.about(person) for photograph in photographs]
    doubtful = [index for index, shot in enumerate(agreed) if shot.is_doubtful]
    least_px = least_face_px(job.size_px, job.max_enlargement)
    closer = in_order(
        lambda index: look_closely(photographs[index], job.detection_confidence, least_px, embed), doubtful
    )
    done = 0
    with closing(closer):
        for again in closer:
            if again is None:
                yield Progress("Looking again for the person", done, len(doubtful))
                continue
            index, done = doubtful[done], done + 1
            yield Progress("Looking again for the person", done, len(doubtful))
            found = again.about(person)
            if (found.agreement or 0) > (agreed[index].agreement or 0):
                agreed[index] = found
    return agreed


def choose_squares(
    job: CropJob, photographs: Sequence[Photograph], shares: dict[Framing, float]
) -> tuple[list[CropPlan], list[Skipped]]:
    """Return which squares each photograph gives, and which photographs are set aside."""
    usable: list[int] = []
    options: list[list[Placement]] = []
    skipped: list[Skipped] = []
    for index, photograph in enumerate(photographs):
        try:
            options.append(_placements(job, photograph))
            usable.append(index)
        except BadPhoto as reason:
            photograph.kept.unlink()
            skipped.append(Skipped(photograph.source, f"{photograph.source}: {reason.what}."))
    chosen = [photographs[index] for index in usable]
    near_duplicates = find_near_duplicates(
        [photograph.mark for photograph in chosen],
        [photograph.embeddings[0] if photograph.embeddings else None for photograph in chosen],
    )
    unfit = [shot.agreement == 0 or shot.touches_edge or not shot.face.found for shot in chosen]
    aside = choose_held_out(options, unfit, near_duplicates) if job.hold_out else []
    trained = [number for number in range(len(chosen)) if number not in aside]
    squares: dict[int, tuple[Placement, ...]] = {
        number: (min(options[number], key=lambda option: option.misfit),) for number in aside
    }
    for group, picked in groupby(
        choose_framings([options[number] for number in trained], shares), key=itemgetter(0)
    ):
        squares[trained[group]] = tuple(placement for _, placement in picked)
    earlier = {number: usable[near_duplicate] for number, near_duplicate in near_duplicates.items()}
    shots = [
        CropPlan(photograph, squares[number], earlier.get(number), number in aside)
        for number, photograph in enumerate(chosen)
    ]
    return shots, skipped


def moved(shot: CropPlan, uploads: Path) -> CropPlan:
    """Return the plan with its photograph's kept copy in this folder."""
    photograph = replace(shot.photograph, kept=uploads / shot.photograph.kept.name)
    return replace(shot, photograph=photograph)


def cut_crops(size_px: int, shot: CropPlan) -> list[tuple[Image.Image, Quality]]:
    """A photograph's crops with their figures."""
    face = shot.photograph.face
    pictures = cut(shot.photograph, shot.placements, size_px)
    return [
        (picture, measure(picture, inside(placement.box, face.box), face.landmarks, face.size_px))
        for placement, picture in zip(shot.placements, pictures, strict=True)
    ]


def _placements(job: CropJob, photograph: Photograph) -> list[Placement]:
    """The squares that a photograph allows: the whole one where it is taken as it is.

    Raises:
        BadPhoto: it allows none, or it should be taken as it is and isn't square.
    """
    limits = (photograph.size, job.size_px, job.max_enlargement)
    if not job.take_as_is:
        return placements(photograph.face.box, [face.box for face in photograph.others], *limits)
    width, height = photograph.size
    if width != height:
        raise BadPhoto(f"{width} x {height} pixels are no square to take as it is", "Let it be cropped.")
    return [fit((0, 0, width, height), photograph.face.box, *limits)]


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result | None, None, None]:
    """The results in order, worked out by a few threads, little ahead of whoever takes them: waiting results
    are pictures. None comes whenever the next result takes another second, so that whoever waits can be stopped.
    Closing it cancels what hasn't begun and lets what has end at its next step."""
    left = threading.Event()
    pool = ThreadPoolExecutor(_READERS, initializer=work_until, initargs=(left,))
    upcoming = iter(items)
    try:
        waiting: list[Future[Result]] = [pool.submit(work, item) for item in islice(upcoming, 2 * _READERS)]
        while waiting:
            if not wait(waiting[:1], timeout=BEAT_SECONDS).done:
                yield None
                continue
            yield waiting.pop(0).result()
            waiting += [pool.submit(work, item) for item in islice(upcoming, 1)]
    finally:
        left.set()
        pool.shutdown(cancel_futures=True)
