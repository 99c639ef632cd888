"""A model in one file (LDM's layout) taken apart into a diffusers folder's parts, and put together again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from dreamgui.config import Dtype
from dreamgui.errors import BadModelFile
from dreamgui.models.header import Header, read_header
from dreamgui.models.layout import PARTS, POSITION_IDS, PREFIXES, TEXT_MODEL, Layout, Part, Slot

WEIGHTS: dict[Part, str] = {
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
}
DTYPES: dict[Dtype, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def write_parts(source: Path, layout: Layout, folder: Path, dtype: Dtype) -> Iterator[Part]:
    """Write a single file's UNet, text encoder and VAE into a diffusers folder, one part in memory at a time.

    EMA weights, the noise schedule and position ids are left out, as diffusers does.

    Yields:
        each part, once its file is written.

    Raises:
        BadModelFile: a tensor is missing, has another shape, or holds NaN or infinity.
    """
    keys = _match(source, read_header(source), layout)
    try:
        with safe_open(source, "pt") as file:
            for part in PARTS:
                tensors = {}
                for key, slot in layout.items():
                    if slot.part == part:
                        tensors[slot.key] = _cast(
                            source, key, file.get_tensor(keys[key]), slot, DTYPES[dtype]
                        )
                target = folder / WEIGHTS[part]
                target.parent.mkdir(parents=True, exist_ok=True)
                save_file(tensors, target, {"format": "pt"})
                yield part
    except SafetensorError as error:
        raise BadModelFile(f"{source.name} can't be read: {error}.", "Download it again.") from error


def write_single_file(folder: Path, layout: Layout, target: Path, dtype: Dtype | None = None) -> None:
    """Write a diffusers folder's parts as one file in LDM's layout, in ``dtype`` or as they are."""
    tensors = join_parts({part: load_file(folder / WEIGHTS[part]) for part in PARTS}, layout)
    if dtype:
        tensors = {
            key: value.to(DTYPES[dtype]) if value.is_floating_point() else value
            for key, value in tensors.items()
        }
    save_file(tensors, target, {"format": "pt"})


def join_parts(parts: Mapping[Part, Mapping[str, torch.Tensor]], layout: Layout) -> dict[str, torch.Tensor]:
    """The tensors of a single file from the state dicts of the three parts.

    Text-encoder keys may come with or without ``text_model.`` (transformers 5.6 dropped it); the file
    always has it, and the position ids that older programs ask for.
    """
    plain: dict[Part, dict[str, torch.Tensor]] = {part: dict(parts[part]) for part in PARTS}
    plain["text_encoder"] = {
        TEXT_MODEL + key.removeprefix(TEXT_MODEL): v for key, v in plain["text_encoder"].items()
    }
    tensors = {
        key: plain[slot.part][slot.key].detach().to("cpu").reshape(slot.ldm_shape).contiguous()
        for key, slot in layout.items()
    }
    length = layout[f"{PREFIXES['text_encoder']}text_model.embeddings.position_embedding.weight"].shape[0]
    tensors[POSITION_IDS] = torch.arange(length, dtype=torch.int64)[None]
    return tensors


def sha256(path: Path) -> str:
    """Hash of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _match(source: Path, header: Header, layout: Layout) -> dict[str, str]:
    """Layout key to the file's own key; text-encoder keys without ``text_model.`` are found too."""
    keys = {}
    for key, slot in layout.items():
        own = key
        if own not in header.shapes and slot.part == "text_encoder":
            own = key.replace(f".{TEXT_MODEL}", ".", 1)
        if own not in header.shapes:
            raise BadModelFile(
                f"{source.name} lacks the tensor {key}.",
                "Choose a complete checkpoint of Stable Diffusion 1.5.",
            )
        if header.shapes[own] not in (slot.ldm_shape, slot.shape, (*slot.shape, 1)):
            raise BadModelFile(
                f"{source.name}: {key} has the shape {list(header.shapes[own])}, not {list(slot.ldm_shape)}.",
                "Choose a checkpoint of Stable Diffusion 1.5.",
            )
        keys[key] = own
    return keys


def _cast(source: Path, key: str, tensor: torch.Tensor, slot: Slot, dtype: torch.dtype) -> torch.Tensor:
    if not tensor.is_floating_point():
        raise BadModelFile(
            f"{source.name}: {key} holds whole numbers ({tensor.dtype}).", "Choose another checkpoint."
        )
    cast = tensor.reshape(slot.shape).to(dtype)
    if not _finite(cast):
        damaged = not _finite(tensor)
        why = "NaN or infinity" if damaged else f"{tensor.abs().max().item():.3g}, too large for {dtype}"
        raise BadModelFile(
            f"{source.name}: {key} holds {why}.",
            "The file is damaged; choose another." if damaged else "Convert it with the number format fp32.",
        )
    return cast.contiguous()


def _finite(tensor: torch.Tensor) -> bool:
    """Neither NaN nor infinity. aminmax hands NaN on, and takes a twentieth of the time of isfinite."""
    return bool(torch.isfinite(torch.stack(tensor.aminmax())).all())
