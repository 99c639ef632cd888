"""Optimizers by name. Those that aren't part of PyTorch come from their own libraries, where installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from dreamgui.config import OptimizerName
from dreamgui.errors import BadInput, Damaged
from dreamgui.ops.kernels import kernels
from dreamgui.training.steps.stochastic_rounding import RoundedAdamW, rounded

Groups = Sequence[Sequence[nn.Parameter]]
BETAS, WEIGHT_DECAY = (0.9, 0.999), 1e-2
_FUSED = {"cpu", "cuda", "mps"}
_SET_EVERY_STEP = {"lr", "capturable"}
"""Not put back from a checkpoint: a CUDA graph's optimizer holds its rate on the device."""
_PACKAGES = {"adamw-8bit": "bitsandbytes", "prodigy": "prodigyopt", "schedule-free": "schedulefree"}


def make_optimizer(
    name: OptimizerName, groups: Groups, seed: int = 0, copies: Mapping[Any, Tensor] | None = None
) -> torch.optim.Optimizer:
    """An optimizer over groups of weights, each with its own learning rate, which is 0 until it is set.

    Weights in bf16 are rounded by chance, which follows from ``seed``: see :mod:`dreamgui.training.steps.stochastic_rounding`.

    With ``copies`` (by weight, in bf16, on an NVIDIA card) ``adamw`` takes gradients from them and moves them, too.

    - ``adamw``: with the settings of diffusers' DreamBooth script, in one fused pass where the device has it
    - ``adamw-8bit``: its state in a quarter of the memory (Dettmers et al. 2021,
      https://arxiv.org/abs/2110.02861)
    - ``prodigy``: finds its own rate, so give it 1 (Mishchenko and Defazio 2023,
      https://arxiv.org/abs/2306.06101)
    - ``schedule-free``: AdamW that averages by itself (Defazio et al. 2024, https://arxiv.org/abs/2405.15682)

    Raises:
        BadInput: its library isn't installed, or doesn't work on this device.
    """
    parameters = [{"params": list(group), "lr": 0.0} for group in groups]
    first = groups[0][0]
    if first.dtype == torch.bfloat16:
        return _rounded(name, parameters, seed)
    if copies is not None and (own := kernels(first.device)):
        return own.CopyingAdamW(parameters, copies, betas=BETAS, eps=1e-8, weight_decay=WEIGHT_DECAY)
    return _MAKERS[name](parameters, first.device)


def eight_bit_trouble(device: torch.device) -> str:
    """Return why ``adamw-8bit`` can't be had on this device, as a sentence, or "" where it works: it is tried."""
    try:
        library = import_module(_PACKAGES["adamw-8bit"])
        weight = nn.Parameter(torch.ones(64, 64, device=device))
        weight.grad = torch.ones_like(weight)
        library.optim.AdamW8bit([weight], lr=0.5).step()
    except ImportError as error:
        return f"The package bitsandbytes can't be imported: {error} (pip install bitsandbytes)."
    except (OSError, RuntimeError, AttributeError, NotImplementedError, ValueError) as error:
        return f"bitsandbytes doesn't work on this device: {str(error).splitlines()[0]}"
    moved = bool(torch.all(weight < 1))
    return "" if moved else "bitsandbytes moves no weights on this device."


def _adamw(parameters: list[Any], device: torch.device) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        parameters, betas=BETAS, eps=1e-8, weight_decay=WEIGHT_DECAY, fused=device.type in _FUSED
    )


def _adamw_8bit(parameters: list[Any], device: torch.device) -> torch.optim.Optimizer:
    kind = _library("adamw-8bit").optim.AdamW8bit
    return kind(parameters, betas=BETAS, eps=1e-8, weight_decay=WEIGHT_DECAY)


def _rounded(name: OptimizerName, parameters: list[Any], seed: int) -> torch.optim.Optimizer:
    settings: dict[str, Any] = {"betas": BETAS, "eps": 1e-8, "weight_decay": WEIGHT_DECAY, "seed": seed}
    if name == "adamw":
        return RoundedAdamW(parameters, **settings)
    if name == "adamw-8bit":
        return rounded(_library(name).optim.AdamW8bit)(parameters, **settings)
    raise BadInput(f"The optimizer {name!r} can't round weights in bf16.", "Choose adamw or adamw-8bit.")


def _prodigy(parameters: list[Any], device: torch.device) -> torch.optim.Optimizer:
    return _library("prodigy").Prodigy(
        parameters, betas=BETAS, weight_decay=WEIGHT_DECAY, use_bias_correction=True, safeguard_warmup=True
    )


def _schedule_free(parameters: list[Any], device: torch.device) -> torch.optim.Optimizer:
    optimizer = _library("schedule-free").AdamWScheduleFree(
        parameters, betas=BETAS, weight_decay=WEIGHT_DECAY
    )
    optimizer.train()
    return optimizer


_MAKERS: dict[OptimizerName, Callable[[list[Any], torch.device], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adamw-8bit": _adamw_8bit,
    "prodigy": _prodigy,
    "schedule-free": _schedule_free,
}


def _library(name: OptimizerName) -> Any:
    package = _PACKAGES[name]
    try:
        return import_module(package)
    except ImportError as error:
        raise BadInput(
            f"The optimizer {name!r} needs the package {package}, which can't be imported: {error}.",
            f"Install it (pip install {package}), or choose adamw.",
        ) from error


def state_tensors(optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str]) -> dict[str, Tensor]:
    """The optimizer's tensors, as ``NAME/FIELD``. Small ones are copies, as bitsandbytes' weights share some."""
    return {
        f"{names[weight]}/{field}": value.contiguous() if value.shape == weight.shape else value.clone()
        for weight, fields in optimizer.state.items()
        for field, value in fields.items()
        if isinstance(value, Tensor)
    }


def state_numbers(optimizer: torch.optim.Optimizer, names: Mapping[Tensor, str]) -> dict[str, Any]:
    """Return what else an optimizer remembers, as JSON data: numbers by weight and by group."""
    by_weight = {
        names[weight]: {field: value for field, value in fields.items() if _is_plain(value)}
        for weight, fields in optimizer.state.items()
    }
    groups = [
        {field: value for field, value in group.items() if _is_plain(value)}
        for group in optimizer.param_groups
    ]
    return {"weights": by_weight, "groups": groups}


def restore_state(
    optimizer: torch.optim.Optimizer,
    weights: Mapping[str, nn.Parameter],
    tensors: Mapping[str, Tensor],
    numbers: Mapping[str, Any],
) -> None:
    """Put back what :func:`state_tensors` and :func:`state_numbers` gave.

    Raises:
        Damaged: they are of another optimizer.
    """
    if len(numbers["groups"]) != len(optimizer.param_groups):
        raise Damaged("The checkpoint is of another optimizer.", "Start a new run.")
    optimizer.state.clear()
    for name, fields in numbers["weights"].items():
        optimizer.state[weights[name]].update(fields)
    for key, value in tensors.items():
        name, _, field = key.rpartition("/")
        optimizer.state[weights[name]][field] = _like(value, weights[name])
    for group, fields in zip(optimizer.param_groups, numbers["groups"], strict=True):
        group.update({field: value for field, value in fields.items() if field not in _SET_EVERY_STEP})


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def _like(value: Tensor, weight: Tensor) -> Tensor:
    """On the weight's device and, where as large, in its memory format: the fused optimizer expects it so, and
    bitsandbytes pairs weights with its state by their places in memory."""
    if value.shape != weight.shape:
        return value.to(weight.device)
    return torch.empty_like(weight, dtype=value.dtype, requires_grad=False).copy_(value)
