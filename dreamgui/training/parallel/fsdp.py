"""Fully sharded data parallel training (FSDP): each process holds a part of every weight, gradient and moment.

Before a block of the UNet computes, forward or backward, its weights are gathered from all processes in the
compute dtype, and dropped after it. Its gradients return as fp32 means, to each process its part. A GPU then
needs 1/n of a training's state, and room for one block. Zhao et al. 2023, https://arxiv.org/abs/2304.11277.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from dreamgui.ops.channels_last import channels_last
from dreamgui.training.parallel.data_parallel import DataParallel
from dreamgui.training.steps.bf16_copies import outside_autocast


class FullyShardedDataParallel(DataParallel):
    """Processes that split one UNet's weights, trained with ``adamw``, without a text encoder.

    The step trains this process's parts, as plain tensors: optimizer and fingerprint see nothing else. All
    processes must take part whenever the model computes, in generation too.
    """

    sharded = True

    def distribute(self, unet: Any, dtype: torch.dtype) -> dict[str, nn.Parameter]:
        """Split the UNet in place. Its weights are fp32 and on their device. Return this process's parts."""
        self._kind, self._dtype = type(unet), dtype
        split(unet, dtype)
        self._shards: dict[str, Any] = dict(super().distribute(unet, dtype))
        with torch.no_grad():
            self._parts = {name: nn.Parameter(shard.to_local()) for name, shard in self._shards.items()}
        return self._parts

    def model(self, unet: Any) -> Any:
        """Return the UNet without autocast in bf16. FSDP makes the bf16 copies when it gathers."""
        # In fp16 norms could overflow what autocast computes in fp32.
        if self._dtype != torch.bfloat16:
            return unet
        device = next(iter(self._parts.values())).device

        def in_channels_last(latents: Tensor, *inputs: Any, **named: Any) -> Any:
            # Gathered weights have channels first; the layout of what is computed follows the input's.
            latents = latents.contiguous(memory_format=torch.channels_last)
            # Gradient checkpointing computes again outside of such a block.
            layout = nullcontext() if unet.is_gradient_checkpointing else channels_last(device)
            with layout:
                return unet(latents, *inputs, **named)

        return outside_autocast(in_channels_last, device)

    @contextmanager
    def mean_gradients(self, leaves: Callable[[], Sequence[Tensor]], passes: int) -> Iterator[None]:
        """Move FSDP's mean gradients to the parts that the optimizer holds."""
        yield
        for name, shard in self._shards.items():
            self._parts[name].grad, shard.grad = shard.grad.to_local(), None

    def norm(self, gradients: list[Tensor]) -> Tensor:
        """Return the norm of the whole gradients, from this process's parts."""
        squared = super().norm(gradients) ** 2
        dist.all_reduce(squared)
        return squared.sqrt()

    def clip(self, weights: list[nn.Parameter], max_norm: float) -> Tensor:
        """Scale the parts' gradients down to a common norm of all processes. Return the norm before."""
        norm = self.norm([weight.grad for weight in weights if weight.grad is not None])
        nn.utils.clip_grads_with_norm_(weights, max_norm, norm, foreach=True)
        return norm

    def spread_overflow(self, gradients: list[Tensor]) -> None:
        """Make all processes' gradients non-finite: loss scaling looks at this process's part only."""
        next(each for each in gradients if each.numel()).add_(self.norm(gradients) * 0)

    def from_first(self, *values: float) -> tuple[float, ...]:
        """Return the first process's values: clocks differ, and GPUs may round losses differently."""
        told = torch.tensor(values, dtype=torch.float64)
        dist.broadcast(told, 0)
        return tuple(told.tolist())

    @torch.no_grad()
    def whole(self, name: str, part: Tensor) -> Tensor:
        """Gather a tensor from all processes, which must all call this. Scalars stay as they are."""
        if not part.dim():
            return part
        shard = self._shards[name]
        place = {"shape": shard.shape, "stride": shard.stride()}
        whole = DTensor.from_local(part, shard.device_mesh, shard.placements, **place).full_tensor()
        return whole.cpu() if dist.get_rank() == 0 else whole.new_empty(0)

    def part(self, whole: Tensor) -> Tensor:
        """Cut as fully_shard does: along the first dimension. The last parts may be short or empty."""
        if not whole.dim():
            return whole
        cut, rank = whole.chunk(dist.get_world_size()), dist.get_rank()
        return cut[rank] if rank < len(cut) else whole[:0]

    def whole_unet(self, unet: Any) -> Any:
        """Return a plain UNet on the CPU, without weights in all processes but the first."""
        with torch.device("meta"):
            plain = self._kind.from_config(unet.config)
        weights = {name: self.whole(name, part.detach()) for name, part in self._parts.items()}
        if dist.get_rank() == 0:
            plain.load_state_dict(weights, assign=True)
        return plain


def split(unet: Any, dtype: torch.dtype) -> None:
    """Split a UNet's weights among all processes, in place. It then computes in ``dtype``.

    Each resnet, transformer and sampler is gathered by itself, the remaining weights with the whole UNet.
    """
    device = next(unet.parameters()).device.type
    for weight in unet.parameters():
        # FSDP takes no other layout.
        weight.data = weight.data.contiguous()
    how: dict[str, Any] = {
        "mesh": init_device_mesh(device, (dist.get_world_size(),)),
        "mp_policy": MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32),
        # The UNet itself, too: weights kept after generation would be outdated after the next step.
        "reshard_after_forward": True,
    }
    for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
        for modules in block.children():
            for module in modules:
                fully_shard(module, **how)
    fully_shard(unet, **how)
    if device == "cuda":
        # The places of the whole weights don't fit the parts; a small GPU needs them back.
        torch.cuda.empty_cache()
