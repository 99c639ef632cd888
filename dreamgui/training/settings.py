"""A training's settings: what was given, else the resumed run's, else what follows from the dataset."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from dreamgui.config import SweepJob, TrainJob, TrainSettings
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.diffusion.schedule import learning_rate_at
from dreamgui.errors import BadInput, Damaged, UnknownName
from dreamgui.models.catalog.cards import ModelCard, RunCard
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.training.origin import changes_since, followed_dataset, origin_of
from dreamgui.training.prompts import require_prompts, with_prompts
from dreamgui.training.resumable import already_training, is_training, kept_steps, resumable
from dreamgui.workspace import Workspace

AnyTraining = TypeVar("AnyTraining", bound=TrainJob)
AnySettings = TypeVar("AnySettings", bound=TrainSettings)
_FIXED = ("model", "dataset", "method", "train_text_encoder", "optimizer", "ema_decay", "bf16_weights")
_FIXED_LORA = (*_FIXED, "rank", "effective_alpha", "lora_targets", "dora")
"""What can't change between the parts of one run."""
_NOT_ADVISED = {"model", "dataset", "method"}
_ABOUT_RESUMING = ("run", "resume", "resume_from")


def settled(job: AnyTraining, workspace: Workspace, catalog: Catalog) -> tuple[AnyTraining, list[str]]:
    """Return the job with every setting as it will be trained, and what the user should know before.

    A resumed run goes on with its own settings and those that were given (``model_fields_set``; None isn't
    given). A new run's prompts follow its dataset's prompt; its other settings are those that the model's card
    recommends, as in the page, and the fields' defaults.

    Raises:
        UnknownName: there is no such base, dataset or run, or no run that can be resumed.
        AlreadyRunning: the run is being trained.
        BadInput: it is done, has no whole checkpoint left, was begun with other settings, has trained more steps than are asked for, or a
            prompt is empty.
    """
    if job.resume or job.resume_from:
        return _resumed(job, workspace, catalog)
    card = catalog.card(job.model)
    dataset = Dataset.peek(workspace.find("datasets", job.dataset))
    job, notes = with_prompts(job, dataset.instance_prompt)
    job, advice = _advised(job, card)
    return job, notes + advice


def begun_with(card: RunCard) -> TrainJob:
    """Return the settings of a run's training, as they were asked for.

    Raises:
        Damaged: its card holds none that can be read.
    """
    try:
        return TrainJob.model_validate(card.job)
    except ValidationError as error:
        raise Damaged(
            f"The card of the run {card.name!r} holds no settings of a training.", "Start a new run."
        ) from error


def _advised(job: AnyTraining, card: ModelCard) -> tuple[AnyTraining, list[str]]:
    """The job with the model's recommended settings where none were given."""
    given = job.model_fields_set | _NOT_ADVISED
    if job.optimizer == "prodigy":
        given.add("learning_rate")
    return _with_advice(job, card, card.advice(job.method), given)


def advised_sweep(job: SweepJob, card: ModelCard) -> tuple[SweepJob, list[str]]:
    """Return the sweep with the model's recommended settings where none were given, and a sentence about them.

    They are those of a LoRA; the learning rate of the whole UNet is its own.
    """
    rates = card.sweep_rates() if job.optimizer != "prodigy" else {}
    return _with_advice(job, card, card.advice("lora") | rates, job.model_fields_set | _NOT_ADVISED)


def _with_advice(
    job: AnySettings, card: ModelCard, recommended: Mapping[str, Any], given: Collection[str]
) -> tuple[AnySettings, list[str]]:
    advice = {
        name: value
        for name, value in recommended.items()
        if name in type(job).model_fields and name not in given
    }
    if not advice:
        return job, []
    advised = type(job).model_validate({**dict(job), **advice})
    told = ", ".join(f"{name} {_said(advised, name)}" for name in advice)
    return advised, [f"Not given, so as the model {card.name!r} recommends: {told}."]


def _resumed(job: AnyTraining, workspace: Workspace, catalog: Catalog) -> tuple[AnyTraining, list[str]]:
    card = catalog.run(job.run) if job.run else _newest(job, workspace, catalog)
    folder = workspace.find("runs", card.name)
    if is_training(folder):
        raise already_training(folder)
    kept = kept_steps(folder)
    begun = begun_with(card)
    if card.finished and not kept:
        raise _ended(card, begun)
    dataset = followed_dataset(workspace, begun.dataset, card.origin)
    given = _given(job, begun)
    if given.get("dataset") == begun.dataset:
        del given["dataset"]
    before = begun.model_copy(update={"dataset": dataset})
    after = before.model_copy(update=given)
    if changed := _changed(after, before):
        raise BadInput(
            f"The run {card.name!r} was begun with another {', '.join(changed)}.",
            "Resume it with the settings it has, or start a new run.",
        )
    require_prompts(after)
    step = _start(job, card, after, kept)
    now = origin_of(catalog, after.model, Dataset.peek(workspace.find("datasets", dataset)))
    notes = [f"The dataset {begun.dataset!r} is now called {dataset!r}."] if dataset != begun.dataset else []
    notes += [
        *changes_since(card.origin, now, after.model, dataset),
        *_sentences(card.name, before, after, step),
    ]
    about = {"run": card.name, "resume": True, "resume_from": job.resume_from}
    return type(job).model_validate({**dict(after), **about}), notes


def _ended(card: RunCard, begun: TrainJob) -> BadInput:
    """The error for a run with weights and no whole checkpoint: done, or stopped and its checkpoints are lost."""
    if card.steps < begun.steps:
        return BadInput(
            f"The run {card.name!r} was stopped after {card.steps} of {begun.steps} steps, and no whole checkpoint of "
            "it is left to go on from.",
            "Start a new run; this one's weights stay.",
        )
    return BadInput(
        f"The run {card.name!r} is finished after {card.steps} steps.", "Start a new run in its place."
    )


def _given(job: TrainJob, begun: TrainJob) -> dict[str, Any]:
    """Return what was given and differs from the run's settings."""
    given = {name: getattr(job, name) for name in job.model_fields_set if name not in _ABOUT_RESUMING}
    return {name: v for name, v in given.items() if v is not None and v != getattr(begun, name)}


def _newest(job: TrainJob, workspace: Workspace, catalog: Catalog) -> RunCard:
    """The newest run that can be resumed with what was given."""
    open_runs = resumable(workspace, catalog)
    for card in reversed(open_runs):
        begun = begun_with(card)
        fits = not _changed(begun.model_copy(update=_given(job, begun)), begun)
        if fits and (not job.resume_from or job.resume_from in kept_steps(workspace.find("runs", card.name))):
            return card
    known = ", ".join(card.name for card in open_runs)
    raise UnknownName(
        "There is no run with these settings that can be resumed.",
        f"Those that can be: {known}." if known else "Start a new run.",
    )


def _changed(after: TrainJob, before: TrainJob) -> list[str]:
    fixed = _FIXED_LORA if before.method == "lora" else _FIXED
    return [
        name.removeprefix("effective_") for name in fixed if getattr(after, name) != getattr(before, name)
    ]


def _start(job: TrainJob, card: RunCard, after: TrainJob, kept: list[int]) -> int:
    """The step of the checkpoint to go on from, or 0 without one."""
    listed = ", ".join(map(str, kept)) or "none"
    if job.resume_from and job.resume_from not in kept:
        raise BadInput(
            f"The run {card.name!r} has no whole checkpoint of step {job.resume_from}.",
            f"Kept are: {listed}.",
        )
    step = job.resume_from or max(kept, default=0)
    if after.steps < step:
        raise BadInput(
            f"The run {card.name!r} has trained {step} steps already, so it can't end after {after.steps}.",
            f"Resume it with at least {step} steps, or from an earlier checkpoint (kept are: {listed}).",
        )
    return step


def _sentences(run: str, before: TrainJob, after: TrainJob, step: int) -> Iterator[str]:
    """Yield what changes, and what becomes of a schedule."""
    names = [name for name in type(before).model_fields if getattr(before, name) != getattr(after, name)]
    if not names:
        return
    changes = ", ".join(f"{name} {_said(before, name)} -> {_said(after, name)}" for name in names)
    yield f"The run {run!r} goes on with other settings: {changes}."
    if {before.lr_schedule, after.lr_schedule} != {"constant"} and after.steps > step:
        old, new = (_rate(job, step + 1) for job in (before, after))
        if old != new:
            yield (
                f"The {after.lr_schedule} schedule now ends after {after.steps} steps: step {step + 1} has a learning "
                f"rate of {new:.3g} in place of {old:.3g}."
            )
    if before.text_steps != after.text_steps:
        yield f"The text encoder is trained until step {after.text_steps} in place of {before.text_steps}."


def _rate(job: TrainJob, step: int) -> float:
    if step > job.steps:
        return 0.0
    return learning_rate_at(step, job.steps, job.effective_learning_rate, job.lr_schedule, job.warmup_steps)


def _said(job: TrainSettings, name: str) -> Any:
    value = getattr(job, f"effective_{name}", getattr(job, name))
    if isinstance(value, tuple) and all(isinstance(each, float) for each in value):
        return ", ".join(f"{each:g}" for each in value)
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, int) else repr(str(value) if isinstance(value, Path) else value)
