"""Arithmetic of weights: what a LoRA adds to a layer, a UNet with it merged in, a mix of UNets.

Everything is computed in fp32, one tensor at a time, straight from the files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dreamgui.errors import BadModelFile, Damaged
from dreamgui.models.export_stream import Entry, cast
from dreamgui.models.header import read_header
from dreamgui.models.lora_files import PREFIX, LoraFile

_HALVES = (".lora_A.weight", ".lora_B.weight")


@dataclass(frozen=True)
class LowRank:
    """What a LoRA adds to one layer: ``scale * up @ down`` (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

    ``down`` is [rank, in, *kernel], ``up`` is [out, rank] or [out, rank, 1, 1].
    """

    down: Tensor
    up: Tensor
    scale: float

    @property
    def rank(self) -> int:
        """Rows of ``down``."""
        return self.down.shape[0]

    def delta(self) -> Tensor:
        """The change of the layer's weight, fp32, [out, in, *kernel]."""
        flat = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return (self.scale * flat).reshape(self.up.shape[0], *self.down.shape[1:])


def low_ranks(file: LoraFile) -> dict[str, LowRank]:
    """Layer path to what the LoRA adds to it, with ``alpha / rank`` as the scale.

    Raises:
        BadModelFile: a layer lacks a half, or the adapter isn't a plain LoRA (DoRA has a magnitude too).
    """
    settings = file.adapter_settings or {}
    alphas, alpha = settings.get("alpha_pattern") or {}, settings.get("lora_alpha")
    halves: dict[str, dict[str, Tensor]] = {}
    for key, value in file.tensors.items():
        half = next((half for half in _HALVES if key.endswith(half)), None)
        if half is None or not key.startswith(PREFIX):
            raise BadModelFile(f"The LoRA holds {key}, which plain LoRAs don't.", "Choose a LoRA or LoCon.")
        halves.setdefault(key.removeprefix(PREFIX).removesuffix(half), {})[half] = value
    layers = {}
    for path, pair in halves.items():
        if len(pair) != 2:
            raise BadModelFile(f"The LoRA lacks one half of {path}.", "Download or train it again.")
        down, up = (pair[half] for half in _HALVES)
        rank = down.shape[0]
        own = alphas.get(path, rank if alpha is None else alpha)
        layers[path] = LowRank(down, up, own / (math.sqrt(rank) if settings.get("use_rslora") else rank))
    return layers


def added(key: str, weight: Tensor, layers: Mapping[str, LowRank], strength: float) -> Tensor:
    """A UNet's tensor with the LoRA's share added, fp32; itself where the LoRA doesn't touch it.

    Raises:
        BadModelFile: the LoRA is made for a layer of another shape.
    """
    layer = layers.get(key.removesuffix(".weight")) if key.endswith(".weight") else None
    if layer is None:
        return weight
    delta = layer.delta()
    if delta.numel() != weight.numel() or delta.shape[:2] != weight.shape[:2]:
        raise BadModelFile(
            f"The LoRA's {key} has the shape {list(delta.shape)}, the model's {list(weight.shape)}.",
            "Choose a LoRA that was made for this model.",
        )
    return weight.float() + strength * delta.reshape(weight.shape)


def require_layers(layers: Iterable[str], unet_file: Path) -> None:
    """Raise BadModelFile where a LoRA adapts layers that this UNet doesn't have: they'd silently do nothing."""
    known = read_header(unet_file).shapes
    foreign = [path for path in layers if f"{path}.weight" not in known]
    if foreign:
        raise BadModelFile(
            f"The LoRA adapts {foreign[0]} and {len(foreign) - 1} more layers that this model doesn't have.",
            "Choose a LoRA for Stable Diffusion 1.5.",
        )


class UnetFiles:
    """UNet files opened side by side, that must have the same keys and shapes."""

    def __init__(self, paths: Sequence[Path]) -> None:
        shapes = [read_header(path).shapes for path in paths]
        for path, own in zip(paths[1:], shapes[1:], strict=True):
            if own != shapes[0]:
                differing = sorted(own.items() ^ shapes[0].items())[0][0]
                raise BadModelFile(
                    f"{paths[0]} and {path} aren't UNets of one kind: they differ in {differing}.",
                    "Choose two models of the same family.",
                )
        try:
            self._files = [safe_open(path, "pt") for path in paths]
        except (OSError, SafetensorError) as error:
            raise Damaged(f"A UNet can't be read: {error}.", "Convert or train it again.") from error
        self.shapes = shapes[0]

    def tensors(self, key: str) -> list[Tensor]:
        """The tensor of this key out of each file."""
        return [file.get_tensor(key) for file in self._files]


def merged_entries(unet_file: Path, layers: Mapping[str, LowRank], strength: float) -> list[Entry]:
    """The tensors of a UNet with a LoRA merged in, in the UNet's own number format."""
    require_layers(layers, unet_file)
    files = UnetFiles([unet_file])

    def read(key: str) -> Tensor:
        (weight,) = files.tensors(key)
        return cast(key, added(key, weight, layers, strength), weight.dtype)

    return _entries(files, read)


def mixed_entries(unet_files: Sequence[Path], shares: Sequence[float]) -> list[Entry]:
    """The tensors of the sum of UNets, each times its share, in the first one's number format.

    A weighted sum has the shares 1 - w and w; "add difference" (A + w (B - C)) has 1, w and -w.
    """
    files = UnetFiles(unet_files)

    def read(key: str) -> Tensor:
        tensors = files.tensors(key)
        total = torch.zeros_like(tensors[0], dtype=torch.float32)
        for tensor, share in zip(tensors, shares, strict=True):
            total.add_(tensor.float(), alpha=share)
        return cast(key, total, tensors[0].dtype)

    return _entries(files, read)


def _entries(files: UnetFiles, read: Callable[[str], Tensor]) -> list[Entry]:
    entries = []
    for key, shape in files.shapes.items():
        dtype = files.tensors(key)[0].dtype
        entries.append(Entry(key, shape, dtype, partial(read, key)))
    return entries
