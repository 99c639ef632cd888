"""Class images that the user brings: checked like photographs, cut square, kept in the model's size."""

from __future__ import annotations

import hashlib
from pathlib import Path

from PIL import Image

from dreamgui.data.crop import square_crop
from dreamgui.data.faces.detect import detect_faces
from dreamgui.data.framing import choose_subject
from dreamgui.data.photos.found import expand
from dreamgui.data.photos.load import load_image, photo_bytes, shown_name
from dreamgui.errors import BadInput, BadPhoto
from dreamgui.names import ascii_name
from dreamgui.workspace import Workspace, write_atomic


def pictures_in(folder: Path) -> list[Path]:
    """The picture files in a folder and below it, by name.

    Raises:
        BadInput: it isn't there, is no folder, or holds no picture.
        OutOfRange: it holds more than 2,000.
    """
    try:
        files = expand([folder]) if folder.is_dir() else None
    except OSError as error:
        raise BadInput(f"The folder {folder} can't be read: {error.strerror}.", "Choose another.") from error
    if files is None:
        raise BadInput(
            f"There is no folder {folder}.", "Name a folder of pictures of the class, or leave it empty."
        )
    if not files:
        raise BadInput(f"The folder {folder} holds no pictures.", "Put JPEG, PNG or WebP files into it.")
    return files


def own_shelf(workspace: Workspace, folder: Path, size_px: int) -> Path:
    """Return where the squares of this folder's pictures are kept."""
    digest = hashlib.sha256(f"{folder.resolve()} {size_px}".encode()).hexdigest()
    return workspace.place("classes", ascii_name(f"own-{folder.resolve().name[:40]}-{digest[:12]}"))


def keep_square(file: Path, shelf: Path, size_px: int) -> Path:
    """The square of a picture, made unless it was kept before. The same content has the same name.

    Raises:
        BadPhoto: the picture can't be read.
    """
    try:
        with file.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise BadPhoto(f"{shown_name(file)} can't be read: {error.strerror}.", "Leave it out.") from error
    kept = shelf / f"{digest[:16]}.png"
    if not _is_whole(kept):
        image = load_image(file)
        write_atomic(kept, photo_bytes(square_crop(image, square_box(image), size_px), lossless=True))
    return kept


def square_box(image: Image.Image) -> tuple[int, int, int, int]:
    """The largest square: around the most prominent face as far as possible, else in the middle."""
    side = min(image.size)
    faces = detect_faces(image) if image.width != image.height else []
    middle = choose_subject(faces, image.size).center if faces else (image.width / 2, image.height / 2)
    x, y = (
        round(min(max(0, at - side / 2), length - side))
        for at, length in zip(middle, image.size, strict=True)
    )
    return x, y, x + side, y + side


def _is_whole(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            image.verify()
    except (OSError, SyntaxError):
        return False
    return True
