"""Map of keys from a single file (LDM's layout, as civitai and A1111 have it) to a diffusers folder.

The diffusers keys and shapes come from the real classes, built without memory from a model's configs;
each key's LDM name follows from the number of levels and of layers a level, so that Stable Diffusion 1.5
and the smaller bundled model are one case. LDM: Rombach et al. 2022,
https://github.com/CompVis/latent-diffusion.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from dreamgui.models.files.part_files import PARTS, Part

PREFIXES: dict[Part, str] = {
    "unet": "model.diffusion_model.",
    "text_encoder": "cond_stage_model.transformer.",
    "vae": "first_stage_model.",
}
TEXT_MODEL = "text_model."
POSITION_IDS = "cond_stage_model.transformer.text_model.embeddings.position_ids"

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


@dataclass(frozen=True)
class Slot:
    """Place of a single file's tensor: a part, its key there and its shape there.

    ``pointwise`` marks a linear weight [out, in] that LDM keeps as a 1x1 convolution [out, in, 1, 1].
    """

    part: Part
    key: str
    shape: tuple[int, ...]
    pointwise: bool = False

    @property
    def ldm_shape(self) -> tuple[int, ...]:
        """The tensor's shape in the single file."""
        return (*self.shape, 1, 1) if self.pointwise else self.shape


Layout = dict[str, Slot]


@lru_cache(maxsize=4)
def read_layout(configs: Path) -> Layout:
    """LDM key to slot, for the model whose unet, vae and text_encoder configs are in this folder."""
    config: dict[str, Any] = {
        part: json.loads((configs / part / "config.json").read_text(encoding="utf-8")) for part in PARTS
    }
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel.from_config(config["unet"])
        vae: Any = AutoencoderKL.from_config(config["vae"])
        text_encoder = CLIPTextModel(CLIPTextConfig(**config["text_encoder"]))
    layout = {}
    for key, value in unet.state_dict().items():
        layout[PREFIXES["unet"] + unet_ldm_key(key, unet.config)] = Slot("unet", key, tuple(value.shape))
    for key, value in vae.state_dict().items():
        pointwise = ".attentions." in key and value.ndim == 2
        ldm = PREFIXES["vae"] + vae_ldm_key(key, len(vae.config["block_out_channels"]))
        layout[ldm] = Slot("vae", key, tuple(value.shape), pointwise)
    for key, value in text_encoder.state_dict().items():
        plain = TEXT_MODEL + key.removeprefix(TEXT_MODEL)
        layout[PREFIXES["text_encoder"] + plain] = Slot("text_encoder", plain, tuple(value.shape))
    return layout


def empty_unet(folder: Path) -> Any:
    """The UNet of a diffusers folder without memory: its layers' names, shapes and config."""
    config = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(config)


def unet_ldm_key(key: str, config: Any) -> str:
    """LDM's name of a UNet key, for instance ``down_blocks.0.resnets.0.conv1.weight`` to
    ``input_blocks.1.0.in_layers.2.weight``."""
    for ours, theirs in _UNET_ENDS.items():
        if key.startswith(f"{ours}."):
            return theirs + key.removeprefix(ours)
    side, place, rest = _take_apart(key)
    kind, number, inner = rest[0], int(rest[1]), ".".join(rest[2:])
    inner = _rename(inner, _RESNET) if kind == "resnets" else inner
    stride = int(config["layers_per_block"]) + 1
    if side == "mid_block":
        return f"middle_block.{2 * number if kind == 'resnets' else 1}.{inner}"
    if kind == "downsamplers":
        return f"input_blocks.{(place + 1) * stride}.0.op.{inner.removeprefix('conv.')}"
    if kind == "upsamplers":
        position = 2 if "CrossAttn" in config["up_block_types"][place] else 1
        return f"output_blocks.{place * stride + stride - 1}.{position}.{inner}"
    column = 0 if kind == "resnets" else 1
    if side == "down_blocks":
        return f"input_blocks.{place * stride + number + 1}.{column}.{inner}"
    return f"output_blocks.{place * stride + number}.{column}.{inner}"


def vae_ldm_key(key: str, levels: int) -> str:
    """LDM's name of an autoencoder key. LDM counts the decoder's levels from the finest."""
    key = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", key)
    if ".mid_block.attentions.0." in key:
        head, inner = key.split("mid_block.attentions.0.")
        return f"{head}mid.attn_1.{_rename(inner, _VAE_ATTENTION)}"
    key = re.sub(r"down_blocks\.(\d+)\.", r"down.\1.", key)
    key = re.sub(r"up_blocks\.(\d+)\.", lambda found: f"up.{levels - 1 - int(found[1])}.", key)
    key = key.replace("downsamplers.0.", "downsample.").replace("upsamplers.0.", "upsample.")
    return key.replace(".resnets.", ".block.")


def _take_apart(key: str) -> tuple[str, int, list[str]]:
    side, *rest = key.split(".")
    return (side, 0, rest) if side == "mid_block" else (side, int(rest[0]), rest[1:])


def _rename(inner: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        if inner.startswith(f"{ours}."):
            return theirs + inner.removeprefix(ours)
    return inner
