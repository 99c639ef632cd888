"""Trainings that can split their weights over several GPUs, see :mod:`dreamgui.training.parallel.fsdp`."""

from __future__ import annotations

from dreamgui.config import TrainJob


def why_not_split(job: TrainJob) -> tuple[str, str] | None:
    """Return why a training's weights can't be split over GPUs, and what to do, or None where they can."""
    off = "Don't split the weights."
    if job.method == "lora":
        return "A LoRA's few weights can't be split over GPUs: it would save nothing.", off
    if job.processes == 1:
        return (
            "Weights can't be split over GPUs by one process.",
            f"Set the processes to the number of GPUs. Or: {off}",
        )
    if job.optimizer != "adamw":
        return (
            f"Weights that are split over GPUs train with adamw, not with {job.optimizer!r}.",
            "Choose adamw.",
        )
    others = {
        "an average of them": (job.ema_decay, "Leave the average out"),
        "a text encoder that is trained": (job.train_text_encoder, "Leave the text encoder as it is"),
        "compiling": (job.compile, "Don't compile"),
        "weights in bf16": (job.bf16_weights, "Turn those off"),
        "the optimizer in the backward pass": (job.optimizer_in_backward, "Turn that off"),
    }
    found = next(((name, advice) for name, (used, advice) in others.items() if used), None)
    return found and (f"Weights that are split over GPUs don't go with {found[0]}.", f"{found[1]}. Or: {off}")
