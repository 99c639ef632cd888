"""Triton's kernels compiled before they are needed, side by side: one after the other they take seconds of a first start."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

Variant = tuple[Any, tuple[Any, ...]] | tuple[Any, tuple[Any, ...], dict[str, Any]]
"""A kernel and what it is called with: numbers as at any call, a tensor as its dtype; the launch's options."""
_AT_ONCE = 8


def compile_ahead(variants: Iterable[Variant], device: torch.device) -> None:
    """Compile kernels and what launches them, or find them in Triton's cache on disk. Nothing is launched.

    Raises:
        Exception: whatever Triton raises where it can't compile.
    """
    with ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as pool:
        list(pool.map(lambda variant: _compile(device, *variant), variants))


def _compile(
    device: torch.device, kernel: Any, arguments: tuple[Any, ...], options: dict[str, Any] | None = None
) -> None:
    # Which device is current is each thread's own.
    with torch.cuda.device(device):
        compiled = kernel.warmup(*arguments, grid=(1,), **(options or {}))
        # Asked for what launches it, Triton compiles that too, by the C compiler.
        _ = compiled.run
