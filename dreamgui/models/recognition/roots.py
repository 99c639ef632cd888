"""Parts of a model that a file holds, with their prefix and naming.

Single files wrap the parts in ``model.diffusion_model.``, ``first_stage_model.`` and ``cond_stage_model.``; training
programs put ``module.`` or ``state_dict.`` before that; a UNet or VAE alone has no prefix at all. So a part is found
by the ends of the names that only it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dreamgui.models.files.header import FileHeader

Style = Literal["ldm", "diffusers"]
_MODEL = "model.diffusion_model."
_EMA = "model_ema."
# Part, naming, and the ends of names that must all stand behind one prefix.
_ANCHORS: tuple[tuple[str, Style, tuple[str, ...]], ...] = (
    ("unet", "ldm", ("input_blocks.0.0.weight", "out.2.weight")),
    ("unet", "diffusers", ("conv_in.weight", "conv_out.weight", "time_embedding.linear_1.weight")),
    ("text_encoder", "diffusers", ("embeddings.token_embedding.weight", "embeddings.position_embedding.weight")),
    ("vae", "diffusers", ("encoder.conv_in.weight", "decoder.conv_in.weight", "encoder.down_blocks.0.resnets.0.norm1.weight")),
    ("vae", "ldm", ("encoder.conv_in.weight", "decoder.conv_in.weight", "encoder.down.0.block.0.norm1.weight")),
)  # fmt: skip
_FIRST = {"ldm": "input_blocks.0.0.weight", "diffusers": "conv_in.weight"}
_CONTEXT = {
    "ldm": "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
    "diffusers": "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
}


@dataclass(frozen=True)
class Root:
    """A part's prefix in a file, and whose names follow it. ``averaged`` is true where a UNet is there as its running
    average alone."""

    prefix: str
    style: Style
    averaged: bool = False

    def first_layer(self, header: FileHeader) -> tuple[int, int]:
        """Channels out of and into a UNet's first layer."""
        shape = (*header.shapes.get(self._key(_FIRST), ()), 0, 0)
        return shape[0], shape[1]

    def context_width(self, header: FileHeader) -> int:
        """Width of the text embeddings that a UNet reads."""
        return (*header.shapes.get(self._key(_CONTEXT), ()), 0, 0)[1]

    def _key(self, names: dict[str, str]) -> str:
        name = names[self.style]
        return ema_key(self, name) if self.averaged else self.prefix + name


def find_roots(header: FileHeader) -> dict[str, Root]:
    """The parts that a file holds, by name ("unet", "text_encoder", "vae")."""
    roots: dict[str, Root] = {}
    for part, style, ends in _ANCHORS:
        prefixes = [
            key.removesuffix(ends[0])
            for key in header.shapes
            if key.endswith(ends[0])
            and all(key.removesuffix(ends[0]) + end in header.shapes for end in ends[1:])
        ]
        if prefixes and part not in roots:
            # A file may hold a control model or a second UNet beside its own.
            usual = [prefix for prefix in prefixes if prefix.endswith(_MODEL)]
            roots[part] = Root((usual or sorted(prefixes, key=len))[0], style)
    if "unet" not in roots and (averaged := _averaged(header)):
        roots["unet"] = averaged
    return roots


def _averaged(header: FileHeader) -> Root | None:
    first = f"{_EMA}diffusion_model{_FIRST['ldm'].replace('.', '')}"
    key = next((key for key in header.shapes if key.endswith(first)), None)
    return None if key is None else Root(key.removesuffix(first) + _MODEL, "ldm", averaged=True)


def has_ema(header: FileHeader) -> bool:
    """Return whether the running average of a UNet's weights lies beside the weights themselves."""
    return any(_EMA in key and "diffusion_model" in key for key in header.shapes)


def ema_key(root: Root, key: str) -> str:
    """LDM's name of the average of a UNet's tensor: the whole name without dots."""
    outer = root.prefix.removesuffix(_MODEL)
    return f"{outer}{_EMA}diffusion_model{key.replace('.', '')}"
