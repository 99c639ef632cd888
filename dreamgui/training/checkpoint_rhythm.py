"""Times at which a training keeps something: checkpoints to resume from, and models on its way."""

from __future__ import annotations

import time

from dreamgui.config import TrainJob


class CheckpointRhythm:
    """Steps and seconds after which a checkpoint is due.

    The last step has none: the finished run takes its place.

    Args:
        job: with ``checkpoint_every``, ``checkpoint_seconds`` and ``snapshot_every``. Seconds count from now.
    """

    def __init__(self, job: TrainJob) -> None:
        self._job = job
        self._saved_at = time.monotonic()

    @property
    def is_late(self) -> bool:
        """Return whether more seconds have passed since the last checkpoint than the job allows."""
        return time.monotonic() - self._saved_at > self._job.checkpoint_seconds

    def falls_on(self, step: int) -> bool:
        """Return whether a step, from 1, is one of every so many."""
        return step % self._job.checkpoint_every == 0

    def is_due(self, step: int, now: bool) -> bool:
        """Return whether a checkpoint is written after this step.

        Args:
            now: it is late or requested, as all processes of the training have agreed.
        """
        return (now or self.falls_on(step)) and step != self._job.steps

    def saved(self) -> None:
        """Count the seconds from now on again."""
        self._saved_at = time.monotonic()

    def keeps_model(self, step: int) -> bool:
        """Return whether the weights of this step become a model of their own."""
        every = self._job.effective_snapshot_every
        return bool(every) and step % every == 0 and step != self._job.steps
