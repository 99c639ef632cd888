"""Saved presets of a workspace: ``presets/NAME.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamgui.errors import UnknownName
from dreamgui.names import composed, safe_name
from dreamgui.presets.files import preset_text
from dreamgui.workspace import Workspace, write_atomic

FOLDER = "presets"


def preset_names(workspace: Workspace) -> list[str]:
    """Return the names of the saved presets, in the order of the letters."""
    files = (workspace.root / FOLDER).glob("*.json")
    return sorted(composed(path.stem) for path in files if not path.name.startswith("."))


def find_preset(workspace: Workspace, name: str) -> Path:
    """Return the file of a saved preset.

    Raises:
        UnknownName: there is none of this name.
    """
    if name not in preset_names(workspace):
        known = ", ".join(preset_names(workspace)) or "none yet"
        raise UnknownName(f"There is no preset named {name!r}.", f"Known: {known}.")
    return workspace.root / FOLDER / f"{name}.json"


def save_preset(workspace: Workspace, name: str, settings: Mapping[str, Any]) -> str:
    """Write the settings as a preset, over one of the same name, and return its name.

    Raises:
        BadInput: nothing usable is left of the name.
        NotEnoughDisk: the disk is full.
    """
    safe = safe_name(name)
    write_atomic(workspace.root / FOLDER / f"{safe}.json", preset_text(settings).encode("utf-8"))
    return safe


def delete_preset(workspace: Workspace, name: str) -> None:
    """Delete a saved preset.

    Raises:
        UnknownName: there is none of this name.
    """
    find_preset(workspace, name).unlink()
