"""Memory tiers: which settings that save memory a training turns on, the least harm first.

A tier is an amount of memory. Of all ways to save, from none to all of them, the first is taken whose need,
by :func:`needed_bytes`, stays within it. What a job already says stays as it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_args

from dreamgui.config import MemoryTier, TrainJob
from dreamgui.errors import BadInput
from dreamgui.models.catalog.catalog import UNET_FILE
from dreamgui.sizes import memory_size
from dreamgui.training.memory.estimate import Sizes, needed_bytes
from dreamgui.training.parallel.shardable import why_not_split

if TYPE_CHECKING:
    import torch

    from dreamgui.models.manager import Models

GIGABYTE = 10**9
"""Of a memory tier: a GPU sold as 16 GB has 14.9 GiB or a little more to give."""
FILE_BYTES = 2
"""A base model's file holds fp16."""
SHARE = 0.9
"""So much of a tier is planned for, as the need is an estimate."""
LITTLE_BYTES = 10**8
"""Saving less than this isn't worth any harm."""
TIERS: tuple[MemoryTier, ...] = tuple(name for name in get_args(MemoryTier) if name not in ("auto", "none"))
RECOMPUTED = {"gradient_checkpointing": True}
IN_BACKWARD = {"optimizer_in_backward": True}
EIGHT_BIT = {"optimizer": "adamw-8bit"}
BF16 = {"bf16_weights": True}
WAYS: tuple[dict[str, Any], ...] = (
    {},
    # The same numbers, a third more time.
    RECOMPUTED,
    # The same, but for clipping; often without a CUDA graph.
    RECOMPUTED | IN_BACKWARD,
    # AdamW's moments, rounded.
    RECOMPUTED | EIGHT_BIT,
    RECOMPUTED | EIGHT_BIT | IN_BACKWARD,
    # Weights and moments, rounded.
    RECOMPUTED | BF16,
    RECOMPUTED | BF16 | IN_BACKWARD,
    RECOMPUTED | BF16 | EIGHT_BIT,
    RECOMPUTED | BF16 | EIGHT_BIT | IN_BACKWARD,
)
SETTINGS = ("gradient_checkpointing", "optimizer_in_backward", "optimizer", "bf16_weights")
_KEPT = ("optimizer", "bf16_weights")
"""What a run that goes on can't change."""
_FAMILY = ("adamw", "adamw-8bit")


@dataclass(frozen=True)
class Machine:
    """Machine that a choice depends on.

    Attributes:
        kind: "cuda", "cpu" or "mps".
        free_bytes: of the device, as much as a training could have.
        compute: "bfloat16", "float16" or "float32".
        eight_bit: why the 8-bit state can't be had; empty where it can.
    """

    kind: str
    free_bytes: int
    compute: str
    eight_bit: str

    @classmethod
    def of(cls, models: Models, needs_8bit: bool) -> Machine:
        """This one, as it is now: what this process holds it could give back, under a cap that it was given.

        ``needs_8bit``: the answer depends on the 8-bit state, so it is tried.
        """
        import torch

        from dreamgui.models.device import free_bytes

        status, kind = models.status(), models.device.type
        free = status["memory_total_bytes"] - status["memory_used_bytes"]
        if kind == "cuda":
            free = free_bytes(models.device) + torch.cuda.memory_allocated(models.device)
        compute = str(models.train_dtype).removeprefix("torch.")
        return cls(kind, free, compute, _eight_bit(models.device) if needs_8bit else "")


@lru_cache
def _eight_bit(device: torch.device) -> str:
    from dreamgui.training.steps.optimizers import eight_bit_trouble

    return eight_bit_trouble(device)


@dataclass(frozen=True)
class Choice:
    """A training as it will run.

    Attributes:
        job: with what its tier has turned on.
        need_bytes: at the peak of a step, estimated.
        sentence: the choice in words; empty where there was none.
        tighter: what to choose should memory be short all the same; empty where there is no more.
    """

    job: TrainJob
    need_bytes: int
    sentence: str
    tighter: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """The job's ways to save memory."""
        return {name: getattr(self.job, name) for name in SETTINGS}


def fitted(job: TrainJob, models: Models, begun: TrainJob | None = None) -> Choice:
    """The job with what its memory tier turns on.

    Args:
        begun: with which settings the run began that this job goes on with.

    Raises:
        UnknownName: there is no such base.
        BadInput: the settings can't go together, or not on this machine.
    """
    weights = (models.catalog.folder(job.model) / UNET_FILE).stat().st_size // FILE_BYTES
    sizes = Sizes(weights, models.catalog.card(job.model).size_px)
    asked = (job if begun is None else begun).optimizer == "adamw-8bit"
    machine = Machine.of(models, asked or _chooses(job, models.device.type))
    choice = choose(job, machine, sizes, begun)
    if machine.kind != "cuda":
        return choice
    return replace(choice, tighter=next_tier(job, choice.need_bytes, machine, sizes, begun))


def choose(job: TrainJob, machine: Machine, sizes: Sizes, begun: TrainJob | None = None) -> Choice:
    """Return what :func:`fitted` returns, from the numbers alone."""
    job = _as_begun(job, begun)
    if why := obstacle(job, machine):
        raise BadInput(*why)
    if not _chooses(job, machine.kind):
        return Choice(job, needed_bytes(job, sizes, machine.compute), "")
    room = _room(job.memory_tier, machine)
    ways = _ways(job, begun)
    needs = [needed_bytes(way, sizes, machine.compute) for way in ways]
    hindered = [obstacle(way, machine) for way in ways]
    possible = [number for number, why in enumerate(hindered) if why is None]
    fitting = [number for number in possible if needs[number] <= SHARE * room]
    least = min(needs[number] for number in possible)
    chosen = (fitting or [number for number in possible if needs[number] <= least + LITTLE_BYTES])[0]
    # What would have done less harm, or would have saved more, and why it wasn't taken.
    better = range(chosen) if fitting else [n for n, need in enumerate(needs) if need + LITTLE_BYTES < least]
    missed = [why for n in better if (needs[n] <= SHARE * room or not fitting) and (why := hindered[n])]
    return Choice(ways[chosen], needs[chosen], _sentence(ways[chosen], needs[chosen], room, missed))


def next_tier(
    job: TrainJob, need_bytes: int, machine: Machine, sizes: Sizes, begun: TrainJob | None = None
) -> str:
    """The largest tier under which this job needs less than now, and how, as a sentence, or "" for none."""
    for tier in TIERS:
        choice = choose(job.model_copy(update={"memory_tier": tier}), machine, sizes, begun)
        if choice.need_bytes < need_bytes:
            return (
                f"Choose the memory tier {tier}: {means(choice.job)}, about {memory_size(choice.need_bytes)}."
            )
    return ""


def obstacle(job: TrainJob, machine: Machine) -> tuple[str, str] | None:
    """Return why a job's ways to save memory can't be had, and what to do, or None where they can."""
    return next((found for found in _obstacles(job, machine) if found), None)


def means(job: TrainJob) -> str:
    """Return in words how a job saves memory."""
    named = {
        "gradient checkpointing": job.gradient_checkpointing,
        "8-bit optimizer state": job.optimizer == "adamw-8bit",
        "the optimizer in the backward pass": job.optimizer_in_backward,
        "weights in bf16, rounded by chance": job.bf16_weights,
        f"weights split over {job.processes} GPUs": job.shard,
    }
    return ", ".join(name for name, used in named.items() if used) or "nothing is saved"


def _obstacles(job: TrainJob, machine: Machine) -> Iterator[tuple[str, str] | None]:
    yield why_not_split(job) if job.shard else None
    yield _without_8bit(machine) if job.optimizer == "adamw-8bit" else None
    yield _not_in_backward(job, machine) if job.optimizer_in_backward else None
    yield _not_in_bf16(job, machine) if job.bf16_weights else None


def _without_8bit(machine: Machine) -> tuple[str, str] | None:
    if not machine.eight_bit:
        return None
    return f"The optimizer 'adamw-8bit' can't be had. {machine.eight_bit}", "Choose adamw."


def _not_in_backward(job: TrainJob, machine: Machine) -> tuple[str, str] | None:
    what = "The optimizer can't run in the backward pass"
    if job.optimizer not in _FAMILY:
        return f"{what}: {job.optimizer!r} looks at all gradients together.", "Choose adamw or adamw-8bit."
    if job.accumulate > 1:
        return f"{what} when {job.accumulate} batches are added up.", "Set the batches to add up to 1."
    if job.compile:
        return (
            f"{what} of a compiled model: all gradients come out of it together.",
            "Turn one of the two off.",
        )
    if job.processes > 1:
        return f"{what} when processes share a step: they exchange gradients first.", "Use one process."
    if machine.compute == "float16":
        return (
            f"{what} in fp16: its loss scaling must see all gradients before a weight moves.",
            "Turn it off; gradient checkpointing and the 8-bit optimizer work in fp16.",
        )
    return None


def _not_in_bf16(job: TrainJob, machine: Machine) -> tuple[str, str] | None:
    what = "Weights can't be in bf16"
    if job.method == "lora":
        return f"{what} with a LoRA: its few weights need fp32.", "Turn it off; it would save nothing."
    if job.optimizer not in _FAMILY:
        return f"{what} with the optimizer {job.optimizer!r}.", "Choose adamw or adamw-8bit."
    if job.train_text_encoder:
        return f"{what} while the text encoder is trained.", "Leave the text encoder as it is."
    if job.processes > 1:
        return f"{what} when processes share a step.", "Use one process."
    if machine.compute == "float16" or machine.kind == "mps":
        return f"{what}: this device doesn't compute in it.", "Train a LoRA in place of the whole UNet."
    return None


def _as_begun(job: TrainJob, begun: TrainJob | None) -> TrainJob:
    """A run that goes on keeps what can't change."""
    if begun is None:
        return job
    return job.model_copy(update={name: getattr(begun, name) for name in _KEPT})


def _ways(job: TrainJob, begun: TrainJob | None) -> list[TrainJob]:
    """The job with each way to save memory that makes sense for it, the least harm first."""
    ways = [_with(job, way) for way in WAYS]
    if begun is not None:
        ways = [way for way in ways if all(getattr(way, name) == getattr(job, name) for name in _KEPT)]
    if job.method == "lora":
        ways = [way for way in ways if way.bf16_weights == job.bf16_weights]
    return ways


def _with(job: TrainJob, way: dict[str, Any]) -> TrainJob:
    """The job with a way to save memory. An optimizer of its own stays, as do savings of its own."""
    if job.optimizer != "adamw":
        way = {name: value for name, value in way.items() if name != "optimizer"}
    return job.model_copy(update=way)


def _chooses(job: TrainJob, kind: str) -> bool:
    """Return whether there is something to choose: by itself only on a GPU."""
    return job.memory_tier != "none" and (job.memory_tier != "auto" or kind == "cuda")


def _room(tier: MemoryTier, machine: Machine) -> float:
    if tier == "auto":
        return machine.free_bytes
    return 0 if tier == "least" else GIGABYTE * int(tier.removesuffix("GB"))


def _sentence(chosen: TrainJob, need: int, room: float, missed: list[tuple[str, str]]) -> str:
    tier = chosen.memory_tier
    place = f"{memory_size(room)} free" if tier == "auto" else f"tier {tier}"
    parts = [f"Memory ({place}): {means(chosen)}; about {memory_size(need)} by estimate."]
    if need > SHARE * room > 0:
        parts.append("That may not fit.")
    if chosen.optimizer_in_backward:
        parts.append("Gradients are clipped weight by weight, as they never all exist at once.")
    parts += dict.fromkeys(f"Not used: {what}" for what, _ in missed)
    return " ".join(parts)
