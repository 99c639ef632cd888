"""Class images, a training, one step of it, and sweeps."""

from __future__ import annotations

import math
from typing import ClassVar

from dreamgui.config.fields import (
    COMPARE_PROMPTS,
    FinishWith,
    JobConfig,
    Lines,
    LoraTargets,
    MemoryTier,
    Method,
    OptimizerName,
    OptionalFolder,
    Ranks,
    Rates,
    Schedule,
    knob,
)


class ClassImagesJob(JobConfig):
    """Draw pictures of the class ("woman") with the base model, for prior preservation."""

    kind: ClassVar[str] = "class_images"
    model: str = knob("portraits", "Base model", choices="bases")
    class_prompt: str = knob("a photo of woman face", "Class prompt")
    class_negative_prompt: str = knob("", "Negative prompt of the class images", fold=True)
    class_count: int = knob(200, "Number of class images", ge=1, le=2000)
    class_steps: int = knob(20, "Denoising steps of a class image", ge=1, le=150, fold=True)
    class_guidance_scale: float = knob(5.0, "Guidance scale of the class images", ge=1, le=30, fold=True)
    class_seed: int = knob(0, "Seed of the first class image", ge=0, le=2**31 - 1, fold=True)
    class_variants: bool = knob(
        True, "Class images in the data set's mix of framings, each said in its prompt", fold=True
    )
    class_folder: OptionalFolder = knob(
        None, "Folder of your own pictures of the class (empty: they are drawn)", fold=True
    )
    dataset: str = knob("", "Data set whose mix of framings is followed (empty: 40/40/20)", fold=True)


class TrainSettings(JobConfig):
    """What one training and a sweep of several share."""

    model: str = knob("portraits", "Base model", choices="bases")
    dataset: str = knob("my-photos", "Data set", choices="datasets")
    steps: int = knob(800, "Training steps", ge=1, le=20000)
    instance_prompt: str = knob("a photo of sks woman face", "Instance prompt", fold=True)
    prior_preservation: bool = knob(True, "Prior preservation: also train on class images", fold=True)
    prior_weight: float = knob(1.0, "Weight of the prior loss", ge=0, le=10, fold=True)
    class_prompt: str = knob("a photo of woman face", "Class prompt", fold=True)
    class_negative_prompt: str = knob("", "Negative prompt of the class images", fold=True)
    class_count: int | None = knob(
        None, "Number of class images (empty: 10 a photograph)", ge=1, le=2000, fold=True
    )
    class_steps: int = knob(20, "Denoising steps of a class image", ge=1, le=150, fold=True)
    class_guidance_scale: float = knob(5.0, "Guidance scale of the class images", ge=1, le=30, fold=True)
    class_seed: int = knob(0, "Seed of the first class image", ge=0, le=2**31 - 1, fold=True)
    class_variants: bool = knob(
        True, "Class images in the data set's mix of framings, each said in its prompt", fold=True
    )
    class_folder: OptionalFolder = knob(
        None, "Folder of your own pictures of the class (empty: they are drawn)", fold=True
    )
    batch_size: int = knob(
        1, "Instance pictures a step (as many class pictures beside them)", ge=1, le=64, fold=True
    )
    accumulate: int = knob(1, "Batches that are added up before the weights move", ge=1, le=64, fold=True)
    processes: int = knob(
        1, "Processes that share a step's pictures between them, one a GPU", ge=1, le=64, fold=True
    )
    shard: bool = knob(
        False, "Split the UNet's weights over the GPUs (FSDP), where one GPU is too small for them", fold=True
    )
    random_flips: bool = knob(
        False, "Also learn from mirrored photographs (no face is symmetrical)", fold=True
    )
    face_weight: float = knob(
        1.0, "Weight of the face's area in the loss (1: like the rest)", ge=1, le=10, fold=True
    )
    offset_noise: float = knob(
        0.0, "Offset noise (0.05 to 0.1 helps very dark and bright pictures; 0: off)", ge=0, le=0.5, fold=True
    )
    lora_targets: LoraTargets = knob("attention", "Layers that a LoRA adapts", fold=True)
    dora: bool = knob(False, "DoRA: a LoRA that learns magnitude and direction apart", fold=True)
    optimizer: OptimizerName = knob("adamw", "Optimizer", fold=True)
    lr_schedule: Schedule = knob("constant", "Learning-rate schedule", fold=True)
    warmup_steps: int = knob(0, "Warm-up steps", ge=0, le=5000, fold=True)
    min_snr_gamma: float | None = knob(
        None, "Min-SNR gamma (5 is usual; empty: off)", gt=0, le=100, fold=True, allow_inf_nan=False
    )
    max_grad_norm: float = knob(1.0, "Clip the gradient norm at", gt=0, le=1000, fold=True)
    memory_tier: MemoryTier = knob(
        "auto",
        "Memory to get by with: turns on what saves enough (auto: what the card has free; none: nothing)",
        fold=True,
    )
    gradient_checkpointing: bool = knob(
        False, "Save memory: compute parts of the forward pass twice", fold=True
    )
    optimizer_in_backward: bool = knob(
        False, "Save memory: move each weight as soon as its gradient is there, then drop it", fold=True
    )
    bf16_weights: bool = knob(
        False, "Save memory: the UNet's weights in bf16, rounded up or down by chance", fold=True
    )
    compile: bool = knob(False, "Compile the model: a slow first step, then faster ones", fold=True)
    ema_decay: float | None = knob(
        None,
        "Average the weights with this decay (0.999 is usual; empty: off)",
        gt=0,
        lt=1,
        fold=True,
        allow_inf_nan=False,
    )
    train_text_encoder: bool = knob(False, "Also train the text encoder", fold=True)
    text_learning_rate: float | None = knob(
        None,
        "Its learning rate (empty: 1e-6 with the UNet, 5e-5 with a LoRA)",
        gt=0,
        le=1,
        fold=True,
        allow_inf_nan=False,
    )
    text_share: float = knob(
        0.25, "Share of the steps in which the text encoder learns", ge=0.05, le=1, fold=True
    )
    sample_prompts: Lines = knob(COMPARE_PROMPTS[:2], "Sample prompts, one a line", fold=True)
    sample_every: int = knob(100, "Steps between samples (0: none)", ge=0, le=20000, fold=True)
    checkpoint_every: int = knob(100, "Steps between checkpoints", ge=1, le=20000, fold=True)
    keep_checkpoints: int = knob(2, "Checkpoints that are kept, beside the best one", ge=1, le=100, fold=True)
    validate_every: int = knob(
        50, "Steps between looks at the held-out photographs (0: none)", ge=0, le=20000, fold=True
    )
    finish_with: FinishWith = knob(
        "last", "Weights of the finished run: the last, or the best checkpoint's", fold=True
    )
    tensorboard: bool = knob(False, "Also write TensorBoard files", fold=True)
    seed: int = knob(0, "Seed", ge=0, le=2**31 - 1, fold=True)


class TrainJob(TrainSettings):
    """Teach a base model one person: the full UNet or a LoRA, with prior preservation."""

    kind: ClassVar[str] = "train"
    method: Method = knob("lora", "What to train")
    learning_rate: float | None = knob(
        None,
        "Learning rate (empty: 2e-6 for the UNet, 1e-4 for a LoRA, 1 for Prodigy)",
        gt=0,
        le=1,
        allow_inf_nan=False,
    )
    rank: int = knob(8, "LoRA rank", ge=1, le=256)
    run: str = knob("", "Name of the run (empty: made from the settings)", fold=True)
    alpha: float | None = knob(
        None, "LoRA alpha (empty: the rank)", gt=0, le=1024, fold=True, allow_inf_nan=False
    )
    resume: bool = knob(False, "Go on from the run's last checkpoint", fold=True)

    @property
    def effective_learning_rate(self) -> float:
        """The learning rate that is used: the given one, or the method's usual one."""
        usual = 1.0 if self.optimizer == "prodigy" else 2e-6 if self.method == "unet" else 1e-4
        return self.learning_rate or usual

    @property
    def effective_text_learning_rate(self) -> float:
        """The text encoder's learning rate; Prodigy finds one for all weights together."""
        if self.optimizer == "prodigy":
            return self.effective_learning_rate
        return self.text_learning_rate or (1e-6 if self.method == "unet" else 5e-5)

    @property
    def text_steps(self) -> int:
        """After how many steps the text encoder stops to learn; 0 where it never does."""
        return math.ceil(self.steps * self.text_share) if self.train_text_encoder else 0

    @property
    def effective_alpha(self) -> float:
        """LoRA alpha; equal to the rank unless given, as alpha 1 barely trains."""
        return self.alpha or float(self.rank)


class PreflightJob(TrainJob):
    """Try one real step of a training: does it fit, how long will it take. Nothing is kept."""

    kind: ClassVar[str] = "preflight"


class SweepJob(TrainSettings):
    """Train LoRAs of several ranks and learning rates, and the UNet beside them, from one plan."""

    kind: ClassVar[str] = "sweep"
    ranks: Ranks = knob((4, 8, 16), "LoRA ranks", min_length=1, max_length=8)
    learning_rates: Rates = knob(
        (1e-4,), "LoRA learning rates: each rank is trained at each", min_length=1, max_length=8
    )
    with_unet: bool = knob(False, "Also train the whole UNet")
    unet_learning_rate: float | None = knob(
        None, "The UNet's learning rate (empty: 2e-6)", gt=0, le=1, fold=True, allow_inf_nan=False
    )
    prompts: Lines = knob(
        COMPARE_PROMPTS, "Prompts that likeness is measured with, one a line", fold=True, max_length=20
    )
    report: str = knob(
        "", "Name of the sweep; under the same name it goes on (empty: made from the settings)", fold=True
    )
