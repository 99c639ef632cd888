"""The bundled demo model: shipped in parts of at most 10 MiB, put together into one file as civitai has
them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from dreamgui.assets import asset
from dreamgui.errors import Damaged, UnknownName
from dreamgui.workspace import new_folder

MODEL_FILE = "portraits.safetensors"


def demo_card() -> dict[str, Any]:
    """assets/demo/card.json: ``size_px``, ``recommended``, and how the model was made.

    Raises:
        UnknownName: this copy of the program has no bundled model.
    """
    path = asset("demo") / "card.json"
    if not path.is_file():
        raise UnknownName(
            "The bundled demo model isn't in this copy of DreamGUI.",
            "Convert a checkpoint of your own, or make the model with tools/demo_model (half an hour on a GPU).",
        )
    return json.loads(path.read_text(encoding="utf-8"))


def demo_photos() -> list[Path]:
    """The bundled raw photographs."""
    return sorted(
        path for path in asset("demo/photos").iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    )


def demo_controlnets() -> list[Path]:
    """The bundled ControlNets' diffusers folders, named by kind ("canny", "pose")."""
    return sorted(path for path in asset("demo/controlnet").iterdir() if (path / "config.json").is_file())


def assemble(target: Path) -> Path:
    """Write the bundled checkpoint as one single file (LDM's layout, fp16) at ``target``.

    Raises:
        UnknownName: this copy of the program has no bundled model.
        Damaged: parts are missing.
    """
    demo_card()
    parts = sorted(asset("demo").glob("portraits-*-of-*.safetensors"))
    total = int(parts[0].stem.rsplit("-of-", 1)[1]) if parts else 0
    if not parts or len(parts) != total:
        raise Damaged(
            f"The bundled model has {len(parts)} of {total or 'its'} parts in {asset('demo')}.",
            "Clone the project again.",
        )
    tensors: dict[str, torch.Tensor] = {}
    for part in parts:
        tensors |= load_file(part)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.part")
    # One key only: safetensors writes several in random order, and the file's hash must not change.
    save_file(tensors, temporary, {"format": "pt"})
    temporary.replace(target)
    return target


def unpack(folder: Path) -> list[Path]:
    """Write the bundled model as ``folder/portraits.safetensors`` and the photographs into
    ``folder/photos/``.

    Returns:
        the written file and the photographs' folder.
    """
    model, photos = assemble(folder / MODEL_FILE), folder / "photos"
    with new_folder(photos) as fresh:
        for photo in demo_photos():
            shutil.copy(photo, fresh / photo.name)
    return [model, photos]
