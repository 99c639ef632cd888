"""Photographs in, a dataset of square crops in varied framing out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dreamgui.config import CropJob, DatasetLayout
from dreamgui.data.crop import Photograph
from dreamgui.data.dataset.crop_plan import (
    about_one_person,
    choose_squares,
    cut_crops,
    in_order,
    moved,
    shares_of,
    taken_in,
)
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.dataset.layouts import how_to_read, pictures_folder
from dreamgui.data.dataset.remarks import about_captions, remarks, summary
from dreamgui.data.exchange.exchange import check_target, export, import_export, is_export
from dreamgui.data.exchange.incoming import gather, incoming, without_class_pictures
from dreamgui.data.faces.identity import Embedder
from dreamgui.errors import BadInput, NotEnoughDisk, NotEnoughPhotos, StopRequested
from dreamgui.events import Cropped, Event, Note, Progress, Saved, Skipped
from dreamgui.names import name_notes
from dreamgui.workspace import SHELVES, Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models


def crop(job: CropJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Find the faces and the person of the set, let the wanted mix decide each photograph's framing, cut.

    A photograph that can't be used is named and left out; one without a face is, unless pictures are taken as
    they are. When stopped, the crops so far stay as a dataset.
    A zip or folder that was exported from a dataset is imported instead. Captions that lie beside the
    photographs become those of their crops.

    Raises:
        NotEnoughPhotos: none of the photographs can be used.
        OutOfRange: the shares of the framings add up to more than 1.
        BadInput: ``out`` is taken by something else, or an exported dataset can't be imported.
    """
    shares = shares_of(job)
    out = _place_of_copy(job.out, workspace) if job.out else None
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
            needed = "The dataset, with copies of its photographs,"
            workspace.require_space(
                sum(2 * path.stat().st_size for path in job.photos if path.is_file()), needed
            )
            members, left_out = without_class_pictures(gather(job.photos, waiting / "zips"))
            if left_out:
                yield Note(left_out)
            paths = [member.path for member in members if member.path and member.path.is_file()]
            workspace.require_space(sum(2 * path.stat().st_size for path in paths), needed)
            photographs: list[Photograph] = []
            looks, looked = (
                in_order(partial(taken_in, job, waiting / "photos", embed), enumerate(members, 1)),
                0,
            )
            with closing(looks):
                for taken in looks:
                    looked += taken is not None
                    yield Progress("Looking for faces", looked, len(members))
                    if isinstance(taken, Skipped):
                        yield taken
                    elif taken:
                        photographs.append(taken)
            if not photographs:
                raise _none_usable(len(members), len(paths))

            yield from about_captions(job, photographs, members)
            # The person whom most of them show becomes the subject of each.
            photographs = yield from about_one_person(job, photographs, embed)
            shots, skipped = choose_squares(job, photographs, shares)
            yield from skipped
            if not shots:
                raise NotEnoughPhotos(
                    f"None of the {len(photographs)} faces is usable at {job.size_px} pixels.",
                    "Choose larger photographs, a smaller size, or allow more enlargement.",
                )
            uploads.rmdir()
            (waiting / "photos").replace(uploads)
        shots = [moved(shot, uploads) for shot in shots]

        # Crops out, each written before it is shown.
        dataset = Dataset.create(
            folder, job.size_px, job.max_enlargement, job.instance_prompt, uploads=uploads.name
        )
        for sentence in name_notes(job.dataset, name):
            yield Note(sentence)
        total, first_files = sum(len(shot.placements) for shot in shots), dict[Path, str]()
        upcoming = iter(shots)
        with closing(in_order(partial(cut_crops, job.size_px), shots)) as all_cuts:
            for cuts in all_cuts:
                if cuts is None:
                    yield Progress("Cutting crops", len(dataset.entries), total)
                    continue
                shot = next(upcoming)
                yield from remarks(shot.photograph)
                for placement, (picture, quality) in zip(shot.placements, cuts, strict=True):
                    if shot.near_duplicate is not None:
                        first = first_files.get(uploads / photographs[shot.near_duplicate].kept.name, "")
                        quality = quality.model_copy(update={"near_duplicate": first})
                    # A kept copy is called after its member's number.
                    caption = members[int(shot.photograph.kept.stem) - 1].caption
                    entry = dataset.add(shot.photograph, placement, picture, quality, shot.held_out, caption)
                    first_files.setdefault(shot.photograph.kept, entry.file)
                    yield Cropped(entry.source, dataset.path(entry), entry.box, entry.framing, entry.score)
                    yield Progress("Cutting crops", len(dataset.entries), total)
        yield from summary(dataset, shares, job.hold_out)
    except StopRequested:
        if dataset is None or not dataset.entries:
            raise
        yield Note(f"Stopped: {len(dataset.entries)} crops were made.")
    except NotEnoughDisk as error:
        if dataset is None or not dataset.entries:
            raise
        kept = f"The dataset {name!r} keeps {len(dataset.entries)} of {total} crops."
        raise NotEnoughDisk(error.what, f"Make room and crop again. {kept}") from error
    finally:
        if dataset is None or not dataset.entries:
            for leftover in (uploads, folder):
                shutil.rmtree(leftover, ignore_errors=True)
    yield Saved("dataset", name, folder)
    yield from _copy(Dataset.load(folder), out, job.layout)


def _place_of_copy(out: Path, workspace: Workspace) -> Path:
    """The place of a copy: never on a shelf of the workspace, as it would take the place of somebody's work."""
    place = out.expanduser().resolve()
    if any(place.is_relative_to(workspace.root / shelf) for shelf in SHELVES):
        raise BadInput(
            f"{place} lies among the datasets, runs and models of DreamGUI.", "Name another folder."
        )
    return check_target(out)


def _copy(dataset: Dataset, out: Path | None, layout: DatasetLayout) -> Iterator[Event]:
    if out:
        if told := how_to_read(layout, out, pictures_folder(layout, dataset.instance_prompt)):
            yield Note(told)
        yield Saved("export", dataset.folder.name, export(dataset, out, layout))


def _none_usable(members: int, files: int) -> NotEnoughPhotos:
    """The refusal of files without a usable face. There is no list of reasons where there was nothing to look at.

    Args:
        members: lines of what was given: photographs, and what was passed over.
        files: those of them that could be looked at.
    """
    if not files:
        reasons = "; the list says why the others were left out" if members else ""
        return NotEnoughPhotos(
            "There is no photograph among the files.",
            f"Choose photographs in JPEG, PNG or WebP, or folders or zips of them{reasons}.",
        )
    return NotEnoughPhotos(
        f"No photograph with a usable face is among the files ({files}).",
        "Choose photographs that show the face clearly; the list says why each was left out.",
    )


def _import(job: CropJob, workspace: Workspace, out: Path | None) -> Iterator[Event]:
    """An exported dataset, as it was, with the captions that it has now."""
    dataset, remarks = import_export(job.photos[0], workspace, job.dataset)
    yield Note("This is an exported dataset: it was taken in as it is, its crops can't be cut again.")
    yield from map(Note, remarks)
    for number, entry in enumerate(dataset.entries, 1):
        yield Cropped(entry.source, dataset.path(entry), entry.box, entry.framing, entry.score)
        yield Progress("Taking crops in", number, len(dataset.entries))
    yield Saved("dataset", dataset.folder.name, dataset.folder)
    yield from _copy(dataset, out, job.layout)
