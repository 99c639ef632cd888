"""Text encoders that were trained with a UNet: whole ones in a folder, adapters in the UNet's LoRA file.

In files the keys have ``text_model.`` in them, as Stable Diffusion's own; newer versions of transformers
leave it out of the module's names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from dreamgui.workspace import new_folder

TEXT_PREFIX = "text_encoder."
TEXT_FOLDER = "text_encoder"
_ADAPTER = "dreamgui"
_INNER = "text_model."
_TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj"]


def add_text_lora(text_encoder: Any, rank: int, alpha: float, seed: int) -> None:
    """Put a new adapter into the attention layers: its fp32 weights are the only trainable ones."""
    config = adapter_config(rank, alpha, _TARGETS)
    text_encoder.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        text_encoder.add_adapter(config, adapter_name=_ADAPTER)


def adapter_config(rank: int, alpha: Any, targets: list[str], use_dora: bool = False) -> LoraConfig:
    """A new adapter's settings. Peft says that ``alpha`` is a whole number, and takes any."""
    return LoraConfig(
        r=rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=targets, use_dora=use_dora
    )


def text_lora(text_encoder: Any, dtype: torch.dtype) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A trained adapter as a LoRA file holds it: tensors under ``text_encoder.``, and its settings."""
    layers = get_peft_model_state_dict(text_encoder, adapter_name=_ADAPTER)
    tensors = {
        TEXT_PREFIX + _INNER + key.removeprefix(_INNER): value.detach().to("cpu", dtype).contiguous()
        for key, value in layers.items()
    }
    config = text_encoder.peft_config[_ADAPTER].to_dict()
    settings = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    return tensors, settings


def save_text_encoder(target: Path, text_encoder: Any, dtype: torch.dtype = torch.float16) -> None:
    """Write a whole text encoder as a folder that transformers and diffusers load."""
    tensors = {
        _INNER + name.removeprefix(_INNER): tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in text_encoder.state_dict().items()
        if tensor.is_floating_point()
    }
    with new_folder(target) as folder:
        text_encoder.config.save_pretrained(folder)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
