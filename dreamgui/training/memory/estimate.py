"""Estimate of a training step's device memory, by arithmetic.

The constants of activations were found by running Stable Diffusion 1.5's forward and backward pass on tensors
without content and adding up what lives at a time: ``python -m benchmarks.memory`` does it again.
"""

from __future__ import annotations

from dataclasses import dataclass

from dreamgui.config import TrainJob

SD15_WEIGHTS, SD15_PX = 859_520_964, 512
TEXT_WEIGHTS = 123_060_480
KEPT_BYTES = {"unet": 1.22e9, "lora": 0.83e9}
"""Activations a picture of 512 x 512, all kept for the backward pass."""
RECOMPUTED_BYTES = 0.30e9
"""The same with gradient checkpointing."""
REBUILT_BYTES = 0.3e9
"""The largest block while it is computed again."""
SPLIT_WEIGHTS = 49_164_800
"""Of the largest block that is gathered at once, where weights are split over GPUs."""
GENERATION_BYTES = 0.9e9
"""Drawing a sample, in place of a step's activations; VAE and text encoder (0.4) come back for it."""
BESIDE_BYTES = 0.5e9
"""Workspaces of the libraries, memory between the blocks in use. While a model learns, VAE and text encoder are
off the device."""
ADAPTER_WEIGHTS = {"attention": 0.2e6, "attention+conv": 0.95e6}
"""A LoRA's weights by its targets, for each rank."""
_STATE_BYTES = {"adamw": 8, "adamw-8bit": 2, "prodigy": 16, "schedule-free": 8}


@dataclass(frozen=True)
class Sizes:
    """Sizes of a base model: numbers in its UNet, pixels of a picture's side."""

    weights: int
    size_px: int


def needed_bytes(job: TrainJob, sizes: Sizes, compute: str) -> int:
    """The peak of a step, estimated: within about a tenth for Stable Diffusion 1.5 with the usual settings.

    Of each GPU, where there are several. Where they split the weights, that is their part of weights, moments and
    gradients, 16 bytes in all, and the largest block whole; or all weights, as they are loaded before.

    Args:
        compute: "bfloat16", "float16" or "float32".
    """
    narrow = 4 if compute == "float32" else 2
    if job.bf16_weights:
        narrow = 2
    learning, frozen = _weights(job, sizes)
    width = 2 if job.bf16_weights else 4
    state = 4 if job.bf16_weights and job.optimizer == "adamw" else _STATE_BYTES[job.optimizer]
    average = 4 if job.ema_decay else 0
    among = job.processes if job.shard else 1
    standing = learning * (width + state + average) / among + frozen * narrow
    if job.method == "lora" and job.train_text_encoder:
        standing += TEXT_WEIGHTS * 4
    gradients = 0 if job.optimizer_in_backward else learning * width / among
    if job.gradient_checkpointing and gradients:
        gradients += REBUILT_BYTES
    if job.shard:
        standing += _gathered(sizes, narrow)
    step = standing + max(_activations(job, sizes, narrow), gradients, GENERATION_BYTES)
    return round(max(step, learning * width if job.shard else 0) + BESIDE_BYTES)


def _gathered(sizes: Sizes, narrow: int) -> float:
    """The largest block, and the one after it, which is on its way, and gradients, which are sent as fp32."""
    return SPLIT_WEIGHTS * sizes.weights / SD15_WEIGHTS * (2 * narrow + narrow + 4)


def _weights(job: TrainJob, sizes: Sizes) -> tuple[float, float]:
    """Return how many weights are trainable, and how many are frozen."""
    if job.method == "lora":
        width = (sizes.weights / SD15_WEIGHTS) ** 0.5
        return job.rank * ADAPTER_WEIGHTS[job.lora_targets] * width, sizes.weights
    return sizes.weights + (TEXT_WEIGHTS if job.train_text_encoder else 0), 0


def _activations(job: TrainJob, sizes: Sizes, narrow: int) -> float:
    pictures = job.batch_size * (2 if job.prior_preservation else 1) / job.processes
    scale = (sizes.size_px / SD15_PX) ** 2 * (sizes.weights / SD15_WEIGHTS) ** 0.5 * narrow / 2
    if job.gradient_checkpointing:
        return scale * (pictures * RECOMPUTED_BYTES + REBUILT_BYTES)
    # Autocast casts fp32 weights to what it computes in, and keeps that for the backward pass; gathered ones go.
    kept = job.method == "unet" and not job.bf16_weights and not job.shard
    casts = sizes.weights * narrow if kept and narrow == 2 else 0
    return scale * pictures * KEPT_BYTES[job.method] + casts
