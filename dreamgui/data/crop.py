"""From a file to a photograph with its faces, and from a photograph to a square crop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from dreamgui.data.faces import Face, detect_faces
from dreamgui.data.framing import Placement, choose_subject, prominence
from dreamgui.data.jpeg import without_metadata
from dreamgui.data.photos import View, load_square, load_view, photo_bytes, read_header, shown_name
from dreamgui.data.subject import agreement, find_person
from dreamgui.data.twins import perceptual_hash
from dreamgui.errors import BadPhoto
from dreamgui.evaluate.identity import embed_face

LEAST_FACE_PX = 24.0
_VIEW_PX = 1500
_FIRST_LOOK = 0.05
Embed = Callable[[Image.Image, Face], np.ndarray | None]
_MOST_EMBEDDED = 12


@dataclass(frozen=True)
class Photograph:
    """A photograph that was taken in.

    ``source`` is its own name, ``kept`` the copy in the workspace, without metadata but for its orientation
    (:func:`load_image` gives it upright), ``size`` the upright width and height in pixels, ``face`` the
    subject, ``others`` further faces; ``embeddings`` are of the subject and then the others, ``mark`` is the
    perceptual hash, and ``agreement`` how surely the subject is the person of the whole set, 0..1, None where
    the set has no such person.
    """

    source: str
    kept: Path
    size: tuple[int, int]
    face: Face
    others: tuple[Face, ...]
    embeddings: tuple[np.ndarray | None, ...] = ()
    mark: int = 0
    agreement: float | None = None

    @property
    def faces(self) -> tuple[Face, ...]:
        """All faces, the subject first."""
        return (self.face, *self.others)

    @property
    def weights(self) -> tuple[float, ...]:
        """How much the photograph is about each of its faces, 0..1."""
        return tuple(min(1.0, prominence(face, self.size)) for face in self.faces)

    @property
    def touches_edge(self) -> bool:
        """Whether the photograph's frame cuts, or nearly cuts, the face."""
        x0, y0, x1, y1 = self.face.box
        return min(x0, y0, self.size[0] - x1, self.size[1] - y1) < 0.02 * self.face.size_px

    def about(self, person: np.ndarray) -> Photograph:
        """The same photograph with this person as its subject; where nobody is, the subject stays and its
        agreement is 0."""
        place = find_person(self.embeddings, person)
        if place is None:
            return replace(self, agreement=0.0)
        order = [place, *(other for other in range(len(self.faces)) if other != place)]
        subject, *others = (self.faces[number] for number in order)
        embeddings = tuple(self.embeddings[number] for number in order)
        sure = round(agreement(embeddings[0], person), 3)
        return replace(self, face=subject, others=tuple(others), embeddings=embeddings, agreement=sure)


def take_in(
    path: Path,
    uploads: Path,
    number: int,
    min_confidence: float,
    least_face_px: float = LEAST_FACE_PX,
    name: str = "",
    embed: Embed = embed_face,
) -> Photograph:
    """Read a photograph, find its faces, choose the most prominent one and keep a copy without metadata.

    Args:
        path: the user's file.
        uploads: folder of the copies; the file is called after ``number``, never after the user's name.
        number: of the photograph, from 1.
        min_confidence: least score of a face, 0.1..1.
        least_face_px: smaller faces need not be found.
        name: what to call the photograph; its file's name unless given.
        embed: gives a face's embedding.

    Raises:
        BadPhoto: it can't be read, or shows no face.
    """
    name = name or shown_name(path)
    kept, view = _keep(path, uploads / f"{number:04d}", name)
    # Faces of a twentieth of the longer side first: smaller ones are looked for where none of these will do.
    least_view_px = max(least_face_px / view.scale, _FIRST_LOOK * max(view.image.size))
    faces = _scaled(detect_faces(view.image, min_confidence, least_view_px), view.scale)
    if not faces:
        view = load_view(kept, name=name)
        faces = detect_faces(view.image, min_confidence, least_face_px)
    if not faces:
        kept.unlink()
        width, height = view.size
        raise BadPhoto(
            f"No face was found in {name} ({width} x {height} pixels, confidence {min_confidence:g} "
            "or more).",
            "Choose a photograph that shows the face larger, or lower the confidence.",
        )
    return _photograph(name, kept, view, faces, perceptual_hash(view.image), embed)


def look_closely(
    photograph: Photograph, min_confidence: float, least_face_px: float, embed: Embed = embed_face
) -> Photograph:
    """The same photograph with all of its faces down to this size, found in all of its pixels."""
    view = load_view(photograph.kept, name=photograph.source)
    faces = detect_faces(view.image, min_confidence, least_face_px) or list(photograph.faces)
    return _photograph(photograph.source, photograph.kept, view, faces, photograph.mark, embed)


def _photograph(
    name: str, kept: Path, view: View, faces: Sequence[Face], mark: int, embed: Embed
) -> Photograph:
    subject = choose_subject(faces, view.size)
    others = tuple(face for face in faces if face is not subject)
    largest = sorted((subject, *others), key=lambda face: -face.size_px)[:_MOST_EMBEDDED]
    embeddings = tuple(
        embed(view.image, face.moved(0, 0, 1 / view.scale)) if face in largest else None
        for face in (subject, *others)
    )
    return Photograph(name, kept, view.size, subject, others, embeddings, mark)


def _scaled(faces: Sequence[Face], scale: float) -> list[Face]:
    return [face.moved(0, 0, scale) for face in faces]


def _keep(path: Path, target: Path, name: str) -> tuple[Path, View]:
    """The copy, and a view of it that is large enough for a first look."""
    header = read_header(path, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    if header.kind == "JPEG":
        kept = target.with_suffix(".jpg")
        try:
            kept.write_bytes(without_metadata(path.read_bytes(), header.orientation))
            return kept, load_view(kept, _VIEW_PX, name)
        except (ValueError, BadPhoto):
            # Its segments are strange, or it is damaged: then decoding it as it came says why.
            kept.unlink(missing_ok=True)
    lossless = header.kind == "PNG"
    kept = target.with_suffix(".png" if lossless else ".jpg")
    image = load_view(path, name=name).image
    kept.write_bytes(photo_bytes(image, lossless))
    parts = max(1, max(image.size) // _VIEW_PX)
    return kept, View(image if parts == 1 else image.reduce(parts), image.size)


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
    return [load_square(photograph.kept, placement.box, size_px) for placement in placements]
