"""Pictures from the workspace on their way to the browser.

The workspace itself is never served. What a page shows is copied, without metadata, into gradio's private
cache folder, and only there does it get an address.
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
    """The path in gradio's cache of a copy of this picture.

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
            copy.save(file, "WEBP", quality=90)
        else:
            copy.save(file, "PNG", compress_level=1)
    Path(temporary).replace(target)


def gallery(pictures: Iterable[tuple[object, str]], max_side_px: int | None = None) -> list[tuple[str, str]]:
    """Pictures and captions for a ``gr.Gallery``; what isn't a file, or no longer one, is left out."""
    return [
        (shown(path, max_side_px), caption)
        for path, caption in pictures
        if isinstance(path, Path) and path.is_file()
    ]


def file_data(path: Path, max_side_px: int | None = None) -> dict[str, Any]:
    """A picture as gradio sends files; gradio puts its address in."""
    return _as_file(shown(path, max_side_px))


def zipped(folder: Path) -> str:
    """The path in gradio's cache of a zip file of this folder."""
    target = Path(get_upload_folder()) / "zipped" / folder.name
    return shutil.make_archive(str(target), "zip", folder.parent, folder.name)


def offered(file: Path) -> str:
    """The path in gradio's cache of a copy of this file of the workspace, for a download."""
    target = Path(get_upload_folder()) / "offered" / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    return str(shutil.copy(file, target))


def zip_data(folder: Path) -> dict[str, Any]:
    """A folder, zipped, as gradio sends files."""
    return _as_file(zipped(folder))


def _as_file(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def pair_of_equal_size(left: Path, right: Path) -> tuple[Image.Image, Image.Image]:
    """Two pictures at one size (the larger sides), as a slider over both needs."""
    with Image.open(left) as one, Image.open(right) as two:
        first, second = one.convert("RGB"), two.convert("RGB")
    size = (max(first.width, second.width), max(first.height, second.height))
    return first.resize(size), second.resize(size)
