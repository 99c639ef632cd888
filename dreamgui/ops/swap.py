"""A module's class replaced by a faster one with the same weights, and put back."""

from __future__ import annotations

from torch import nn

_ORIGINAL = "_class_before_swap"


def swap_class(module: nn.Module, kind: type[nn.Module]) -> None:
    """Give the module another class. Its weights and their names stay."""
    module.__dict__.setdefault(_ORIGINAL, type(module))
    module.__class__ = kind


def swap_back(module: nn.Module) -> None:
    """Give the module the class that it had before the first swap. Others stay as they are."""
    original = module.__dict__.pop(_ORIGINAL, None)
    if original is not None:
        module.__class__ = original
