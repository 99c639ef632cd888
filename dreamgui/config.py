"""What a user can ask for: one frozen model a job.

The form in a tab, the command line, the saved ``job.json``, the metadata inside an exported file and the
API's parameter names all derive from these fields; nowhere are they listed a second time.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Framing = Literal["close-up", "medium", "full"]
Method = Literal["unet", "lora"]
ControlKind = Literal["canny", "pose"]
Dtype = Literal["fp16", "bf16", "fp32"]
Schedule = Literal["constant", "linear", "cosine"]
LoraTargets = Literal["attention", "attention+conv"]
OptimizerName = Literal["adamw", "adamw-8bit", "prodigy", "schedule-free"]
FinishWith = Literal["last", "best"]
ModelForm = Literal["diffusers", "single-file"]
ExportFormat = Literal["single-file", "diffusers", "lora-kohya", "lora-diffusers"]
MixWay = Literal["weighted-sum", "add-difference"]
SchedulerName = Literal["dpm++", "ddim", "pndm", "euler"]
UnetWeights = Literal["plain", "ema"]

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


def _without_token(value: Any) -> Any:
    """An address copied with its access token loses it here, before it is kept in job.json."""
    return (
        re.sub(r"(?i)([?&])(?:token|api_?key)=[^&#]*&?", r"\1", value).rstrip("?& ")
        if isinstance(value, str)
        else value
    )


def _none_if_blank(value: Any) -> Any:
    """An empty text box would otherwise be the working folder."""
    return None if isinstance(value, str) and not value.strip() else value


Lines = Annotated[tuple[str, ...], BeforeValidator(_lines)]


def _parts(value: Any) -> Any:
    """A text box holds numbers between spaces, commas or line ends; JSON holds them as a list."""
    return (
        tuple(re.split(r"[\s,;]+", value.strip(" \t\r\n,;")))
        if isinstance(value, str) and value.strip()
        else value
    )


def _within(low: float, high: float) -> AfterValidator:
    def check(values: tuple[float, ...]) -> tuple[float, ...]:
        for value in values:
            if not low <= value <= high:
                raise ValueError(f"{value:g} isn't between {low:g} and {high:g}")
        return tuple(dict.fromkeys(values))

    return AfterValidator(check)


Ranks = Annotated[tuple[int, ...], BeforeValidator(_parts), _within(1, 256)]
Rates = Annotated[tuple[float, ...], BeforeValidator(_parts), _within(1e-9, 1)]
OptionalFolder = Annotated[Path | None, BeforeValidator(_none_if_blank)]
SourceText = Annotated[str, BeforeValidator(_without_token)]


def knob(
    default: Any,
    label: str,
    *,
    fold: bool = False,
    choices: str = "",
    positional: bool = False,
    **limits: Any,
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
    photos: tuple[Path, ...] = knob(
        ..., "Photographs, folders or zip files of them", positional=True, min_length=1
    )
    dataset: str = knob("my-photos", "Name of the data set")
    size_px: int = knob(512, "Size of a crop in pixels", ge=64, le=1024, multiple_of=8)
    instance_prompt: str = knob("a photo of sks woman face", "Instance prompt: the caption of every crop")
    close_up_share: float = knob(0.4, "Share of close-ups", ge=0, le=1, fold=True)
    medium_share: float = knob(0.4, "Share of medium shots; the rest are full figures", ge=0, le=1, fold=True)
    detection_confidence: float = knob(0.5, "Least confidence of a detected face", ge=0.1, le=0.95, fold=True)
    max_enlargement: float = knob(1.5, "A crop may be enlarged by at most this factor", ge=1, le=8, fold=True)
    hold_out: bool = knob(
        True, "Set one photograph in eight aside, never trained on, to measure likeness", fold=True
    )
    out: OptionalFolder = knob(
        None, "Folder, or .zip file, that gets a copy of the data set (empty: none)", fold=True
    )


class ConvertJob(JobConfig):
    """Turn a checkpoint (a file, civitai, Hugging Face) into a diffusers folder, or a folder into a single file."""

    kind: ClassVar[str] = "convert"
    source: SourceText = knob(
        "demo",
        "Checkpoint: a .safetensors or .ckpt file, a diffusers folder, a civitai address or civitai:VERSION, a Hugging Face "
        "owner/name[@revision][:file], or 'demo' for the bundled model",
        positional=True,
    )
    to: ModelForm = knob("diffusers", "What is written", fold=True)
    out: OptionalFolder = knob(
        None,
        "Folder or file to write, with a certificate (empty: a diffusers folder becomes a model of the workspace, a single "
        "file goes to its exports)",
        fold=True,
    )
    model: str = knob("", "Name of the converted model (empty: the file's name)")
    dtype: Dtype = knob("fp16", "Number format of the saved weights", fold=True)
    unet_weights: UnetWeights = knob(
        "plain", "Which of a checkpoint's UNets: the plain weights or their running average (EMA)", fold=True
    )
    base: str = knob("", "Model that completes a file without text encoder, VAE or UNet", fold=True)
    # Never dumped: job.json, metadata and logs are made from the dump.
    token: str = knob(
        "",
        "Access token of civitai or Hugging Face (empty: from the environment)",
        fold=True,
        exclude=True,
        repr=False,
        max_length=400,
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
    gradient_checkpointing: bool = knob(
        False, "Save memory: compute parts of the forward pass twice", fold=True
    )
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
    models: tuple[str, ...] = knob(
        ("portraits",), "Models to compare", choices="models", min_length=1, max_length=12
    )
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


class ExportJob(JobConfig):
    """Write a model or run as other programs load it, read it back, and prove it with a picture."""

    kind: ClassVar[str] = "export"
    model: str = knob(
        "portraits", "Base model, run, or a LoRA's .safetensors file", choices="models", positional=True
    )
    base: str = knob("", "LoRA file: base model that it is for", choices="bases", fold=True)
    format: ExportFormat = knob("single-file", "Format of the export")
    out: OptionalFolder = knob(None, "File or folder to write (empty: the workspace's exports)")
    dtype: Dtype = knob("fp16", "Number format of the saved weights", fold=True)
    lora_scale: float = knob(
        1.0, "Strength of a LoRA that is baked into a whole model", ge=0, le=2, fold=True
    )


class MergeJob(JobConfig):
    """Bake a LoRA into a UNet at a strength; the result is a run of its own."""

    kind: ClassVar[str] = "merge"
    lora: str = knob("", "Run with the LoRA, or a LoRA's .safetensors file", choices="runs", positional=True)
    model: str = knob("", "Base model or run to bake it into (empty: the LoRA's own base)", choices="models")
    weight: float = knob(1.0, "Strength of the LoRA", ge=-2, le=2)
    run: str = knob("", "Name of the result (empty: made from the settings)", fold=True)


class ExtractJob(JobConfig):
    """Turn what a trained UNet learnt into a small LoRA, and show how much each rank captures."""

    kind: ClassVar[str] = "extract"
    trained: str = knob("", "Run with the trained UNet", choices="runs", positional=True)
    against: str = knob("", "What it is compared with (empty: its base model)", choices="models", fold=True)
    rank: int = knob(16, "LoRA rank", ge=1, le=256)
    lora_targets: LoraTargets = knob("attention+conv", "Layers that the LoRA adapts", fold=True)
    run: str = knob("", "Name of the result (empty: made from the settings)", fold=True)


class ResizeJob(JobConfig):
    """Give a LoRA a smaller rank, keeping as much of it as that rank can hold."""

    kind: ClassVar[str] = "resize"
    lora: str = knob("", "Run with the LoRA", choices="runs", positional=True)
    rank: int = knob(4, "New rank", ge=1, le=256)
    run: str = knob("", "Name of the result (empty: made from the settings)", fold=True)


class MixJob(JobConfig):
    """Mix two UNets: a weighted sum, or what one of them learnt added to the other."""

    kind: ClassVar[str] = "mix"
    first: str = knob("portraits", "Base model or run", choices="models", positional=True)
    second: str = knob("portraits", "The other base model or run", choices="models", positional=True)
    way: MixWay = knob("weighted-sum", "How they are mixed")
    weight: float = knob(0.5, "Share of the other one", ge=-2, le=2)
    minus: str = knob(
        "", "Add difference: what is subtracted from the other (empty: its base)", choices="models", fold=True
    )
    run: str = knob("", "Name of the result (empty: made from the settings)", fold=True)


class TokensJob(JobConfig):
    """See what a base model draws for a token before it learns a new meaning, and find rarer ones."""

    kind: ClassVar[str] = "tokens"
    token: str = knob(
        "sks", "Token that will stand for the person", min_length=1, max_length=40, positional=True
    )
    model: str = knob("portraits", "Base model", choices="bases")
    count: int = knob(3, "Number of pictures", ge=1, le=8)
    seed: int = knob(0, "Seed of the first picture", ge=0, le=2**31 - 1, fold=True)
    steps: int = knob(20, "Denoising steps", ge=1, le=150, fold=True)
    guidance_scale: float = knob(5.0, "Guidance scale", ge=1, le=30, fold=True)


JOBS: dict[str, type[JobConfig]] = {
    job.kind: job
    for job in (
        CropJob, ConvertJob, ClassImagesJob, TrainJob, PreflightJob, SweepJob, CompareJob, ControlJob, DemoJob,
        ExportJob, MergeJob, ExtractJob, ResizeJob, MixJob, TokensJob,
    )
}  # fmt: skip
AnyJob = TypeVar("AnyJob", bound=JobConfig)
