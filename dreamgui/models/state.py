"""State of the device's one user: the base model that is kept loaded, and what is in use."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dreamgui.models.catalog.catalog import UNET_FILE
from dreamgui.models.device import give_back_memory
from dreamgui.models.loading import Parts
from dreamgui.models.lora.read_loras import ReadLoras
from dreamgui.models.replay import Replays
from dreamgui.models.unet_weights import UnetWeights


@dataclass
class Base:
    """The base model that is kept loaded. It is without its UNet while a training has that memory.

    Attributes:
        replays: CUDA graphs of its models.
        unets: weights that its UNet has had.
        loras: LoRAs that were read for it.
    """

    folder: Path
    stamp: tuple[int, int]
    parts: Parts
    has_unet: bool
    replays: Replays
    unets: UnetWeights
    loras: ReadLoras

    @classmethod
    def of(cls, folder: Path, stamp: tuple[int, int], parts: Parts) -> Base:
        """Return a base of which nothing was asked yet, without its UNet."""
        device = parts.device
        return cls(folder, stamp, parts, False, Replays(device), UnetWeights(device), ReadLoras(device))

    def forget(self) -> None:
        """Give back what is kept for the next pictures."""
        self.replays.drop()
        self.unets.forget()
        self.loras.forget()


@dataclass
class Now:
    """State of the device, shared by all views of one manager: its user's thread, the name and workspace in use.

    Attributes:
        trains: its user trains in this process, and may lend it between two steps.
        trains_text: the latest training's text encoder trains too, and the base's rests.
    """

    owner: int | None = None
    in_use: str = ""
    root: Path | None = None
    base: Base | None = None
    controlnets: dict[tuple[str, str], Any] = field(default_factory=dict)
    trains: bool = False
    trains_text: bool = False

    def drop_unet(self, base: Base) -> None:
        """Give back the memory of a base's UNet, and of all that was kept for its next pictures."""
        base.forget()
        if base.has_unet:
            unet: Any = base.parts.unet
            unet.to("meta")
        base.has_unet = False
        self.controlnets = {}
        give_back_memory()

    def forget(self) -> None:
        """Give back the memory of the base. A training's own parts stay."""
        self.base, self.controlnets = None, {}
        give_back_memory()


def stamp_of(folder: Path) -> tuple[int, int]:
    """Return what tells a model that was converted anew under its old name."""
    path = folder / UNET_FILE
    return (path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else (0, 0)
