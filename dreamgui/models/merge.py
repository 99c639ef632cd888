"""Arithmetic of weights: what a LoRA adds to a layer, a UNet with it merged in, a mix of UNets.

Everything is computed in fp32, one tensor at a time, straight from the files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dreamgui.errors import BadInput, BadModelFile, Damaged
from dreamgui.models.export_stream import Entry, cast
from dreamgui.models.header import read_header
from dreamgui.models.layout import TEXT_MODEL
from dreamgui.models.lora_files import PREFIX, LoraFile
from dreamgui.models.text_encoders import TEXT_PREFIX

_DOWN, _UP, _MAGNITUDE = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"


@dataclass(frozen=True)
class LowRank:
    """What a LoRA does to one layer: it adds ``scale * up @ down`` (Hu et al. 2021,
    https://arxiv.org/abs/2106.09685), and a DoRA then sets each output's norm (Liu et al. 2024,
    https://arxiv.org/abs/2402.09353).

    ``down`` is [rank, in, *kernel], ``up`` is [out, rank] or [out, rank, 1, 1], ``magnitude`` has a number
    for each of out.
    """

    down: Tensor
    up: Tensor
    scale: float
    magnitude: Tensor | None = None

    @property
    def rank(self) -> int:
        """Rows of ``down``."""
        return self.down.shape[0]

    def delta(self) -> Tensor:
        """What is added to the layer's weight, fp32, [out, in, *kernel]."""
        flat = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return (self.scale * flat).reshape(self.up.shape[0], *self.down.shape[1:])

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """The layer's weight with this done to it, fp32, at a strength."""
        total = weight.float() + strength * self.delta().reshape(weight.shape)
        if self.magnitude is None:
            return total
        factor = self.magnitude.float().flatten() / total.flatten(1).norm(dim=1)
        return total * factor.reshape(-1, *[1] * (weight.ndim - 1))


def low_ranks(file: LoraFile) -> dict[str, LowRank]:
    """Path of a UNet's layer to what the LoRA does to it.

    Raises:
        BadModelFile: a layer lacks a half, or the adapter is of another kind than LoRA, LoCon or DoRA.
    """
    return _low_ranks(file.tensors, PREFIX, file.adapter_settings or {})


def text_low_ranks(file: LoraFile) -> dict[str, LowRank]:
    """The same of the text encoder's layers, ``text_model.`` in front; empty for most LoRAs."""
    return _low_ranks(file.text, TEXT_PREFIX, {"lora_alpha": file.text_alpha})


def require_plain(layers: Mapping[str, LowRank]) -> None:
    """Raise BadInput for a DoRA, which is no low rank alone."""
    if any(layer.magnitude is not None for layer in layers.values()):
        raise BadInput(
            "This is a DoRA: besides its low rank it holds magnitudes, which only diffusers reads alike.",
            "Export it as lora-diffusers or single-file, or bake it into a UNet (dreamgui merge).",
        )


def _low_ranks(tensors: Mapping[str, Tensor], prefix: str, settings: Mapping[str, Any]) -> dict[str, LowRank]:
    alphas, alpha = settings.get("alpha_pattern") or {}, settings.get("lora_alpha")
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        plain = key.removesuffix(".weight") if _MAGNITUDE in key else key
        kind = next((kind for kind in (_DOWN, _UP, _MAGNITUDE) if plain.endswith(kind)), None)
        if kind is None or not key.startswith(prefix):
            raise BadModelFile(f"The LoRA holds {key}, which plain LoRAs don't.", "Choose a LoRA or LoCon.")
        found.setdefault(plain.removeprefix(prefix).removesuffix(kind), {})[kind] = value
    layers = {}
    for path, own in found.items():
        if _DOWN not in own or _UP not in own:
            raise BadModelFile(f"The LoRA lacks one half of {path}.", "Download or train it again.")
        rank = own[_DOWN].shape[0]
        wanted = alphas.get(path, rank if alpha is None else alpha)
        scale = wanted / (math.sqrt(rank) if settings.get("use_rslora") else rank)
        layers[path] = LowRank(own[_DOWN], own[_UP], scale, own.get(_MAGNITUDE))
    return layers


def added(key: str, weight: Tensor, layers: Mapping[str, LowRank], strength: float) -> Tensor:
    """A model's tensor with the LoRA applied, fp32; itself where the LoRA doesn't touch it.

    Raises:
        BadModelFile: the LoRA is made for a layer of another shape.
    """
    layer = layers.get(key.removesuffix(".weight")) if key.endswith(".weight") else None
    if layer is None:
        return weight
    shape = (layer.up.shape[0], *layer.down.shape[1:])
    if math.prod(shape) != weight.numel() or shape[:2] != tuple(weight.shape[:2]):
        raise BadModelFile(
            f"The LoRA's {key} has the shape {list(shape)}, the model's {list(weight.shape)}.",
            "Choose a LoRA that was made for this model.",
        )
    return layer.applied(weight, strength)


def require_layers(layers: Iterable[str], weights: Path) -> None:
    """Raise BadModelFile where a LoRA adapts layers that this part lacks: they'd silently do nothing."""
    known = {TEXT_MODEL + key.removeprefix(TEXT_MODEL): key for key in read_header(weights).shapes}
    known |= {key: key for key in known.values()}
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
