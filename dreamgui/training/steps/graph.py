"""The whole training step as one CUDA graph.

A step launches some 3,000 kernels, most of them shorter than their launch. Captured once, they are launched
together: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from dreamgui import bootstrap
from dreamgui.training.steps.batches import Batch
from dreamgui.training.steps.step import TrainingStep

WARM_STEPS = 2
"""So many steps are learnt without the graph: libraries choose their kernels, the optimizer makes its state."""
TOLERANCE = 0.02
"""The losses of the graph's first step may differ so much from those of the plain forward pass."""


class FastStep:
    """Trains as :class:`TrainingStep` does, by a CUDA graph where that is possible.

    Attributes:
        reason: why there is no graph, as a sentence; empty while there is one or one is still to come.
    """

    def __init__(self, training: TrainingStep) -> None:
        self.training = training
        self.reason = _impossible(training)
        self._warm = 0
        self._graph: Any = None
        self._inputs: Batch | None = None
        self._measured = torch.empty(0)
        self._expected: list[float] = []
        if not self.reason:
            _rates_on_device(training)

    @property
    def captured(self) -> bool:
        """Return whether steps run as a graph by now."""
        return self._graph is not None

    def launch(self, batch: Batch, learning_rate: float, text_learning_rate: float = 0.0) -> Tensor:
        """Launch a step as :meth:`TrainingStep.launch` does."""
        rates = learning_rate, text_learning_rate
        # A text encoder is trained in the first part of a run only; the graph is made after that.
        if self.reason or self.training.text_trains:
            return self.training.launch(batch, *rates)
        if self._graph is None:
            if self._warm < WARM_STEPS:
                self._warm += 1
                return self._beside(batch, rates)
            if not self._captures(batch):
                return self.training.launch(batch, *rates)
        return self._replayed(batch, rates)

    def _beside(self, batch: Batch, rates: tuple[float, float]) -> Tensor:
        """A plain step on a stream of its own, as capturing wants it before."""
        stream, now = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(now)
        with torch.cuda.stream(stream):
            measured = self.training.launch(batch, *rates)
        now.wait_stream(stream)
        return measured

    def _captures(self, batch: Batch) -> bool:
        """Capture a step on inputs that stay where they are, or False, and the reason, where that fails."""
        self._inputs = _copy(batch)
        expected = self._plain_losses(batch)
        graph: Any = torch.cuda.CUDAGraph()
        failed = ""
        try:
            # Only this thread's calls may not disturb: the page asks the device for its memory meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._measured = self.training.update(self._inputs)
        except RuntimeError as error:
            failed = str(error).splitlines()[0]
        # NCCL's sending must be in the graph of all processes, or of none:
        # https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/usage/cudagraph.html
        if not self.training.peers.all_agree(not failed):
            self._give_up(f"Steps run without a CUDA graph: {failed or 'another process could make none.'}")
            return False
        self._graph, self._expected = graph, expected
        return True

    def _replayed(self, batch: Batch, rates: tuple[float, float]) -> Tensor:
        assert self._inputs is not None
        self.training.before()
        for name, value in _tensors(self._inputs).items():
            value.copy_(getattr(batch, name), non_blocking=True)
        self.training.set_rates(*rates)
        self._graph.replay()
        self.training.after()
        measured = self._measured.clone()
        if self._expected:
            self._compare(measured.tolist()[1:])
        return measured

    def _compare(self, found: list[float]) -> None:
        """The graph's first losses against the plain ones. Where they differ the graph isn't used again."""
        expected, self._expected = self._expected, []
        pairs = zip(found, expected, strict=True)
        close = all(math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-4) or math.isnan(b) for a, b in pairs)
        if not self.training.peers.all_agree(close):
            self._give_up(f"Steps run without a CUDA graph: its losses were {found}, plain ones {expected}.")

    def _plain_losses(self, batch: Batch) -> list[float]:
        # With the gradient's graph, which is dropped at once: without one, attention would choose other kernels.
        losses = self.training.losses(batch)
        return [each.item() for each in (losses.instance, losses.prior) if each is not None]

    def _give_up(self, reason: str) -> None:
        self.reason, self._graph, self._inputs = reason, None, None
        self._measured = torch.empty(0)
        self.training.forget()
        torch.cuda.synchronize()


def _impossible(training: TrainingStep) -> str:
    """Return why this training can't be captured, or "" where it can."""
    name = training.settings.optimizer
    if training.device.type != "cuda":
        return f"{training.device.type.upper()} has no CUDA graphs."
    if bootstrap.is_short():
        return "Steps run without a CUDA graph: the GPU is lent for too short a time."
    if training.peers.sharded:
        return "Steps run without a CUDA graph: weights that are split over the GPUs come and go with each block."
    if name != "adamw":
        return f"Steps run without a CUDA graph: the optimizer {name!r} decides on the processor."
    if any(weight.dtype == torch.bfloat16 for weight in training.trained.values()):
        return "Steps run without a CUDA graph: weights in bf16 are rounded by chance, which it would repeat."
    if training.scaler.is_enabled():
        return "Steps run without a CUDA graph: fp16's loss scaling is looked at after every step."
    return ""


def _rates_on_device(training: TrainingStep) -> None:
    """A captured optimizer reads its learning rate from the device."""
    for group in training.optimizer.param_groups:
        group["lr"] = torch.zeros((), device=training.device)
        group["capturable"] = True


def _tensors(batch: Batch) -> dict[str, Tensor]:
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def _copy(batch: Batch) -> Batch:
    copies: dict[str, Any] = {name: value.clone() for name, value in _tensors(batch).items()}
    return replace(batch, **copies)
