"""One training step, the same for UNet and LoRA: they differ only in which weights require a gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dreamgui.config import OptimizerName
from dreamgui.diffusion.alone import Alone
from dreamgui.diffusion.attention import by_any
from dreamgui.diffusion.batches import Batch
from dreamgui.diffusion.ema import Average
from dreamgui.diffusion.in_backward import InBackward
from dreamgui.diffusion.kernels import kernels
from dreamgui.diffusion.loss import Losses, dreambooth_loss
from dreamgui.diffusion.narrow import Narrow, narrowed, outside_autocast
from dreamgui.diffusion.optimizers import make_optimizer
from dreamgui.diffusion.sample import compute_format
from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.errors import TrainingFailed

TEXT = "text_encoder."
_WHOLE = {torch.float32: torch.int32, torch.bfloat16: torch.int16}


@dataclass(frozen=True)
class StepReport:
    """Numbers of one step; ``grad_norm`` is before clipping, 0 where fp16 overflowed and nothing changed."""

    instance: float
    prior: float | None
    grad_norm: float


@dataclass(frozen=True)
class StepSettings:
    """How a step learns; the fields are those of the TrainJob."""

    optimizer: OptimizerName = "adamw"
    prior_weight: float = 1.0
    min_snr_gamma: float | None = None
    max_grad_norm: float = 1.0
    accumulate: int = 1
    ema_decay: float | None = None
    optimizer_in_backward: bool = False
    seed: int = 0


class TrainingStep(Alone):
    """Forward, backward, clip, optimizer, average.

    Attributes:
        trained: the weights that learn, fp32 or all of them bf16, by their names in the UNet, a text
            encoder's with ``text_encoder.`` in front.
        optimizer: over them; the text encoder's are its second group.
        scaler: loss scaling, at work only where the compute format is fp16.
        average: of the weights, or None.
        device: where they are.
        text_learns: whether a text encoder learns now; then batches need tokens.
        compiled: the UNet as it computes where it learns, or None, see :mod:`dreamgui.diffusion.compiler`.
    """

    def __init__(
        self,
        unet: Any,
        schedule: NoiseSchedule,
        dtype: torch.dtype,
        settings: StepSettings | None = None,
        text_encoder: Any | None = None,
    ) -> None:
        self.unet = unet
        self.compiled: Any | None = None
        self.schedule = schedule
        self.settings = settings or StepSettings()
        self._text_encoder = text_encoder
        self.text_learns = text_encoder is not None
        image, text = self._learning(unet), self._learning(text_encoder, TEXT)
        self.trained: dict[str, nn.Parameter] = image | text
        groups = [list(group.values()) for group in (image, text) if group]
        self.device = groups[0][0].device
        self._narrow = self._narrowed(image, dtype)
        copies = self._narrow.copies if self._narrow and self._narrow.keeps else None
        self.optimizer = make_optimizer(self.settings.optimizer, groups, self.settings.seed, copies)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype == torch.float16)
        decay = self.settings.ema_decay
        self.average = Average(self.trained, decay) if decay else None
        self._compute = dtype, self.device
        # AdamW, fused or rounded, clips on its way and leaves a broken step out, by loss scaling's hooks.
        self._scales = self.settings.optimizer == "adamw" and self.device.type in ("cpu", "cuda")
        self._in_backward = (
            InBackward(self.optimizer, self.settings.max_grad_norm, self._scales)
            if self.settings.optimizer_in_backward
            else None
        )

    def __call__(self, batch: Batch, learning_rate: float, text_learning_rate: float = 0.0) -> StepReport:
        """Learn from one batch and wait for its numbers; raises as :meth:`read` does."""
        return self.read(self.launch(batch, learning_rate, text_learning_rate).tolist())

    def launch(self, batch: Batch, learning_rate: float, text_learning_rate: float = 0.0) -> Tensor:
        """Learn from one batch; where its gradient isn't a finite number, no weight changes.

        Returns:
            Measurements for :meth:`read`, on the device: nothing here waits for it with ``adamw``.
        """
        self.before()
        self.set_rates(learning_rate, text_learning_rate)
        measured = self.learn(batch)
        self.after()
        return measured

    def parts(self, batch: Batch) -> list[Batch]:
        """What goes through the model at once, one after the other."""
        return batch.split(self.settings.accumulate)

    def set_rates(self, learning_rate: float, text_learning_rate: float) -> None:
        """The next step's learning rates; the optimizer may hold them on the device."""
        rates = (learning_rate, text_learning_rate)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=False):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def learn(self, batch: Batch) -> Tensor:
        """The part of :meth:`launch` that a CUDA graph can hold: nothing in it depends on a step's number."""
        losses = self._backward(batch)
        norm = self._in_backward.norm() if self._in_backward else self._update()
        self.optimizer.zero_grad(set_to_none=True)
        return torch.cat([norm.detach().view(1), losses])

    def forget(self) -> None:
        """What a step has left that broke off half-way."""
        self.optimizer.zero_grad(set_to_none=True)
        if self._in_backward:
            self._in_backward.forget()

    def after(self) -> None:
        """What follows a step: the weights' average."""
        if self.average:
            self.average.update()

    def read(self, measured: Sequence[float]) -> StepReport:
        """What :meth:`launch` measured.

        Raises:
            TrainingFailed: loss or gradient is not a number; that step has changed no weight (with the optimizer
            in the backward pass: none whose gradient wasn't a number).
        """
        norm, instance, *prior = measured
        overflow = self.scaler.is_enabled() and not math.isfinite(norm)
        if not all(map(math.isfinite, (instance, *prior, 0.0 if overflow else norm))):
            shown = f", prior {prior[0]}" if prior else ""
            raise TrainingFailed(
                f"The training broke down: loss {instance}{shown}, gradient norm {norm}.",
                "Lower the learning rate; the last checkpoint holds the weights from before.",
            )
        return StepReport(instance, prior[0] if prior else None, 0.0 if overflow else norm)

    def losses(self, batch: Batch) -> Losses:
        """The losses of a batch, with their graph."""
        noisy = self.schedule.add_noise(batch.latents, batch.noise, batch.timesteps)
        with compute_format(self.unet, *self._compute):
            text = batch.text
            if self.text_learns and self._text_encoder is not None:
                text = self._text_encoder(batch.tokens)[0]
            # Under autocast the UNet would cast them itself; a UNet in bf16 runs without.
            given, told = noisy.to(self._compute[0]), text.to(self._compute[0])
            prediction = self._model(given, batch.timesteps, told, return_dict=False)[0]
        return dreambooth_loss(
            prediction, batch, self.schedule, self.settings.prior_weight, self.settings.min_snr_gamma
        )

    def _learning(self, module: Any | None, prefix: str = "") -> dict[str, nn.Parameter]:
        if module is None:
            return {}
        return {prefix + name: weight for name, weight in module.named_parameters() if weight.requires_grad}

    def _narrowed(self, weights: dict[str, nn.Parameter], dtype: torch.dtype) -> Narrow | None:
        """The UNet without autocast; its copies are kept where the optimizer moves them and gradients needn't add up."""
        if self.settings.optimizer_in_backward:
            return None
        found = narrowed(self.unet, weights, dtype)
        one_pass = self.settings.optimizer == "adamw" and self.settings.accumulate == 1
        if found and one_pass and dtype == torch.bfloat16 and kernels(self.device):
            found.keep()
        return found

    @property
    def leaves(self) -> list[Tensor]:
        """What gradients come to: the weights that learn, or their copies."""
        learning: list[Tensor] = [weight for weight in self.trained.values() if weight.requires_grad]
        if self._narrow is None:
            return learning
        copies: dict[Tensor, Tensor] = dict(zip(self._narrow.weights, self._narrow.leaves(), strict=True))
        return [copies.get(weight, weight) for weight in learning]

    @property
    def _model(self) -> Any:
        """What computes the UNet's output."""
        if self.compiled is not None and torch.is_grad_enabled():
            return self.compiled
        return self._narrow or self.unet

    def compile(self) -> None:
        """Learn through torch.compile from now on; ``compiled`` can be set back to None."""
        narrow = self._narrow if self._narrow and self._narrow.keeps else None
        model: Any = torch.compile(narrow.twin() if narrow else self.unet, dynamic=False)
        model = by_any(model) if kernels(self.device) else model
        self.compiled = outside_autocast(model, self.device) if narrow else model

    @torch.no_grad()
    def validate(self, batches: Sequence[Batch]) -> float:
        """The mean loss over batches, from the weights that would be kept."""
        with self.settled():
            sums = [self.losses(batch).instance * batch.instances for batch in batches]
        return (torch.stack(sums).sum() / sum(batch.instances for batch in batches)).item()

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Inside the block the model has the weights to draw with and to keep: their average if there is one.

        A schedule-free optimizer has an average of its own.
        """
        optimizer: Any = self.optimizer
        own = self.settings.optimizer == "schedule-free" and bool(optimizer.state)
        if own:
            optimizer.eval()
        try:
            with self.average.in_place() if self.average else nullcontext():
                yield
        finally:
            if own:
                optimizer.train()

    def freeze_text(self) -> None:
        """The text encoder has learnt enough: from here on batches bring their embeddings."""
        self.text_learns = False
        for name, weight in self.trained.items():
            if name.startswith(TEXT):
                weight.requires_grad_(False)

    def fingerprint(self) -> Tensor:
        """A whole number a weight tensor, on the device, that changes when a weight does."""
        return torch.stack([w.detach().view(_WHOLE[w.dtype]).sum() for w in self.trained.values()])

    def _backward(self, batch: Batch) -> Tensor:
        """Add up the gradients of the batch's parts; the mean losses (instance, and prior where there is)."""
        measured = []
        for part in self.parts(batch):
            losses = self.losses(part)
            self.scaler.scale(losses.total / self.settings.accumulate).backward()
            measured.append(
                torch.stack([each for each in (losses.instance, losses.prior) if each is not None])
            )
        return torch.stack(measured).detach().mean(dim=0)

    def _update(self) -> Tensor:
        """Clip and let the optimizer move the weights; the gradients' norm before."""
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
            norm = self._clip()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            return norm
        if self._scales:
            return self._fused_update()
        norm = self._clip()
        if math.isfinite(norm.item()):
            self.optimizer.step()
        return norm

    def _fused_update(self) -> Tensor:
        norm = self._norm()
        optimizer: Any = self.optimizer
        optimizer.grad_scale = (norm / self.settings.max_grad_norm).clamp(min=1.0)
        optimizer.found_inf = (~norm.isfinite()).float()
        optimizer.step()
        return norm

    def _norm(self) -> Tensor:
        return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(self._gradients(), 2, torch.float32)))

    def _clip(self) -> Tensor:
        weights = [weight for weight in self.trained.values() if weight.grad is not None]
        return nn.utils.clip_grad_norm_(weights, self.settings.max_grad_norm, foreach=True)

    def _gradients(self) -> list[Tensor]:
        return [leaf.grad for leaf in self.leaves if leaf.grad is not None]


def recomputed(module: nn.Module, *inputs: Any) -> Any:
    """A part of the forward pass that is computed again in the backward pass: time for memory.

    The UNet draws no random numbers there, so none are put back; a CUDA graph couldn't hold that.
    """
    return checkpoint(module, *inputs, use_reentrant=False, preserve_rng_state=False)
