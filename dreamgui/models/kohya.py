"""LoRA keys as kohya's scripts write them and A1111 and ComfyUI read them: ``lora_unet_`` or
``lora_te_`` and a layer's path with underscores, then ``lora_down``, ``lora_up`` and ``alpha`` (https://github.com/kohya-ss/sd-scripts)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from dreamgui.errors import BadModelFile

_UNET, _TEXT = "lora_unet_", "lora_te_"
_HALVES = {"lora_A": "lora_down", "lora_B": "lora_up"}


def is_kohya(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether these are kohya's keys."""
    return any(key.startswith(_UNET) for key in tensors)


def to_kohya(
    tensors: Mapping[str, torch.Tensor], alpha: float | None, alpha_pattern: Mapping[str, float]
) -> dict[str, torch.Tensor]:
    """Kohya's keys from diffusers' (``unet.PATH.lora_A.weight``, or ``text_encoder.`` in front); without an
    alpha it is the rank."""
    result = {}
    for key, value in tensors.items():
        part, _, rest = key.partition(".")
        module, half, _ = rest.rsplit(".", 2)
        name = (_UNET if part == "unet" else _TEXT) + module.replace(".", "_")
        result[f"{name}.{_HALVES[half]}.weight"] = value
        if half == "lora_A":
            own = alpha_pattern.get(module, value.shape[0] if alpha is None else alpha)
            result[f"{name}.alpha"] = torch.tensor(float(own), dtype=value.dtype)
    return result


def from_kohya(
    name: str, tensors: Mapping[str, torch.Tensor], unet: nn.Module
) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]:
    """Diffusers' keys, and the settings of peft's LoraConfig (rank and alpha, by layer where they differ) for
    the UNet and for the text encoder; the latter are empty where the file doesn't adapt it.

    Args:
        name: the file's name, for messages.
        unet: tells the layers' true paths, as an underscore in kohya's keys may be a dot.

    Raises:
        BadModelFile: a key belongs to no layer of this UNet or of CLIP's text encoder, or the text encoder's
            layers have different ranks or alphas.
    """
    layers = {
        path.replace(".", "_"): path
        for path, module in unet.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    result: dict[str, torch.Tensor] = {}
    ranks: dict[str, dict[str, int]] = {"unet": {}, "text_encoder": {}}
    alphas: dict[str, dict[str, float]] = {"unet": {}, "text_encoder": {}}
    for key, value in tensors.items():
        layer, _, rest = key.partition(".")
        part = "text_encoder" if layer.startswith(_TEXT) else "unet"
        path = _text_path(layer) if part == "text_encoder" else layers.get(layer.removeprefix(_UNET))
        if path is None or rest not in ("alpha", "lora_down.weight", "lora_up.weight"):
            raise _foreign(name, key)
        if rest == "alpha":
            alphas[part][path] = float(value)
            continue
        if rest == "lora_down.weight":
            ranks[part][path] = value.shape[0]
        half = "lora_A" if rest == "lora_down.weight" else "lora_B"
        shaped = _shaped(unet, path, value) if part == "unet" else value.flatten(1)
        result[f"{part}.{path}.{half}.weight"] = shaped
    image, text = (
        _settings(
            ranks[part], {path: alphas[part].get(path, float(rank)) for path, rank in ranks[part].items()}
        )
        for part in ("unet", "text_encoder")
    )
    if text and (text["alpha_pattern"] or text["rank_pattern"]):
        raise BadModelFile(
            f"{name} adapts the text encoder's layers with different ranks or alphas.",
            "Choose a LoRA of the UNet alone, or one with a single rank.",
        )
    if text:
        # Not whole paths: transformers 5.6 dropped text_model. from its modules' names.
        text["target_modules"] = sorted({path.rpartition(".")[2] for path in ranks["text_encoder"]})
    return result, image, text


def _text_path(layer: str) -> str | None:
    """``lora_te_text_model_encoder_layers_3_mlp_fc1`` to ``text_model.encoder.layers.3.mlp.fc1``."""
    found = re.fullmatch(_TEXT + r"text_model_encoder_layers_(\d+)_(self_attn|mlp)_(\w+)", layer)
    return f"text_model.encoder.layers.{found[1]}.{found[2]}.{found[3]}" if found else None


def _settings(ranks: dict[str, int], alphas: dict[str, float]) -> dict[str, Any]:
    if not ranks:
        return {}
    rank, alpha = (Counter(values.values()).most_common(1)[0][0] for values in (ranks, alphas))
    return {
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": sorted(ranks),
        "rank_pattern": {path: value for path, value in ranks.items() if value != rank},
        "alpha_pattern": {path: value for path, value in alphas.items() if value != alpha},
    }


def _shaped(unet: nn.Module, path: str, value: torch.Tensor) -> torch.Tensor:
    """A 1x1 convolution's adapter may be written as a matrix, and a linear layer's as a convolution."""
    convolution = isinstance(unet.get_submodule(path), nn.Conv2d)
    if convolution and value.ndim == 2:
        return value[:, :, None, None]
    return value if convolution else value.flatten(1)


def _foreign(name: str, key: str) -> BadModelFile:
    return BadModelFile(
        f"{name} adapts {key}, which this model doesn't have.", "Choose a LoRA for Stable Diffusion 1.5."
    )
