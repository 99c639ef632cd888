"""What the certificate draws with: exports opened by diffusers' own loaders, as any other program would."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors import SafetensorError

from dreamgui.errors import Damaged
from dreamgui.models.cards import ModelCard
from dreamgui.models.loading import Parts
from dreamgui.models.lora_files import attach_lora, detach_lora, read_lora
from dreamgui.models.text_encoders import attach_text_lora


def open_whole(
    path: Path, config: Path, card: ModelCard, device: torch.device, dtype: torch.dtype
) -> tuple[Parts, str]:
    """A single file (``from_single_file``) or a diffusers folder (``from_pretrained``), without a network.

    Args:
        config: the diffusers folder that a single file's configs and tokenizer are taken from.

    Returns:
        the loaded parts, and the loader's name.

    Raises:
        Damaged: diffusers can't load it.
    """
    kind: Any = StableDiffusionPipeline
    loader = kind.from_pretrained if path.is_dir() else kind.from_single_file
    source = {} if path.is_dir() else {"config": str(config)}
    try:
        pipeline = loader(str(path), local_files_only=True, torch_dtype=dtype, **source)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise _refused(path, error) from error
    parts = Parts(
        unet=_placed(pipeline.unet, device),
        vae=_placed(pipeline.vae, device),
        text_encoder=_placed(pipeline.text_encoder, device),
        tokenizer=pipeline.tokenizer,
        scheduler_config=dict(pipeline.scheduler.config),
        controlnet=None,
        device=device,
        dtype=dtype,
        card=card,
    )
    return parts, loader.__name__


@contextmanager
def lora_by_diffusers(parts: Parts, path: Path) -> Iterator[Parts]:
    """The lent base with a LoRA file attached by ``load_lora_weights``, taken off again after the block.

    Raises:
        Damaged: diffusers can't load it, or loads nothing from it.
    """
    kind: Any = StableDiffusionPipeline
    # Only the UNet is cleaned without a trace, so the text encoder is a copy.
    text_encoder: Any = copy.deepcopy(parts.text_encoder)
    pipeline = kind(
        None, text_encoder, None, parts.unet, DDIMScheduler(), None, None, requires_safety_checker=False
    )
    try:
        pipeline.load_lora_weights(str(path.parent), weight_name=path.name, local_files_only=True)
        if not pipeline.get_list_adapters().get("unet"):
            raise ValueError("no layer of the UNet was adapted")
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        pipeline.unload_lora_weights()
        raise _refused(path, error) from error
    try:
        yield replace(parts, text_encoder=text_encoder)
    finally:
        pipeline.unload_lora_weights()
        parts.unet.requires_grad_(False)


@contextmanager
def lora_by_us(parts: Parts, path: Path | None) -> Iterator[Parts]:
    """The lent base with a LoRA file attached by our own reader; as it is without a file.

    Raises:
        BadModelFile: it can't be read, or belongs to another model.
    """
    if path is None:
        yield parts
        return
    file = read_lora(path, parts.unet)
    text_encoder: Any = parts.text_encoder
    if file.text:
        text_encoder = copy.deepcopy(text_encoder)
        attach_text_lora(text_encoder, file.text, file.text_alpha, 1.0)
    attach_lora(parts.unet, path)
    try:
        yield replace(parts, text_encoder=text_encoder)
    finally:
        detach_lora(parts.unet)


def _placed(module: Any, device: torch.device) -> Any:
    module.requires_grad_(False)
    module.eval()
    if device.type == "cuda":
        return module.to(device, memory_format=torch.channels_last)
    return module.to(device)


def _refused(path: Path, error: Exception) -> Damaged:
    return Damaged(
        f"diffusers can't load the export {path.name}: {str(error).splitlines()[0]}",
        "Nothing was saved; please report this with the message.",
    )
