"""Exports for the certificate's picture: opened by diffusers' own loaders, as any other program would."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError

from dreamgui.errors import Damaged
from dreamgui.models.catalog.cards import ModelCard
from dreamgui.models.files.header import read_header
from dreamgui.models.loading import Parts, load_unet, place
from dreamgui.models.recognition.lora_names import TEXT, UNET, take_apart
from dreamgui.models.recognition.recognise import PART_WORDS
from dreamgui.ops.changes import Stage, inject


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
    unet, vae = (place(each, device) for each in (pipeline.unet, pipeline.vae))
    for part in (unet, vae):
        # The live model's kernels, so that pictures differ by the weights alone.
        inject(part, Stage.LOADED, device)
        inject(part, Stage.LENT, device)
    parts = Parts(
        unet=unet,
        vae=vae,
        text_encoder=place(pipeline.text_encoder, device),
        tokenizer=pipeline.tokenizer,
        scheduler_config=dict(pipeline.scheduler.config),
        controlnet=None,
        device=device,
        dtype=dtype,
        card=card,
    )
    return parts, loader.__name__


@contextmanager
def lora_by_diffusers(parts: Parts, path: Path, folder: Path) -> Iterator[Parts]:
    """The lent base with a LoRA file attached by ``load_lora_weights``: to a UNet of its own, as diffusers makes it.

    Args:
        folder: the base's.

    Raises:
        Damaged: diffusers can't load it, or passes over layers of it.
    """
    kind: Any = StableDiffusionPipeline
    text_encoder: Any = copy.deepcopy(parts.text_encoder)
    unet = load_unet(folder, parts.device, parts.dtype)
    pipeline = kind(
        None, text_encoder, None, unet, DDIMScheduler(), None, None, requires_safety_checker=False
    )
    try:
        pipeline.load_lora_weights(str(path.parent), weight_name=path.name, local_files_only=True)
        _require_all_layers(path, {UNET: unet, TEXT: text_encoder})
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise _refused(path, error) from error
    yield replace(parts, unet=unet, text_encoder=text_encoder, replays=None)


def _require_all_layers(path: Path, adapted: Mapping[str, Any]) -> None:
    """Raise ValueError where a LoRA file holds more layers than were adapted by it: diffusers names none of them."""
    names = [name for key in read_header(path).shapes if (name := take_apart(key))]
    for part, module in adapted.items():
        wanted = len({name.path for name in names if name.part == part})
        taken = sum(isinstance(each, LoraLayer) for each in module.modules())
        if taken < wanted:
            raise ValueError(
                f"{wanted - taken} of {wanted} layers of the {PART_WORDS[part]} were passed over"
            )


def _refused(path: Path, error: Exception) -> Damaged:
    return Damaged(
        f"diffusers can't load the export {path.name}: {str(error).splitlines()[0]}",
        "Nothing was saved; please report this with the message.",
    )
