"""What the training stages share: processes, a wall-clock budget, the optimiser, logs and picture sheets.

A stage runs alone or under ``torchrun --nproc_per_node N``; each process then trains on its own share of the
pictures and the gradients are averaged.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from torch import Tensor, nn


@dataclass(frozen=True)
class Ranks:
    """This process among its siblings."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in: bfloat16 on a GPU, float32 on a processor."""
        return torch.bfloat16 if self.device.type == "cuda" else torch.float32

    def say(self, text: str) -> None:
        if self.first:
            print(text, flush=True)

    def barrier(self) -> None:
        if self.world > 1:
            dist.barrier()

    def any(self, flags: Tensor) -> Tensor:
        """Flags that are set in any process."""
        counts = flags.int()
        if self.world > 1:
            dist.all_reduce(counts)
        return counts > 0


def join_ranks(seed: int = 0) -> Ranks:
    """Joins the siblings that torchrun started (NCCL on GPUs, gloo elsewhere), or stands alone."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_RANK", 0))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    if world > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    torch.manual_seed(seed)
    return Ranks(rank, world, device)


def leave_ranks(ranks: Ranks) -> None:
    if ranks.world > 1:
        dist.barrier()
        dist.destroy_process_group()


class Clock:
    """How much of the stage's seconds is spent; the first process decides for all."""

    def __init__(self, seconds: float, ranks: Ranks) -> None:
        self.seconds, self.ranks = seconds, ranks
        self.every_steps = 10 if ranks.device.type == "cuda" else 1
        self.step = -1
        self._share = 0.0
        ranks.barrier()
        self._start = time.monotonic()

    def progress(self) -> float:
        """One more step: the spent share of the budget, 0 to 1 and above; the same in all processes."""
        self.step += 1
        if self.step % self.every_steps == 0:
            if self.ranks.device.type == "cuda":
                torch.cuda.synchronize()
            share = torch.tensor([(time.monotonic() - self._start) / self.seconds], device=self.ranks.device)
            if self.ranks.world > 1:
                dist.broadcast(share, 0)
            self._share = float(share)
        return self._share


def _pack(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([_memory_order(tensor).float() for tensor in tensors])


def _memory_order(tensor: Tensor) -> Tensor:
    return tensor.detach().as_strided((tensor.numel(),), (1,))


def _views(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    views, offset = [], 0
    for tensor in like:
        views.append(flat.as_strided(tensor.size(), tensor.stride(), offset))
        offset += tensor.numel()
    return views


class Learner:
    """Adam over one flat float32 copy of low-precision weights, with an average of the weights.

    The networks run wholly in bfloat16; the copy keeps the small updates that bfloat16 would round away.
    One flat buffer makes averaging over processes, clipping, Adam and the running average one kernel each.
    The average follows the power profile of Karras et al. 2024 (arXiv 2312.02696): its horizon is a fixed
    share of the run.
    """

    def __init__(
        self, modules: Iterable[nn.Module], ranks: Ranks, peak_rate: float, clip: float = 1.0
    ) -> None:
        self.live = [p for module in modules for p in module.parameters() if p.requires_grad]
        self.ranks, self.peak_rate, self.clip, self.steps = ranks, peak_rate, clip, 0
        self.flat = nn.Parameter(_pack(self.live))
        if ranks.world > 1:
            dist.broadcast(self.flat.data, 0)
        self.flat.grad = torch.zeros_like(self.flat)
        self.average = self.flat.detach().clone()
        self._weights = _views(self.flat.detach(), self.live)
        self._gradients = _views(self.flat.grad, self.live)
        self._write_live()
        self._masks: list[tuple[Tensor, Tensor]] = []
        fused = ranks.device.type == "cuda"
        self.optimiser = torch.optim.Adam([self.flat], lr=peak_rate, betas=(0.9, 0.99), fused=fused)

    def mask(self, parameter: Tensor, mask: Tensor) -> None:
        """Multiplies this parameter's gradient by ``mask`` (1 trains, 0 stays as it is)."""
        index = next(i for i, live in enumerate(self.live) if live is parameter)
        self._masks.append((self._gradients[index], mask))

    def rate(self, progress: float, warmup: float = 0.03) -> float:
        """The learning rate: linear warm-up, then a cosine to zero."""
        return (
            self.peak_rate
            * min(1.0, progress / warmup + 1e-3)
            * 0.5
            * (1 + math.cos(math.pi * min(1.0, progress)))
        )

    def step(self, progress: float) -> Tensor:
        """One update from the gradients of the live weights. Returns the gradient's norm before clipping."""
        gradient = self.flat.grad
        assert gradient is not None
        torch._foreach_copy_(self._gradients, [_gradient_of(parameter) for parameter in self.live])
        for parameter in self.live:
            parameter.grad = None
        if self.ranks.world > 1:
            dist.all_reduce(gradient)
            gradient.div_(self.ranks.world)
        for view, mask in self._masks:
            view.mul_(mask)
        norm = gradient.norm()
        gradient.mul_((self.clip / (norm + 1e-6)).clamp(max=1.0))
        self.optimiser.param_groups[0]["lr"] = self.rate(progress)
        self.optimiser.step()
        self._write_live()
        self.average.lerp_(self.flat.detach(), 1 - (1 - 1 / (self.steps + 1)) ** 18)
        self.steps += 1
        return norm

    def _write_live(self) -> None:
        torch._foreach_copy_([parameter.data for parameter in self.live], self._weights)

    def write_average(self, modules: Iterable[nn.Module]) -> None:
        """Copies the average into other modules of the same shape, in their own precision."""
        twins = [p for module in modules for p in module.parameters() if p.requires_grad]
        for twin, view in zip(twins, _views(self.average, self.live), strict=True):
            twin.data.copy_(view)


def _gradient_of(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None, (
        f"a parameter of shape {tuple(parameter.shape)} took no part in the loss"
    )
    return parameter.grad


class Log:
    """The mean of each number since the last line, printed about every ten seconds and kept as JSON."""

    def __init__(self, path: Path, ranks: Ranks, every_seconds: float = 10.0) -> None:
        self.path, self.ranks, self.every_seconds = path, ranks, every_seconds
        self.rows: list[dict[str, float]] = []
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._start = self._last = time.monotonic()

    def add(self, step: int, progress: float, **numbers: Tensor | float) -> None:
        for name, number in numbers.items():
            value = torch.as_tensor(number, device=self.ranks.device).detach().float()
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
        self._count += 1
        if time.monotonic() - self._last >= self.every_seconds:
            self._flush(step, progress)

    def _flush(self, step: int, progress: float) -> None:
        now = time.monotonic()
        row = {"seconds": round(now - self._start, 1), "step": step}
        row |= {name: round(float(total) / self._count, 6) for name, total in self._sums.items()}
        speed = self._count / (now - self._last)
        self.rows.append(row)
        text = " ".join(f"{name} {value:.4g}" for name, value in row.items())
        self.ranks.say(f"[{progress:4.0%}] {text} ({speed:.1f} steps/s)")
        self._sums, self._count, self._last = {}, 0, time.monotonic()

    def close(self, step: int, **results: object) -> None:
        """Writes the curve and the stage's results."""
        if self._count:
            self._flush(step, 1.0)
        if self.ranks.first:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, {"curve": self.rows, **results})


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def as_unit(images: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 ``[n, h, w, 3]`` to ``[n, 3, h, w]`` in -1 to 1, channels last in memory."""
    return images.permute(0, 3, 1, 2).to(dtype).div_(127.5).sub_(1)


def as_bytes(images: Tensor) -> np.ndarray:
    """``[n, 3, h, w]`` in -1 to 1 to uint8 ``[n, h, w, 3]``."""
    scaled = images.detach().float().clamp(-1, 1).add(1).mul(127.5).round()
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def write_sheet(path: Path, rows: Sequence[np.ndarray]) -> None:
    """Rows of pictures, each uint8 ``[n, h, w, 3]``, as one picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)).save(path)
