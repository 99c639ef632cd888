"""Previews by TAESD, a decoder of 1 million parameters that gives nearly the VAE's picture.

Bohan, https://github.com/madebyollin/taesd. It comes with no base model: it is used where a user has put it, as
diffusers' folder or as the single file of its author.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dreamgui.errors import BadModelFile

FOLDER = "taesd"
FILES = ("taesd_decoder.safetensors", "taesd.safetensors")
_WEIGHTS = "diffusion_pytorch_model.safetensors"
_AUTHORS = re.compile(r"(?:decoder\.|taesd_decoder\.)?(\d+)\.(.+)")
_MOST_PX = 512


def tiny_decoder(folders: Sequence[Path], device: torch.device, dtype: torch.dtype) -> AutoencoderTiny | None:
    """Return the TAESD of the first folder that has one, ready for previews, or None where none has.

    Args:
        folders: each is searched for a folder "taesd" and for the files :data:`FILES`.
        device, dtype: of the latents that it will decode.

    Raises:
        BadModelFile: it is there, but can't be read or isn't TAESD.
    """
    path = next(_found(folders), None)
    if path is None:
        return None
    try:
        decoder = (
            AutoencoderTiny.from_pretrained(path, local_files_only=True, use_safetensors=True)
            if path.is_dir()
            else _of_file(path)
        )
    except (OSError, SafetensorError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise BadModelFile(
            f"{path.name} can't be read as TAESD ({str(error).splitlines()[0][:120]}).",
            "Download it again, or remove it: the preview is then a linear map.",
        ) from error
    return decoder.to(device, dtype).requires_grad_(False).eval()


@torch.no_grad()
def tiny_preview(decoder: Any, latents: Tensor) -> Image.Image:
    """Return a picture of latents [4, h, w] as the UNet knows them (scaled), its longer side at most 512 pixels."""
    place = next(decoder.parameters())
    pixels = decoder.decode(latents[None].to(place.device, place.dtype)).sample[0]
    levels = ((pixels.float().cpu().permute(1, 2, 0) / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    image = Image.fromarray(levels.numpy())
    image.thumbnail((_MOST_PX, _MOST_PX))
    return image


def _found(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        if (folder / FOLDER / _WEIGHTS).is_file():
            yield folder / FOLDER
        yield from (folder / name for name in FILES if (folder / name).is_file())


def _of_file(path: Path) -> AutoencoderTiny:
    """The decoder of a single file, in its author's numbering or in diffusers'. An encoder is left out."""
    names = {_diffusers_name(name): tensor for name, tensor in load_file(path).items()}
    weights = {name.removeprefix("decoder."): each for name, each in names.items() if name[:8] == "decoder."}
    model = AutoencoderTiny()
    model.decoder.load_state_dict(weights)
    return model


def _diffusers_name(name: str) -> str:
    """The author counts a clamp as layer 0. In diffusers it stands outside."""
    if found := _AUTHORS.fullmatch(name):
        return f"decoder.layers.{int(found[1]) - 1}.{found[2]}"
    return name
