"""Paths of the files that ship with the program."""

from __future__ import annotations

import os
from pathlib import Path

from dreamgui.errors import Damaged

ASSETS = Path(os.environ.get("DREAMGUI_ASSETS") or Path(__file__).resolve().parent.parent / "assets")


def asset(name: str) -> Path:
    """The path of a shipped file or folder, for instance ``"models/blaze_face_short_range.tflite"``.

    Raises:
        Damaged: it isn't there, so the program was copied without its assets.
    """
    path = ASSETS / name
    if not path.exists():
        raise Damaged(f"The file {path} that ships with DreamGUI is missing.", "Clone the project again.")
    return path
