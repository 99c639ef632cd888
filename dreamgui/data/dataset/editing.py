"""Changes to a dataset: made to what the disk holds then, remembered, and undone."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from dreamgui.config import Framing
from dreamgui.data.dataset.entry import Entry, Sheet, Step
from dreamgui.data.dataset.store import Store
from dreamgui.data.faces.detect import Face
from dreamgui.data.framing import Placement, place, placements
from dreamgui.data.photos.load import load_square, photo_bytes
from dreamgui.data.quality import Quality, measure
from dreamgui.errors import BadPhoto, OutOfRange, UnknownName


class Editable:
    """A sheet of entries in a folder, and what changing one takes.

    ``remarks`` are sentences about captions that another program changed and that were taken over.
    """

    def __init__(self, folder: Path, sheet: Sheet, remarks: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.remarks = remarks
        self._sheet = sheet
        self._store = Store(folder)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All crops, those held out and the dropped ones too."""
        return self._sheet.entries

    @property
    def size_px(self) -> int:
        """Side of a crop in pixels."""
        return self._sheet.size_px

    @property
    def undoable(self) -> str:
        """Return what :meth:`undo` would take back, for instance "drop 0003.png", or "" where nothing."""
        return self._sheet.history[-1].what if self._sheet.history else ""

    def entry(self, file: str) -> Entry:
        """The crop of this name.

        Raises:
            UnknownName: there is none.
        """
        for entry in self.entries:
            if entry.file == file:
                return entry
        raise UnknownName(f"{self.folder.name} has no crop named {file!r:.80}.", "Reload the page.")

    def path(self, entry: Entry) -> Path:
        """Return where the crop's picture is."""
        return self._store.path(entry)

    def undo(self) -> str:
        """Take the last change back, up to 50 of them one after the other.

        Returns:
            What was undone, as :attr:`undoable` said.

        Raises:
            OutOfRange: there is nothing to undo, or another program changed captions meanwhile.
            BadPhoto: a crop must be cut again and the photograph's copy is gone; nothing was changed.
        """
        told = len(self.remarks)
        with self._editing():
            if self.remarks[told:]:
                raise OutOfRange(" ".join(self.remarks[told:]), "Undo again to take these changes back.")
            if not self._sheet.history:
                raise OutOfRange("There is nothing to undo.", "Change something first.")
            step = self._sheet.history[-1]
            changed = {
                file: Entry.model_validate({**self.entry(file).model_dump(), **values})
                for file, values in step.before.items()
            }
            cut = {file: self._cut(entry) for file, entry in changed.items() if "box" in step.before[file]}
            versions = {file: self.entry(file).version + 1 for file in cut}
            changed |= {f: changed[f].model_copy(update={"version": versions[f]}) for f in cut}
            self._write(changed, cut, self._sheet.history[:-1])
        return step.what

    @contextmanager
    def _editing(self) -> Generator[None, None, None]:
        """A change begins with what the disk holds now: another page or program may have changed it."""
        with self._store.locked():
            self._sheet, remarks = self._store.current()
            self.remarks += remarks
            yield

    def _change(self, what: str, files: Sequence[str], values: Callable[[Entry], dict[str, Any]]) -> None:
        with self._editing():
            self._apply(what, files, values)

    def _cut_again(self, what: str, file: str, values: Callable[[Entry], dict[str, Any]]) -> Entry:
        with self._editing():
            self.entry(file)
            self._apply(what, [file], values)
            return self.entry(file)

    def _apply(self, what: str, files: Sequence[str], values: Callable[[Entry], dict[str, Any]]) -> None:
        """Change entries, cutting anew those whose box changes, and remember how they were."""
        changed: dict[str, Entry] = {}
        cut: dict[str, Image.Image] = {}
        before: dict[str, dict[str, Any]] = {}
        for file in files:
            old = self.entry(file)
            new = {name: value for name, value in values(old).items() if getattr(old, name) != value}
            entry = old.model_copy(update=new)
            if "box" in new or "face" in new:
                cut[file] = self._cut(entry)
                new |= {"box": entry.box, "version": old.version + 1, "quality": measured(entry, cut[file])}
                entry = old.model_copy(update=new)
            if new:
                changed[file] = entry
                before[file] = old.model_dump(mode="json", include=set(new) - {"version"})
        if changed:
            step = Step(what=what, before=before)
            self._write(changed, cut, self._sheet.history_with(step))

    def _write(
        self, changed: dict[str, Entry], cut: dict[str, Image.Image], history: tuple[Step, ...]
    ) -> None:
        entries = tuple(changed.get(entry.file, entry) for entry in self.entries)
        sheet = self._sheet.with_entries(entries, history=history)
        crops = {file: photo_bytes(picture, lossless=True) for file, picture in cut.items()}
        self._store.write(sheet, changed.values(), crops)
        self._sheet = sheet

    def _placed(self, entry: Entry, framing: Framing, or_another: bool = False) -> dict[str, Any]:
        limits = (entry.photo_size, self.size_px, self._sheet.max_enlargement)
        try:
            if or_another:
                allowed = placements(entry.face, [face.box for face in entry.others], *limits)
                best = min(allowed, key=lambda option: (option.framing != framing, option.misfit))
                return of_placement(best)
            return of_placement(place(framing, entry.face, *limits))
        except BadPhoto as reason:
            raise BadPhoto(
                f"{entry.source}: {reason.what}.", "Keep its framing, or drop the crop."
            ) from reason

    def _cut(self, entry: Entry) -> Image.Image:
        return load_square(self._upload(entry), entry.box, self.size_px)

    def _upload(self, entry: Entry) -> Path:
        path = self.folder.parent.parent / "uploads" / self._sheet.uploads / entry.upload
        if not path.is_file():
            raise BadPhoto(
                f"The photograph {entry.source} isn't there any more: this crop can't be cut again.",
                "Keep the crop as it is, or crop the photographs again.",
            )
        return path


def rounded(face: Face) -> Face:
    """The same face in tenths of a pixel."""
    x0, y0, x1, y1 = (round(value, 1) for value in face.box)
    points = tuple((round(x, 1), round(y, 1)) for x, y in face.landmarks)
    return Face((x0, y0, x1, y1), round(face.score, 4), points)


def of_face(face: Face, others: Sequence[Face]) -> dict[str, Any]:
    """An entry's fields that tell the subject and the further faces."""
    face = rounded(face)
    return {
        "face": face.box,
        "score": face.score,
        "landmarks": face.landmarks,
        "others": tuple(rounded(other) for other in others),
    }


def of_placement(placement: Placement) -> dict[str, Any]:
    """An entry's fields that tell its square."""
    return {
        "box": placement.box,
        "framing": placement.framing,
        "enlargement": round(placement.enlargement, 3),
        "adjustment": placement.adjustment,
    }


def measured(entry: Entry, crop: Image.Image) -> Quality:
    """The figures of a crop that was cut again. It stays the near-duplicate of whatever it was."""
    quality = measure(crop, entry.face_in_crop, entry.landmarks, entry.subject.size_px)
    return (
        quality.model_copy(update={"near_duplicate": entry.quality.near_duplicate})
        if entry.quality
        else quality
    )
