"""``python -m benchmarks.memory``: peak memory of a training step of Stable Diffusion 1.5, without a GPU.

The training's own code runs on tensors without content (PyTorch's FakeTensorMode), and what lives at a time is
added up. That is computed, not measured: the libraries' workspaces, memory between the blocks in use, VAE and
text encoder are not in it. CUDA's autocast computes norms in fp32; the CPU's, which runs here, is made to.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from dreamgui.assets import asset
from dreamgui.config import TrainJob
from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.models.loading import load_scheduler_config
from dreamgui.models.lora.adapters import add_lora
from dreamgui.ops.lora_modules import use_lora_modules
from dreamgui.training.memory.estimate import BESIDE_BYTES, SD15_PX, SD15_WEIGHTS, Sizes, needed_bytes
from dreamgui.training.memory.tiers import WAYS, means
from dreamgui.training.steps.batches import Batch
from dreamgui.training.steps.make_step import lora_settings
from dreamgui.training.steps.settings import StepSettings
from dreamgui.training.steps.step import TrainingStep, recomputed
from dreamgui.training.steps.stochastic_rounding import RoundedAdamW

RESULTS = Path(__file__).parent / "results"
COMPUTE = torch.bfloat16
STEPS = 2
"""The first makes the optimizer's state, the second has it all along."""
SMALL = 1_000_000
"""What moves weights with fewer numbers than that makes no peak, but would take most of the time here."""


class Living(TorchDispatchMode):
    """Adds up the bytes of all storages that live; ``peak`` is the most so far."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._see, result)
        return result

    def _see(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            self._seen.add(storage)
            size = storage.nbytes()
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._gone, size)
        return tensor

    def _gone(self, size: int) -> None:
        self.now -= size


def peak_bytes(job: TrainJob, steps: int = STEPS) -> int:
    """The most that lives at a time in a step of this job on Stable Diffusion 1.5."""
    unet = _unet(job)
    with FakeTensorMode(allow_non_fake_inputs=True), Living() as living, _as_on_cuda():
        for module in unet.modules():
            for name, weight in list(module._parameters.items()):
                if weight is not None:
                    empty = torch.empty(weight.shape, dtype=weight.dtype)
                    module._parameters[name] = nn.Parameter(empty, requires_grad=weight.requires_grad)
        if job.method == "lora" and not job.dora:
            use_lora_modules(unet)
        if job.gradient_checkpointing:
            unet.enable_gradient_checkpointing(recomputed)
        schedule = NoiseSchedule(load_scheduler_config(asset("sd15")), torch.device("cpu"))
        settings = StepSettings(**{name: getattr(job, name) for name in StepSettings.__dataclass_fields__})
        training = TrainingStep(unet, schedule, COMPUTE, settings)
        batch = _batch(job)
        for _ in range(steps):
            training.update(batch)
        return living.peak


def _unet(job: TrainJob) -> Any:
    """On the meta device, its weights in the formats that the training has."""
    lora = lora_settings(job)
    torch.set_default_dtype(COMPUTE if lora or job.bf16_weights else torch.float32)
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(asset("sd15/unet")))
        if lora:
            add_lora(unet, lora)
    torch.set_default_dtype(torch.float32)
    return unet.train()


def _batch(job: TrainJob) -> Batch:
    count = job.batch_size * (2 if job.prior_preservation else 1)
    latents, noise = torch.randn(2, count, 4, SD15_PX // 8, SD15_PX // 8)
    return Batch(
        latents, noise, torch.zeros(count, dtype=torch.long), torch.randn(count, 77, 768), job.batch_size
    )


@contextmanager
def _as_on_cuda() -> Iterator[None]:
    """Norms in fp32 under autocast; a number that is asked for is 1, as there is none. Small weights stay."""
    group_norm, layer_norm, move_piece = F.group_norm, F.layer_norm, RoundedAdamW._move_piece

    def exact(function: Any) -> Any:
        def run(values: Tensor, *args: Any, **others: Any) -> Tensor:
            if not torch.is_autocast_enabled("cpu"):
                return function(values, *args, **others)
            args, others = tree_map_only(Tensor, Tensor.float, (args, others))
            return function(values.float(), *args, **others)

        return run

    def moved_if_large(optimizer: RoundedAdamW, weight: Tensor, *rest: Any) -> None:
        if weight.numel() >= SMALL:
            move_piece(optimizer, weight, *rest)

    with (
        patch.object(RoundedAdamW, "_move_piece", moved_if_large),
        patch.object(F, "group_norm", exact(group_norm)),
        patch.object(F, "layer_norm", exact(layer_norm)),
        patch.object(FakeTensor, "item", lambda self: 1.0),
    ):
        yield


def main() -> None:
    """Print and store the table."""
    sizes = Sizes(SD15_WEIGHTS, SD15_PX)
    rows = []
    for job in _jobs():
        estimate = needed_bytes(job, sizes, "bfloat16") - BESIDE_BYTES
        try:
            found = f"{peak_bytes(job) / 1e9:.2f} GB"
        except ImportError as error:
            found = f"({error})"
        method = "UNet" if job.method == "unet" else f"LoRA rank {job.rank}"
        rows.append(
            f"| {method} {job.batch_size}+{job.batch_size} | {means(job)} | {found} | {estimate / 1e9:.2f} GB |"
        )
        print(rows[-1], flush=True)
        gc.collect()
    head = "| what | saved by | computed peak | estimate for the same |\n| --- | --- | --- | --- |"
    text = (
        f"# Memory of a training step, computed\n\n{__doc__.split(chr(10), 2)[2]}\n{head}\n"
        + "\n".join(rows)
        + "\n"
    )
    (RESULTS / "memory-computed.md").write_text(text, encoding="utf-8")


def _jobs() -> Iterator[TrainJob]:
    for way in WAYS:
        yield TrainJob(method="unet", **way)
    for way in WAYS[:2]:
        for batch in (1, 4):
            yield TrainJob(method="lora", batch_size=batch, **way)


if __name__ == "__main__":
    main()
