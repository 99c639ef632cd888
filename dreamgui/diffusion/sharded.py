"""A shared training step in which each process holds a part of every weight, gradient and moment (FSDP).

Before a block of the UNet computes, forward or backward, its weights are gathered from all processes in the
compute format, and dropped after it; its gradients go back as fp32 sums, to each process its part. So a card
needs 1/n of what a training holds, and room for a block. Zhao et al. 2023, https://arxiv.org/abs/2304.11277.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from dreamgui.diffusion.batches import Batch
from dreamgui.diffusion.channels_last import channels_last
from dreamgui.diffusion.narrow import outside_autocast
from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.diffusion.shared import SharedStep


class ShardedStep(SharedStep):
    """A SharedStep of a UNet whose weights are split among the processes, with ``adamw``.

    ``trained`` holds this process's parts, as plain tensors: optimizer and fingerprint see nothing else. The
    rest of the model's use, drawing too, is as ever, but all processes must take part in it.
    """

    sharded = True

    def __init__(
        self, unet: Any, schedule: NoiseSchedule, dtype: torch.dtype, *settings: Any, **named: Any
    ) -> None:
        """As a SharedStep; ``unet`` is split in place, its weights fp32 and on their device. No text encoder."""
        self._kind = type(unet)
        self._shards: dict[str, Any] = {}
        split(unet, dtype)
        super().__init__(unet, schedule, dtype, *settings, **named)

    def as_the_first(self, *wishes: bool) -> tuple[bool, ...]:
        """What the first process wishes."""
        told = torch.tensor(wishes, dtype=torch.uint8)
        dist.broadcast(told, 0)
        return tuple(map(bool, told.tolist()))

    @torch.no_grad()
    def whole(self, name: str, part: Tensor) -> Tensor:
        """Gathered from all processes, which must all call this; numbers beside the weights stay as they are."""
        if not part.dim():
            return part
        shard = self._shards[name]
        place = {"shape": shard.shape, "stride": shard.stride()}
        whole = DTensor.from_local(part, shard.device_mesh, shard.placements, **place).full_tensor()
        return whole.cpu() if dist.get_rank() == 0 else whole.new_empty(0)

    def part(self, whole: Tensor) -> Tensor:
        """As fully_shard cuts: along the first dimension, the last parts may be short or empty."""
        if not whole.dim():
            return whole
        cut, rank = whole.chunk(dist.get_world_size()), dist.get_rank()
        return cut[rank] if rank < len(cut) else whole[:0]

    def whole_unet(self) -> Any:
        """A plain UNet on the CPU; without weights in all processes but the first."""
        with torch.device("meta"):
            unet = self._kind.from_config(self.unet.config)
        weights = {name: self.whole(name, part.detach()) for name, part in self.trained.items()}
        if dist.get_rank() == 0:
            unet.load_state_dict(weights, assign=True)
        return unet

    def validate(self, batches: Sequence[Batch]) -> float:
        """The first process's number in all: cards may round differently, and what is kept depends on it."""
        loss = torch.tensor(super().validate(batches), dtype=torch.float64)
        dist.broadcast(loss, 0)
        return loss.item()

    @torch.no_grad()
    def _learning(self, module: Any | None, prefix: str = "") -> dict[str, nn.Parameter]:
        found: dict[str, Any] = super()._learning(module, prefix)
        self._shards |= found
        return {name: nn.Parameter(shard.to_local()) for name, shard in found.items()}

    def _narrowed(self, weights: dict[str, nn.Parameter], dtype: torch.dtype) -> None:
        """FSDP makes the narrow copies, when it gathers."""

    @property
    def _model(self) -> Any:
        # In fp16 norms could overflow what autocast computes in fp32.
        in_bf16 = self._compute[0] == torch.bfloat16
        return outside_autocast(self._in_one_format, self.device) if in_bf16 else self.unet

    def _in_one_format(self, latents: Tensor, *inputs: Any, **named: Any) -> Any:
        # Gathered weights have channels first; the layout of what is computed follows the input's.
        latents = latents.contiguous(memory_format=torch.channels_last)
        # What gradient checkpointing computes again, it computes outside of such a block.
        layout = nullcontext() if self.unet.is_gradient_checkpointing else channels_last(self.device)
        with layout:
            return self.unet(latents, *inputs, **named)

    @contextmanager
    def _mean_gradients(self) -> Iterator[None]:
        """FSDP makes means, to each process its part; they only go over to where the optimizer looks."""
        yield
        for name, shard in self._shards.items():
            self.trained[name].grad, shard.grad = shard.grad.to_local(), None

    def _update(self) -> Tensor:
        if self.scaler.is_enabled():
            # Loss scaling looks at this process's part; an overflow in any of them must be in all.
            next(each for each in self._gradients() if each.numel()).add_(self._norm() * 0)
        return super()._update()

    def _norm(self) -> Tensor:
        squared = super()._norm() ** 2
        dist.all_reduce(squared)
        return squared.sqrt()

    def _clip(self) -> Tensor:
        norm = self._norm()
        nn.utils.clip_grads_with_norm_(self.trained.values(), self.settings.max_grad_norm, norm, foreach=True)
        return norm

    def _require_equal(self) -> None:
        """The processes' weights are parts of one whole, and never equal."""


def split(unet: Any, dtype: torch.dtype) -> None:
    """Split a UNet's weights among all processes, in place; it then computes in ``dtype``.

    Each resnet, transformer and sampler is gathered by itself, what is left with the whole UNet.
    """
    device = next(unet.parameters()).device.type
    for weight in unet.parameters():
        # FSDP takes no other layout.
        weight.data = weight.data.contiguous()
    how: dict[str, Any] = {
        "mesh": init_device_mesh(device, (dist.get_world_size(),)),
        "mp_policy": MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32),
        # The UNet itself, too: what it kept after drawing would be old after the next step.
        "reshard_after_forward": True,
    }
    for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
        for modules in block.children():
            for module in modules:
                fully_shard(module, **how)
    fully_shard(unet, **how)
    if device == "cuda":
        # The places of the whole weights don't fit the parts; a small card needs them back.
        torch.cuda.empty_cache()
