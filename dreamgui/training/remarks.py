"""Notes on a training that runs to its end and changes nothing: a rate far too high, a loss that doesn't fall."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dreamgui.config import TrainJob
from dreamgui.events import Loss, Note

TIMES_THE_USUAL = 1000
LEAST_STEPS, LAST_STEPS = 20, 50
NOTHING_TRAINED = 0.9
"""Mean loss of a model that predicts no noise at all is 1, of Stable Diffusion 0.1 to 0.2."""


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
