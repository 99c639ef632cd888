"""LoRA adapters: made for training, saved, read, attached to a UNet and taken off again.

Files hold diffusers' keys (``unet.`` in front, ``lora_A`` and ``lora_B`` as peft names them) and load with
``StableDiffusionPipeline.load_lora_weights``; a file in kohya's keys (:mod:`dreamgui.models.kohya`) is
read as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft.utils import get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from dreamgui.config import LoraTargets
from dreamgui.errors import BadModelFile
from dreamgui.models import kohya
from dreamgui.models.cards import ModelCard
from dreamgui.models.text_encoders import TEXT_PREFIX, adapter_config, text_lora
from dreamgui.workspace import write_atomic

ADAPTER = "dreamgui"
PREFIX = "unet."
# The key under which diffusers looks for the adapter's rank and alpha in a file's metadata.
ADAPTER_METADATA = "lora_adapter_metadata"
_ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
_CONV = ["proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2", "conv_shortcut"]
# What kohya's scripts call a TrainJob's fields.
_KOHYA_NAMES = {
    "ss_output_name": "run",
    "ss_learning_rate": "learning_rate",
    "ss_unet_lr": "learning_rate",
    "ss_max_train_steps": "steps",
    "ss_steps": "steps",
    "ss_lr_scheduler": "lr_schedule",
    "ss_lr_warmup_steps": "warmup_steps",
    "ss_batch_size_per_device": "batch_size",
    "ss_seed": "seed",
    "ss_min_snr_gamma": "min_snr_gamma",
    "ss_max_grad_norm": "max_grad_norm",
    "ss_prior_loss_weight": "prior_weight",
}
TARGETS: dict[LoraTargets, list[str]] = {"attention": _ATTENTION, "attention+conv": [*_ATTENTION, *_CONV]}


@dataclass(frozen=True)
class LoraSettings:
    """Size and place of a new adapter. ``alpha / rank`` scales what it adds; ``seed`` fixes its first
    weights; ``dora`` learns magnitudes apart (Liu et al. 2024, https://arxiv.org/abs/2402.09353)."""

    rank: int
    alpha: float
    targets: LoraTargets = "attention"
    seed: int = 0
    dora: bool = False


@dataclass(frozen=True)
class LoraFile:
    """A LoRA read from disk: tensors in diffusers' keys with ``unet.`` in front, and the file's metadata.

    ``text`` is what it adds to the text encoder, with ``text_encoder.`` in front; most files have none.
    """

    tensors: dict[str, torch.Tensor]
    metadata: dict[str, str]
    text: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def adapter_settings(self) -> dict[str, Any] | None:
        """What peft's LoraConfig is made from (r, lora_alpha, target_modules...), or None where the file
        doesn't say."""
        text = self.metadata.get(ADAPTER_METADATA)
        if not text:
            return None
        entries = json.loads(text).items()
        return {key.removeprefix(PREFIX): value for key, value in entries if key.startswith(PREFIX)}

    @property
    def text_alpha(self) -> float | None:
        """Alpha of the text encoder's part, where the file says it."""
        return json.loads(self.metadata.get(ADAPTER_METADATA) or "{}").get(f"{TEXT_PREFIX}lora_alpha")


def add_lora(unet: Any, settings: LoraSettings) -> None:
    """Put a new adapter into the UNet: its fp32 weights are the only ones that require a gradient.

    A is drawn from a normal distribution and B is zero, so that the first step starts from the base
    (Hu et al. 2021, https://arxiv.org/abs/2106.09685).
    """
    config = adapter_config(settings.rank, settings.alpha, TARGETS[settings.targets], settings.dora)
    unet.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        unet.add_adapter(config, adapter_name=ADAPTER)
    for parameter in unet.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def lora_metadata(
    job_json: str, card: ModelCard, rank: int, alpha: float, pictures: int | None = None
) -> dict[str, str]:
    """Texts for a file's header: the job, the base it was trained on, and the ``ss_`` keys that kohya's,
    A1111's and ComfyUI's readers show (https://github.com/kohya-ss/sd-scripts writes the same).

    Args:
        job_json: the training's settings; a setting that it doesn't hold is left out.
        pictures: how many photographs it was trained on, where that is known.
    """
    job = json.loads(job_json)
    texts = {
        "dreamgui_job": job_json,
        "dreamgui_base": card.name,
        "dreamgui_base_sha256": card.sha256,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(alpha),
        "ss_sd_model_name": card.name,
        "ss_new_sd_model_hash": card.sha256,
        "ss_base_model_version": "sd_v1",
        "ss_v2": "False",
        "ss_resolution": f"({card.size_px}, {card.size_px})",
        "ss_training_comment": "trained with DreamGUI",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-v1/lora",
    }
    texts |= {key: str(job[name]) for key, name in _KOHYA_NAMES.items() if job.get(name) not in (None, "")}
    if job.get("lora_targets") == "attention+conv":
        texts["ss_network_args"] = json.dumps({"conv_dim": str(rank), "conv_alpha": str(alpha)})
    if pictures is not None:
        texts |= _picture_texts(job, pictures)
    return texts


def _picture_texts(job: Mapping[str, Any], pictures: int) -> dict[str, str]:
    folders = {"1_" + str(job.get("instance_prompt", "")): {"n_repeats": 1, "img_count": pictures}}
    texts = {"ss_num_train_images": str(pictures), "ss_num_reg_images": "0"}
    if job.get("prior_preservation"):
        count = int(job.get("class_count", 0))
        texts["ss_num_reg_images"] = str(count)
        texts["ss_reg_dataset_dirs"] = json.dumps(
            {"1_" + str(job.get("class_prompt", "")): {"n_repeats": 1, "img_count": count}}
        )
    return {**texts, "ss_dataset_dirs": json.dumps(folders)}


def save_lora(
    path: Path,
    unet: Any,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float16,
    text_encoder: Any | None = None,
) -> None:
    """Write the UNet's adapter to a file that diffusers loads, its alpha included.

    Args:
        text_encoder: one whose adapter was trained with the UNet's and goes into the same file.
        metadata: further texts for the header, see :func:`lora_metadata`.
        dtype: of the file; a checkpoint that training goes on from wants fp32.
    """
    layers = get_peft_model_state_dict(unet, adapter_name=ADAPTER)
    tensors = {PREFIX + key: value.detach().to("cpu", dtype).contiguous() for key, value in layers.items()}
    config = unet.peft_config[ADAPTER].to_dict()
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    text, text_settings = text_lora(text_encoder, dtype) if text_encoder is not None else ({}, {})
    header = adapter_header(plain, text_settings)
    write_lora(path, LoraFile(tensors, {**header, **(metadata or {})}, text))


def write_lora(path: Path, file: LoraFile) -> None:
    """Write a LoRA in diffusers' keys, atomically."""
    write_atomic(path, save({**file.tensors, **file.text}, {"format": "pt", **file.metadata}))


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
        tensors, settings, text_settings = kohya.from_kohya(path.name, tensors, unet)
        metadata |= adapter_header(settings, text_settings)
    if not any(key.startswith(PREFIX) and "lora" in key for key in tensors):
        raise BadModelFile(
            f"{path.name} holds no LoRA for a UNet.", "Choose a LoRA for Stable Diffusion 1.5."
        )
    text = {key: value for key, value in tensors.items() if key.startswith(TEXT_PREFIX)}
    return LoraFile({key: tensors[key] for key in tensors if key not in text}, metadata, text)


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


def adapter_header(settings: Mapping[str, Any], text: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Settings of peft's LoraConfig (r, lora_alpha, target_modules...) as diffusers looks for them in a
    header: the UNet's, and the text encoder's."""
    prefixed = {PREFIX + key: value for key, value in settings.items()}
    prefixed |= {TEXT_PREFIX + key: value for key, value in (text or {}).items()}
    return {ADAPTER_METADATA: json.dumps(prefixed, indent=2, sort_keys=True)}
