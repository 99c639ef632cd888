"""A trained UNet as a diffusers folder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from dreamgui.errors import Damaged, TrainingFailed
from dreamgui.workspace import new_folder

_FILE = "diffusion_pytorch_model.safetensors"


def save_unet(target: Path, unet: Any, dtype: torch.dtype = torch.float16) -> Path:
    """Write a UNet as diffusers' ``save_pretrained`` does, in another number format than it is trained in.

    Returns:
        The file of its weights.

    Raises:
        TrainingFailed: a weight is not a number or too large for the format; nothing was written.
        Damaged: the file reads back differently.
    """
    tensors, finite = {}, {}
    for name, tensor in unet.state_dict().items():
        # One by one: a whole copy would be too much for a small card. What a card can do it does faster.
        narrow = tensor.detach().to(dtype).contiguous()
        finite[name] = narrow.isfinite().all()
        tensors[name] = narrow.to("cpu")
    _require(finite)
    with new_folder(target) as folder:
        unet.save_config(folder)
        save_file(tensors, folder / _FILE, metadata={"format": "pt"})
    require_same(target / _FILE, tensors)
    return target / _FILE


def require_finite(tensors: dict[str, torch.Tensor]) -> None:
    """Raise TrainingFailed unless every number is finite."""
    _require({name: tensor.isfinite().all() for name, tensor in tensors.items()})


def _require(finite: dict[str, torch.Tensor]) -> None:
    answers = torch.stack(list(finite.values())).tolist() if finite else []
    broken = [name for name, whole in zip(finite, answers, strict=True) if not whole]
    if broken:
        raise TrainingFailed(
            f"{len(broken)} of {len(finite)} tensors aren't finite numbers, the first is {broken[0]}.",
            "Lower the learning rate and train again.",
        )


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
