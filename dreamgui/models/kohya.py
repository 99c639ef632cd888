"""LoRA keys as kohya's scripts write them and A1111 and ComfyUI read them: ``lora_unet_`` and a layer's
path with
underscores, then ``lora_down``, ``lora_up`` and ``alpha`` (https://github.com/kohya-ss/sd-scripts)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from dreamgui.errors import BadModelFile

_UNET = "lora_unet_"
_HALVES = {"lora_A": "lora_down", "lora_B": "lora_up"}


def is_kohya(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether these are kohya's keys."""
    return any(key.startswith(_UNET) for key in tensors)


def to_kohya(
    tensors: Mapping[str, torch.Tensor], alpha: float | None, alpha_pattern: Mapping[str, float]
) -> dict[str, torch.Tensor]:
    """Kohya's keys from diffusers' (``unet.PATH.lora_A.weight``); without an alpha it is the rank."""
    result = {}
    for key, value in tensors.items():
        module, half, _ = key.removeprefix("unet.").rsplit(".", 2)
        name = _UNET + module.replace(".", "_")
        result[f"{name}.{_HALVES[half]}.weight"] = value
        if half == "lora_A":
            own = alpha_pattern.get(module, value.shape[0] if alpha is None else alpha)
            result[f"{name}.alpha"] = torch.tensor(float(own), dtype=value.dtype)
    return result


def from_kohya(
    name: str, tensors: Mapping[str, torch.Tensor], unet: nn.Module
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Diffusers' keys, and the settings of peft's LoraConfig (rank and alpha, by layer where they differ).

    Args:
        name: the file's name, for messages.
        unet: tells the layers' true paths, as an underscore in kohya's keys may be a dot.

    Raises:
        BadModelFile: a key belongs to no layer of this UNet.
    """
    layers = {
        path.replace(".", "_"): path
        for path, module in unet.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    result: dict[str, torch.Tensor] = {}
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    for key, value in tensors.items():
        layer, _, rest = key.partition(".")
        path = layers.get(layer.removeprefix(_UNET))
        if path is None or rest not in ("alpha", "lora_down.weight", "lora_up.weight"):
            raise _foreign(name, key)
        if rest == "alpha":
            alphas[path] = float(value)
        else:
            if rest == "lora_down.weight":
                ranks[path] = value.shape[0]
            half = "lora_A" if rest == "lora_down.weight" else "lora_B"
            result[f"unet.{path}.{half}.weight"] = _shaped(unet, path, value)
    return result, _settings(ranks, {path: alphas.get(path, float(rank)) for path, rank in ranks.items()})


def _settings(ranks: dict[str, int], alphas: dict[str, float]) -> dict[str, Any]:
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
    if key.startswith("lora_te"):
        return BadModelFile(
            f"{name} also adapts the text encoder ({key}), which DreamGUI doesn't attach.",
            "Choose a LoRA of the UNet alone.",
        )
    return BadModelFile(
        f"{name} adapts {key}, which this model doesn't have.", "Choose a LoRA for Stable Diffusion 1.5."
    )
