"""Names of a checkpoint's files, and whether it is whole. The module needs no torch.

step-000100/training.safetensors   weights, optimizer state, losses
step-000100/checkpoint.json        step, size of the other file, numbers
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dreamgui.workspace import read_json

TENSORS, CARD = "training.safetensors", "checkpoint.json"


def checkpoint_name(step: int) -> str:
    """Return the name of a step's checkpoint folder."""
    return f"step-{step:06d}"


def read_checkpoint_card(folder: Path) -> dict[str, Any]:
    """Return a whole checkpoint's card.

    Raises:
        OSError, ValueError, KeyError: a file is missing or broken, or the tensors are cut off.
    """
    card = read_json(folder / CARD)
    path = folder / TENSORS
    if path.stat().st_size != card["size_bytes"]:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, not {card['size_bytes']}")
    return card


def whole_steps(checkpoints: Path) -> list[int]:
    """Return the steps of the whole checkpoints in a folder, in ascending order."""
    steps = []
    for folder in checkpoints.glob("step-*"):
        try:
            steps.append(int(read_checkpoint_card(folder)["step"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    return sorted(steps)
