"""LoRA adapters: made for training, saved, read, attached to a UNet and taken off again.

Files hold diffusers' keys (``unet.`` in front, ``lora_A`` and ``lora_B`` as peft names them) and load with
``StableDiffusionPipeline.load_lora_weights``; a file in kohya's keys (:mod:`dreamgui.models.kohya`) is
read as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from dreamgui.config import LoraTargets
from dreamgui.errors import BadModelFile
from dreamgui.models import kohya
from dreamgui.models.cards import ModelCard
from dreamgui.workspace import write_atomic

ADAPTER = "dreamgui"
PREFIX = "unet."
# The key under which diffusers looks for the adapter's rank and alpha in a file's metadata.
ADAPTER_METADATA = "lora_adapter_metadata"
_ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
_CONV = ["proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2", "conv_shortcut"]
TARGETS: dict[LoraTargets, list[str]] = {"attention": _ATTENTION, "attention+conv": [*_ATTENTION, *_CONV]}


@dataclass(frozen=True)
class LoraSettings:
    """Size and place of a new adapter. ``alpha / rank`` scales what it adds; ``seed`` fixes its first
    weights."""

    rank: int
    alpha: float
    targets: LoraTargets = "attention"
    seed: int = 0


@dataclass(frozen=True)
class LoraFile:
    """A LoRA read from disk: tensors in diffusers' keys with ``unet.`` in front, and the file's metadata."""

    tensors: dict[str, torch.Tensor]
    metadata: dict[str, str]

    @property
    def adapter_settings(self) -> dict[str, Any] | None:
        """What peft's LoraConfig is made from (r, lora_alpha, target_modules...), or None where the file
        doesn't say."""
        text = self.metadata.get(ADAPTER_METADATA)
        if not text:
            return None
        entries = json.loads(text).items()
        return {key.removeprefix(PREFIX): value for key, value in entries if key.startswith(PREFIX)}


def add_lora(unet: Any, settings: LoraSettings) -> None:
    """Put a new adapter into the UNet: its fp32 weights are the only ones that require a gradient.

    A is drawn from a normal distribution and B is zero, so that the first step starts from the base
    (Hu et al. 2021, https://arxiv.org/abs/2106.09685).
    """
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # pyright: ignore[reportArgumentType] - peft takes any number
        init_lora_weights="gaussian",
        target_modules=TARGETS[settings.targets],
    )
    unet.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        unet.add_adapter(config, adapter_name=ADAPTER)
    for parameter in unet.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def lora_metadata(job_json: str, card: ModelCard, rank: int, alpha: float) -> dict[str, str]:
    """Texts for a file's header: the job, the base it was trained on, and what kohya's and A1111's
    readers show."""
    return {
        "dreamgui_job": job_json,
        "dreamgui_base": card.name,
        "dreamgui_base_sha256": card.sha256,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(alpha),
        "ss_sd_model_name": card.name,
    }


def save_lora(
    path: Path, unet: Any, metadata: Mapping[str, str] | None = None, dtype: torch.dtype = torch.float16
) -> None:
    """Write the UNet's adapter to a file that diffusers loads, its alpha included.

    Args:
        metadata: further texts for the header, see :func:`lora_metadata`.
        dtype: of the file; a checkpoint that training goes on from wants fp32.
    """
    layers = get_peft_model_state_dict(unet, adapter_name=ADAPTER)
    tensors = {PREFIX + key: value.detach().to("cpu", dtype).contiguous() for key, value in layers.items()}
    config = unet.peft_config[ADAPTER].to_dict()
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    write_lora(path, LoraFile(tensors, {**_adapter_header(plain), **(metadata or {})}))


def write_lora(path: Path, file: LoraFile) -> None:
    """Write a LoRA in diffusers' keys, atomically."""
    write_atomic(path, save(file.tensors, {"format": "pt", **file.metadata}))


def export_kohya(source: Path, target: Path) -> None:
    """Write a LoRA of ours in kohya's keys with its alpha, as A1111, ComfyUI and kohya read it."""
    file = read_lora(source)
    settings = file.adapter_settings or {}
    tensors = kohya.to_kohya(file.tensors, settings.get("lora_alpha"), settings.get("alpha_pattern") or {})
    metadata = {key: value for key, value in file.metadata.items() if key != ADAPTER_METADATA}
    write_atomic(target, save(tensors, {"format": "pt", **metadata}))


def read_lora(path: Path, unet: Any | None = None) -> LoraFile:
    """Read a LoRA in diffusers' keys, or, given the UNet it is for, in kohya's.

    Raises:
        BadModelFile: it isn't a readable safetensors file, holds no UNet adapter, or is made for another
            model.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
            metadata = dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise BadModelFile(f"{path.name} can't be read: {error}.", "Train or download it again.") from error
    if unet is not None and kohya.is_kohya(tensors):
        tensors, settings = kohya.from_kohya(path.name, tensors, unet)
        metadata |= _adapter_header(settings)
    if not any(key.startswith(PREFIX) and "lora" in key for key in tensors):
        raise BadModelFile(
            f"{path.name} holds no LoRA for a UNet.", "Choose a LoRA for Stable Diffusion 1.5."
        )
    return LoraFile(tensors, metadata)


def attach_lora(unet: Any, path: Path, scale: float = 1.0) -> None:
    """Put a saved adapter into the UNet at a strength (1 is as trained).

    Raises:
        BadModelFile: it can't be read, or its shapes aren't this UNet's.
    """
    file = read_lora(path, unet)
    settings = file.adapter_settings
    prefixed = {PREFIX + key: value for key, value in settings.items()} if settings else None
    tensors = {key: value.to(unet.dtype) for key, value in file.tensors.items()}
    try:
        unet.load_lora_adapter(
            tensors, prefix="unet", adapter_name=ADAPTER, metadata=prefixed, low_cpu_mem_usage=True
        )
    except (RuntimeError, ValueError, KeyError) as error:
        detach_lora(unet)
        raise BadModelFile(
            f"{path.name} doesn't fit this model: {str(error).splitlines()[0]}",
            "Choose a LoRA that was made for it.",
        ) from error
    unet.set_adapters(ADAPTER, scale)


def detach_lora(unet: Any) -> None:
    """Take the adapter and its wrapped layers out again; ``delete_adapters`` would leave the wrapping."""
    unet.unload_lora()
    unet.requires_grad_(False)


def _adapter_header(settings: Mapping[str, Any]) -> dict[str, str]:
    prefixed = {PREFIX + key: value for key, value in settings.items()}
    return {ADAPTER_METADATA: json.dumps(prefixed, indent=2, sort_keys=True)}
