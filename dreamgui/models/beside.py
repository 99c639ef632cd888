"""A model lent to the thread that trains, between two steps of its training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from dreamgui.models.device import free_bytes, memory_bytes
from dreamgui.models.state import Base, Now

ROOM_BYTES = 16_000_000_000
"""The base stays beside a training where that much is free with it: far from a training's peak, which its first
steps have reached."""


@contextmanager
def beside_training(now: Now, root: Path, device: torch.device) -> Iterator[None]:
    """Lend what the training's base or another model needs, in the workspace at ``root``.

    Afterwards the device holds what the training had there. Where there is room it holds the training's base too, whole
    and with its CUDA graphs, so that the next picture waits for no file.
    """
    base, training_root = now.base, now.root
    assert base
    places = base.parts.offloadable.places()
    now.trains, now.root = False, root
    try:
        yield
    finally:
        stays = now.base is base and _stays(now, base, device)
        if now.base not in (None, base):
            now.forget()
        now.base = base
        if not stays:
            base.parts.offloadable.put_back(places)
            now.drop_unet(base)
        now.trains, now.root = True, training_root


def _stays(now: Now, base: Base, device: torch.device) -> bool:
    """Return whether there is room for the training's base.

    A training of the text encoder too moves the base's VAE by itself: graphs would read stale memory.
    """
    if now.trains_text or not base.has_unet:
        return False
    if device.type == "cuda":
        return free_bytes(device) > ROOM_BYTES
    used, total = memory_bytes(device)
    return total - used > ROOM_BYTES
