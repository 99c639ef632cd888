"""What a model file is, told from the names and shapes of its tensors and never from its file name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dreamgui import assets
from dreamgui.errors import BadModelFile
from dreamgui.models.cards import Family
from dreamgui.models.header import FileFormat, Header, file_format, read_header

Kind = Literal[
    "checkpoint", "inpainting", "sd2", "sdxl", "sd3", "flux", "lora", "controlnet", "vae", "embedding",
    "incomplete", "other_size", "unknown", "pickle",
]  # fmt: skip

_UNET = "model.diffusion_model."
_FIRST = f"{_UNET}input_blocks.0.0.weight"
_CONTEXT = f"{_UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
_NAMES: dict[Kind, str] = {
    "checkpoint": "a Stable Diffusion 1.5 checkpoint",
    "inpainting": "an inpainting or editing model (its UNet takes {channels} channels in place of 4)",
    "sd2": "a Stable Diffusion 2 checkpoint",
    "sdxl": "a Stable Diffusion XL checkpoint",
    "sd3": "a Stable Diffusion 3 model",
    "flux": "a Flux model",
    "lora": "a LoRA{made_for}, not a whole checkpoint",
    "controlnet": "a ControlNet, not a whole checkpoint",
    "vae": "a VAE alone, not a whole checkpoint",
    "embedding": "a textual inversion, not a whole checkpoint",
    "incomplete": "a checkpoint without its {missing}",
    "other_size": "laid out as a Stable Diffusion checkpoint of another size (first layer {channels} wide)",
    "unknown": "no model of a kind that DreamGUI knows",
    "pickle": "a pickled checkpoint",
}


@dataclass(frozen=True)
class Recognised:
    """What a file is.

    Attributes:
        kind: "checkpoint" can be converted; "pickle" must be made a safetensors file first.
        family: of a checkpoint.
        name: what it is in words, for instance "a Stable Diffusion XL checkpoint".
        number_format: of most of its tensors, for instance "F16".
    """

    kind: Kind
    name: str
    family: Family | None = None
    number_format: str = ""
    tensors: int = 0
    size_bytes: int = 0


def recognise(path: Path) -> Recognised:
    """Tell what a file is in milliseconds: only its first bytes and header are read.

    Raises:
        BadModelFile: it is broken, or no model file at all.
    """
    form: FileFormat = file_format(path)
    size_bytes = path.stat().st_size
    if form == "pickle":
        return Recognised("pickle", _NAMES["pickle"], size_bytes=size_bytes)
    header = read_header(path)
    kind, family, words = _kind(header)
    name = _NAMES[kind].format(**words)
    if family == "demo":
        name = "a checkpoint of the bundled demo model's family"
    return Recognised(kind, name, family, header.main_format, len(header.shapes), size_bytes)


def require_checkpoint(path: Path) -> Family:
    """The family of a safetensors checkpoint that can be converted.

    Raises:
        BadModelFile: it is something else; the message says what.
    """
    found = recognise(path)
    if found.kind != "checkpoint" or found.family is None:
        raise BadModelFile(
            f"{path.name} is {found.name}.", "Choose a checkpoint of Stable Diffusion 1.5 in one file."
        )
    return found.family


def family_configs(family: Family) -> Path:
    """The folder with the configs of a family's unet, vae, text_encoder and scheduler."""
    return assets.asset("sd15" if family == "sd15" else "demo/config")


def _kind(header: Header) -> tuple[Kind, Family | None, dict[str, str]]:
    """Kind, family, and the words that its name needs."""
    keys = header.shapes
    for kind, test in _SIGNS:
        if test(header):
            return kind, None, {"made_for": _made_for(header)}
    if _FIRST not in keys:
        return (
            ("vae", None, {})
            if _has(header, "encoder.conv_in.", "decoder.conv_in.")
            else ("unknown", None, {})
        )
    channels_out, channels_in, *_ = (*keys[_FIRST], 0, 0)
    width = (*keys.get(_CONTEXT, ()), 0, 0)[1]
    if channels_in != 4:
        return "inpainting", None, {"channels": str(channels_in)}
    if width == 1024:
        return "sd2", None, {}
    missing = _missing_part(header)
    if missing:
        return "incomplete", None, {"missing": missing}
    for family in _families():
        if _signature(family) == (channels_out, width):
            return "checkpoint", family, {}
    return "other_size", None, {"channels": str(channels_out)}


def _families() -> tuple[Family, ...]:
    """Families whose configs are there; a copy of the program may come without the demo."""
    return ("sd15", "demo") if (assets.ASSETS / "demo" / "config").is_dir() else ("sd15",)


def _signature(family: Family) -> tuple[int, int]:
    """Width of the first layer and of the text embeddings."""
    config = json.loads((family_configs(family) / "unet" / "config.json").read_text(encoding="utf-8"))
    return config["block_out_channels"][0], config["cross_attention_dim"]


def _missing_part(header: Header) -> str:
    for part, sign in {"text encoder": "cond_stage_model.", "VAE": "first_stage_model."}.items():
        if not any(key.startswith(sign) for key in header.shapes):
            return part
    return ""


def _has(header: Header, *signs: str) -> bool:
    return all(any(sign in key for key in header.shapes) for sign in signs)


def _is_lora(header: Header) -> bool:
    signs = (
        "lora_down",
        "lora_up",
        ".lora_A.",
        ".lora_B.",
        ".lora.down.",
        "hada_w1",
        "lokr_w1",
        "lora_unet_",
    )
    return any(sign in key for key in header.shapes for sign in signs)


def _is_embedding(header: Header) -> bool:
    few = len(header.shapes) <= 4
    return few and any(
        key in ("emb_params", "clip_l", "clip_g") or key.startswith("string_to_param")
        for key in header.shapes
    )


def _made_for(header: Header) -> str:
    """The family of a LoRA, from the width of the text embeddings that its cross-attention reads."""
    if any(key.startswith(("lora_te2_", "text_encoder_2.")) for key in header.shapes):
        return " for Stable Diffusion XL"
    widths = {
        768: " for Stable Diffusion 1.5",
        1024: " for Stable Diffusion 2",
        2048: " for Stable Diffusion XL",
    }
    for key, shape in header.shapes.items():
        if "attn2" in key and "to_k" in key and ("down" in key.split("to_k")[1] or "lora_A" in key):
            return widths.get((*shape, 0, 0)[1], "")
    return ""


_SIGNS: tuple[tuple[Kind, Callable[[Header], bool]], ...] = (
    ("lora", _is_lora),
    ("embedding", _is_embedding),
    ("flux", lambda header: _has(header, "double_blocks.0.", "single_blocks.0.")),
    ("sd3", lambda header: _has(header, "joint_blocks.0.")),
    ("sdxl", lambda header: _has(header, "conditioner.embedders.") or _has(header, f"{_UNET}label_emb.")),
    (
        "controlnet",
        lambda header: (
            _has(header, "input_hint_block.")
            or _has(header, "controlnet_cond_embedding.")
            or _has(header, "zero_convs.")
        ),
    ),
    ("sd2", lambda header: _has(header, "cond_stage_model.model.")),
)
