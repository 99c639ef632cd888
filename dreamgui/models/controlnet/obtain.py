"""A ControlNet that a user names, made a file or folder of this machine: a path, a Hugging Face id, a civitai page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from dreamgui.errors import BadInput
from dreamgui.events import Event, Note
from dreamgui.models.sources.fetch import Fetched, fetch
from dreamgui.models.sources.source import BundledModel, HubModel, LocalPath, parse_source
from dreamgui.names import safe_name
from dreamgui.workspace import Workspace

FOLDER = "controlnets"
WEIGHTS = "diffusion_pytorch_model.safetensors"


def obtain(text: str, workspace: Workspace, token: str = "") -> Generator[Event, None, Path]:
    """Bring a ControlNet onto this machine. A download is kept in the workspace and found there the next time.

    Args:
        text: a file, a diffusers folder, "owner/name" with or without ":file", or a civitai page.
        token: an access token of the source's site, or "".

    Returns:
        The whole path of a file or of a diffusers folder.

    Raises:
        UnknownName, BadInput, NotEnoughDisk: it can't be had; the message says why.
    """
    source = parse_source(text)
    if isinstance(source, BundledModel):
        raise BadInput(
            "The bundled model is no ControlNet.",
            "Leave the field empty for the base model's own ControlNet.",
        )
    if isinstance(source, LocalPath):
        return _checked(source.path.expanduser().resolve())
    if isinstance(source, HubModel) and not source.file:
        source = replace(source, file=WEIGHTS)
    kept = workspace.root / FOLDER / (safe_name(text.replace("/", "-").replace(":", "-")) + ".safetensors")
    pickled = kept.with_suffix(".pth")
    if found := next((path for path in (kept, pickled) if path.is_file()), None):
        return found
    fetched = yield from fetch(source, token, workspace)
    yield Note(f"The ControlNet is {fetched.origin}.")
    return _keep(fetched, kept)


def _checked(path: Path) -> Path:
    if path.is_dir() and not (path / "config.json").is_file():
        raise BadInput(
            f"The folder {path.name} is no ControlNet: it has no config.json.",
            "Choose the folder of a ControlNet in diffusers' layout, or a single file.",
        )
    return path


def _keep(fetched: Fetched, kept: Path) -> Path:
    """Put a download at its place. A file of the hub's own cache stays there."""
    temporary, target = fetched.temporary, fetched.path
    if temporary is not None and target.is_relative_to(temporary):
        kept.parent.mkdir(exist_ok=True)
        with fetched.path.open("rb") as file:
            target = kept.with_suffix(".pth") if file.read(2) == b"PK" else kept
        os.replace(fetched.path, target)
    if temporary is not None:
        shutil.rmtree(temporary, ignore_errors=True)
    return target
