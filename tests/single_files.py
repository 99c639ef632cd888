"""Single files made and taken apart by definition, to hold the app's streaming writer and reader against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from dreamgui.config import Dtype
from dreamgui.errors import BadModelFile
from dreamgui.models.files.dtypes import torch_dtype
from dreamgui.models.files.layout import PARTS, POSITION_IDS, PREFIXES, TEXT_MODEL, Layout, Part
from dreamgui.models.recognition.components import WEIGHTS, find_components, write_components
from dreamgui.models.recognition.recognise import PART_WORDS, read_any_header


def write_parts(source: Path, layout: Layout, folder: Path, dtype: Dtype) -> Iterator[Part]:
    """Write a single file's UNet, text encoder and VAE into a diffusers folder.

    EMA weights, the noise schedule and position ids are left out, as diffusers does.

    Yields:
        each part, once its file is written.

    Raises:
        BadModelFile: a part or a tensor is missing, has another shape, or holds NaN or infinity.
    """
    components = find_components(source, read_any_header(source)[1], layout)
    for part in PARTS:
        if part not in components:
            raise BadModelFile(
                f"{source.name} lacks the {PART_WORDS[part]}.",
                "Choose a complete checkpoint of Stable Diffusion 1.5.",
            )
    yield from write_components(components, folder, dtype)


def write_single_file(folder: Path, layout: Layout, target: Path, dtype: Dtype | None = None) -> None:
    """Write a diffusers folder's parts as one file in LDM's layout, in ``dtype`` or as they are."""
    tensors = join_parts({part: load_file(folder / WEIGHTS[part]) for part in PARTS}, layout)
    if dtype:
        tensors = {
            key: value.to(torch_dtype(dtype)) if value.is_floating_point() else value
            for key, value in tensors.items()
        }
    save_file(tensors, target, {"format": "pt"})


def join_parts(parts: Mapping[Part, Mapping[str, torch.Tensor]], layout: Layout) -> dict[str, torch.Tensor]:
    """The tensors of a single file from the state dicts of the three parts.

    Text-encoder keys may come with or without ``text_model.`` (transformers 5.6 dropped it); the file
    always has it, and the position ids that older programs ask for.
    """
    plain: dict[Part, dict[str, torch.Tensor]] = {part: dict(parts[part]) for part in PARTS}
    plain["text_encoder"] = {
        TEXT_MODEL + key.removeprefix(TEXT_MODEL): v for key, v in plain["text_encoder"].items()
    }
    tensors = {
        key: plain[slot.part][slot.key].detach().to("cpu").reshape(slot.ldm_shape).contiguous()
        for key, slot in layout.items()
    }
    length = layout[f"{PREFIXES['text_encoder']}text_model.embeddings.position_embedding.weight"].shape[0]
    tensors[POSITION_IDS] = torch.arange(length, dtype=torch.int64)[None]
    return tensors
