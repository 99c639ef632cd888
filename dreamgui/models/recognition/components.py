"""The three parts of a model that is being put together: which file each comes from, and by which keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch

from dreamgui.config import Dtype
from dreamgui.errors import BadModelFile
from dreamgui.models.files.dtypes import torch_dtype
from dreamgui.models.files.header import FileHeader
from dreamgui.models.files.layout import PARTS, PREFIXES, TEXT_MODEL, Layout, Part, Slot
from dreamgui.models.files.part_files import WEIGHTS, folder_files
from dreamgui.models.files.reading import TensorReader
from dreamgui.models.files.writing import NonFiniteError, TensorEntry, finite, write_safetensors
from dreamgui.models.recognition.recognise import PART_WORDS, read_any_header
from dreamgui.models.recognition.roots import Root, ema_key, find_roots, has_ema

_SCALES = (".scale_weight", ".weight_scale")
# Positions 0 to 76, the scaling of fp8 activations, and CLIP's sides that Stable Diffusion doesn't ask.
_OF_NO_USE = (
    "position_ids",
    ".scale_input",
    ".input_scale",
    "logit_scale",
    "text_projection.weight",
    "scaled_fp8",
)
# What names of factors hold; an fp8 weight read without one that belongs to it is thousands of times too large.
_OF_FACTORS = ("scale", "absmax")
# What diffusers called the VAE's attention before 0.16; many folders on the hub still do.
_OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@dataclass(frozen=True)
class Component:
    """One part of a model, ready to be copied.

    Attributes:
        keys: the part's own key (diffusers') to the file's key.
        slots: the part's own key to its place and shape.
        origin: where it comes from, for people: a file's name, "the model 'portraits'".
        scales: the part's own key to the file's key of what its narrow (fp8) weight is to be multiplied by.
        unused: the file's tensors under this part's prefix that nothing is made of.
        averaged: whether these are the running average of the weights.
    """

    part: Part
    path: Path
    header: FileHeader
    keys: dict[str, str]
    slots: dict[str, Slot]
    origin: str
    scales: dict[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    averaged: bool = False


def find_components(
    path: Path, header: FileHeader, layout: Layout, ema: bool = False
) -> dict[Part, Component]:
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


def folder_components(folder: Path, layout: Layout, origin: str, ema: bool = False) -> dict[Part, Component]:
    """The parts that a diffusers folder holds, each whole and what its place in the folder says.

    Args:
        ema: take the UNet's running average: the file that isn't marked as the plain weights.

    Raises:
        BadModelFile: a part isn't what its place says, or isn't of the layout's shapes; or EMA weights are wanted and
            the UNet's only file is marked as the plain weights.
    """
    found = {}
    for part, path in folder_files(folder).items():
        if ema and part == "unet" and ".non_ema." in path.name:
            raise BadModelFile(f"{origin} holds no EMA weights.", "Convert it with the plain weights.")
        inside = find_components(path, read_any_header(path)[1], layout)
        if part not in inside:
            raise BadModelFile(
                f"{part}/{path.name} of {origin} holds no {PART_WORDS[part]}.",
                "Choose a model of Stable Diffusion 1.5.",
            )
        found[part] = replace(inside[part], origin=origin)
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
        with TensorReader(one.path, one.header) as reader:
            try:
                entries = [
                    TensorEntry(key, slot.shape, torch_dtype(dtype), partial(_floating, one, key, reader))
                    for key, slot in one.slots.items()
                ]
                write_safetensors(target, entries, require_finite=True)
            except NonFiniteError as error:
                raise _not_finite(one, error.name, reader.get(one.keys[error.name]), dtype) from error
        yield part


def _component(
    part: Part, path: Path, header: FileHeader, layout: Layout, root: Root, ema: bool
) -> Component:
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
    scales = {key: scale for key, own in keys.items() if (scale := _scale_of(own, header))}
    averaged = part == "unet" and (ema or root.averaged)
    used = {*keys.values(), *scales.values()}
    _refuse_unknown_factors(path, header, keys.values(), used)
    unused = () if averaged else _unused(root, header, used)
    first = next(iter(header.files.values()), path)
    return Component(part, first, header, keys, slots, path.name, scales, unused, averaged)


def _scale_of(own: str, header: FileHeader) -> str:
    """The file's key of a weight's factor, or nothing: ComfyUI and others keep fp8 weights divided by one."""
    stem = own.removesuffix(".weight")
    return next((stem + end for end in _SCALES if own != stem and stem + end in header.shapes), "")


def _refuse_unknown_factors(path: Path, header: FileHeader, owned: Iterable[str], used: set[str]) -> None:
    """Raise BadModelFile where an fp8 weight has a factor of another kind than those that are multiplied in."""
    narrow = {key.removesuffix(".weight"): key for key in owned if header.dtypes[key].startswith("F8")}
    if not narrow:
        return
    for key in header.shapes:
        if key in used or key.endswith(_OF_NO_USE) or not any(word in key for word in _OF_FACTORS):
            continue
        stem = key.rsplit(".", 1)[0].removesuffix(".weight")
        if stem in narrow:
            raise BadModelFile(
                f"{path.name}: it isn't known how to multiply the fp8 weight {narrow[stem]} by {key}.",
                "Choose the same model in fp16.",
            )


def _unused(root: Root, header: FileHeader, used: set[str]) -> tuple[str, ...]:
    """Return what lies under a part's prefix and is neither taken nor known to be of no use."""
    others = tuple(each.prefix for each in find_roots(header).values() if len(each.prefix) > len(root.prefix))
    return tuple(
        key
        for key in header.shapes
        if key.startswith(root.prefix)
        and key not in used
        and not key.endswith(_OF_NO_USE)
        and not key.startswith(others)
    )


def _names(key: str, ldm: str, part: Part, root: Root, ema: bool) -> Iterator[str]:
    """Yield names that a file may give a tensor, the likeliest first."""
    if part == "unet" and (ema or root.averaged):
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
    return tensor if key not in one.scales else _multiplied(one, key, tensor, reader)


def _multiplied(one: Component, key: str, tensor: torch.Tensor, reader: TensorReader) -> torch.Tensor:
    """A narrow weight times its factor, which is one number or one a row, in fp32."""
    scale = one.scales[key]
    factor = reader.get(scale).float()
    if factor.numel() not in (1, tensor.shape[0]):
        raise BadModelFile(
            f"{one.path.name}: {scale} has the shape {list(factor.shape)}, which doesn't fit {one.keys[key]}.",
            "Choose another checkpoint.",
        )
    return tensor.float() * factor.reshape(-1, *[1] * (tensor.ndim - 1))


def _not_finite(one: Component, key: str, tensor: torch.Tensor, dtype: Dtype) -> BadModelFile:
    """Return whether the file is damaged, or the dtype too small for it."""
    values = tensor.float()
    damaged = not finite(values)
    why = "NaN or infinity" if damaged else f"{values.abs().max().item():.3g}, too large for {dtype}"
    return BadModelFile(
        f"{one.path.name}: {one.keys[key]} holds {why}.",
        "Choose another file; this one is damaged." if damaged else "Convert it with the dtype fp32.",
    )
