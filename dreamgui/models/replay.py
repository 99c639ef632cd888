"""Passes of models as CUDA graphs, where they are asked many times for the same shapes.

Generating launches some 1,500 kernels a step from Python, which takes a fast card longer than to run them:
https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs. A graph reads weights where they are, so it outlives
a change of weights that is made in place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from dreamgui import bootstrap
from dreamgui.models.device import free_bytes

WARM_CALLS = 2
"""So often a shape is computed without a graph: libraries choose their kernels then, and few steps need none."""
ROOM_BYTES = 10_000_000_000
"""Graphs keep the memory that their passes need; where less than this is free, none is made."""
MOST = 12
"""Graphs kept at once: UNet, VAE and text encoder in a few sizes and batches."""


class Replays:
    """The graphs of a loaded base's models, the latest used ones. They share one memory, as one runs at a time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: dict[tuple[Hashable, ...], Replay] = {}
        self._pool: Any = None

    def call(self, key: tuple[Hashable, ...], function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """Return the function's output, by a graph from the third call with this key and these shapes on.

        Args:
            key: names the pass; functions of one key compute the same. A graph reads the models in it.
            function: gives a tensor, launches kernels only, and doesn't wait for the device.
            inputs: tensors on the device.
        """
        if self._device.type != "cuda":
            return function(*inputs)
        whole = (*key, *((each.shape, each.dtype) for each in inputs))
        replay = self._kept.pop(whole, None) or Replay(function, self._device, self._memory)
        self._kept[whole] = replay
        if len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
        return replay(*inputs)

    def drop(self, *models: Any) -> None:
        """Forget the graphs of these models, or all where none is given."""
        gone = [
            key for key in self._kept if not models or any(part is each for part in key for each in models)
        ]
        for key in gone:
            del self._kept[key]

    @property
    def captured(self) -> int:
        """Number of graphs."""
        return sum(replay.captured for replay in self._kept.values())

    def _memory(self) -> Any:
        """A pool ends with the last graph in it: PyTorch refuses to capture into one that has ended."""
        if not self.captured:
            self._pool = torch.cuda.graph_pool_handle()
        return self._pool


class Replay:
    """Calls a function of tensors of the same shapes, by a CUDA graph from the third call on.

    Args:
        function: see :meth:`Replays.call`.
        pool: gives memory shared with other graphs, asked when the graph is made; by default it has its own.
    """

    def __init__(
        self, function: Callable[..., Tensor], device: torch.device, pool: Callable[[], Any] = lambda: None
    ) -> None:
        self._function, self._device, self._pool = function, device, pool
        self._calls = 0
        self._graph: Any = None
        self._inputs: list[Tensor] = []
        self._given: list[tuple[Tensor, int]] = []
        self._output = torch.empty(0)
        self._possible = device.type == "cuda" and not bootstrap.is_short()

    @property
    def captured(self) -> bool:
        """Return whether there is a graph."""
        return self._graph is not None

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's output for these inputs, which later calls don't change."""
        self._calls += 1
        if self._graph is None and (self._calls <= WARM_CALLS or not self._captures(inputs)):
            return self._function(*inputs)
        given = [(each, each._version) for each in inputs]
        for place, now, before in zip(self._inputs, given, self._given, strict=True):
            # Text and maps are the same ones in each step.
            if now[0] is not before[0] or now[1] != before[1]:
                place.copy_(now[0], non_blocking=True)
        self._given = given
        self._graph.replay()
        return self._output.clone()

    def _captures(self, inputs: tuple[Tensor, ...]) -> bool:
        if not self._possible or free_bytes(self._device) < ROOM_BYTES:
            return False
        self._inputs = [each.clone() for each in inputs]
        self._given = [(each, each._version) for each in inputs]
        graph: Any = torch.cuda.CUDAGraph()
        try:
            # Only this thread's calls may not disturb: the page asks the device for its memory meanwhile.
            with torch.cuda.graph(graph, pool=self._pool(), capture_error_mode="thread_local"):
                self._output = self._function(*self._inputs)
        except RuntimeError:
            self._possible, self._inputs, self._given, self._output = False, [], [], torch.empty(0)
            return False
        self._graph = graph
        return True
