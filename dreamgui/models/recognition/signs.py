"""Signs by which files that aren't a Stable Diffusion 1.5 checkpoint are told: ends and pieces of tensor names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from dreamgui.models.files.header import FileHeader
from dreamgui.models.recognition.lora_names import (
    AS_WIDE_AS_INPUT,
    kind_in_words,
    kind_of,
    naming_of,
    take_apart,
)

Sign = Literal[
    "lora", "embedding", "controlnet", "taesd", "adapter", "video", "upscaler", "flux", "sd3", "sdxl", "sd2",
]  # fmt: skip
_WIDTHS = {
    768: "Stable Diffusion 1.5",
    1024: "Stable Diffusion 2",
    2048: "Stable Diffusion XL",
    1280: "Stable Diffusion XL",
}


def lora_words(header: FileHeader) -> str:
    """Name a LoRA file's kind with its article, for instance "a DoRA (kohya's keys)"."""
    return f"{kind_in_words(header.shapes)} ({naming_of(header.shapes)})"


def made_for(header: FileHeader) -> str:
    """ " for Stable Diffusion XL" or the like, from the width of the text embeddings that it reads or holds."""
    if any(key.startswith(("lora_te2_", "text_encoder_2.", "clip_g")) for key in header.shapes):
        return " for Stable Diffusion XL"
    if _any(header, "double_blocks", "single_transformer_blocks"):
        return " for Flux"
    if _any(header, "joint_blocks", "add_k_proj"):
        return " for Stable Diffusion 3"
    for key, shape in header.shapes.items():
        embedding = key == "emb_params" or key.startswith("string_to_param")
        if (_reads_text(key) or embedding) and len(shape) >= 2 and shape[1] in _WIDTHS:
            return f" for {_WIDTHS[shape[1]]}"
    return ""


def _reads_text(key: str) -> bool:
    """Return whether a tensor's second side is as wide as the text embeddings: a key's weight, or the half of a LoRA or LoHa
    that comes first."""
    if "attn2" not in key or "to_k" not in key:
        return False
    found = take_apart(key)
    return found is not None and found.field in AS_WIDE_AS_INPUT


def sign_of(header: FileHeader) -> Sign | None:
    """Return what the names say a file is, or None where they leave a checkpoint, or one of its parts, possible."""
    return next((sign for sign, test in _SIGNS if test(header)), None)


def _any(header: FileHeader, *pieces: str) -> bool:
    return any(piece in key for key in header.shapes for piece in pieces)


def _is_embedding(header: FileHeader) -> bool:
    names = ("emb_params", "clip_l", "clip_g")
    return len(header.shapes) <= 4 and any(key in names or "string_to_param" in key for key in header.shapes)


def _is_learned_concept(header: FileHeader) -> bool:
    """A textual inversion of one tensor, named after its token: ``<token>`` in diffusers' own files."""
    return len(header.shapes) == 1 and all(
        "." not in key and len(shape) <= 2 and shape[-1:] in ((768,), (1024,))
        for key, shape in header.shapes.items()
    )


def _is_tiny_autoencoder(header: FileHeader) -> bool:
    """TAESD: a few convolutions that are numbered, not named. Its decoder begins with 4 channels, or its encoder
    with 3."""
    ends = {"1.weight": (64, 4, 3, 3), "0.weight": (64, 3, 3, 3)}
    numbered = all(
        key.removeprefix("decoder.").removeprefix("encoder.")[:1].isdigit() for key in header.shapes
    )
    return _any(header, "taesd_") or (
        numbered and any(header.shapes.get(key) == shape for key, shape in ends.items())
    )


_SIGNS: tuple[tuple[Sign, Callable[[FileHeader], bool]], ...] = (
    ("lora", lambda header: kind_of(header.shapes) != "none"),
    ("embedding", lambda header: _is_embedding(header) or _is_learned_concept(header)),
    ("taesd", _is_tiny_autoencoder),
    ("video", lambda header: _any(header, "motion_modules.", "temporal_transformer.", "time_stack.")),
    (
        "controlnet",
        lambda header: _any(header, "input_hint_block.", "controlnet_cond_embedding.", "zero_convs.", "controlnet_down_blocks."),
    ),
    ("adapter", lambda header: _any(header, "ip_adapter.", "adapter.body.", "lllite_unet")),
    ("flux", lambda header: _any(header, "double_blocks.0.", "single_transformer_blocks.0.")),
    ("sd3", lambda header: _any(header, "joint_blocks.0.", "attn.add_k_proj.")),
    ("sdxl", lambda header: _any(header, "conditioner.embedders.", "label_emb.", "add_embedding.linear_1.", "text_encoder_2.")),
    ("sd2", lambda header: _any(header, "cond_stage_model.model.")),
    ("upscaler", lambda header: _any(header, "RDB1.conv1", "rdb1.conv1", "RRDB_trunk.")),
)  # fmt: skip
