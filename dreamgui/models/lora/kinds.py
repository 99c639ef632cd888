"""Changes that an adapter makes to one tensor of a model, by kind: each knows the difference that it adds.

Formulas: LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685), DoRA (Liu et al. 2024,
https://arxiv.org/abs/2402.09353), IA3 (Liu et al. 2022, https://arxiv.org/abs/2205.05638), LoHa, LoKr and LoCon with a
middle (Yeh et al. 2023, https://arxiv.org/abs/2309.14859, https://github.com/KohakuBlueleaf/LyCORIS).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor


class Change(ABC):
    """Change of one tensor of a model. ``word`` names the kind for the user."""

    word: ClassVar[str]

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape that the tensor must have. A kernel may be flattened into the last dimension."""

    @abstractmethod
    def delta(self, weight: Tensor) -> Tensor:
        """Return the difference that is added to this tensor at strength 1, fp32, of its shape."""

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """The tensor with ``strength`` times the difference added, fp32."""
        return weight.float() + strength * self.delta(weight)

    def shaped(self, dimensions: int) -> Change:
        """The same, written as programs do for a weight of 2 or 4 dimensions."""
        return self

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether a tensor of this shape can be changed so."""
        own = self.shape
        plain = own[1:2] == shape[1:2] or len(own) == 2
        return math.prod(own) == math.prod(shape) and own[:1] == shape[:1] and plain


@dataclass(frozen=True)
class LowRank(Change):
    """Adds ``scale * up @ down``: ``down`` is [rank, in, *kernel], ``up`` is [out, rank] or [out, rank, 1, 1]."""

    word = "LoRA"
    down: Tensor
    up: Tensor
    scale: float

    @property
    def rank(self) -> int:
        """Rows of ``down``."""
        return self.down.shape[0]

    @property
    def alpha(self) -> float:
        """The number by which programs tell the scale: scale times rank."""
        return self.scale * self.rank

    @property
    def shape(self) -> tuple[int, ...]:
        """[out, in, *kernel]."""
        return (self.up.shape[0], *self.down.shape[1:])

    def product(self) -> Tensor:
        """Return the difference, fp32, [out, in, *kernel]. It doesn't depend on the weight."""
        flat = self.up.float().flatten(1) @ self.down.float().flatten(1)
        return (self.scale * flat).reshape(self.shape)

    def delta(self, weight: Tensor) -> Tensor:
        """The product of both halves in the weight's shape, computed on its device."""
        return self.on(weight.device).product().reshape(weight.shape)

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        """The tensor with ``strength`` times the product added, fp32."""
        up, down = (each.to(weight.device).float().flatten(1) for each in (self.up, self.down))
        total = torch.addmm(weight.float().flatten(1), up, down, alpha=strength * self.scale)
        return total.reshape(weight.shape)

    def add_to(self, weight: Tensor, strength: float) -> bool:
        """Add ``strength`` times the product in place on a GPU, computed in fp32 and rounded once.

        Returns:
            Whether that could be done: the halves lie there in the matrix's own format.
        """
        plain = weight.ndim == 2 == self.up.ndim and weight.is_cuda
        if not plain or {self.up.device, self.down.device} != {weight.device}:
            return False
        if not self.up.dtype == self.down.dtype == weight.dtype:
            return False
        weight.addmm_(self.up, self.down, alpha=strength * self.scale)
        return True

    def on(self, device: torch.device) -> LowRank:
        """The same with its halves on a device."""
        return replace(self, down=self.down.to(device), up=self.up.to(device))

    def with_alpha(self, alpha: float) -> LowRank:
        """Return the same change with another alpha. The rest of the scale is multiplied into ``up``."""
        ratio = self.alpha / alpha
        if math.isclose(ratio, 1, rel_tol=1e-12):
            return self
        return replace(self, up=self.up.float() * ratio, scale=alpha / self.rank)

    def shaped(self, dimensions: int) -> LowRank:
        """Halves as a linear layer (2 dimensions) or a convolution (4) has them. Either may be written as the other."""
        if dimensions == 2:
            return replace(self, down=self.down.flatten(1), up=self.up.flatten(1))
        if dimensions == 4 and self.down.ndim == 2:
            return replace(self, down=self.down[:, :, None, None], up=self.up.flatten(1)[:, :, None, None])
        return self


@dataclass(frozen=True)
class Hadamard(Change):
    """LoHa: adds ``scale`` times the elementwise product of two low-rank matrices.

    Without a core a pair is [out, rank], [rank, in * kernel]; with one, [rank, rank, *kernel], it is [rank, out],
    [rank, in].
    """

    word = "LoHa"
    pairs: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
    cores: tuple[Tensor | None, Tensor | None]
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        """[out, in * kernel], or [out, in, *kernel] with cores."""
        (outer, inner), core = self.pairs[0], self.cores[0]
        return (
            (outer.shape[0], inner.shape[1])
            if core is None
            else (outer.shape[1], inner.shape[1], *core.shape[2:])
        )

    def delta(self, weight: Tensor) -> Tensor:
        """Both matrices multiplied elementwise."""
        first, second = (
            rebuilt(outer, inner, core) for (outer, inner), core in zip(self.pairs, self.cores, strict=True)
        )
        return (self.scale * first * second).to(weight.device).reshape(weight.shape)


@dataclass(frozen=True)
class Kronecker(Change):
    """LoKr: adds ``scale`` times the Kronecker product of ``first`` [a, b] and ``second`` [c, d, *kernel]."""

    word = "LoKr"
    first: Tensor
    second: Tensor
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        """[a c, b d, *kernel]."""
        (a, b), (c, d, *kernel) = self.first.shape[:2], self.second.shape
        return (a * c, b * d, *kernel)

    def delta(self, weight: Tensor) -> Tensor:
        """The Kronecker product in the weight's shape."""
        first = self.first.float().reshape(*self.first.shape[:2], *[1] * (self.second.ndim - 2))
        product = torch.kron(first, self.second.float().contiguous())
        return (self.scale * product).to(weight.device).reshape(weight.shape)


@dataclass(frozen=True)
class Scaling(Change):
    """IA3: adds the weight times a number for each output, or for each input."""

    word = "IA3"
    factors: Tensor
    on_input: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """[out] or [in], whichever the factors are for."""
        return (self.factors.numel(),)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether there is a factor for each output, or input."""
        return len(shape) > 1 and shape[int(self.on_input)] == self.factors.numel()

    def delta(self, weight: Tensor) -> Tensor:
        """The weight times its factors."""
        sides = [1] * weight.ndim
        sides[int(self.on_input)] = -1
        return weight.float() * self.factors.float().to(weight.device).reshape(sides)


@dataclass(frozen=True)
class Difference(Change):
    """A full difference of a weight, a bias or a norm, as it is."""

    word = "full difference"
    difference: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the difference's shape."""
        return tuple(self.difference.shape)

    def delta(self, weight: Tensor) -> Tensor:
        """The difference in the weight's shape."""
        return self.difference.float().to(weight.device).reshape(weight.shape)


@dataclass(frozen=True)
class Decomposed(Change):
    """DoRA: after another change each output's norm (each input's, where the magnitudes are for those) is set."""

    word = "DoRA"
    inner: Change
    magnitude: Tensor
    on_input: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the inner change's shape."""
        return self.inner.shape

    def shaped(self, dimensions: int) -> Decomposed:
        """The same with the inner change so, and magnitudes of outputs as peft has them: [out] or [1, out, 1, 1]."""
        sides = (-1,) if self.on_input or dimensions == 2 else (1, -1, 1, 1)
        return replace(self, inner=self.inner.shaped(dimensions), magnitude=self.magnitude.reshape(sides))

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether the inner change fits and there is a magnitude for each output, or input."""
        sides = shape[int(self.on_input) : int(self.on_input) + 1]
        return self.inner.fits(shape) and sides == (self.magnitude.numel(),)

    def delta(self, weight: Tensor) -> Tensor:
        """The changed and scaled weight minus the weight."""
        total = weight.float() + self.inner.delta(weight)
        norms = total.movedim(int(self.on_input), 0).flatten(1).norm(dim=1)
        sides = [1] * weight.ndim
        sides[int(self.on_input)] = -1
        factors = self.magnitude.float().to(weight.device).flatten() / norms
        return total * factors.reshape(sides) - weight.float()


def low_rank(change: Change) -> LowRank | None:
    """Return the low rank of a LoRA, or of a DoRA as peft has it (magnitudes of outputs), or None for other kinds."""
    inner = change.inner if isinstance(change, Decomposed) and not change.on_input else change
    return inner if isinstance(inner, LowRank) else None


def rebuilt(outer: Tensor, inner: Tensor, core: Tensor | None) -> Tensor:
    """A pair [out, rank] and [rank, in] multiplied, fp32. With a core [rank, rank, *kernel] of [rank, out] and
    [rank, in] to [out, in, *kernel]."""
    if core is None:
        return outer.float() @ inner.float()
    return torch.einsum("i j ..., j r, i p -> p r ...", core.float(), inner.float(), outer.float())
