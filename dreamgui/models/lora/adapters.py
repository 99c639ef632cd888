"""LoRA files: read in any naming, written in diffusers' keys, and adapters made for training and saved.

Files that are written hold diffusers' keys (``unet.`` in front, ``lora_A`` and ``lora_B`` as peft names them) and load
with ``StableDiffusionPipeline.load_lora_weights``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save
from torch import Tensor

from dreamgui.config import LoraTargets
from dreamgui.errors import BadInput, BadModelFile
from dreamgui.models.files.dtypes import storable
from dreamgui.models.files.header import FileHeader
from dreamgui.models.files.reading import TensorReader
from dreamgui.models.files.writing import finite
from dreamgui.models.lora.kinds import Change, Decomposed, low_rank
from dreamgui.models.lora.layers import Targets, layers_of
from dreamgui.models.lora.settings import (
    adapter_header,
    alpha_in_b,
    settings_of,
)
from dreamgui.models.lora.text_encoders import adapter_config, text_lora
from dreamgui.models.recognition.lora_names import EMBEDDING, TEXT, UNET, UNREADABLE, kind_of, take_apart
from dreamgui.models.recognition.lora_place import lora_files_at, settings_beside
from dreamgui.models.recognition.lora_settings import ADAPTER_METADATA, NETWORK_ALPHA, read_settings
from dreamgui.models.recognition.recognise import read_any_header
from dreamgui.models.recognition.signs import lora_words, made_for
from dreamgui.workspace import write_atomic

ADAPTER = "dreamgui"
_ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
_CONV = ["proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2", "conv_shortcut"]
TARGETS: dict[LoraTargets, list[str]] = {"attention": _ATTENTION, "attention+conv": [*_ATTENTION, *_CONV]}


@dataclass(frozen=True)
class LoraSettings:
    """Size and place of a new adapter. ``alpha / rank`` scales what it adds. ``seed`` fixes its first
    weights. ``dora`` trains magnitudes apart (Liu et al. 2024, https://arxiv.org/abs/2402.09353)."""

    rank: int
    alpha: float
    targets: LoraTargets = "attention"
    seed: int = 0
    dora: bool = False


@dataclass(frozen=True)
class LoraFile:
    """A LoRA out of a file of any naming.

    Attributes:
        layers: what is done to the UNet, by the layer's path in diffusers; a bias's ends in ``.bias``.
        text_layers: the same of the text encoder, ``text_model.`` in front; most files have none.
        metadata: texts of the file's header, without the adapter's settings, which are in the layers.
        unread: what the file holds beside them and DreamGUI doesn't read, in words.
        keys, unread_keys: tensors of the file, and those among them that aren't read.
    """

    layers: Mapping[str, Change]
    text_layers: Mapping[str, Change] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    keys: int = 0
    unread_keys: int = 0

    @property
    def kinds(self) -> set[str]:
        """Names of the kinds that its layers are of."""
        return {change.word for change in (*self.layers.values(), *self.text_layers.values())}

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All layers in diffusers' keys. They must be LoRA or DoRA."""
        return {**_tensors(UNET, self.layers), **_tensors(TEXT, self.text_layers)}

    @property
    def header(self) -> dict[str, str]:
        """The adapter's settings and the texts, as a file in diffusers' keys has them in its header."""
        settings = [settings_of(part) for part in (self.layers, self.text_layers)]
        return {"format": "pt", **self.metadata, **adapter_header(*settings)}


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


def save_lora(
    path: Path,
    unet: Any,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float16,
    text_encoder: Any | None = None,
) -> None:
    """Write the UNet's adapter to a file that diffusers loads.

    Its alpha is multiplied into B where that is exact (:func:`~dreamgui.models.lora.settings.alpha_in_b`), as readers
    that don't know the header's settings take alpha for the rank.

    Args:
        text_encoder: one whose adapter was trained with the UNet's and goes into the same file.
        metadata: further texts for the header, see :func:`~dreamgui.models.lora.texts.lora_metadata`.
        dtype: of the file; a checkpoint that training goes on from wants fp32.
    """
    layers = get_peft_model_state_dict(unet, adapter_name=ADAPTER)
    tensors = {f"{UNET}.{key}": value.detach().to("cpu", dtype).contiguous() for key, value in layers.items()}
    config = unet.peft_config[ADAPTER].to_dict()
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    tensors, plain = alpha_in_b(tensors, plain)
    text, text_settings = ({}, {})
    if text_encoder is not None:
        text, text_settings = alpha_in_b(*text_lora(text_encoder, dtype))
    header = {"format": "pt", **adapter_header(plain, text_settings), **(metadata or {})}
    if NETWORK_ALPHA in header:
        header[NETWORK_ALPHA] = str(float(plain["lora_alpha"]))
    write_atomic(path, save({**tensors, **text}, header))


def write_lora(path: Path, file: LoraFile) -> None:
    """Write a LoRA in diffusers' keys, atomically."""
    write_atomic(path, save(file.tensors, file.header))


def read_lora(path: Path, unet: Any | None = None) -> LoraFile:
    """Read a LoRA of any naming and kind: a safetensors file, a pickled one (nothing of it is executed), or a folder
    of peft's or diffusers'.

    Args:
        unet: the UNet that it is for, which may be without memory; without it only diffusers' own paths are known.

    Raises:
        BadModelFile: it can't be read, holds no adapter or one of a kind that DreamGUI doesn't read, or is made for
            another model.
    """
    targets = Targets(unet) if unet is not None else None
    read = [_read(file, targets) for file in lora_files_at(path)]
    if not read:
        raise BadModelFile(f"{path} holds no LoRA.", "Name a LoRA's file, or the folder that holds it.")
    layers, text_layers, metadata = ({}, {}, {})
    for each in read:
        layers |= each.layers
        text_layers |= each.text_layers
        metadata |= each.metadata
    unread = tuple(text for each in read for text in each.unread)
    keys, unread_keys = (
        sum(counts) for counts in zip(*((each.keys, each.unread_keys) for each in read), strict=True)
    )
    return LoraFile(layers, text_layers, metadata, unread, keys, unread_keys)


def _read(path: Path, targets: Targets | None) -> LoraFile:
    header = read_any_header(path)[1]
    _require_readable(path.name, header)
    with TensorReader(path, header) as reader:
        tensors = {key: reader.get(key) for key in header.shapes}
    _require_numbers(path.name, tensors)
    metadata = dict(header.metadata)
    settings = read_settings(path.name, settings_beside(path) or metadata.pop(ADAPTER_METADATA, None))
    layers, unread = layers_of(path.name, tensors, settings, targets)
    passed_over = sum((found := take_apart(key)) is not None and found.part == EMBEDDING for key in tensors)
    return LoraFile(layers[UNET], layers[TEXT], metadata, tuple(unread), len(tensors), passed_over)


def _require_readable(name: str, header: FileHeader) -> None:
    """Raise BadModelFile unless these names are a LoRA's, of a kind that is read, for Stable Diffusion 1.5."""
    kind, family = kind_of(header.shapes), made_for(header)
    next_step = "Choose a LoRA for Stable Diffusion 1.5."
    if kind == "none":
        raise BadModelFile(f"{name} holds no LoRA.", next_step)
    if kind in UNREADABLE:
        raise BadModelFile(f"{name} is {lora_words(header)}{family}, which DreamGUI doesn't read.", next_step)
    if family not in ("", " for Stable Diffusion 1.5"):
        raise BadModelFile(f"{name} is {lora_words(header)}{family}.", next_step)


def _require_numbers(name: str, tensors: Mapping[str, Tensor]) -> None:
    """Raise BadModelFile for weights that are NaN, infinite, or quantised to integers whose scale isn't known."""
    for key, tensor in tensors.items():
        if tensor.numel() > 1 and not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise BadModelFile(
                f"{name}: {key} holds integers ({kind}), not the weights of a LoRA.",
                "Choose the file in fp16, bf16 or fp32.",
            )
        if tensor.is_floating_point() and not finite(tensor):
            raise BadModelFile(
                f"{name}: {key} holds NaN or infinity: its training broke, or the file is damaged.",
                "Choose a file of an earlier step, or download it again.",
            )


def _tensors(part: str, layers: Mapping[str, Change]) -> dict[str, Tensor]:
    tensors = {}
    for path, change in layers.items():
        low = low_rank(change)
        if low is None:
            raise BadInput(
                f"{path} is changed by {change.word}, which diffusers' keys don't hold.",
                "Merge it into a UNet (dreamgui merge) and use that.",
            )
        tensors[f"{part}.{path}.lora_A.weight"], tensors[f"{part}.{path}.lora_B.weight"] = low.down, low.up
        if isinstance(change, Decomposed):
            tensors[f"{part}.{path}.lora_magnitude_vector"] = change.magnitude
    return storable(tensors)
