"""Job of a training, and the settings that it shares with a sweep."""

from __future__ import annotations

import math
from typing import ClassVar

from dreamgui.config.class_images import ClassImageSettings, OnBase
from dreamgui.config.fields import (
    COMPARE_PROMPTS,
    BestBy,
    FinishWith,
    Lines,
    LoraTargets,
    MemoryTier,
    Method,
    OptimizerName,
    Schedule,
    knob,
)

LEAST_SNAPSHOT_STEPS = 50


class PersonSettings(OnBase):
    """Person, photographs and length of a training."""

    dataset: str = knob("my-photos", "Dataset", choices="datasets")
    steps: int = knob(800, "Training steps", "About 100 per photograph.", ge=1, le=20000)
    instance_prompt: str = knob(
        "a photo of sks woman face",
        "Instance prompt",
        "The token and the class of the person.",
        group="Prompts",
    )
    prior_preservation: bool = knob(
        True,
        "Prior preservation",
        "Also trains on class images, so that the class stays as it was.",
        group="Class images",
    )
    prior_weight: float = knob(
        1.0, "Prior loss weight", "0 to 10. 1 is usual.", ge=0, le=10, group="Class images"
    )


class TrainSettings(ClassImageSettings, PersonSettings):
    """Settings shared by one training and a hyper-parameter sweep."""

    batch_size: int = knob(
        1,
        "Batch size",
        "Photographs per step, with as many class images. 1 to 64.",
        ge=1,
        le=64,
        group="Batch",
    )
    accumulate: int = knob(
        1,
        "Accumulate gradients",
        "Batches per optimizer step. 1 to 64; raise it where a larger batch doesn't fit.",
        ge=1,
        le=64,
        group="Batch",
    )
    processes: int = knob(
        1, "Processes", "Workers that share each batch, one per GPU.", ge=1, le=64, group="Memory and speed"
    )
    shard: bool = knob(
        False,
        "Shard weights (FSDP)",
        "Splits the UNet's weights over the GPUs. For GPUs too small for the full UNet.",
        group="Memory and speed",
    )
    random_flips: bool = knob(
        False, "Random flips", "Also trains on mirrored photographs. No face is symmetrical.", group="Batch"
    )
    face_weight: float = knob(
        1.0,
        "Face loss weight",
        "Weight of the face's area, 1 to 10. 1: like the rest.",
        ge=1,
        le=10,
        group="Loss",
    )
    offset_noise: float = knob(
        0.0,
        "Offset noise",
        "0.05 to 0.1 helps very dark and bright pictures. 0: off.",
        ge=0,
        le=0.5,
        group="Loss",
    )
    lora_targets: LoraTargets = knob(
        "attention", "Target modules", "Convolutions make the file larger.", group="LoRA"
    )
    dora: bool = knob(False, "DoRA", "Trains magnitude and direction separately.", group="LoRA")
    optimizer: OptimizerName = knob(
        "adamw",
        "Optimizer",
        "adamw-8bit needs less memory. prodigy sets its own learning rate.",
        group="Optimizer",
    )
    lr_schedule: Schedule = knob(
        "constant",
        "Learning rate schedule",
        "Learning rate after warm-up: constant, or falling to 0.",
        group="Optimizer",
    )
    warmup_steps: int = knob(
        0, "Warm-up steps", "Steps up to the full learning rate. 0: none.", ge=0, le=5000, group="Optimizer"
    )
    min_snr_gamma: float | None = knob(
        None, "Min-SNR gamma", "5 is usual. Off if empty.", gt=0, le=100, group="Loss", allow_inf_nan=False
    )
    max_grad_norm: float = knob(
        1.0, "Max gradient norm", "Gradients are clipped to it. 1 is usual.", gt=0, le=1000, group="Optimizer"
    )
    memory_tier: MemoryTier = knob(
        "auto",
        "Memory tier",
        "Turns on what saves enough memory. auto: as the GPU's free memory needs; none: off.",
        group="Memory and speed",
    )
    gradient_checkpointing: bool = knob(
        False,
        "Gradient checkpointing",
        "Saves memory: parts of the forward pass are computed twice.",
        group="Memory and speed",
    )
    optimizer_in_backward: bool = knob(
        False,
        "Optimizer in backward",
        "Saves memory: each weight is updated in the backward pass, its gradient freed.",
        group="Memory and speed",
    )
    bf16_weights: bool = knob(
        False,
        "bf16 weights",
        "Saves memory: the UNet's weights in bf16, with stochastic rounding.",
        group="Memory and speed",
    )
    compile: bool = knob(
        False, "Compile the model", "The first step is slow, later ones are faster.", group="Memory and speed"
    )
    ema_decay: float | None = knob(
        None,
        "EMA decay",
        "Of the weights' running average. 0.999 is usual. Off if empty.",
        gt=0,
        lt=1,
        group="Optimizer",
        allow_inf_nan=False,
    )
    train_text_encoder: bool = knob(False, "Train text encoder", "Needs more memory.", group="Text encoder")
    text_learning_rate: float | None = knob(
        None,
        "Text encoder learning rate",
        "1e-6 (UNet) or 5e-5 (LoRA) if empty.",
        gt=0,
        le=1,
        group="Text encoder",
        allow_inf_nan=False,
    )
    text_share: float = knob(
        0.25,
        "Text encoder share",
        "Share of the steps, from the first, that train it. 0.05 to 1.",
        ge=0.05,
        le=1,
        group="Text encoder",
    )
    sample_prompts: Lines = knob(
        COMPARE_PROMPTS[:2], "Sample prompts", "One per line.", group="Samples and checkpoints"
    )
    sample_every: int = knob(
        100, "Steps between samples", "0 turns samples off.", ge=0, le=20000, group="Samples and checkpoints"
    )
    sample_steps: int = knob(
        20, "Sample denoising steps", "20 to 50 is usual.", ge=1, le=150, group="Samples and checkpoints"
    )
    checkpoint_every: int = knob(
        100, "Steps between checkpoints", "1 to 20000.", ge=1, le=20000, group="Samples and checkpoints"
    )
    checkpoint_seconds: float = knob(
        60.0,
        "Seconds between checkpoints",
        "The longest time, 0 to 86400 s.",
        ge=0,
        le=86400,
        group="Samples and checkpoints",
    )
    keep_checkpoints: int = knob(
        2,
        "Checkpoints to keep",
        "The best one is kept as well.",
        ge=1,
        le=100,
        group="Samples and checkpoints",
    )
    snapshot_every: int | None = knob(
        None,
        "Steps between kept models",
        "Each can be generated with. Empty: an eighth of the steps (LoRA), none (UNet).",
        ge=0,
        le=20000,
        group="Samples and checkpoints",
    )
    validate_every: int = knob(
        50,
        "Steps between validations",
        "Loss on held-out photographs. 0: none.",
        ge=0,
        le=20000,
        group="Samples and checkpoints",
    )
    finish_with: FinishWith = knob(
        "last",
        "Final weights",
        "The last step's, or the best checkpoint's.",
        group="Samples and checkpoints",
    )
    best_by: BestBy = knob(
        "loss",
        "Best checkpoint by",
        "Validation loss, or likeness of the samples at the checkpoint's step.",
        group="Samples and checkpoints",
    )
    tensorboard: bool = knob(False, "TensorBoard", "Also writes TensorBoard files.", group="Run")
    seed: int = knob(0, "Seed", ge=0, le=2**31 - 1, group="Run")


class TrainJob(TrainSettings):
    """Train a base model on one person: the full UNet or a LoRA, with prior preservation."""

    kind: ClassVar[str] = "train"
    doing: ClassVar[str] = "a training is running"
    noun: ClassVar[str] = "Training"
    tab: ClassVar[str] = "train"
    method: Method = knob("lora", "Method", "A LoRA is a small file. The whole UNet needs more memory.")
    learning_rate: float | None = knob(
        None,
        "Learning rate",
        "2e-6 (UNet), 1e-4 (LoRA) or 1 (Prodigy) if empty.",
        gt=0,
        le=1,
        allow_inf_nan=False,
    )
    rank: int = knob(8, "LoRA rank", "4 to 32 is usual.", ge=1, le=256)
    run: str = knob("", "Run name", "Made from the settings if empty.", group="Run")
    alpha: float | None = knob(
        None, "LoRA alpha", "The rank if empty.", gt=0, le=1024, group="LoRA", allow_inf_nan=False
    )
    resume: bool = knob(
        False,
        "Resume the run",
        "From its last checkpoint, with its own settings where none are given.",
        group="Run",
    )
    resume_from: int = knob(
        0, "Resume from step", "Step of a checkpoint. 0: the last one.", ge=0, le=20000, group="Run"
    )

    @property
    def effective_learning_rate(self) -> float:
        """Learning rate in use: the given one, or the method's default."""
        usual = 1.0 if self.optimizer == "prodigy" else 2e-6 if self.method == "unet" else 1e-4
        return self.learning_rate or usual

    @property
    def effective_text_learning_rate(self) -> float:
        """Learning rate of the text encoder. Prodigy uses one for all weights."""
        if self.optimizer == "prodigy":
            return self.effective_learning_rate
        return self.text_learning_rate or (1e-6 if self.method == "unet" else 5e-5)

    @property
    def text_steps(self) -> int:
        """Number of steps that train the text encoder, or 0 where it stays frozen."""
        return math.ceil(self.steps * self.text_share) if self.train_text_encoder else 0

    @property
    def effective_snapshot_every(self) -> int:
        """Number of steps between kept models. 0 keeps none."""
        if self.snapshot_every is not None:
            return self.snapshot_every
        return max(LEAST_SNAPSHOT_STEPS, self.steps // 8) if self.method == "lora" else 0

    @property
    def effective_alpha(self) -> float:
        """LoRA alpha. It is equal to the rank unless given, as alpha 1 barely trains."""
        return self.alpha or float(self.rank)
