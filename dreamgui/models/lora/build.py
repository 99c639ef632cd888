"""The tensors of one layer of a LoRA file, made into what they do to the layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from dreamgui.models.lora.kinds import (
    Change,
    Decomposed,
    Difference,
    Hadamard,
    Kronecker,
    LowRank,
    Scaling,
    rebuilt,
)
from dreamgui.models.recognition.lora_settings import LayerSettings

BIAS = ".bias"
_WEIGHT, _OF_BIAS = "", BIAS


class IncompleteLayerError(ValueError):
    """A layer's tensors that don't make up any kind. The message says what is missing or left over."""


def build(fields: Mapping[str, Tensor], settings: LayerSettings) -> dict[str, Change]:
    """Make the changes that these tensors stand for: of the layer's weight (under "") and of its bias (under ".bias").

    Args:
        fields: tensors by the fields of :mod:`dreamgui.models.recognition.lora_names`.
        settings: alpha as the file's settings say it; a tensor ``alpha`` wins over it.

    Raises:
        IncompleteLayerError: a half is missing, or a tensor belongs to no kind.
    """
    left = dict(fields)
    own = replace(settings, alpha=_number(left, "alpha")) if "alpha" in left else settings
    magnitude, dora_scale = left.pop("magnitude", None), left.pop("dora_scale", None)
    changes: dict[str, Change] = {}
    if (main := _main(left, own)) is not None:
        changes[_WEIGHT] = _decomposed(main, magnitude, dora_scale)
    elif magnitude is not None or dora_scale is not None:
        raise IncompleteLayerError("its magnitudes have no weights beside them")
    for field in ("diff_b", "b_norm"):
        if field in left:
            changes[_OF_BIAS] = Difference(left.pop(field))
    if left:
        raise IncompleteLayerError(f"it holds {', '.join(sorted(left))} beside what is read")
    return changes


def _main(left: dict[str, Tensor], settings: LayerSettings) -> Change | None:
    """Make the weight's change and take its tensors out of ``left``."""
    if "down" in left or "up" in left:
        return _low_rank(left, settings)
    if any(field.startswith("hada_") for field in left):
        return _hadamard(left, settings)
    if any(field.startswith("lokr_") for field in left):
        return _kronecker(left, settings)
    if "on_input" in left:
        return Scaling(_take(left, "weight"), bool(_number(left, "on_input")))
    field = next((field for field in ("diff", "w_norm") if field in left), None)
    return Difference(left.pop(field)) if field else None


def _low_rank(left: dict[str, Tensor], settings: LayerSettings) -> LowRank:
    down, up, middle = _take(left, "down"), _take(left, "up"), left.pop("lora_mid", None)
    rank = down.shape[0] if down.ndim else 0
    if middle is not None:
        if middle.shape[:2] != (rank, rank):
            raise IncompleteLayerError(f"its middle {list(middle.shape)} doesn't have the rank {rank}")
        # Down and middle are two convolutions in a row, which make one.
        down = torch.einsum("mn...,ni->mi...", middle.float(), down.float().flatten(1))
    if up.ndim < 2 or down.ndim < 2 or up.flatten(1).shape[1] != down.shape[0]:
        raise IncompleteLayerError(f"its halves {list(down.shape)} and {list(up.shape)} don't fit together")
    return LowRank(down, up, _scale(settings, rank))


def _hadamard(left: dict[str, Tensor], settings: LayerSettings) -> Hadamard:
    first = _take(left, "hada_w1_a"), _take(left, "hada_w1_b")
    second = _take(left, "hada_w2_a"), _take(left, "hada_w2_b")
    cores = left.pop("hada_t1", None), left.pop("hada_t2", None)
    for (outer, inner), core in zip((first, second), cores, strict=True):
        _require_pair(outer, inner, core)
    return Hadamard((first, second), cores, _scale(settings, first[1].shape[0]))


def _kronecker(left: dict[str, Tensor], settings: LayerSettings) -> Kronecker:
    ranks: list[int] = []
    first, second = (_factor(left, name, ranks) for name in ("lokr_w1", "lokr_w2"))
    # Two whole factors have no rank, and LyCORIS applies no alpha to them.
    return Kronecker(first, second, _scale(settings, ranks[-1]) if ranks else 1.0)


def _factor(left: dict[str, Tensor], name: str, ranks: list[int]) -> Tensor:
    """A factor of a Kronecker product, multiplied out. Where it has a rank, that is noted."""
    if name in left:
        return left.pop(name)
    outer, inner = _take(left, f"{name}_a"), _take(left, f"{name}_b")
    core = left.pop("lokr_t2", None) if name == "lokr_w2" else None
    _require_pair(outer, inner, core)
    ranks.append(inner.shape[0])
    return rebuilt(outer, inner, core)


def _decomposed(main: Change, magnitude: Tensor | None, dora_scale: Tensor | None) -> Change:
    if magnitude is not None:
        return Decomposed(main, magnitude)
    if dora_scale is None:
        return main
    # [out, 1...] has a norm for each output; LyCORIS wrote [1, in...] for long, as many as there are inputs.
    return Decomposed(main, dora_scale, on_input=dora_scale.ndim > 1 and dora_scale.shape[0] != main.shape[0])


def _require_pair(outer: Tensor, inner: Tensor, core: Tensor | None) -> None:
    """Raise unless these make one matrix, see :func:`~dreamgui.models.lora.kinds.rebuilt`."""
    fit = outer.ndim == inner.ndim == 2 and (
        outer.shape[1] == inner.shape[0]
        if core is None
        else core.ndim > 2 and (outer.shape[0], inner.shape[0]) == core.shape[:2]
    )
    if not fit:
        raise IncompleteLayerError(
            f"its halves {list(outer.shape)} and {list(inner.shape)} don't fit together"
        )


def _scale(settings: LayerSettings, rank: int) -> float:
    if rank < 1:
        raise IncompleteLayerError("its rank is 0")
    return settings.scale(rank)


def _number(left: dict[str, Tensor], field: str) -> float:
    value = left.pop(field)
    if value.numel() != 1:
        raise IncompleteLayerError(f"its {field} is {value.numel()} numbers in place of one")
    return float(value)


def _take(left: dict[str, Tensor], field: str) -> Tensor:
    if field not in left:
        raise IncompleteLayerError(f"it lacks its half {field}")
    return left.pop(field)
