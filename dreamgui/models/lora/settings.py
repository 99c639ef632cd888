"""An adapter's settings as they are written: peft's LoraConfig for a file's header, and alpha inside its numbers.

They are read in ``dreamgui/models/recognition/lora_settings.py``.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dreamgui.models.lora.kinds import Change, Decomposed, low_rank
from dreamgui.models.recognition.lora_names import TEXT, TEXT_MODEL, UNET
from dreamgui.models.recognition.lora_settings import ADAPTER_METADATA


def settings_of(layers: Mapping[str, Change]) -> dict[str, Any]:
    """peft's settings for layers of LoRA or DoRA: the commonest rank and alpha, and those that differ by layer.

    Paths have no ``text_model.`` in front, which newer versions of transformers leave out; peft takes ends of paths.
    """
    found = {
        path.removeprefix(TEXT_MODEL): low for path, change in layers.items() if (low := low_rank(change))
    }
    if not found:
        return {}
    ranks = {path: layer.rank for path, layer in found.items()}
    alphas = {path: layer.alpha for path, layer in found.items()}
    rank, alpha = (Counter(values.values()).most_common(1)[0][0] for values in (ranks, alphas))
    return {
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": sorted(found),
        "rank_pattern": {path: value for path, value in ranks.items() if value != rank},
        "alpha_pattern": {path: value for path, value in alphas.items() if value != alpha},
        "use_dora": any(isinstance(change, Decomposed) for change in layers.values()),
    }


def adapter_header(unet: Mapping[str, Any], text: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Settings of peft's LoraConfig (r, lora_alpha, target_modules...) as diffusers looks for them in a header."""
    prefixed = {f"{UNET}.{key}": value for key, value in unet.items()}
    prefixed |= {f"{TEXT}.{key}": value for key, value in (text or {}).items()}
    return {ADAPTER_METADATA: json.dumps(prefixed, indent=2, sort_keys=True)}


def alpha_in_b(
    tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an adapter with alpha / rank multiplied into its B, and alpha = rank in its settings.

    That is done only where alpha / rank is a power of two: then nothing is rounded, neither here nor in what the
    layer adds. Else both come back as they are. A B whose smallest numbers have no room in its dtype becomes fp32.

    Args:
        tensors: in peft's names, of any dtype.
        settings: peft's LoraConfig of one rank and one alpha.
    """
    ratio = settings["lora_alpha"] / settings["r"]
    if math.frexp(ratio)[0] != 0.5:
        return dict(tensors), dict(settings)
    found = {key: _scaled(tensor, ratio) for key, tensor in tensors.items() if ".lora_B." in key}
    return {**tensors, **found}, {**settings, "lora_alpha": settings["r"]}


def _scaled(tensor: Tensor, ratio: float) -> Tensor:
    """The tensor times a power of two, in its dtype where that is exact, else in fp32."""
    wide = tensor.float() * ratio
    narrow = wide.to(tensor.dtype)
    return narrow if torch.equal(narrow.float(), wide) else wide
