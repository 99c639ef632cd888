"""A LoRA given out in kohya's or in diffusers' keys, with the texts that other programs show."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from safetensors.torch import save
from torch import Tensor

from dreamgui.config import Dtype
from dreamgui.models import kohya
from dreamgui.models.export_stream import cast
from dreamgui.models.lora_files import ADAPTER_METADATA, LoraFile
from dreamgui.models.merge import low_ranks, require_plain
from dreamgui.models.single_file import DTYPES
from dreamgui.workspace import write_atomic

LoraKeys = Literal["kohya", "diffusers"]


def lora_tensors(file: LoraFile, keys: LoraKeys, dtype: Dtype) -> dict[str, Tensor]:
    """A LoRA's tensors under the names of the wished layout, alphas included in kohya's.

    Raises:
        BadInput: it is a DoRA, and kohya's keys are wished.
        BadModelFile: a number doesn't fit the number format, or the adapter is of another kind.
    """
    image = {key: cast(key, value, DTYPES[dtype]) for key, value in file.tensors.items()}
    text = {key: cast(key, value, DTYPES[dtype]) for key, value in file.text.items()}
    if keys == "diffusers":
        return {**image, **text}
    require_plain(low_ranks(file))
    settings = file.adapter_settings or {}
    tensors = kohya.to_kohya(image, settings.get("lora_alpha"), settings.get("alpha_pattern") or {})
    return {**tensors, **kohya.to_kohya(text, file.text_alpha, {})}


def write_lora_file(
    target: Path, tensors: Mapping[str, Tensor], file: LoraFile, keys: LoraKeys, texts: Mapping[str, str]
) -> None:
    """Write these tensors atomically; the texts replace those of the same name that the LoRA came with.

    diffusers reads rank and alpha from the header; kohya's readers read alpha from the tensors and would
    show the header's JSON as noise.
    """
    metadata = {"format": "pt", **file.metadata, **texts, "sshs_model_hash": data_hash(tensors)}
    if keys == "kohya":
        metadata.pop(ADAPTER_METADATA, None)
    write_atomic(target, save(dict(tensors), metadata))


def data_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a file's tensors without its header, by which A1111 finds a LoRA again."""
    data = save(dict(tensors))
    return hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()
