"""A report on the disk: README.md, index.html, report.json and the pictures, and what it was made with."""

from __future__ import annotations

import io
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from PIL import Image

import dreamgui
from dreamgui.errors import Damaged
from dreamgui.evaluate.document.blocks import Document
from dreamgui.evaluate.document.html import to_html
from dreamgui.evaluate.document.markdown import to_markdown
from dreamgui.workspace import read_json, write_atomic, write_json

_PACKAGES = ("torch", "diffusers", "transformers", "peft", "mediapipe", "controlnet-aux", "dlib-bin", "numpy")


def write_report(document: Document, folder: Path) -> None:
    """Write the report into a folder. Other files there stay.

    Every file is written whole or not at all, report.json last: where it stands, the report is complete.

    Raises:
        Damaged: what was written can't be read back.
    """
    for path, picture in document.pictures.items():
        write_atomic(folder / path, png(picture))
    for chart in document.charts():
        write_atomic(folder / chart.path, chart.svg.encode())
    write_atomic(folder / "README.md", to_markdown(document).encode())
    write_atomic(folder / "index.html", to_html(document).encode())
    write_json(folder / "report.json", document.data)
    _read_back(document, folder)


def png(picture: Image.Image) -> bytes:
    """The picture as a PNG file of its pixels only: no EXIF or other data of a photograph goes along."""
    bare = Image.frombytes("RGB", picture.size, picture.convert("RGB").tobytes())
    buffer = io.BytesIO()
    bare.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _read_back(document: Document, folder: Path) -> None:
    for path, picture in document.pictures.items():
        with Image.open(folder / path) as written:
            if written.size != picture.size:
                raise Damaged(f"{folder / path} reads back with the size {written.size}.", "Check the disk.")
    if read_json(folder / "report.json").keys() != document.data.keys():
        raise Damaged(f"{folder / 'report.json'} reads back differently.", "Check the disk.")


def versions() -> dict[str, str]:
    """Return what the figures of a report were made with."""
    found = {"dreamgui": dreamgui.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found
