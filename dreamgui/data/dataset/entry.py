"""Content of dataset.json."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dreamgui.config import Framing
from dreamgui.data.faces.detect import Box, Face
from dreamgui.data.framing import inside
from dreamgui.data.quality import Quality

# A dataset from elsewhere must not name files outside its folders.
CropName = Annotated[str, Field(pattern=r"^\d{4,8}\.png$")]
UploadName = Annotated[str, Field(pattern=r"^\d{4,8}\.(png|jpg)$")]
FolderName = Annotated[str, Field(pattern=r"^\w[\w.-]*$", max_length=100)]
Pixels = Annotated[int, Field(ge=0, le=20_000)]
Point = tuple[float, float]
_REMEMBERED = 50


class Entry(BaseModel):
    """One crop.

    ``file`` is its name in images/, ``source`` the photograph's own name, ``upload`` the kept copy's name and
    ``photo_size`` its width and height; ``box`` and ``face`` are x0, y0, x1, y1 in pixels of that copy, with
    the face's ``landmarks`` and the detector's ``score`` 0..1; ``others`` are the photograph's further faces;
    ``agreement`` says how surely the face is the person of the set (0..1, 0.4 and less is somebody else, None
    where the set has no such person); ``adjustment`` what was done to the box so that it lies inside the
    photograph; ``held_out`` crops are never trained on; ``version`` counts how often the crop was cut.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    file: CropName
    source: str = Field(max_length=200)
    upload: UploadName
    photo_size: tuple[Pixels, Pixels]
    box: tuple[Pixels, Pixels, Pixels, Pixels]
    face: Box
    landmarks: tuple[Point, ...] = ()
    others: tuple[Face, ...] = ()
    framing: Framing
    score: float
    agreement: float | None = None
    enlargement: float
    adjustment: str = ""
    quality: Quality | None = None
    caption: str
    dropped: bool = False
    held_out: bool = False
    version: int = 0

    @model_validator(mode="after")
    def _is_square(self) -> Entry:
        x0, y0, x1, y1 = self.box
        if not (x0 < x1 and x1 - x0 == y1 - y0 and x1 <= self.photo_size[0] and y1 <= self.photo_size[1]):
            raise ValueError(f"{self.box} is no square inside {self.photo_size}")
        return self

    @property
    def subject(self) -> Face:
        """The face that the crop is about."""
        return Face(self.face, self.score, self.landmarks)

    @property
    def someone_else(self) -> bool:
        """Return whether nobody in the photograph looks like the person of the set."""
        return self.agreement == 0

    @property
    def in_use(self) -> bool:
        """Return whether it is trained on."""
        return not (self.dropped or self.held_out)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what speaks against this crop, in a few words each."""
        doubts = ("perhaps someone else",) if self.someone_else else ()
        return doubts + (self.quality.warnings if self.quality else ())

    @property
    def shelf(self) -> str:
        """The folder of its picture and caption within the dataset's."""
        return ".dropped" if self.dropped else ".held-out" if self.held_out else "images"

    @property
    def place(self) -> PurePosixPath:
        """Return where its picture is within the dataset's folder."""
        return PurePosixPath(self.shelf) / self.file

    @property
    def face_in_crop(self) -> Box:
        """The face's box as fractions 0..1 of the crop's side. Parts outside the crop are cut off."""
        return inside(self.box, self.face)


class Step(BaseModel):
    """One change that can be undone: what it was, and the changed fields of each entry as they were."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    what: str
    before: dict[CropName, dict[str, Any]]


class Sheet(BaseModel):
    """All of dataset.json: ``held_out`` names the photographs that are set aside."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: int = 1
    size_px: int = Field(ge=8, le=4096)
    max_enlargement: float
    instance_prompt: str
    uploads: FolderName
    held_out: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    history: tuple[Step, ...] = ()

    def history_with(self, step: Step) -> tuple[Step, ...]:
        """The changes that can be undone after one more, the latest 50."""
        return (*self.history, step)[-_REMEMBERED:]

    def with_entries(self, entries: tuple[Entry, ...], **values: Any) -> Sheet:
        """The sheet with other entries, and ``held_out`` following them."""
        aside = tuple(
            {entry.upload: entry.source for entry in entries if entry.held_out and not entry.dropped}.values()
        )
        return self.model_copy(update={"entries": entries, "held_out": aside, **values})
