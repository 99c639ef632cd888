"""Notes on a training that runs to its end and doesn't help: doubtful crops, a rate far too high, a loss that stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dreamgui.config import TrainJob
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.diffusion.person_words import classes_in
from dreamgui.events import Loss, Note

TIMES_THE_USUAL = 1000
LEAST_STEPS, LAST_STEPS = 20, 50
NOTHING_TRAINED = 0.9
"""Mean loss of a model that predicts no noise at all is 1, of Stable Diffusion 0.1 to 0.2."""
NAMED = 3
"""Crops that a note names; further ones are counted."""


def about_dataset(dataset: Dataset, instance_prompt: str, size_px: int) -> Iterator[Note]:
    """Notes on what decides the result besides the settings: whom the crops show, what they are called, their size.

    Args:
        instance_prompt: the training's.
        size_px: side of the base model's pictures in pixels.
    """
    in_use = [entry for entry in dataset.entries if entry.in_use]
    strangers = [entry.source for entry in in_use if entry.someone_else]
    if strangers:
        yield Note(
            f"{_crops(strangers)} may show someone else: {_named(strangers)}. Drop those that do in Dataset, or the "
            "model is trained on two people."
        )
    ours = classes_in(instance_prompt)
    # A caption that is the dataset's prompt is read as the training's.
    own = (entry for entry in in_use if entry.caption != dataset.instance_prompt)
    others = [entry for entry in own if _names_another(entry.caption, ours)]
    if others:
        words = ", ".join(sorted(frozenset.union(*(classes_in(entry.caption) for entry in others))))
        yield Note(
            f"The captions of {_crops([entry.source for entry in others])} say {words}, the instance prompt says "
            f"{', '.join(sorted(ours))}. Change one of them in Dataset."
        )
    if dataset.size_px < size_px:
        yield Note(f"The crops of {dataset.size_px} pixels are enlarged to the base model's {size_px}.")
    if dataset.size_px > size_px:
        yield Note(f"The crops of {dataset.size_px} pixels are reduced to the base model's {size_px}.")


def _names_another(caption: str, ours: frozenset[str]) -> bool:
    """Return whether a caption names classes, and none of ours."""
    theirs = classes_in(caption)
    return bool(ours and theirs) and not ours & theirs


def _crops(sources: Sequence[str]) -> str:
    return "1 crop" if len(sources) == 1 else f"{len(sources)} crops"


def _named(sources: Sequence[str]) -> str:
    names = list(dict.fromkeys(sources))
    further = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + further


def usual_rate(job: TrainJob) -> float:
    """The learning rate that is used when none is given."""
    return job.model_copy(update={"learning_rate": None}).effective_learning_rate


def before_training(job: TrainJob) -> Iterator[Note]:
    """A note where the learning rate is 1000 times the usual one, or more."""
    rate, usual = job.effective_learning_rate, usual_rate(job)
    if rate >= TIMES_THE_USUAL * usual:
        yield Note(
            f"The learning rate {rate:g} is {rate / usual:,.0f} times the usual {usual:g}; the weights may be "
            "destroyed by the first steps. Stop and lower it unless it is meant."
        )


def after_training(job: TrainJob, losses: Sequence[Loss]) -> Iterator[Note]:
    """A note where the mean of the last 50 losses is that of a model which has trained nothing."""
    last = [loss.instance for loss in losses[-LAST_STEPS:]]
    mean = sum(last) / max(1, len(last))
    if len(losses) >= LEAST_STEPS and mean >= NOTHING_TRAINED:
        yield Note(
            f"The loss is {mean:.2f} after {len(losses)} steps, about that of a model that has trained nothing. "
            f"Train again with a lower learning rate than {job.effective_learning_rate:g} "
            f"(usual: {usual_rate(job):g})."
        )
