"""A model's forward pass as a CUDA graph, where it is asked many times for the same shapes.

Drawing launches some 1,500 kernels a step from Python, which takes a fast card longer than to run them:
https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dreamgui.models.device import free_bytes

WARM_CALLS = 2
"""So often a shape is computed without a graph: libraries choose their kernels then, and few steps need none."""
ROOM_BYTES = 10_000_000_000
"""A graph keeps the memory that its pass needs; where less than this is free, none is made."""


class Replay:
    """Calls a function of tensors, by a CUDA graph from the third call with inputs of one shape on.

    Not for a model whose weights move to other places meanwhile: a graph reads where they were.

    Args:
        function: gives a tensor, launches kernels only, and doesn't wait for the device.
    """

    def __init__(self, function: Callable[..., Tensor], device: torch.device) -> None:
        self._function, self._device = function, device
        self._kinds: list[tuple[torch.Size, torch.dtype]] = []
        self._calls = 0
        self._graph: Any = None
        self._inputs: list[Tensor] = []
        self._output = torch.empty(0)
        self._possible = device.type == "cuda"

    @property
    def captured(self) -> bool:
        """Whether there is a graph of the shapes that came last."""
        return self._graph is not None

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's output for these inputs, which later calls don't change."""
        kinds = [(each.shape, each.dtype) for each in inputs]
        if kinds != self._kinds:
            self._kinds, self._calls, self._graph = kinds, 0, None
        self._calls += 1
        if self._graph is None and (self._calls <= WARM_CALLS or not self._captures(inputs)):
            return self._function(*inputs)
        for place, given in zip(self._inputs, inputs, strict=True):
            place.copy_(given, non_blocking=True)
        self._graph.replay()
        return self._output.clone()

    def _captures(self, inputs: tuple[Tensor, ...]) -> bool:
        if not self._possible or free_bytes(self._device) < ROOM_BYTES:
            return False
        self._inputs = [each.clone() for each in inputs]
        graph: Any = torch.cuda.CUDAGraph()
        try:
            # Only this thread's calls may not disturb: the page asks the device for its memory meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._output = self._function(*self._inputs)
        except RuntimeError:
            self._possible, self._inputs, self._output = False, [], torch.empty(0)
            return False
        self._graph = graph
        return True
