"""Signs by which files that aren't a Stable Diffusion 1.5 checkpoint are told: ends and pieces of tensor names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from dreamgui.models.header import Header

Sign = Literal[
    "lora", "embedding", "controlnet", "adapter", "video", "upscaler", "flux", "sd3", "sdxl", "sd2",
]  # fmt: skip
LoraKeys = Literal["kohya", "locon", "diffusers", "peft", "old", "loha", "lokr", "none"]
LORA_WORDS: dict[LoraKeys, str] = {
    "kohya": "LoRA (kohya's keys)",
    "locon": "LoCon, a LoRA with convolutions (kohya's keys)",
    "diffusers": "LoRA (diffusers' keys)",
    "peft": "LoRA (PEFT's keys)",
    "old": "LoRA (the keys of diffusers before 0.20)",
    "loha": "LoHa (LyCORIS)",
    "lokr": "LoKr (LyCORIS)",
    "none": "LoRA",
}
_WIDTHS = {
    768: "Stable Diffusion 1.5",
    1024: "Stable Diffusion 2",
    2048: "Stable Diffusion XL",
    1280: "Stable Diffusion XL",
}


def lora_keys(header: Header) -> LoraKeys:
    """Whose names a LoRA file's tensors have; "none" if it is no LoRA."""
    keys = header.shapes
    if _any(header, "hada_w1"):
        return "loha"
    if _any(header, "lokr_w1"):
        return "lokr"
    if _any(header, ".lora_down.", ".lora_up."):
        kernels = (shape[2:] for key, shape in keys.items() if ".lora_down." in key)
        return "locon" if any(kernel not in ((), (1, 1)) for kernel in kernels) else "kohya"
    if _any(header, ".lora_A.", ".lora_B."):
        return "peft" if any(key.startswith("base_model.model.") for key in keys) else "diffusers"
    return "old" if _any(header, ".lora.down.", "_lora.down.", ".lora_linear_layer.") else "none"


def made_for(header: Header) -> str:
    """ " for Stable Diffusion XL" or the like, from the width of the text embeddings that it reads or holds."""
    if any(key.startswith(("lora_te2_", "lora_te1_", "text_encoder_2.", "clip_g")) for key in header.shapes):
        return " for Stable Diffusion XL"
    if _any(header, "double_blocks", "single_transformer_blocks"):
        return " for Flux"
    if _any(header, "joint_blocks", "add_k_proj"):
        return " for Stable Diffusion 3"
    for key, shape in header.shapes.items():
        cross = (
            "attn2" in key
            and "to_k" in key
            and not key.endswith(("alpha", "lora_up.weight", "lora_B.weight", "lora.up.weight"))
        )
        embedding = key == "emb_params" or key.startswith("string_to_param")
        if (cross or embedding) and len(shape) >= 2 and shape[1] in _WIDTHS:
            return f" for {_WIDTHS[shape[1]]}"
    return ""


def sign_of(header: Header) -> Sign | None:
    """What the names say a file is; None where they leave a checkpoint, or one of its parts, possible."""
    return next((sign for sign, test in _SIGNS if test(header)), None)


def _any(header: Header, *pieces: str) -> bool:
    return any(piece in key for key in header.shapes for piece in pieces)


def _is_embedding(header: Header) -> bool:
    names = ("emb_params", "clip_l", "clip_g")
    return len(header.shapes) <= 4 and any(key in names or "string_to_param" in key for key in header.shapes)


def _is_learned_concept(header: Header) -> bool:
    """diffusers' own textual inversion: one tensor named after its token, ``<token>``."""
    return len(header.shapes) == 1 and all(
        key.startswith("<") and len(shape) <= 2 and shape[-1:] in ((768,), (1024,))
        for key, shape in header.shapes.items()
    )


_SIGNS: tuple[tuple[Sign, Callable[[Header], bool]], ...] = (
    ("lora", lambda header: lora_keys(header) != "none"),
    ("embedding", lambda header: _is_embedding(header) or _is_learned_concept(header)),
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
