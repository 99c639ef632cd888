"""Gradients of several processes become their mean while the backward pass still runs.

As DistributedDataParallel does it (Li et al. 2020, https://arxiv.org/abs/2006.15704), in less: every weight
is trained in every step. What DDP does beside it (timing by events, gradient nodes that outlive a step) stands in
the way of a CUDA graph; this can be captured from the third step on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

BUCKET_BYTES = 64 * 2**20
"""Large enough for the links between GPUs to be fast, small enough that most is sent before the pass ends."""
_ALIGNED = 32


@dataclass
class _Bucket:
    """Weights whose gradients are sent together, and where they lie meanwhile.

    ``views``: a place in ``flat`` for each gradient, with its weight's strides. ``missing``: how many
    gradients are still to come. ``work``: the sending, while it is under way.
    """

    weights: list[Tensor]
    flat: Tensor
    views: list[Tensor]
    missing: int = 0
    work: Any = None


class MeanGradients:
    """Inside ``with taken():`` backward passes leave the processes' mean gradient in each weight's ``.grad``.

    Buckets are sent one after the other, in all processes alike. From the second step on they hold the
    weights in the order in which the first step's gradients came, so that none waits for long.
    """

    def __init__(self, weights: Sequence[Tensor], passes: int = 1, limit: int = BUCKET_BYTES) -> None:
        """Prepare buckets of at most ``limit`` bytes, or one weight.

        Args:
            weights: all get a gradient in each pass.
            passes: how many backward passes are added up before anything is sent.
        """
        self._passes, self._limit = passes, limit
        self._weights = list(weights)
        self._came: list[int] | None = []
        self._taking = False
        self._fill(range(len(weights)))
        self._hooks = [
            weight.register_post_accumulate_grad_hook(lambda _, number=number: self._take(number))
            for number, weight in enumerate(weights)
        ]

    @contextmanager
    def taken(self) -> Iterator[None]:
        """The backward passes of one step. On leaving, all mean gradients are there.

        Raises:
            RuntimeError: a weight got no gradient; the other processes would wait for it for ever.
        """
        if self._came:
            self._fill(_of_the_first(self._came))
            self._came = None
        for bucket in self._buckets:
            bucket.missing = len(bucket.weights) * self._passes
        self._next, self._taking = 0, True
        try:
            yield
        finally:
            self._taking = False
        if late := sum(bucket.missing for bucket in self._buckets):
            raise RuntimeError(f"{late} gradients of a shared step didn't come.")
        for bucket in self._buckets:
            bucket.work.wait()
            if not bucket.flat.is_cuda:
                bucket.flat.div_(dist.get_world_size())

    def close(self) -> None:
        """Leave the weights alone from now on."""
        for hook in self._hooks:
            hook.remove()

    def _fill(self, order: Sequence[int]) -> None:
        """Make the buckets of the weights, given by their numbers in this order."""
        # Earlier buckets give their memory back first.
        self._buckets: list[_Bucket] = []
        self._of: dict[Tensor, _Bucket] = {}
        groups = _grouped([self._weights[number] for number in order], self._limit)
        self._buckets = [_bucket(group) for group in groups]
        self._of = {weight: bucket for bucket in self._buckets for weight in bucket.weights}

    def _take(self, number: int) -> None:
        if not self._taking:
            return
        if self._came is not None and number not in self._came:
            self._came.append(number)
        self._of[self._weights[number]].missing -= 1
        while self._next < len(self._buckets) and not self._buckets[self._next].missing:
            _send(self._buckets[self._next])
            self._next += 1


@torch.no_grad()
def _send(bucket: _Bucket) -> None:
    gradients: list[Any] = [weight.grad for weight in bucket.weights]
    torch._foreach_copy_(bucket.views, gradients)
    # The gradients lie in what is sent from now on: those that were just computed give their memory back.
    for weight, view in zip(bucket.weights, bucket.views, strict=True):
        weight.grad = view
    # NCCL divides on its way; gloo can't.
    kind = dist.ReduceOp.AVG if bucket.flat.is_cuda else dist.ReduceOp.SUM
    bucket.work = dist.all_reduce(bucket.flat, kind, async_op=True)


def _of_the_first(order: list[int]) -> list[int]:
    """The first process's order, in all of them."""
    numbers = torch.tensor(order)
    dist.broadcast(numbers, 0)
    return numbers.tolist()


def _grouped(weights: Sequence[Tensor], limit: int) -> list[list[Tensor]]:
    """Neighbours of one dtype, together at most so many bytes."""
    groups: list[list[Tensor]] = []
    room = 0
    for weight in weights:
        size = weight.numel() * weight.element_size()
        if size > room or weight.dtype != groups[-1][0].dtype:
            groups.append([])
            room = limit
        groups[-1].append(weight)
        room -= size
    return groups


def _bucket(weights: list[Tensor]) -> _Bucket:
    # Kernels over many tensors are fast where each begins at a round address.
    ends = list(accumulate(-(-weight.numel() // _ALIGNED) * _ALIGNED for weight in weights))
    flat = torch.zeros(ends[-1], dtype=weights[0].dtype, device=weights[0].device)
    starts = [0, *ends[:-1]]
    views = [
        flat.as_strided(weight.shape, weight.stride(), start)
        for weight, start in zip(weights, starts, strict=True)
    ]
    return _Bucket(weights, flat, views)
