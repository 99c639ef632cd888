"""Our own kernels for NVIDIA cards, made by Triton, where it works; everything runs without them, slower."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import cache
from threading import Lock, Thread
from typing import Any

import torch
from torch.nn import functional

from dreamgui.diffusion.ahead import compile_ahead
from dreamgui.diffusion.attention import begin_quickly

_LOG = logging.getLogger(__name__)
_SINCE = (8, 0)
"""Ampere: older cards have no bf16, and Triton no longer promises them."""
_trying = Lock()


class Kernels:
    """What there is: group norms and what fits them, see :mod:`dreamgui.diffusion.group_norm`; gates, see
    :mod:`dreamgui.diffusion.geglu`; sums, see :mod:`dreamgui.diffusion.column_sums`; NarrowAdamW."""

    def __init__(self) -> None:
        from dreamgui.diffusion import column_sums, geglu, group_norm, narrow_adamw

        self.fits, self.group_norm = group_norm.fits, group_norm.group_norm
        self.takes, self.opaque_group_norm = group_norm.takes, group_norm.opaque_group_norm
        self.geglu = geglu.geglu
        self.adds, self.column_sums = column_sums.adds, column_sums.column_sums
        self.NarrowAdamW: Any = narrow_adamw.NarrowAdamW
        modules = (group_norm, geglu, column_sums, narrow_adamw)
        self.variants = [variant for module in modules for variant in module.variants()]


def begin() -> None:
    """Open the first card and try the kernels in the background; diffusers may be imported meanwhile.

    Where nothing is in Triton's cache yet, that is seconds of a first start in which nobody waits.
    """
    if not torch.cuda.is_available():
        return
    # Here, not in the thread: two threads must not import, each from its end, what needs one another.
    with suppress(ImportError):
        from dreamgui.diffusion import column_sums, geglu, group_norm, narrow_adamw  # noqa: F401

        Thread(target=_try_first, daemon=True).start()


def _try_first() -> None:
    # Whoever asks next is told.
    with suppress(RuntimeError):
        kernels(torch.device("cuda", 0))


def kernels(device: torch.device) -> Kernels | None:
    """The kernels, once they have been tried on the device; None where they can't be had."""
    if device.type != "cuda" or torch.version.hip:
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
    # Few rows and many are summed differently; both are loaded here, as a CUDA graph's capture is no time for it.
    for count in (60, 600):
        rows = torch.randn(1, count, 64, device=device).bfloat16()
        if not torch.allclose(found.column_sums(rows).float(), rows.float().sum(dim=1), rtol=0.02, atol=0.2):
            raise RuntimeError("a kernel's sums aren't PyTorch's.")
