"""The parts of a diffusers folder, brought onto the device. Nothing here asks the network."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer

from dreamgui.errors import BadInput, Damaged
from dreamgui.models.catalog.cards import ModelCard
from dreamgui.models.controlnet.single_file import load_single_file
from dreamgui.models.files.dtypes import CODES, torch_dtype
from dreamgui.models.offload import Offloadable
from dreamgui.models.replay import Replays
from dreamgui.models.sources.hub import reachable
from dreamgui.ops.changes import Stage, inject

HUB_CONTROLNETS = {
    "canny": "lllyasviel/control_v11p_sd15_canny",
    "pose": "lllyasviel/control_v11p_sd15_openpose",
}


@dataclass
class Parts:
    """A model ready for use. Every module is on ``device`` and in eval mode, except a UNet that is trained.

    Attributes:
        unet, controlnet: in ``dtype``; in training see :meth:`dreamgui.models.manager.Models.train`.
        vae, text_encoder: frozen, in the manager's dtype (cast what goes in to their own ``.dtype``).
        scheduler_config: betas and prediction type, for any diffusers scheduler's ``from_config``.
        offloadable: VAE and text encoder as far as they aren't trained; offloaded while nobody needs them, resident again
            for the next user.
        more_controlnets: those beside ``controlnet``.
        replays: CUDA graphs of the base's models, which outlive the loan; None where weights change meanwhile.
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler_config: dict[str, Any]
    controlnet: ControlNetModel | None
    device: torch.device
    dtype: torch.dtype
    card: ModelCard
    offloadable: Offloadable = field(default_factory=Offloadable)
    more_controlnets: tuple[ControlNetModel, ...] = ()
    replays: Replays | None = None

    @property
    def controlnets(self) -> tuple[ControlNetModel, ...]:
        """All ControlNets in their order, or nothing where none is asked for."""
        return (*([self.controlnet] if self.controlnet is not None else []), *self.more_controlnets)


def place(module: Any, device: torch.device) -> Any:
    """Move a module to a device, frozen and for inference. On CUDA its weights are channels-last there."""
    module.requires_grad_(False)
    module.eval()
    if device.type == "cuda":
        return module.to(device, memory_format=torch.channels_last)
    return module.to(device)


def load_without_unet(folder: Path, card: ModelCard, device: torch.device, dtype: torch.dtype) -> Parts:
    """All parts of a model's folder but the UNet, which is absent until it is needed.

    Raises:
        Damaged: a file is missing or can't be read.
    """
    vae, text_encoder = load_vae(folder, device, dtype), load_text_encoder(folder, device, dtype)
    absent: Any = None
    return Parts(
        unet=absent,
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=load_tokenizer(folder),
        scheduler_config=load_scheduler_config(folder),
        controlnet=None,
        device=device,
        dtype=dtype,
        card=card,
        offloadable=Offloadable([vae, text_encoder], device),
    )


def load_unet(folder: Path, device: torch.device, dtype: torch.dtype) -> UNet2DConditionModel:
    """The UNet of a model's folder, frozen.

    It goes to the device as it is stored and changes its format there: on a GPU that saves seconds.
    """
    stored = _stored_dtype(folder / "unet" / "diffusion_pytorch_model.safetensors") or dtype
    unet: Any = place(_diffusers_part(UNet2DConditionModel, folder / "unet", stored), device)
    if stored != dtype:
        # diffusers' own to() warns of modules that must stay in fp32; a UNet has none.
        torch.nn.Module.to(unet, dtype)
        if device.type == "cuda":
            # The places of the format before don't fit the new one; a small card needs them back.
            torch.cuda.empty_cache()
    inject(unet, Stage.LOADED, device)
    return unet


def load_vae(folder: Path, device: torch.device, dtype: torch.dtype) -> AutoencoderKL:
    """The autoencoder of a model's folder, frozen."""
    vae = place(_diffusers_part(AutoencoderKL, folder / "vae", dtype), device)
    inject(vae, Stage.LOADED, device)
    inject(vae, Stage.LENT, device)
    return vae


def load_text_encoder(folder: Path, device: torch.device, dtype: torch.dtype) -> CLIPTextModel:
    """The text encoder of a model's folder, frozen."""
    try:
        kind: Any = CLIPTextModel
        model, report = kind.from_pretrained(
            folder / "text_encoder",
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
        # transformers fills what is missing with random numbers and only warns.
        if report["missing_keys"] or report["mismatched_keys"]:
            raise ValueError(f"keys are missing: {sorted(report['missing_keys'])[:3]}")
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _damaged(folder / "text_encoder", error) from error
    return place(model, device)


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer of a model's folder."""
    return CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)


def load_scheduler_config(folder: Path) -> dict[str, Any]:
    """The scheduler's settings of a model's folder."""
    return json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))


def load_controlnet(
    folder: Path, kind: str, card: ModelCard, device: torch.device, dtype: torch.dtype, unet: Any = None
) -> ControlNetModel:
    """The ControlNet of this kind that belongs to a base model, or the one at a whole path (file or folder), which
    ``unet`` tells the blocks of.

    It is looked for in the model's own folder, then, for Stable Diffusion 1.5, at the folder or Hugging
    Face id in the environment variable DREAMGUI_CONTROLNET_CANNY (or _POSE), else under lllyasviel's
    usual id.

    Raises:
        BadInput: there is none, or it can't be fetched.
        BadModelFile, Damaged: what is at the path is no ControlNet for this base model.
    """
    if Path(kind).is_absolute():
        return _placed(_brought(Path(kind), unet, dtype), device)
    own = folder / "controlnet" / kind
    if own.is_dir():
        return _placed(_diffusers_part(ControlNetModel, own, dtype), device)
    variable = f"DREAMGUI_CONTROLNET_{kind.upper()}"
    if card.family != "sd15" or kind not in HUB_CONTROLNETS:
        raise BadInput(
            f"The model {card.name!r} has no ControlNet for {kind!r}.",
            f"Put a diffusers folder at {own} to add one.",
        )
    source = os.environ.get(variable) or HUB_CONTROLNETS[kind]
    try:
        model = _controlnet_from(source, dtype)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"The {kind} ControlNet {source!r} can't be fetched: {str(error).splitlines()[0]}",
            f"Connect to the network once, or set {variable} to a folder that holds it.",
        ) from error
    return _placed(model, device)


def _placed(model: Any, device: torch.device) -> ControlNetModel:
    place(model, device)
    inject(model, Stage.LOADED, device)
    inject(model, Stage.LENT, device)
    return model


def _brought(path: Path, unet: Any, dtype: torch.dtype) -> ControlNetModel:
    """The ControlNet at a path, whose features must fit the UNet's."""
    if path.is_file():
        return load_single_file(path, unet, dtype)
    model: Any = _diffusers_part(ControlNetModel, path, dtype)
    ours, theirs = (
        (part.config.block_out_channels, part.config.cross_attention_dim) for part in (unet, model)
    )
    if list(ours[0]) != list(theirs[0]) or ours[1] != theirs[1]:
        raise BadInput(
            f"The ControlNet {path.name} is for another base model.", "Choose one for Stable Diffusion 1.5."
        )
    return model


def _controlnet_from(source: str, dtype: torch.dtype) -> ControlNetModel:
    """From a folder or the hub's cache if it is there, else from the hub if it answers within seconds."""
    try:
        return ControlNetModel.from_pretrained(source, torch_dtype=dtype, local_files_only=True)
    except OSError:
        if Path(source).exists() or Path(source).is_absolute() or not reachable():
            raise
        return ControlNetModel.from_pretrained(source, torch_dtype=dtype)


def swap_weights(module: Any, path: Path) -> None:
    """Copy a safetensors file's tensors into a module in place. They are cast to the module's dtype.

    Raises:
        Damaged: the file can't be read, or its keys or shapes aren't the module's.
    """
    try:
        module.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise _damaged(path, error) from error


def _diffusers_part(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    try:
        return kind.from_pretrained(
            folder, torch_dtype=dtype, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _damaged(folder, error) from error


def _stored_dtype(file: Path) -> torch.dtype | None:
    """The format that all tensors of a file have, or None where they differ, or it can't be read."""
    try:
        with safe_open(file, "pt") as tensors:
            kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    kind = kinds.pop() if len(kinds) == 1 else ""
    return torch_dtype(kind) if kind in CODES.values() else None


def _damaged(path: Path, error: Exception) -> Damaged:
    return Damaged(
        f"{path} can't be loaded: {str(error).splitlines()[0]}", "Convert the model or train the run again."
    )
