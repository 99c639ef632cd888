"""A ControlNet from a single file: lllyasviel's and civitai's, in LDM's layout or diffusers', with or without prefix.

The layout is known by the tensors' names. Safetensors go through their library, pickled files (.pth) through our
reader, so that nothing of them is executed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
from torch import Tensor

from dreamgui.errors import BadModelFile
from dreamgui.models.files.reading import TensorReader
from dreamgui.models.recognition.recognise import read_any_header

PREFIX = "control_model."
_CONTROL_EMBEDDING = re.compile(r"controlnet_cond_embedding\.(conv_in|blocks\.\d*[13579])\.weight")


def load_single_file(path: Path, unet: UNet2DConditionModel, dtype: torch.dtype) -> ControlNetModel:
    """Return the ControlNet of a file, for a base model's UNet.

    Args:
        path: .safetensors, .pth or .ckpt; a checkpoint may hold other parts beside its ControlNet.
        unet: the base model's; it tells the ControlNet's blocks.
        dtype: of the ControlNet's weights.

    Raises:
        BadModelFile: it can't be read, holds no ControlNet, or one for another base model.
    """
    tensors = diffusers_keys(read_tensors(path), unet)
    if "controlnet_cond_embedding.conv_in.weight" not in tensors:
        raise BadModelFile(
            f"{path.name} holds no ControlNet.",
            "Choose a ControlNet's file, for instance control_v11p_sd15_canny.",
        )
    channels = tuple(
        int(tensors[key].shape[0])
        for key in sorted(filter(_CONTROL_EMBEDDING.fullmatch, tensors), key=_order)
    )
    kind: Any = ControlNetModel
    model = kind.from_unet(unet, conditioning_embedding_out_channels=channels, load_weights_from_unet=False)
    try:
        model.load_state_dict({key: value.float() for key, value in tensors.items()}, strict=True)
    except RuntimeError as error:
        cause = str(error).splitlines()[1 if "\n" in str(error) else 0].strip()[:200]
        raise BadModelFile(
            f"The ControlNet in {path.name} doesn't fit this base model: {cause}",
            "Choose one for Stable Diffusion 1.5, whole and not as a difference.",
        ) from error
    return torch.nn.Module.to(model, dtype)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return a file's ControlNet tensors without their prefix, or all of them where none has it.

    Raises:
        BadModelFile: it can't be read.
    """
    _, header = read_any_header(path)
    prefixed = [key for key in header.shapes if key.startswith(PREFIX)]
    with TensorReader(path, header) as reader:
        return {key.removeprefix(PREFIX): reader.get(key) for key in prefixed or header.shapes}


def diffusers_keys(tensors: Mapping[str, Tensor], unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """Return a ControlNet's tensors by diffusers' names. Those that are so named already stay."""
    if "time_embed.0.weight" not in tensors:
        return dict(tensors)
    converted = convert_controlnet_checkpoint(dict(tensors), dict(unet.config))
    return {key: value for key, value in converted.items() if value is not None}


def _order(key: str) -> tuple[bool, int]:
    """Order of the map encoder's layers: its first one, then its blocks by number."""
    number = re.search(r"blocks\.(\d+)", key)
    return number is not None, int(number[1]) if number else 0
