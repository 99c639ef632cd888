"""AdamW for weights in bf16: what bf16 is too coarse for is rounded up or down by chance.

A bf16 number has 8 bits of precision: a step of a DreamBooth training is some hundred times smaller than the
distance to a weight's next neighbour, and rounding to the nearest would leave the weight where it is. Rounded
up with the probability of its distance from the lower neighbour, a number is right on average (Gupta et al.
2015, https://arxiv.org/abs/1502.02551; for bf16: Zamirai et al. 2020, https://arxiv.org/abs/2010.06192).

Chance follows from seed, weight and step, as in :mod:`dreamgui.training.steps.batches`: a run that goes on after a
break rounds as it would have, and no state of a generator can be lost.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

PIECE = 1 << 22
"""So many numbers of a weight are computed at once: a few copies of them in fp32 exist for a moment."""
_DROPPED_BITS = 16


def rounded_by_chance(values: Tensor, chance: torch.Generator) -> Tensor:
    """fp32 numbers as bf16, each up or down with the probability that makes its mean right.

    Infinity and NaN stay what they are.
    """
    bits = torch.randint(
        0, 1 << _DROPPED_BITS, values.shape, dtype=torch.int32, device=values.device, generator=chance
    )
    bits.add_(values.view(torch.int32)).bitwise_and_(-1 << _DROPPED_BITS)
    return torch.where(values.isfinite(), bits.view(torch.float32), values).to(torch.bfloat16)


class Chance:
    """The generator for a weight's rounding at a step."""

    def __init__(self, weights: Sequence[nn.Parameter], seed: int) -> None:
        self._numbers = {weight: number for number, weight in enumerate(weights)}
        self._generator = torch.Generator(weights[0].device)
        self._seed = seed

    def of(self, weight: nn.Parameter, step: int) -> torch.Generator:
        """Set to where it has to be. The one before is used up."""
        purpose = f"{self._seed} rounding {self._numbers[weight]} {step}"
        return self._generator.manual_seed(zlib.crc32(purpose.encode()))


class RoundedAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter 2017, https://arxiv.org/abs/1711.05101) with weights and moments in bf16.

    It computes in fp32, a piece at a time, so that beside weights, moments and gradients only a few megabytes
    are needed.

    Attributes:
        grad_scale, found_inf: as the fused AdamW has them, tensors on the weights' device or None: gradients
            are divided by the first; where the second isn't 0, no weight and no moment changes.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        seed: int = 0,
    ) -> None:
        super().__init__(groups, {"betas": betas, "eps": eps, "weight_decay": weight_decay, "lr": 0.0})
        self._chance = Chance([weight for group in self.param_groups for weight in group["params"]], seed)
        self.grad_scale: Tensor | None = None
        self.found_inf: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group)

    def _move(self, weight: nn.Parameter, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state.update(step=0, mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
        state["step"] += 1
        chance = self._chance.of(weight, state["step"])
        rows = max(1, PIECE * len(weight) // weight.numel())
        whole = (weight, weight.grad, state["mean"], state["square"])
        for pieces in zip(*(each.split(rows) for each in whole), strict=True):
            self._move_piece(*pieces, group, state["step"], chance)

    def _move_piece(
        self,
        weight: Tensor,
        grad: Tensor,
        mean: Tensor,
        square: Tensor,
        group: dict[str, Any],
        step: int,
        chance: torch.Generator,
    ) -> None:
        first, second = group["betas"]
        gradient = grad.float() if self.grad_scale is None else grad.float() / self.grad_scale
        m = mean.float().lerp_(gradient, 1 - first)
        v = square.float().mul_(second).addcmul_(gradient, gradient, value=1 - second)
        w = weight.float().mul_(1 - group["lr"] * group["weight_decay"])
        size = (v / (1 - second**step)).sqrt_().add_(group["eps"])
        w.addcdiv_(m, size, value=-group["lr"] / (1 - first**step))
        for kept, exact in ((weight, w), (mean, m), (square, v)):
            rounded = rounded_by_chance(exact, chance)
            kept.copy_(rounded if self.found_inf is None else torch.where(self.found_inf > 0, kept, rounded))


def rounded(kind: type[Any]) -> type[Any]:
    """bitsandbytes' 8-bit AdamW for weights in bf16: one weight at a time is fp32 while it moves."""

    class Rounded(kind):
        """Takes ``seed`` beside what its base class takes."""

        def __init__(self, groups: list[dict[str, Any]], seed: int = 0, **settings: Any) -> None:
            super().__init__(groups, **settings)
            self._chance = Chance([weight for group in self.param_groups for weight in group["params"]], seed)

        def update_step(self, group: dict[str, Any], weight: nn.Parameter, *place: int) -> None:
            kept, gradient = weight.data, weight.grad
            assert gradient is not None
            weight.data = kept.float()
            weight.grad = gradient.float()
            try:
                super().update_step(group, weight, *place)
                chance = self._chance.of(weight, self.state[weight]["step"])
                kept.copy_(rounded_by_chance(weight.data, chance))
            finally:
                weight.data = kept
                weight.grad = gradient

    return Rounded
