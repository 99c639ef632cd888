"""What a user can ask for: one frozen model a job.

The form in a tab, the command line, the saved ``job.json``, the metadata inside an exported file and the
API's parameter names all derive from these fields; nowhere are they listed a second time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Framing = Literal["close-up", "medium", "full"]
Method = Literal["unet", "lora"]
ControlKind = Literal["canny", "pose"]
Dtype = Literal["fp16", "bf16", "fp32"]
Schedule = Literal["constant", "linear", "cosine"]
LoraTargets = Literal["attention", "attention+conv"]
SchedulerName = Literal["dpm++", "ddim", "pndm", "euler"]

COMPARE_PROMPTS = (
    "a photo of sks woman face in the forest",
    "a photo of sks woman face on the beach",
    "a photo of sks woman face in the snow",
    "a photo of sks woman face in the city at night",
    "a photo of sks woman face on the moon",
)


def _lines(value: Any) -> Any:
    """A text box holds a list as lines; the command line and JSON hold it as a list."""
    if isinstance(value, str):
        return tuple(line.strip() for line in value.splitlines() if line.strip())
    return value


Lines = Annotated[tuple[str, ...], BeforeValidator(_lines)]


def knob(
    default: Any, label: str, *, fold: bool = False, choices: str = "", positional: bool = False, **limits: Any
) -> Any:
    """A field of a job.

    Args:
        default: value when nobody says otherwise; ``...`` makes the field required.
        label: the sentence shown beside it in the page and in ``--help``.
        fold: put it under "More settings".
        choices: where the page takes its choices from: ``"models"``, ``"bases"``, ``"datasets"``, ``"runs"``.
        positional: on the command line it stands without ``--name`` before it.
        limits: pydantic's ``ge``, ``le``, ``min_length``...
    """
    extra: dict[str, Any] = {"fold": fold, "choices": choices, "positional": positional}
    if isinstance(default, float):
        limits["allow_inf_nan"] = False
    return Field(default, description=label, json_schema_extra=extra, **limits)


class JobConfig(BaseModel):
    """What every job shares: frozen, no unknown fields, and a kind that names its recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: ClassVar[str] = ""


class CropJob(JobConfig):
    """Find the faces in photographs and cut square crops in varied framing."""

    kind: ClassVar[str] = "crop"
    photos: tuple[Path, ...] = knob(..., "Photographs, or folders of them", positional=True, min_length=1)
    dataset: str = knob("my-photos", "Name of the data set")
    size_px: int = knob(512, "Size of a crop in pixels", ge=64, le=1024, multiple_of=8)
    instance_prompt: str = knob("a photo of sks woman face", "Instance prompt: the caption of every crop")
    close_up_share: float = knob(0.4, "Share of close-ups", ge=0, le=1, fold=True)
    medium_share: float = knob(0.4, "Share of medium shots; the rest are full figures", ge=0, le=1, fold=True)
    detection_confidence: float = knob(0.5, "Least confidence of a detected face", ge=0.1, le=0.95, fold=True)
    max_enlargement: float = knob(1.5, "A crop may be enlarged by at most this factor", ge=1, le=8, fold=True)


class ConvertJob(JobConfig):
    """Turn a checkpoint in one file (civitai, A1111) into a diffusers folder."""

    kind: ClassVar[str] = "convert"
    source: str = knob("demo", "Checkpoint: a .safetensors or .ckpt file, or 'demo' for the bundled model", positional=True)
    model: str = knob("", "Name of the converted model (empty: the file's name)")
    dtype: Dtype = knob("fp16", "Number format of the saved weights", fold=True)


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


class TrainJob(JobConfig):
    """Teach a base model one person: the full UNet or a LoRA, with prior preservation."""

    kind: ClassVar[str] = "train"
    model: str = knob("portraits", "Base model", choices="bases")
    dataset: str = knob("my-photos", "Data set", choices="datasets")
    method: Method = knob("lora", "What to train")
    steps: int = knob(800, "Training steps", ge=1, le=20000)
    learning_rate: float | None = knob(None, "Learning rate (empty: 2e-6 for the UNet, 1e-4 for a LoRA)", gt=0, le=1, allow_inf_nan=False)
    rank: int = knob(8, "LoRA rank", ge=1, le=256)
    run: str = knob("", "Name of the run (empty: made from the settings)", fold=True)
    instance_prompt: str = knob("a photo of sks woman face", "Instance prompt", fold=True)
    prior_preservation: bool = knob(True, "Prior preservation: also train on class images", fold=True)
    prior_weight: float = knob(1.0, "Weight of the prior loss", ge=0, le=10, fold=True)
    class_prompt: str = knob("a photo of woman face", "Class prompt", fold=True)
    class_negative_prompt: str = knob("", "Negative prompt of the class images", fold=True)
    class_count: int = knob(200, "Number of class images", ge=1, le=2000, fold=True)
    batch_size: int = knob(1, "Instance pictures a step (as many class pictures beside them)", ge=1, le=64, fold=True)
    alpha: float | None = knob(None, "LoRA alpha (empty: the rank)", gt=0, le=1024, fold=True, allow_inf_nan=False)
    lora_targets: LoraTargets = knob("attention", "Layers that a LoRA adapts", fold=True)
    lr_schedule: Schedule = knob("constant", "Learning-rate schedule", fold=True)
    warmup_steps: int = knob(0, "Warm-up steps", ge=0, le=5000, fold=True)
    min_snr_gamma: float | None = knob(None, "Min-SNR gamma (5 is usual; empty: off)", gt=0, le=100, fold=True, allow_inf_nan=False)
    max_grad_norm: float = knob(1.0, "Clip the gradient norm at", gt=0, le=1000, fold=True)
    sample_prompts: Lines = knob(COMPARE_PROMPTS[:2], "Sample prompts, one a line", fold=True)
    sample_every: int = knob(100, "Steps between samples (0: none)", ge=0, le=20000, fold=True)
    checkpoint_every: int = knob(100, "Steps between checkpoints", ge=1, le=20000, fold=True)
    seed: int = knob(0, "Seed", ge=0, le=2**31 - 1, fold=True)
    resume: bool = knob(False, "Go on from the run's last checkpoint", fold=True)

    @property
    def effective_learning_rate(self) -> float:
        """The learning rate that is used: the given one, or the method's usual one."""
        return self.learning_rate or (2e-6 if self.method == "unet" else 1e-4)

    @property
    def effective_alpha(self) -> float:
        """LoRA alpha; equal to the rank unless given, as alpha 1 barely trains."""
        return self.alpha or float(self.rank)


class DrawSettings(JobConfig):
    """What comparing and ControlNet drawing share."""

    negative_prompt: str = knob("", "Negative prompt", fold=True)
    seed: int = knob(0, "Seed: the same for every model", ge=0, le=2**31 - 1)
    steps: int = knob(25, "Denoising steps", ge=1, le=150, fold=True)
    guidance_scale: float = knob(5.0, "Guidance scale", ge=1, le=30, fold=True)
    scheduler: SchedulerName = knob("dpm++", "Sampler", fold=True)
    lora_scale: float = knob(1.0, "Strength of a LoRA", ge=0, le=2, fold=True)


class CompareJob(DrawSettings):
    """Draw the same prompts with the same seeds through several models, and measure likeness."""

    kind: ClassVar[str] = "compare"
    models: tuple[str, ...] = knob(("portraits",), "Models to compare", choices="models", min_length=1, max_length=12)
    prompts: Lines = knob(COMPARE_PROMPTS, "Prompts, one a line", min_length=1, max_length=20)
    dataset: str = knob("my-photos", "Photographs that likeness is measured against", choices="datasets")
    report: str = knob("", "Name of the report (empty: made from the date)", fold=True)


class ControlJob(DrawSettings):
    """Draw one prompt through several models, led by the edges or the pose of a picture."""

    kind: ClassVar[str] = "control"
    image: Path = knob(..., "Picture that leads", positional=True)
    control: ControlKind = knob("canny", "What is taken from it")
    prompt: str = knob("a photo of sks woman face in the forest", "Prompt")
    models: tuple[str, ...] = knob(("portraits",), "Models", choices="models", min_length=1, max_length=12)
    control_scale: float = knob(1.0, "Strength of the control", ge=0, le=2, fold=True)
    canny_low: int = knob(100, "Canny: lower threshold", ge=1, le=254, fold=True)
    canny_high: int = knob(200, "Canny: upper threshold", ge=2, le=255, fold=True)
    report: str = knob("", "Name of the result (empty: made from the date)", fold=True)


class DemoJob(JobConfig):
    """Everything, on the bundled model and photographs: from the crops to a report."""

    kind: ClassVar[str] = "demo"
    out: Path = knob(Path("dreamgui-demo"), "Folder of the report")
    quick: bool = knob(False, "A few steps only, for tests")
    seed: int = knob(0, "Seed", ge=0, le=2**31 - 1)


JOBS: dict[str, type[JobConfig]] = {
    job.kind: job for job in (CropJob, ConvertJob, ClassImagesJob, TrainJob, CompareJob, ControlJob, DemoJob)
}
AnyJob = TypeVar("AnyJob", bound=JobConfig)
