"""LoRAs that were read lately, kept for one UNet: a grid of pictures enters each of them again and again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dreamgui.models.lora.adapters import LoraFile, read_lora
from dreamgui.models.lora.kinds import Change, LowRank

MOST = 8
"""LoRAs kept at once; the ones that were wanted longest ago go first."""
MOST_BYTES = 300_000_000
"""Larger files are read each time."""


class ReadLoras:
    """Reads LoRAs. Their halves lie on the device the next time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: dict[tuple[Path, int, int], LoraFile] = {}

    def read(self, path: Path, unet: Any) -> LoraFile:
        """Return a LoRA's file for the UNet whose LoRAs these are.

        Raises:
            BadModelFile: see :func:`~dreamgui.models.lora.adapters.read_lora`.
        """
        if not path.is_file() or (stat := path.stat()).st_size > MOST_BYTES:
            return read_lora(path, unet)
        key = path, stat.st_mtime_ns, stat.st_size
        file = self._kept.pop(key, None) or self._placed(read_lora(path, unet))
        self._kept[key] = file
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
        return file

    def forget(self) -> None:
        """Give the memory back."""
        self._kept.clear()

    def _placed(self, file: LoraFile) -> LoraFile:
        def moved(layers: Any) -> dict[str, Change]:
            return {
                path: change.on(self._device) if isinstance(change, LowRank) else change
                for path, change in layers.items()
            }

        return replace(file, layers=moved(file.layers), text_layers=moved(file.text_layers))
