"""The best low rank for a change of weights: a LoRA out of a trained UNet, or out of a larger LoRA.

Eckart and Young 1936 (https://doi.org/10.1007/BF02288367): the first r singular vectors are the closest
matrix of rank r, and the squares of their singular values the share of the change that they capture.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dreamgui.config import LoraTargets
from dreamgui.errors import BadInput
from dreamgui.models.lora.adapters import TARGETS, LoraFile
from dreamgui.models.lora.kinds import Change, LowRank
from dreamgui.models.lora.merge import UnetFiles
from dreamgui.models.recognition.lora_names import TEXT, UNET

CURVE_RANKS = 128


@dataclass(frozen=True)
class Extraction:
    """A LoRA found by singular values.

    Attributes:
        file: in diffusers' keys, fp16, with alpha equal to the rank.
        captured: share of the squared change of the adapted layers that ranks 1, 2, 3... capture, 0 to 1.
        reachable: share of the squared change of the whole UNet that lies in the adapted layers.
    """

    file: LoraFile
    rank: int
    captured: tuple[float, ...]
    reachable: float

    def at(self, rank: int) -> float:
        """Share that this rank captures of the adapted layers' change."""
        return self.captured[min(rank, len(self.captured)) - 1]


def extract(
    base: Path, trained: Path, rank: int, targets: LoraTargets, device: torch.device
) -> Generator[tuple[int, int], None, Extraction]:
    """A LoRA of this rank that turns one UNet into another as closely as possible.

    Args:
        base, trained: safetensors files of the two UNets.

    Yields:
        how many of how many layers are done.

    Raises:
        BadInput: they don't differ in these layers.
        BadModelFile: they aren't UNets of one kind.
    """
    files = UnetFiles([base, trained])
    layers = _layers(files, targets)
    ends = {f"{path}.weight" for path in layers}
    energies = torch.zeros(CURVE_RANKS, dtype=torch.float64)
    inside = outside = 0.0
    found: dict[str, LowRank] = {}
    for key in files.shapes.keys() - ends:
        before, after = files.tensors(key)
        outside += float((after.float() - before.float()).double().square().sum())
    for done, path in enumerate(layers):
        yield done, len(layers)
        before, after = files.tensors(f"{path}.weight")
        change = (after.float() - before.float()).to(device)
        inside += float(change.double().square().sum())
        if change.any():
            found[path], squares = closest(change, rank)
            energies[: len(squares)] += squares[:CURVE_RANKS].cpu()
    if not inside:
        raise BadInput("The two models don't differ in these layers.", "Choose a run whose UNet was trained.")
    yield len(layers), len(layers)
    captured = tuple((energies.cumsum(0) / inside).clamp(0, 1).tolist())
    return Extraction(lora_file(found, rank), rank, captured, inside / (inside + outside))


def closest(change: Tensor, rank: int) -> tuple[LowRank, Tensor]:
    """The closest change of this rank, and the squares of all singular values, largest first.

    The shorter side's Gram matrix in fp64 has the singular vectors as its eigenvectors; the other factor is
    the projection on them.
    """
    flat = change.flatten(1).double()
    tall = flat.shape[0] > flat.shape[1]
    matrix = flat.T if tall else flat
    squares, vectors = torch.linalg.eigh(matrix @ matrix.T)
    squares, vectors = squares.flip(0).clamp(min=0), vectors.flip(1)[:, :rank]
    projected = vectors.T @ matrix
    # Both factors get the root of the singular value, so that neither is too small for fp16.
    root = squares[:rank].sqrt().sqrt().clamp(min=1e-12)
    narrow, wide = vectors * root, projected / root[:, None]
    up, down = (wide.T, narrow.T) if tall else (narrow, wide)
    return LowRank(*_shaped(up, down, change.shape), scale=1.0), _padded(squares)


def resize(
    layers: Mapping[str, Change], rank: int, text: Mapping[str, Change] | None = None
) -> tuple[LoraFile, tuple[float, ...]]:
    """A LoRA of a smaller rank, and the share of its squared change that ranks 1, 2, 3... capture.

    Args:
        text: the text encoder's layers, made smaller as well.

    Raises:
        BadInput: the LoRA has no larger rank than this, changes nothing, or is of another kind than LoRA.
    """
    parts = {UNET: _low_ranks(layers), TEXT: _low_ranks(text or {})}
    largest = max(layer.rank for part in parts.values() for layer in part.values())
    if rank >= largest:
        raise BadInput(f"The LoRA has the rank {largest}; {rank} isn't smaller.", "Choose a smaller rank.")
    energies = torch.zeros(largest, dtype=torch.float64)
    found: dict[str, dict[str, LowRank]] = {UNET: {}, TEXT: {}}
    for name, part in parts.items():
        for path, layer in part.items():
            found[name][path], squares = _smaller(layer, rank)
            energies[: len(squares)] += squares
    if not energies.sum():
        raise BadInput("The LoRA changes nothing.", "Choose one that was trained.")
    captured = tuple((energies.cumsum(0) / energies.sum()).tolist())
    return lora_file(found[UNET], rank, found[TEXT]), captured


def lora_file(
    layers: Mapping[str, LowRank], rank: int, text: Mapping[str, LowRank] | None = None
) -> LoraFile:
    """Layers of scale 1 as a file in diffusers' keys, fp16, alpha equal to the rank.

    A layer that can't have the full rank (a first layer of 4 channels) is filled up with zeros.
    """
    return LoraFile(
        {path: _filled_up(layer, rank) for path, layer in layers.items()},
        {path: _filled_up(layer, rank) for path, layer in (text or {}).items()},
    )


def _filled_up(layer: LowRank, rank: int) -> LowRank:
    missing = rank - layer.rank
    up = torch.cat([layer.up, layer.up.new_zeros(layer.up.shape[0], missing, *layer.up.shape[2:])], 1)
    down = torch.cat([layer.down, layer.down.new_zeros(missing, *layer.down.shape[1:])])
    return LowRank(down.half().cpu().contiguous(), up.half().cpu().contiguous(), layer.scale)


def _low_ranks(layers: Mapping[str, Change]) -> dict[str, LowRank]:
    found = {path: layer for path, layer in layers.items() if isinstance(layer, LowRank)}
    if others := sorted({layer.word for layer in layers.values()} - {LowRank.word}):
        raise BadInput(
            f"It holds {', '.join(others)} layers, and only a LoRA's can be made smaller.",
            "Merge it into a UNet (dreamgui merge), and extract a LoRA of the wanted rank.",
        )
    return found


def _smaller(layer: LowRank, rank: int) -> tuple[LowRank, Tensor]:
    """Singular values of up @ down without that product: those of the two triangles of their QR."""
    up, down = layer.up.flatten(1).double(), layer.down.flatten(1).double()
    (left, upper), (right, lower) = torch.linalg.qr(up), torch.linalg.qr(down.T)
    u, s, v = torch.linalg.svd(layer.scale * upper @ lower.T)
    keep = slice(0, min(rank, len(s)))
    root = s[keep].sqrt()
    new_up, new_down = left @ u[:, keep] * root, root[:, None] * (right @ v[keep].T).T
    shape = torch.Size([layer.up.shape[0], *layer.down.shape[1:]])
    return LowRank(*_shaped(new_up, new_down, shape), scale=1.0), s.square()


def _shaped(up: Tensor, down: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """(down, up) as the halves of a linear layer's or a convolution's adapter."""
    down, up = down.reshape(down.shape[0], *shape[1:]).float(), up.float()
    return down, up if len(shape) == 2 else up[:, :, None, None]


def _padded(squares: Tensor) -> Tensor:
    """At least as many as the curve has ranks: a small layer is captured whole by its own rank."""
    return torch.nn.functional.pad(squares, (0, max(0, CURVE_RANKS - len(squares))))


def _layers(files: UnetFiles, targets: LoraTargets) -> list[str]:
    wanted = tuple(f".{name}" for name in TARGETS[targets])
    paths = [
        key.removesuffix(".weight")
        for key, shape in files.shapes.items()
        if key.endswith(".weight") and len(shape) >= 2
    ]
    return [path for path in paths if path.endswith(wanted)]
