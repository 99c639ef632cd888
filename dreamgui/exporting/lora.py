"""A LoRA exported in kohya's or in diffusers' keys, with the texts that other programs show."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save
from torch import Tensor

from dreamgui.config import Dtype
from dreamgui.errors import BadInput
from dreamgui.models.files.dtypes import torch_dtype
from dreamgui.models.files.writing import cast
from dreamgui.models.lora import kohya
from dreamgui.models.lora.adapters import LoraFile
from dreamgui.models.lora.kinds import Change, Decomposed, LowRank, low_rank
from dreamgui.models.recognition.lora_names import TEXT, UNET
from dreamgui.workspace import write_atomic

LoraKeys = Literal["kohya", "diffusers"]
_ATTENTION = "self_attn"


def exported_lora(file: LoraFile, keys: LoraKeys, dtype: Dtype) -> LoraFile:
    """Return a LoRA as it is exported, rounded to this dtype, with alphas that every reader takes for what they are.

    In diffusers' keys each alpha is the rank, as readers that don't know the header's settings assume that. In kohya's
    keys alphas stay; where they differ between layers they become the commonest, as diffusers mixes them up. A text
    encoder's layers may get one of zeros beside them, without which diffusers doesn't see them.

    Raises:
        BadInput: it is of a kind that the keys don't hold.
        BadModelFile: a number doesn't fit the dtype.
    """
    require_exportable(file, keys)
    alphas = Counter(low.alpha for low in _low_ranks(file).values() if low.alpha)
    commonest = alphas.most_common(1)[0][0] if alphas else 1.0

    def given(path: str, change: Change) -> Change:
        if isinstance(change, Decomposed):
            magnitude = cast(path, change.magnitude, torch_dtype(dtype))
            return replace(change, inner=given(path, change.inner), magnitude=magnitude)
        assert isinstance(change, LowRank)
        low = change.with_alpha(change.rank if keys == "diffusers" else commonest)
        halves = (cast(path, half, torch_dtype(dtype)) for half in (low.down, low.up))
        return LowRank(*halves, low.scale)

    layers, text_layers = (
        {path: given(path, change) for path, change in part.items()}
        for part in (file.layers, file.text_layers)
    )
    return replace(file, layers=layers, text_layers=text_layers | _telling_layer(text_layers, keys))


def _telling_layer(text_layers: Mapping[str, Change], keys: LoraKeys) -> dict[str, Change]:
    """A layer of zeros by whose name diffusers tells the naming of a text encoder's LoRA, or none where it has one.

    ``convert_state_dict_to_peft`` (diffusers 0.42) knows attention in kohya's keys by ``out_proj`` alone, and a file in
    its own keys by any layer of attention. Else it passes layers over or refuses the file.
    """
    attention = {path.rpartition(".")[2]: path for path in text_layers if f".{_ATTENTION}." in path}
    is_told = "out_proj" in attention or not text_layers or bool(attention) == (keys == "diffusers")
    if is_told:
        return {}
    path, change = next(iter(text_layers.items()))
    low = low_rank(change)
    assert low is not None
    width = low.shape[0] if path.endswith(".fc2") else low.shape[1]
    zeros = low.down.new_zeros(low.rank, width), low.up.new_zeros(width, low.rank)
    block = path.rsplit(".", 2)[0]
    return {f"{block}.{_ATTENTION}.out_proj": LowRank(*zeros, low.scale)}


def is_rounded(file: LoraFile, exported: LoraFile) -> bool:
    """Return whether a number of the LoRA changed on its way, other than between ``up`` and the scale."""
    after = _low_ranks(exported)
    return not all(
        torch.equal(low.down.double(), after[place].down.double())
        and torch.equal(low.up.double() * low.scale, after[place].up.double() * after[place].scale)
        for place, low in _low_ranks(file).items()
    )


def require_exportable(file: LoraFile, keys: LoraKeys) -> None:
    """Raise BadInput where a LoRA holds layers of a kind that these keys don't hold, or that diffusers doesn't read."""
    readable = {"LoRA", "DoRA"} if keys == "diffusers" else {"LoRA"}
    others = sorted(file.kinds - readable)
    if others:
        kinds = " and ".join(others)
        raise BadInput(
            f"This is {'an' if kinds[0] == 'I' else 'a'} {kinds}, which diffusers doesn't read from {keys} keys.",
            "Merge it into a UNet (dreamgui merge)"
            + (
                ", or export it as lora-diffusers."
                if others == ["DoRA"]
                else "; export that, or extract a LoRA from it (dreamgui extract)."
            ),
        )


def lora_tensors(file: LoraFile, keys: LoraKeys) -> dict[str, Tensor]:
    """A LoRA's tensors under the names of the chosen layout, alphas included in kohya's."""
    if keys == "diffusers":
        return file.tensors
    return kohya.to_kohya(_low_ranks(file))


def write_lora_file(
    target: Path, file: LoraFile, keys: LoraKeys, texts: Mapping[str, str]
) -> dict[str, Tensor]:
    """Write a LoRA atomically. The texts replace those of the same name that it came with.

    diffusers reads rank and alpha from the header too; kohya's readers read alpha from the tensors and would show the
    header's JSON as noise.

    Returns:
        the tensors that the file should hold.
    """
    tensors = lora_tensors(file, keys)
    header = file.header if keys == "diffusers" else {"format": "pt", **file.metadata}
    write_atomic(target, save(tensors, {**header, **texts, "sshs_model_hash": data_hash(tensors)}))
    return tensors


def data_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a file's tensors without its header, by which A1111 finds a LoRA again."""
    data = save(dict(tensors))
    return hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()


def _low_ranks(file: LoraFile) -> dict[tuple[str, str], LowRank]:
    """Low ranks of a LoRA or DoRA by part and path."""
    parts = ((UNET, file.layers), (TEXT, file.text_layers))
    return {
        (part, path): low
        for part, layers in parts
        for path, change in layers.items()
        if (low := low_rank(change))
    }
