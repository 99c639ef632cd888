"""Pictures from the workspace on their way to the browser.

The workspace itself is never served. A shown picture is copied, without metadata, into gradio's private cache
folder; only the copy has an address.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder
from PIL import Image

THUMB_PX = 384


def shown(path: Path, max_side_px: int | None = None) -> str:
    """Copy this picture into gradio's cache and return the copy's path.

    Args:
        path: a picture in the workspace.
        max_side_px: make the copy's longer side at most this long (as WebP); None keeps all pixels (as PNG).
    """
    status = path.stat()
    key = hashlib.sha256(f"{path}|{status.st_mtime_ns}|{status.st_size}|{max_side_px}".encode()).hexdigest()[
        :32
    ]
    target = Path(get_upload_folder()) / "shown" / key / f"{path.stem}{'.webp' if max_side_px else '.png'}"
    if not target.exists():
        _copy(path, target, max_side_px)
    return str(target)


def _copy(path: Path, target: Path, max_side_px: int | None) -> None:
    with Image.open(path) as image:
        copy = image.convert("RGB")
    copy.info.clear()
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent)
    with os.fdopen(handle, "wb") as file:
        if max_side_px:
            copy.thumbnail((max_side_px, max_side_px))
            copy.save(file, "WEBP", quality=90, method=0)
        else:
            copy.save(file, "PNG", compress_level=1)
    Path(temporary).replace(target)


def gallery(pictures: Iterable[tuple[object, str]], max_side_px: int | None = None) -> list[tuple[str, str]]:
    """Return pictures and captions for a ``gr.Gallery``. Missing files are left out."""
    return [
        (shown(path, max_side_px), caption)
        for path, caption in pictures
        if isinstance(path, Path) and path.is_file()
    ]


def file_data(path: Path, max_side_px: int | None = None) -> dict[str, Any]:
    """Return a picture as gradio sends files. Gradio adds its address."""
    return as_file(shown(path, max_side_px))


def place_for(source: Path) -> Path:
    """Return a folder of gradio's cache for copies of this file or folder alone, made if it isn't there.

    Things of one name in two workspaces so never take each other's place.
    """
    key = hashlib.sha256(str(source).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    place = Path(get_upload_folder()) / "offered" / key
    place.mkdir(parents=True, exist_ok=True)
    return place


def thumbnail_data(image: Image.Image, key: str) -> dict[str, Any]:
    """Return a decoded picture as gradio sends files. One of the same key is written once."""
    name = hashlib.sha256(key.encode()).hexdigest()[:32]
    target = Path(get_upload_folder()) / "shown" / name / "thumbnail.webp"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            image.save(file, "WEBP", quality=85)
        Path(temporary).replace(target)
    return as_file(str(target))


def zipped(folder: Path) -> str:
    """Zip this folder into gradio's cache and return the zip's path."""
    target = place_for(folder) / folder.name
    return shutil.make_archive(str(target), "zip", folder.parent, folder.name)


def offered(file: Path) -> str:
    """Copy this file of the workspace into gradio's cache for a download, and return the copy's path."""
    target = place_for(file) / file.name
    return str(shutil.copy(file, target))


def zip_data(folder: Path) -> dict[str, Any]:
    """Return a folder, zipped, as gradio sends files."""
    return as_file(zipped(folder))


def as_it_is(file: Path) -> str:
    """Copy a picture that DreamGUI generated into gradio's cache with all its texts, and return the copy's path."""
    status = file.stat()
    key = hashlib.sha256(f"{file}|{status.st_mtime_ns}|{status.st_size}".encode()).hexdigest()[:32]
    target = Path(get_upload_folder()) / "generated" / key / file.name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return str(target)


def as_file(path: str) -> dict[str, Any]:
    """Return a file of gradio's cache as gradio sends files. Gradio adds its address."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def pair_of_equal_size(left: Path, right: Path) -> tuple[Image.Image, Image.Image]:
    """Return two pictures at one size (the larger sides), for a slider over both."""
    with Image.open(left) as one, Image.open(right) as two:
        first, second = one.convert("RGB"), two.convert("RGB")
    size = (max(first.width, second.width), max(first.height, second.height))
    return first.resize(size), second.resize(size)
