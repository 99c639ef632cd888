"""From a file to a photograph with its faces, and from a photograph to a square crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dreamgui.data.faces import Face, detect_faces
from dreamgui.data.framing import Placement, choose_subject
from dreamgui.data.photos import load_image, photo_bytes, shown_name
from dreamgui.data.sniff import HEAD_BYTES, sniff
from dreamgui.errors import BadPhoto
from dreamgui.workspace import write_atomic


@dataclass(frozen=True)
class Photograph:
    """A photograph that was taken in: ``source`` is its own name, ``kept`` the upright, metadata-free copy in
    the workspace, ``size`` width and height in pixels, ``face`` the subject, ``others`` further faces."""

    source: str
    kept: Path
    size: tuple[int, int]
    face: Face
    others: tuple[Face, ...]

    @property
    def touches_edge(self) -> bool:
        """Whether the photograph's frame cuts, or nearly cuts, the face."""
        x0, y0, x1, y1 = self.face.box
        return min(x0, y0, self.size[0] - x1, self.size[1] - y1) < 0.02 * self.face.size_px


def take_in(path: Path, uploads: Path, number: int, min_confidence: float) -> Photograph:
    """Read a photograph, find its faces, choose the subject and keep an upright copy without metadata.

    Args:
        path: the user's file.
        uploads: folder of the copies; the file is called after ``number``, never after the user's name.
        number: of the photograph, from 1.
        min_confidence: least score of a face, 0.1..1.

    Raises:
        BadPhoto: it can't be read, or shows no face.
    """
    image = load_image(path)
    faces = detect_faces(image, min_confidence)
    if not faces:
        raise BadPhoto(
            f"No face was found in {shown_name(path)} ({image.width} x {image.height} pixels, confidence "
            f"{min_confidence:g} or more).",
            "Choose a photograph that shows the face larger, or lower the confidence.",
        )
    lossless = _is_png(path)
    kept = uploads / f"{number:04d}.{'png' if lossless else 'jpg'}"
    write_atomic(kept, photo_bytes(image, lossless))
    subject = choose_subject(faces, image.size)
    return Photograph(
        shown_name(path), kept, image.size, subject, tuple(face for face in faces if face != subject)
    )


def _is_png(path: Path) -> bool:
    with path.open("rb") as file:
        return sniff(file.read(HEAD_BYTES)) == "PNG"


def square_crop(image: Image.Image, box: tuple[int, int, int, int], size_px: int) -> Image.Image:
    """The square ``box`` of a picture at ``size_px`` a side, by Lanczos.

    Raises:
        ValueError: the box isn't square or leaves the picture: nothing is ever padded or stretched.
    """
    x0, y0, x1, y1 = box
    if x1 - x0 != y1 - y0 or x0 < 0 or y0 < 0 or x1 > image.width or y1 > image.height:
        raise ValueError(f"{box} is no square inside {image.size}")
    return image.resize((size_px, size_px), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)


def cut(photograph: Photograph, placements: Sequence[Placement], size_px: int) -> list[Image.Image]:
    """The crops of one photograph, from its kept copy, in the order of the placements."""
    image = load_image(photograph.kept)
    return [square_crop(image, placement.box, size_px) for placement in placements]
