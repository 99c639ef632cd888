"""Arithmetic of weights: what a LoRA adds to a layer, a UNet with it merged in, a mix of UNets.

Everything is computed in fp32, one tensor at a time, straight from the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dreamgui.errors import BadModelFile, Damaged
from dreamgui.models.files.header import read_header
from dreamgui.models.files.layout import TEXT_MODEL
from dreamgui.models.files.writing import TensorEntry, cast
from dreamgui.models.lora.kinds import Change
from dreamgui.models.lora.layers import require_fit, tensor_key


def added(key: str, tensor: Tensor, layers: Mapping[str, Change], strength: float) -> Tensor:
    """A model's tensor with the LoRA applied, fp32, or the weight itself where the LoRA doesn't touch it.

    Raises:
        BadModelFile: the LoRA is made for a layer of another shape.
    """
    layer = key.removesuffix(".weight")
    if layer not in layers:
        return tensor
    require_fit(layer, layers[layer], tuple(tensor.shape))
    return layers[layer].applied(tensor, strength)


def require_layers(layers: Iterable[str], weights: Path) -> None:
    """Raise BadModelFile where a LoRA adapts layers that this part lacks: they'd silently do nothing."""
    known = {TEXT_MODEL + key.removeprefix(TEXT_MODEL): key for key in read_header(weights).shapes}
    known |= {key: key for key in known.values()}
    foreign = [layer for layer in layers if tensor_key(layer) not in known]
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


def mixed_entries(unet_files: Sequence[Path], shares: Sequence[float]) -> list[TensorEntry]:
    """The tensors of the sum of UNets, each times its share, in the first one's dtype.

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


def _entries(files: UnetFiles, read: Callable[[str], Tensor]) -> list[TensorEntry]:
    entries = []
    for key, shape in files.shapes.items():
        dtype = files.tensors(key)[0].dtype
        entries.append(TensorEntry(key, shape, dtype, partial(read, key)))
    return entries
