"""A trained UNet as a diffusers folder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from dreamgui.errors import Damaged, TrainingFailed
from dreamgui.models.files.writing import NonFiniteError, TensorEntry, write_safetensors
from dreamgui.workspace import new_folder

_FILE = "diffusion_pytorch_model.safetensors"
_FETCHERS = 4
"""Threads that bring weights from a GPU: most of that is touching new memory, which one does at 1.7 GB a second."""


def save_unet(target: Path, unet: Any, dtype: torch.dtype = torch.float16) -> Path:
    """Write a UNet as diffusers' ``save_pretrained`` does, in another dtype than it is trained in.

    Returns:
        The file of its weights.

    Raises:
        TrainingFailed: a weight is not a number or too large for the format; nothing is left of the file.
        NotEnoughDisk: the disk is full.
        Damaged: the file reads back differently.
    """
    weights = {name: tensor.detach() for name, tensor in unet.state_dict().items()}
    if unet.device.type == "cuda":
        # Other threads' streams know nothing of what this one's still has to do.
        torch.cuda.current_stream(unet.device).synchronize()
    with new_folder(target) as folder, ThreadPoolExecutor(_FETCHERS) as pool:
        unet.save_config(folder)
        # A few at a time: a whole copy would be too much for a small card. What a card can do it does faster.
        fetched = {name: pool.submit(_fetch, weights[name], dtype) for name in sorted(weights)}
        try:
            entries = [
                TensorEntry(name, tuple(weights[name].shape), dtype, each.result)
                for name, each in fetched.items()
            ]
            write_safetensors(folder / _FILE, entries, require_finite=True)
        except NonFiniteError as error:
            raise _broken(f"{error.name} holds what is no finite number in {dtype}.") from error
    require_same(target / _FILE, {name: each.result() for name, each in fetched.items()})
    return target / _FILE


def _fetch(weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return weight.to(dtype).contiguous().to("cpu")


def require_finite(tensors: dict[str, torch.Tensor]) -> None:
    """Raise TrainingFailed unless every number is finite."""
    broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if broken:
        raise _broken(
            f"{len(broken)} of {len(tensors)} tensors aren't finite numbers, the first is {broken[0]}."
        )


def _broken(what: str) -> TrainingFailed:
    return TrainingFailed(what, "Lower the learning rate and train again.")


def require_same(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Raise Damaged unless the file holds exactly these tensors."""
    read = load_file(path)
    with ThreadPoolExecutor() as pool:
        same = read.keys() == tensors.keys() and all(
            pool.map(lambda name: torch.equal(read[name], tensors[name]), tensors)
        )
    if not same:
        raise Damaged(
            f"{path} reads back differently from what was written.", "Check the disk and train again."
        )
