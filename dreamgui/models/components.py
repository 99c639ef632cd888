"""The three parts of a model that is being put together: which file each comes from, and by which keys."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dreamgui.config import Dtype
from dreamgui.errors import BadModelFile
from dreamgui.models.header import Header
from dreamgui.models.layout import PARTS, PREFIXES, TEXT_MODEL, Layout, Part, Slot
from dreamgui.models.reading import TensorReader
from dreamgui.models.recognise import PART_WORDS, read_any_header
from dreamgui.models.roots import Root, ema_key, find_roots, has_ema
from dreamgui.models.writing import NonFiniteError, finite, write_safetensors

WEIGHTS: dict[Part, str] = {
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
}
DTYPES: dict[Dtype, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
# What diffusers called the VAE's attention before 0.16; many folders on the hub still do.
_OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@dataclass(frozen=True)
class Component:
    """One part of a model, ready to be copied.

    Attributes:
        keys: the part's own key (diffusers') to the file's key.
        slots: the part's own key to its place and shape.
        told: where it comes from, for people: a file's name, "the model 'portraits'".
    """

    part: Part
    path: Path
    header: Header
    keys: dict[str, str]
    slots: dict[str, Slot]
    told: str


def find_components(path: Path, header: Header, layout: Layout, ema: bool = False) -> dict[Part, Component]:
    """The parts that a file holds, each whole and of the layout's shapes.

    Args:
        ema: take the UNet's running average in place of its weights.

    Raises:
        BadModelFile: a part that is there lacks a tensor, or one has another shape; or EMA weights are wanted and
            there are none.
    """
    roots = find_roots(header)
    if ema and "unet" in roots and not has_ema(header):
        raise BadModelFile(f"{path.name} holds no EMA weights.", "Convert it with the plain weights.")
    return {part: _component(part, path, header, layout, roots[part], ema) for part in PARTS if part in roots}


def part_files(part: Part) -> tuple[str, ...]:
    """What a diffusers folder may call a part's weights: fp16 first as it is half the size, pickled ones last."""
    stem = WEIGHTS[part].removesuffix(".safetensors")
    old = "text_encoder/pytorch_model" if part == "text_encoder" else stem
    return f"{stem}.fp16.safetensors", f"{stem}.safetensors", f"{old}.fp16.bin", f"{old}.bin"


def part_file(part: Part, names: Collection[str]) -> str:
    """The best of a folder's files for a part, or nothing."""
    return next((name for name in part_files(part) if name in names), "")


def folder_components(folder: Path, layout: Layout, told: str) -> dict[Part, Component]:
    """The three parts of a diffusers folder.

    Raises:
        BadModelFile: a part is missing, isn't what its place in the folder says, or isn't of the layout's shapes.
    """
    found = {}
    for part in PARTS:
        name = next((name for name in part_files(part) if (folder / name).is_file()), "")
        if not name:
            raise BadModelFile(
                f"{told} has no {WEIGHTS[part]}.",
                "Choose a diffusers folder of Stable Diffusion 1.5, or a single file.",
            )
        path = folder / name
        inside = find_components(path, read_any_header(path)[1], layout)
        if part not in inside:
            raise BadModelFile(
                f"{name} of {told} holds no {PART_WORDS[part]}.", "Choose a model of Stable Diffusion 1.5."
            )
        found[part] = replace(inside[part], told=told)
    return found


def write_components(components: Mapping[Part, Component], folder: Path, dtype: Dtype) -> Iterator[Part]:
    """Write the parts into a diffusers folder, a few megabytes in memory at a time.

    Yields:
        each part, once its file is written.

    Raises:
        BadModelFile: a tensor holds NaN or infinity, doesn't fit into ``dtype``, or can't be read.
    """
    for part in PARTS:
        one = components[part]
        target = folder / WEIGHTS[part]
        target.parent.mkdir(parents=True, exist_ok=True)
        shapes = {key: slot.shape for key, slot in one.slots.items()}
        with TensorReader(one.path, one.header) as reader:
            try:
                write_safetensors(target, shapes, DTYPES[dtype], lambda key: _floating(one, key, reader))  # noqa: B023
            except NonFiniteError as error:
                raise _not_finite(one, error.name, reader.get(one.keys[error.name]), dtype) from error
        yield part


def _component(part: Part, path: Path, header: Header, layout: Layout, root: Root, ema: bool) -> Component:
    slots = {slot.key: slot for slot in layout.values() if slot.part == part}
    names = {slot.key: key.removeprefix(PREFIXES[part]) for key, slot in layout.items() if slot.part == part}
    keys = {}
    for key, slot in slots.items():
        own = next((name for name in _names(key, names[key], part, root, ema) if name in header.shapes), "")
        if not own:
            missing = next(iter(_names(key, names[key], part, root, ema)))
            raise BadModelFile(
                f"{path.name} lacks the tensor {missing}.",
                "Choose a complete checkpoint of Stable Diffusion 1.5.",
            )
        _check_shape(path, own, header.shapes[own], slot)
        keys[key] = own
    return Component(part, path, header, keys, slots, path.name)


def _names(key: str, ldm: str, part: Part, root: Root, ema: bool) -> Iterator[str]:
    """What a file may call a tensor, the likeliest name first."""
    if part == "unet" and ema:
        yield ema_key(root, ldm)
    elif part == "text_encoder":
        yield root.prefix + key.removeprefix(TEXT_MODEL)
    elif root.style == "ldm":
        yield root.prefix + ldm
    else:
        yield root.prefix + key
        for new, old in _OLD_ATTENTION.items():
            if part == "vae" and f".{new}." in key:
                yield root.prefix + key.replace(f".{new}.", f".{old}.")


def _check_shape(path: Path, key: str, shape: tuple[int, ...], slot: Slot) -> None:
    if shape not in (slot.ldm_shape, slot.shape, (*slot.shape, 1)):
        raise BadModelFile(
            f"{path.name}: {key} has the shape {list(shape)}, not {list(slot.ldm_shape)}.",
            "Choose a checkpoint of Stable Diffusion 1.5.",
        )


def _floating(one: Component, key: str, reader: TensorReader) -> torch.Tensor:
    own = one.keys[key]
    tensor = reader.get(own)
    if not tensor.is_floating_point():
        raise BadModelFile(
            f"{one.path.name}: {own} holds whole numbers ({tensor.dtype}).", "Choose another checkpoint."
        )
    return tensor


def _not_finite(one: Component, key: str, tensor: torch.Tensor, dtype: Dtype) -> BadModelFile:
    """Whether the file is damaged, or the number format too small for it."""
    values = tensor.float()
    damaged = not finite(values)
    why = "NaN or infinity" if damaged else f"{values.abs().max().item():.3g}, too large for {dtype}"
    return BadModelFile(
        f"{one.path.name}: {one.keys[key]} holds {why}.",
        "The file is damaged; choose another." if damaged else "Convert it with the number format fp32.",
    )
