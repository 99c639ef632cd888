"""LoRA keys as kohya's scripts write them and A1111 and ComfyUI read them: ``lora_unet_`` or
``lora_te_`` and a layer's path with underscores, then ``lora_down``, ``lora_up`` and ``alpha`` (https://github.com/kohya-ss/sd-scripts)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dreamgui.models.files.dtypes import storable
from dreamgui.models.lora.kinds import LowRank
from dreamgui.models.recognition.lora_names import TEXT, UNET

_PREFIXES = {UNET: "lora_unet_", TEXT: "lora_te_"}


def to_kohya(layers: Mapping[tuple[str, str], LowRank]) -> dict[str, Tensor]:
    """Layers by part ("unet" or "text_encoder") and path in kohya's keys, with an alpha each in the halves' dtype."""
    result = {}
    for (part, path), layer in layers.items():
        name = _PREFIXES[part] + path.replace(".", "_")
        result[f"{name}.lora_down.weight"] = layer.down
        result[f"{name}.alpha"] = torch.tensor(layer.alpha, dtype=layer.down.dtype)
        result[f"{name}.lora_up.weight"] = layer.up
    return storable(result)
