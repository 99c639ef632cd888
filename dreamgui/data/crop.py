"""From a file to a photograph with its faces, and from a photograph to a square crop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from dreamgui.data.faces.detect import Face, detect_faces, no_face
from dreamgui.data.faces.identity import embed_face
from dreamgui.data.faces.subject import agreement, find_person
from dreamgui.data.framing import Placement, choose_subject, prominence
from dreamgui.data.photos.jpeg import without_metadata
from dreamgui.data.photos.leaving import go_on
from dreamgui.data.photos.load import View, load_square, load_view, photo_bytes, read_header, shown_name
from dreamgui.data.photos.near_duplicates import perceptual_hash
from dreamgui.data.turning import Turned, turn_file, turn_upright
from dreamgui.errors import BadPhoto

LEAST_FACE_PX = 24.0
_VIEW_PX = 1500
_FIRST_LOOK = 0.05
_LEAST_SHARE, _LEAST_SHARE_OF_MANY, _MANY_PIXELS = 0.0125, 0.025, 16_000_000
Embed = Callable[[Image.Image, Face], np.ndarray | None]
_MOST_EMBEDDED = 12
_SURE_AGREEMENT = 0.5


@dataclass(frozen=True)
class Photograph:
    """A photograph that was taken in.

    ``source`` is its own name, ``kept`` the copy in the workspace, without metadata but for its orientation
    (:func:`load_image` gives it upright), ``size`` the upright width and height in pixels, ``face`` the
    subject (:func:`no_face` where none was found and none is needed), ``others`` further faces; ``embeddings`` are of the subject and then the others, ``mark`` is the
    perceptual hash, and ``agreement`` how surely the subject is the person of the whole set, 0..1, None where
    the set has no such person; ``turned`` by how many degrees clockwise the photograph was turned upright.
    """

    source: str
    kept: Path
    size: tuple[int, int]
    face: Face
    others: tuple[Face, ...]
    embeddings: tuple[np.ndarray | None, ...] = ()
    mark: int = 0
    agreement: float | None = None
    turned: int = 0

    @property
    def faces(self) -> tuple[Face, ...]:
        """All faces, the subject first."""
        return (self.face, *self.others)

    @property
    def weights(self) -> tuple[float, ...]:
        """Return how much the photograph is about each of its faces, 0..1."""
        return tuple(min(1.0, prominence(face, self.size)) for face in self.faces)

    @property
    def touches_edge(self) -> bool:
        """Return whether the photograph's frame cuts, or nearly cuts, the face."""
        x0, y0, x1, y1 = self.face.box
        return min(x0, y0, self.size[0] - x1, self.size[1] - y1) < 0.02 * self.face.size_px

    @property
    def is_doubtful(self) -> bool:
        """Return whether it shows a face, but none that is surely the person's."""
        return self.face.found and (self.agreement or 0) < _SURE_AGREEMENT

    def about(self, person: np.ndarray) -> Photograph:
        """The same photograph with this person as its subject. Where nobody is, the subject stays and its
        agreement is 0. A photograph without a face stays as it is."""
        if not self.face.found:
            return self
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
    face_needed: bool = True,
) -> Photograph:
    """Read a photograph, find its faces, choose the most prominent one and keep a copy without metadata.

    One that lies on its side or stands on its head by its faces is turned upright.

    Args:
        path: the user's file.
        uploads: folder of the copies; the file is called after ``number``, never after the user's name.
        number: of the photograph, from 1.
        min_confidence: least score of a face, 0.1..1.
        least_face_px: smaller faces need not be found.
        name: what to call the photograph; its file's name unless given.
        embed: gives a face's embedding.
        face_needed: refuse a photograph in which no face is found.

    Raises:
        BadPhoto: it can't be read, or shows no face where one is needed.
    """
    name = name or shown_name(path)
    kept, view = _keep(path, uploads / f"{number:04d}", name)
    # Faces of a twentieth of the longer side first: smaller ones are looked for where none of these will do.
    least_view_px = max(least_face_px / view.scale, _FIRST_LOOK * max(view.image.size))
    faces = _scaled(detect_faces(view.image, min_confidence, least_view_px), view.scale)
    if not faces:
        go_on()
        view = load_view(kept, name=name)
        faces = _scaled(detect_faces(view.image, min_confidence, _least_px(view, least_face_px)), view.scale)
    if turned := _turned(view, faces, min_confidence):
        view, faces = (
            View(turned.image, view.size if turned.degrees == 180 else view.size[::-1]),
            turned.faces,
        )
        faces = _scaled(faces, view.scale)
        turn_file(kept, turned.degrees)
    if not faces and not face_needed:
        mark = perceptual_hash(view.image)
        return Photograph(name, kept, view.size, no_face(view.size), (), (None,), mark)
    if not faces:
        kept.unlink()
        width, height = view.size
        raise BadPhoto(
            f"No face was found in {name} ({width} x {height} pixels, confidence {min_confidence:g} "
            "or more).",
            "Choose a photograph that shows the face larger, or lower the confidence.",
        )
    found = _photograph(name, kept, view, faces, perceptual_hash(view.image), embed)
    return replace(found, turned=turned.degrees) if turned else found


def _least_px(view: View, least_face_px: float) -> float:
    """Return the least size of a face in pixels of the view. In a huge photograph, tiles for faces of a hundredth of it
    would take a minute."""
    share = _LEAST_SHARE if view.image.width * view.image.height <= _MANY_PIXELS else _LEAST_SHARE_OF_MANY
    return max(least_face_px / view.scale, share * max(view.image.size))


def _turned(view: View, faces: Sequence[Face], min_confidence: float) -> Turned | None:
    """The turn that a first look at the photograph asks for."""
    scale = max(1.0, max(view.image.size) / _VIEW_PX)
    size = (round(view.image.width / scale), round(view.image.height / scale))
    small = view.image if scale == 1 else view.image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.5)
    seen = _scaled(faces, small.width / view.size[0])
    return turn_upright(small, seen, min_confidence, _FIRST_LOOK * max(small.size))


def look_closely(
    photograph: Photograph, min_confidence: float, least_face_px: float, embed: Embed = embed_face
) -> Photograph:
    """The same photograph with all of its faces down to this size, found in all of its pixels."""
    view = load_view(photograph.kept, name=photograph.source)
    seen = detect_faces(view.image, min_confidence, _least_px(view, least_face_px))
    faces = _scaled(seen, view.scale) or list(photograph.faces)
    found = _photograph(photograph.source, photograph.kept, view, faces, photograph.mark, embed)
    return replace(found, turned=photograph.turned)


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
    go_on()
    lossless = header.kind == "PNG"
    kept = target.with_suffix(".png" if lossless else ".jpg")
    image = load_view(path, name=name).image
    go_on()
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
    crops = []
    for placement in placements:
        go_on()
        crops.append(load_square(photograph.kept, placement.box, size_px))
    return crops
