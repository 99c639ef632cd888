"""A data set on the disk: crops, captions, and where each crop came from.

    images/0001.png, images/0001.txt   crop and caption beside it (kohya's convention)
    metadata.jsonl                     file_name and text of each crop (the imagefolder convention)
    dataset.json                       the truth: everything below; the two above follow it
    .dropped/                          crops that the user took out, to be restored

Every change is written at once, and read back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dreamgui.config import Framing
from dreamgui.data.crop import Photograph, square_crop
from dreamgui.data.faces import Box
from dreamgui.data.framing import Placement, place
from dreamgui.data.photos import load_image, photo_bytes
from dreamgui.errors import BadPhoto, Damaged, OutOfRange, UnknownName
from dreamgui.workspace import write_atomic

MAX_CAPTION_LETTERS = 1000
# A data set from elsewhere must not name files outside its folders.
CropName = Annotated[str, Field(pattern=r"^\d{4,8}\.png$")]
UploadName = Annotated[str, Field(pattern=r"^\d{4,8}\.(png|jpg)$")]
FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]


class Entry(BaseModel):
    """One crop.

    ``file`` is its name in images/, ``source`` the photograph's own name, ``upload`` the kept copy's name and
    ``photo_size`` its width and height; ``box``, ``face`` and ``others`` (further faces) are x0, y0, x1, y1
    in pixels of that copy; ``score`` is the face detector's, 0..1; ``adjustment`` says what was done to the
    box so that it lies inside the photograph.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    file: CropName
    source: str
    upload: UploadName
    photo_size: tuple[int, int]
    box: tuple[int, int, int, int]
    face: Box
    others: tuple[Box, ...] = ()
    framing: Framing
    score: float
    enlargement: float
    adjustment: str = ""
    caption: str
    dropped: bool = False

    @property
    def face_in_crop(self) -> Box:
        """The face's box as fractions 0..1 of the crop's side; parts outside the crop are cut off."""
        x0, y0, x1, _ = self.box
        starts = (x0, y0, x0, y0)
        left, top, right, bottom = (
            min(1.0, max(0.0, (value - start) / (x1 - x0)))
            for value, start in zip(self.face, starts, strict=True)
        )
        return left, top, right, bottom


class _Sheet(BaseModel):
    """What dataset.json holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: int = 1
    size_px: int
    max_enlargement: float
    instance_prompt: str
    uploads: FolderName
    entries: tuple[Entry, ...] = ()


class Dataset:
    """The data set in a folder ``datasets/NAME`` of a workspace."""

    def __init__(self, folder: Path, sheet: _Sheet) -> None:
        self.folder = folder
        self._sheet = sheet

    @classmethod
    def create(
        cls, folder: Path, size_px: int, max_enlargement: float, instance_prompt: str, uploads: str
    ) -> Dataset:
        """A new, empty data set on the disk; ``uploads`` names the folder of the kept photographs."""
        caption = _checked_caption(instance_prompt)
        sheet = _Sheet(
            size_px=size_px, max_enlargement=max_enlargement, instance_prompt=caption, uploads=uploads
        )
        (folder / "images").mkdir(parents=True)
        dataset = cls(folder, sheet)
        dataset.save()
        return dataset

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        """The data set that was saved in this folder.

        Raises:
            Damaged: dataset.json is missing or broken, or a crop is missing.
        """
        try:
            text = (folder / "dataset.json").read_text(encoding="utf-8")
            dataset = cls(folder, _Sheet.model_validate_json(text))
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            raise Damaged(
                f"The data set {folder.name} can't be read: {error}"[:300], "Crop the photographs again."
            ) from error
        for entry in dataset.entries:
            dataset._settle(entry)
        return dataset

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All crops, the dropped ones too."""
        return self._sheet.entries

    @property
    def size_px(self) -> int:
        """Side of a crop in pixels."""
        return self._sheet.size_px

    @property
    def instance_prompt(self) -> str:
        """Caption of a crop unless the user gives it another."""
        return self._sheet.instance_prompt

    def images(self) -> list[tuple[Path, str]]:
        """Path and caption of each crop that is in use."""
        return [(self.path(entry), entry.caption) for entry in self.entries if not entry.dropped]

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
        """Where the crop's picture is."""
        return self.folder / (".dropped" if entry.dropped else "images") / entry.file

    def add(self, photograph: Photograph, placement: Placement, crop: Image.Image) -> Entry:
        """Keep one more crop: the square ``placement`` of a photograph, already cut."""
        entry = Entry(
            file=f"{len(self.entries) + 1:04d}.png",
            source=photograph.source,
            upload=photograph.kept.name,
            photo_size=photograph.size,
            face=photograph.face.box,
            others=tuple(face.box for face in photograph.others),
            score=photograph.face.score,
            caption=self.instance_prompt,
            **_of_placement(placement),
        )
        self._write_crop(entry, crop)
        self._keep((*self.entries, entry))
        return entry

    def drop(self, file: str) -> None:
        """Take a crop out of the training; :meth:`restore` brings it back."""
        self._change(file, dropped=True)

    def restore(self, file: str) -> None:
        """Bring a dropped crop back."""
        self._change(file, dropped=False)

    def set_caption(self, file: str, text: str) -> None:
        """Give a crop its own caption, one line of 1 to 1000 letters.

        Raises:
            OutOfRange: it is empty or longer.
        """
        self._change(file, caption=_checked_caption(text))

    def set_framing(self, file: str, framing: Framing) -> Entry:
        """Cut a crop again from the kept photograph.

        Raises:
            BadPhoto: the photograph doesn't allow this framing, or its copy is gone; nothing was changed.
        """
        entry = self.entry(file)
        try:
            placement = place(
                framing, entry.face, entry.photo_size, self.size_px, self._sheet.max_enlargement
            )
        except BadPhoto as reason:
            raise BadPhoto(
                f"{entry.source}: {reason.what}.", "Keep its framing, or drop the crop."
            ) from reason
        crop = square_crop(load_image(self._upload(entry)), placement.box, self.size_px)
        self._write_crop(entry, crop)
        return self._change(file, **_of_placement(placement))

    def save(self) -> None:
        """Write dataset.json, the captions and metadata.jsonl.

        Raises:
            Damaged: what was written reads back differently.
        """
        _write(self.folder / "dataset.json", (self._sheet.model_dump_json(indent=1) + "\n").encode())
        for entry in self.entries:
            self._settle(entry)
            sidecar = self.path(entry).with_suffix(".txt")
            if not sidecar.exists() or sidecar.read_text(encoding="utf-8") != entry.caption:
                _write(sidecar, entry.caption.encode())
        rows = [
            {"file_name": f"images/{entry.file}", "text": entry.caption}
            for entry in self.entries
            if not entry.dropped
        ]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        _write(self.folder / "metadata.jsonl", lines.encode())

    def _upload(self, entry: Entry) -> Path:
        return self.folder.parent.parent / "uploads" / self._sheet.uploads / entry.upload

    def _write_crop(self, entry: Entry, crop: Image.Image) -> None:
        _write(self.path(entry), photo_bytes(crop, lossless=True))

    def _change(self, file: str, **values: Any) -> Entry:
        changed = self.entry(file).model_copy(update=values)
        self._keep(tuple(changed if entry.file == file else entry for entry in self.entries))
        return changed

    def _keep(self, entries: tuple[Entry, ...]) -> None:
        self._sheet = self._sheet.model_copy(update={"entries": entries})
        self.save()

    def _settle(self, entry: Entry) -> None:
        """Bring a crop's files to where dataset.json says they are: a drop may have been cut off."""
        right = self.path(entry)
        if right.exists():
            return
        wrong = self.path(entry.model_copy(update={"dropped": not entry.dropped}))
        if not wrong.exists():
            raise Damaged(f"The crop {right} is missing.", "Crop the photographs again.")
        right.parent.mkdir(exist_ok=True)
        for suffix in (".txt", ".png"):
            if wrong.with_suffix(suffix).exists():
                wrong.with_suffix(suffix).replace(right.with_suffix(suffix))


def _of_placement(placement: Placement) -> dict[str, Any]:
    return {
        "box": placement.box,
        "framing": placement.framing,
        "enlargement": round(placement.enlargement, 3),
        "adjustment": placement.adjustment,
    }


def _checked_caption(text: str) -> str:
    caption = " ".join(text.split())
    if not 0 < len(caption) <= MAX_CAPTION_LETTERS:
        raise OutOfRange(
            f"A caption has 1 to {MAX_CAPTION_LETTERS} letters; this one has {len(caption)}.",
            "Write another.",
        )
    return caption


def _write(path: Path, data: bytes) -> None:
    write_atomic(path, data)
    if path.read_bytes() != data:
        raise Damaged(f"{path} reads back differently from what was written.", "Check the disk.")
