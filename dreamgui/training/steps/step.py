"""One training step, for UNet and LoRA, which differ only in the weights that require a gradient,
and for one process and several, which differ only in their peers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dreamgui.diffusion.noise_model import compute_format
from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.errors import TrainingFailed
from dreamgui.ops.attention import by_any
from dreamgui.ops.kernels import kernels
from dreamgui.training.steps.batches import Batch
from dreamgui.training.steps.bf16_copies import Bf16Copies, outside_autocast, with_bf16_copies
from dreamgui.training.steps.ema import Average
from dreamgui.training.steps.loss import Losses, dreambooth_loss
from dreamgui.training.steps.optimizer_in_backward import InBackward
from dreamgui.training.steps.optimizers import make_optimizer
from dreamgui.training.steps.peers import Peers
from dreamgui.training.steps.settings import StepReport, StepSettings

TEXT = "text_encoder."
_WHOLE = {torch.float32: torch.int32, torch.bfloat16: torch.int16}


class TrainingStep:
    """Forward, backward, clip, optimizer, average.

    Attributes:
        trained: the trainable weights, fp32 or all of them bf16, by their names in the UNet, a text
            encoder's with ``text_encoder.`` in front.
        optimizer: over them; the text encoder's are its second group.
        scaler: loss scaling, enabled only where the compute dtype is fp16.
        average: of the weights, or None.
        device: the weights' device.
        text_trains: a text encoder is trained now; batches then need tokens.
        compiled: the compiled UNet for training, or None, see :mod:`dreamgui.training.steps.compiler`.
        peers: the collectives with the other processes of this training.
    """

    def __init__(
        self,
        unet: Any,
        schedule: NoiseSchedule,
        dtype: torch.dtype,
        settings: StepSettings | None = None,
        text_encoder: Any | None = None,
        peers: Peers | None = None,
    ) -> None:
        self.peers = peers or Peers()
        self.unet = unet
        self.compiled: Any | None = None
        self.schedule = schedule
        self.settings = settings or StepSettings()
        self._text_encoder = text_encoder
        self.text_trains = text_encoder is not None
        image, text = self.peers.distribute(unet, dtype), _text_weights(text_encoder)
        self.trained: dict[str, nn.Parameter] = image | text
        groups = [list(group.values()) for group in (image, text) if group]
        self.device = groups[0][0].device
        self._bf16_copies = self._make_bf16_copies(image, dtype)
        copies = self._bf16_copies.copies if self._bf16_copies and self._bf16_copies.keeps else None
        self.optimizer = make_optimizer(self.settings.optimizer, groups, self.settings.seed, copies)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype == torch.float16)
        decay = self.settings.ema_decay
        self.average = Average(self.trained, decay) if decay else None
        self._compute = dtype, self.device
        # AdamW, fused or rounded, clips as it steps and skips a non-finite step, by loss scaling's hooks.
        self._scales = self.settings.optimizer == "adamw" and self.device.type in ("cpu", "cuda")
        self._in_backward = (
            InBackward(self.optimizer, self.settings.max_grad_norm, self._scales)
            if self.settings.optimizer_in_backward
            else None
        )

    def __call__(self, batch: Batch, learning_rate: float, text_learning_rate: float = 0.0) -> StepReport:
        """Train on one batch and wait for its numbers. It raises as :meth:`read` does."""
        return self.read(self.launch(batch, learning_rate, text_learning_rate).tolist())

    def launch(self, batch: Batch, learning_rate: float, text_learning_rate: float = 0.0) -> Tensor:
        """Train on one batch. No weight changes where its gradient isn't finite.

        Returns:
            Measurements for :meth:`read`, on the device: nothing here waits for it with ``adamw``.
        """
        self.before()
        self.set_rates(learning_rate, text_learning_rate)
        measured = self.update(batch)
        self.after()
        return measured

    def before(self) -> None:
        """Agree with the other processes on a step, outside of a CUDA graph. It raises as :meth:`Peers.before` does."""
        self.peers.before(self.fingerprint)

    def parts(self, batch: Batch) -> list[Batch]:
        """Return this process's share of a batch in the parts that go through the model one after the other."""
        return self.peers.share(batch).split(self.settings.accumulate)

    def set_rates(self, learning_rate: float, text_learning_rate: float) -> None:
        """Set the next step's learning rates. The optimizer may hold them on the device."""
        rates = (learning_rate, text_learning_rate)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=False):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def update(self, batch: Batch) -> Tensor:
        """Compute the part of :meth:`launch` that a CUDA graph can hold: it depends on no step number."""
        losses = self._backward(batch)
        norm = self._in_backward.norm() if self._in_backward else self._optimizer_step()
        self.optimizer.zero_grad(set_to_none=True)
        return torch.cat([norm.detach().view(1), losses])

    def forget(self) -> None:
        """Drop the gradients of a step that broke off half-way."""
        self.optimizer.zero_grad(set_to_none=True)
        if self._in_backward:
            self._in_backward.forget()

    def after(self) -> None:
        """Update the weights' average after a step."""
        if self.average:
            self.average.update()

    def read(self, measured: Sequence[float]) -> StepReport:
        """Return the report of what :meth:`launch` measured.

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
                "Lower the learning rate and train again.",
            )
        return StepReport(instance, prior[0] if prior else None, 0.0 if overflow else norm)

    def losses(self, batch: Batch) -> Losses:
        """Return the losses of a batch, with their autograd graph."""
        noisy = self.schedule.add_noise(batch.latents, batch.noise, batch.timesteps)
        with compute_format(self.unet, *self._compute):
            text = batch.text
            if self.text_trains and self._text_encoder is not None:
                text = self._text_encoder(batch.tokens)[0]
            # Under autocast the UNet would cast them itself; a UNet in bf16 runs without.
            given, told = noisy.to(self._compute[0]), text.to(self._compute[0])
            prediction = self._model(given, batch.timesteps, told, return_dict=False)[0]
        return dreambooth_loss(prediction, batch, self.schedule, self.settings)

    def _make_bf16_copies(self, weights: dict[str, nn.Parameter], dtype: torch.dtype) -> Bf16Copies | None:
        """Return the UNet without autocast. Copies are kept where the optimizer updates them in one pass."""
        # FSDP makes its own copies when it gathers.
        if self.settings.optimizer_in_backward or self.peers.sharded:
            return None
        found = with_bf16_copies(self.unet, weights, dtype)
        one_pass = self.settings.optimizer == "adamw" and self.settings.accumulate == 1
        if found and one_pass and dtype == torch.bfloat16 and kernels(self.device):
            found.keep()
        return found

    def leaves(self) -> list[Tensor]:
        """Return the tensors that get gradients: the weights trained now, or their bf16 copies."""
        trained: list[Tensor] = [weight for weight in self.trained.values() if weight.requires_grad]
        if self._bf16_copies is None:
            return trained
        copies: dict[Tensor, Tensor] = dict(
            zip(self._bf16_copies.weights, self._bf16_copies.leaves(), strict=True)
        )
        return [copies.get(weight, weight) for weight in trained]

    @property
    def _model(self) -> Any:
        """The callable that computes the UNet's output."""
        if self.compiled is not None and torch.is_grad_enabled():
            return self.compiled
        return self._bf16_copies or self.peers.model(self.unet)

    def compile(self) -> None:
        """Train through torch.compile from now on. ``compiled`` can be set back to None."""
        kept = self._bf16_copies if self._bf16_copies and self._bf16_copies.keeps else None
        model: Any = torch.compile(kept.as_module() if kept else self.unet, dynamic=False)
        model = by_any(model) if kernels(self.device) else model
        self.compiled = outside_autocast(model, self.device) if kept else model

    @torch.no_grad()
    def validate(self, batches: Sequence[Batch]) -> float:
        """Return the mean validation loss over batches, from the weights that would be saved."""
        with self.settled():
            sums = [self.losses(batch).instance * batch.instances for batch in batches]
        mean = torch.stack(sums).sum() / sum(batch.instances for batch in batches)
        return self.peers.from_first(mean.item())[0]

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Inside the block the model has the weights to generate with and to save: their average if there is one.

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
        """Freeze the text encoder. Batches bring their embeddings from here on."""
        self.text_trains = False
        for name, weight in self.trained.items():
            if name.startswith(TEXT):
                weight.requires_grad_(False)
        self.peers.leaves_changed()

    def fingerprint(self) -> Tensor:
        """Return one integer per weight tensor, on the device, that changes when a weight does."""
        return torch.stack([w.detach().view(_WHOLE[w.dtype]).sum() for w in self.trained.values()])

    def _backward(self, batch: Batch) -> Tensor:
        """Add up the mean gradients of a batch. Return the mean losses, shape (1,) or (2,) with the prior's."""
        measured = []
        with self.peers.mean_gradients(self.leaves, self.settings.accumulate):
            for part in self.parts(batch):
                losses = self.losses(part)
                self.scaler.scale(losses.total / self.settings.accumulate).backward()
                measured.append(
                    torch.stack([each for each in (losses.instance, losses.prior) if each is not None])
                )
            mean = torch.stack(measured).detach().mean(dim=0)
        return self.peers.mean_losses(mean)

    def _optimizer_step(self) -> Tensor:
        """Clip the gradients and step the optimizer. Return the gradients' norm before."""
        if self.scaler.is_enabled():
            self.peers.spread_overflow(self._gradients())
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
        norm = self.peers.norm(self._gradients())
        optimizer: Any = self.optimizer
        optimizer.grad_scale = (norm / self.settings.max_grad_norm).clamp(min=1.0)
        optimizer.found_inf = (~norm.isfinite()).float()
        optimizer.step()
        return norm

    def _clip(self) -> Tensor:
        weights = [weight for weight in self.trained.values() if weight.grad is not None]
        return self.peers.clip(weights, self.settings.max_grad_norm)

    def _gradients(self) -> list[Tensor]:
        return [leaf.grad for leaf in self.leaves() if leaf.grad is not None]


def _text_weights(text_encoder: Any | None) -> dict[str, nn.Parameter]:
    weights = text_encoder.named_parameters() if text_encoder is not None else ()
    return {TEXT + name: weight for name, weight in weights if weight.requires_grad}


def recomputed(module: nn.Module, *inputs: Any) -> Any:
    """Compute a module now and again in the backward pass: less memory for more time.

    The UNet uses no random numbers in training, so their state isn't restored; a CUDA graph couldn't hold that.
    """
    return checkpoint(module, *inputs, use_reentrant=False, preserve_rng_state=False)
