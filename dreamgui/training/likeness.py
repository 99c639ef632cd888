"""Likeness of a training's samples, measured beside the steps, and the advice to stop."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.faces.identity import embed_face
from dreamgui.errors import DreamError
from dreamgui.evaluate.reference import Reference, reference_of
from dreamgui.events import Note, SampleLikeness
from dreamgui.training.loss_log import LossLog

PATIENCE = 3
"""Looks in a row without a rise after which stopping is advised."""
LEAST_RISE = 0.01


class LikenessWatch:
    """Measures samples in a thread of its own, so that no step waits for it.

    The network holds Python's lock for 75 ms a face; finding the face doesn't.

    Args:
        dataset: folder of the photographs; None measures nothing.
        log: takes what was measured.
    """

    def __init__(self, dataset: Path | None, log: LossLog) -> None:
        self._dataset = dataset
        self._log = log
        self._reference: Reference | None = None
        self._looks: list[_Look] = []
        self._advised: set[str] = set()

    def look(self, step: int, pictures: Sequence[Image.Image]) -> None:
        """Begin to measure the samples of a step. It returns at once.

        Args:
            step: after which they were generated.
            pictures: RGB.
        """
        if self._dataset is not None and pictures:
            before = self._looks[-1] if self._looks else None
            self._looks.append(_Look(self, step, pictures, before))

    def news(self, wait: bool = False) -> Iterator[SampleLikeness | Note]:
        """Yield what was measured since the last call, and once the advice to stop.

        Args:
            wait: until all looks have ended, as before a checkpoint is judged.
        """
        while self._looks and (wait or not self._looks[0].thread.is_alive()):
            found = self._looks[0].found()
            del self._looks[0]
            if found is None:
                continue
            yield self._log.sampled(found)
            if self._reference:
                yield from self._once(self._reference.sentence if not self._reference.held_out else "")
            yield from self._once(advice(self._log.likenesses))

    def _once(self, sentence: str) -> Iterator[Note]:
        kind = sentence[:20]
        if sentence and kind not in self._advised:
            self._advised.add(kind)
            yield Note(sentence)

    def measured(self, step: int, pictures: Sequence[Image.Image]) -> SampleLikeness | None:
        """Return the mean likeness of pictures, or None where the photographs show no face or can't be read."""
        if self._dataset is None:
            return None
        try:
            self._reference = self._reference or reference_of(Dataset.peek(self._dataset))
        except (DreamError, OSError):
            self._dataset = None
            return None
        person = self._reference.person
        if person is None:
            return None
        scores = [person.score_of(embed_face(picture)) for picture in pictures]
        known = [score for score in scores if score is not None]
        mean = sum(known) / len(known) if known else None
        return SampleLikeness(step, mean, len(known), len(pictures))


class _Look:
    """One measurement in a thread. Looks follow each other, as they share the recogniser."""

    def __init__(
        self, watch: LikenessWatch, step: int, pictures: Sequence[Image.Image], before: _Look | None
    ) -> None:
        self._found: SampleLikeness | None = None

        def measure() -> None:
            if before is not None:
                before.thread.join()
            self._found = watch.measured(step, pictures)

        self.thread = threading.Thread(target=measure, name="likeness", daemon=True)
        self.thread.start()

    def found(self) -> SampleLikeness | None:
        """Return the outcome, after the thread's end."""
        self.thread.join()
        return self._found


def advice(likenesses: Sequence[SampleLikeness]) -> str:
    """Return the advice to stop where likeness hasn't risen for three looks, else "".

    Args:
        likenesses: in the order of their steps; those without a face don't count.
    """
    known = [(look.value, look.step) for look in likenesses if look.value is not None and look.step]
    if len(known) <= PATIENCE:
        return ""
    best = max(value for value, _ in known)
    first = next(place for place, (value, _) in enumerate(known) if value >= best - LEAST_RISE)
    if len(known) - 1 - first < PATIENCE:
        return ""
    (value, step), (now, here) = known[first], known[-1]
    return (
        f"Stop here is the advice: likeness of the samples was {value:.2f} at step {step} and is {now:.2f} at step {here}; "
        f"it hasn't risen in {PATIENCE} looks. A few samples say so: compare the kept models."
    )
