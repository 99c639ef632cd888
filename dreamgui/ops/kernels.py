"""Our own kernels for NVIDIA GPUs, made by Triton, where it works. Everything runs without them, slower."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import cache
from threading import Lock, Thread
from typing import Any

import torch
from torch.nn import functional

from dreamgui import bootstrap
from dreamgui.ops.attention import begin_quickly
from dreamgui.ops.triton.precompile import compile_ahead

_LOG = logging.getLogger(__name__)
_SINCE = (8, 0)
"""Ampere: older GPUs have no bf16, and Triton no longer promises them."""
_trying = Lock()


class Kernels:
    """Kernels at hand: group norms and what fits them, see :mod:`dreamgui.ops.triton.group_norm`, gates
    (:mod:`dreamgui.ops.triton.geglu`), sums (:mod:`dreamgui.ops.triton.column_sums`), NarrowAdamW."""

    def __init__(self) -> None:
        from dreamgui.ops.triton import adamw, added_norm, column_sums, geglu, group_norm, group_norm_kernels

        self.fits, self.group_norm = group_norm.fits, group_norm.group_norm
        self.takes, self.opaque_group_norm = group_norm.takes, group_norm.opaque_group_norm
        self.shifted_group_norm = group_norm.shifted_group_norm
        self.takes_rows, self.added_norm = added_norm.takes_rows, added_norm.added_norm
        self.plus_bias = added_norm.plus_bias
        self.geglu = geglu.geglu
        self.adds, self.column_sums = column_sums.adds, column_sums.column_sums
        self.CopyingAdamW: Any = adamw.CopyingAdamW
        modules = (group_norm_kernels, added_norm, geglu, column_sums, adamw)
        self.variants = [variant for module in modules for variant in module.variants()]


def begin() -> None:
    """Open the first card and try the kernels in the background. Diffusers may be imported meanwhile.

    Where nothing is in Triton's cache yet, that is seconds of a first start in which nobody waits.
    """
    if not torch.cuda.is_available():
        return
    # Here, not in the thread: two threads must not import, each from its end, what needs one another.
    with suppress(ImportError):
        from dreamgui.ops.triton import adamw, added_norm, column_sums, geglu, group_norm  # noqa: F401

        Thread(target=_try_first, daemon=True).start()


def _try_first() -> None:
    # Whoever asks next is told.
    with suppress(RuntimeError):
        kernels(torch.device("cuda", 0))


def kernels(device: torch.device) -> Kernels | None:
    """The kernels, once they have been tried on the device, or None where they can't be had."""
    if device.type != "cuda" or torch.version.hip or bootstrap.is_short():
        return None
    # A device without a number is the current one. Were it another to the cache, kernels would be tried a second
    # time in the midst of a model's pass, where gradient checkpointing counts what is saved.
    number = torch.cuda.current_device() if device.index is None else device.index
    with _trying:
        return _tried(number)


@cache
def _tried(number: int) -> Kernels | None:
    device = torch.device("cuda", number)
    if torch.cuda.get_device_capability(device) < _SINCE:
        return None
    try:
        found = Kernels()
        compile_ahead(found.variants, device)
        with torch.enable_grad():
            _try(found, device)
    except torch.OutOfMemoryError:
        raise
    # Triton isn't there on Windows, needs a C compiler, and throws what its many parts throw.
    except Exception as error:
        _LOG.info("Steps run with PyTorch's own kernels: %r", error)
        return None
    # Only where they are does long attention get cuDNN back, see channels_last.py.
    begin_quickly()
    return found


def _try(found: Kernels, device: torch.device) -> None:
    """Raises RuntimeError where a kernel gives another result than PyTorch, forwards or backwards."""
    x = torch.randn(1, 64, 4, 4, device=device).to(torch.bfloat16, memory_format=torch.channels_last)
    ones = torch.ones(64, device=device, dtype=torch.bfloat16)
    x.requires_grad_()
    normed = functional.group_norm(x, 32, ones, ones)
    first, gate = x.flatten().chunk(2)
    for ours, theirs in (
        (found.group_norm(x, 32, ones, ones, silu=True), functional.silu(normed)),
        (found.geglu(x.flatten()), first * functional.gelu(gate)),
    ):
        mine, right = (torch.autograd.grad(y.square().sum(), x, retain_graph=True)[0] for y in (ours, theirs))
        if not torch.allclose(ours, theirs, atol=0.1) or not torch.allclose(mine, right, atol=0.5):
            raise RuntimeError("a kernel's result isn't PyTorch's.")
    both, normed = found.added_norm(rows := ones.expand(3, 64).contiguous(), rows, ones, ones, ones, 1e-5)
    if not torch.equal(both, 3 * rows) or not torch.equal(normed, rows):
        raise RuntimeError("a kernel's sum and norm aren't PyTorch's.")
    # Few rows and many are summed differently; both are loaded here, as a CUDA graph's capture is no time for it.
    for count in (60, 600):
        rows = torch.randn(1, count, 64, device=device).bfloat16()
        if not torch.allclose(found.column_sums(rows).float(), rows.float().sum(dim=1), rtol=0.02, atol=0.2):
            raise RuntimeError("a kernel's sums aren't PyTorch's.")
