"""Advice where memory was short."""

from __future__ import annotations

from dreamgui.config import TrainJob
from dreamgui.training.parallel.shardable import why_not_split


def smaller(job: TrainJob, tier: str = "") -> str:
    """Return what to change when memory was short, the least harm first. ``tier`` says how to use the next memory tier."""
    half, sums = job.batch_size // 2, job.accumulate * 2
    if half and half % job.processes == 0 and not job.optimizer_in_backward:
        return f"Set the batch to {half} and add up {sums} batches: it trains the same in less memory."
    if not job.gradient_checkpointing:
        return "Turn gradient checkpointing on: it trains the same, more slowly, in less memory."
    if not job.shard and why_not_split(job) is None:
        return f"Split the weights over the {job.processes} GPUs: it trains the same, each holds a part."
    if tier:
        return tier
    if job.batch_size > job.processes:
        return f"Set the batch to {half}."
    if job.train_text_encoder:
        return "Leave the text encoder as it is."
    if job.ema_decay:
        return "Don't average the weights: that is another copy of them."
    if job.method == "unet":
        return "Train a LoRA in place of the whole UNet: it needs about a fifth of the memory."
    return "Choose a smaller rank or a base model of smaller pictures, and close other programs."
