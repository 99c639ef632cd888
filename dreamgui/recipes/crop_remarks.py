"""What a user is told about photographs and about the set of crops made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dreamgui.config import Framing
from dreamgui.data.coverage import cover
from dreamgui.data.crop import Photograph
from dreamgui.data.dataset import Dataset
from dreamgui.events import Note

_NOTED_ADJUSTMENTS = 5


def remarks(photograph: Photograph) -> Iterator[Note]:
    """What is doubtful about a photograph: who is in it, and whether the frame cuts the face."""
    if photograph.agreement == 0:
        yield Note(f"{photograph.source}: someone else? Nobody in it looks like the person of the others.")
    if photograph.others:
        why = "the person of the set" if photograph.agreement else "the largest and most central one"
        yield Note(f"{photograph.source}: {len(photograph.faces)} faces; {why} was taken.")
    if photograph.touches_edge:
        yield Note(f"{photograph.source}: the face touches the photograph's edge; better drop its crops.")


def summary(dataset: Dataset, shares: Mapping[Framing, float], hold_out: bool) -> Iterator[Note]:
    """What the user should know before training on these crops."""
    crops, sources = len(dataset.entries), len({entry.upload for entry in dataset.entries})
    if crops > sources:
        yield Note(f"{sources} photographs gave {crops} crops, some two or three of different framing.")
    if dataset.held_out_photographs:
        names = ", ".join(dataset.held_out_photographs)
        yield Note(f"Set aside to measure likeness, never trained on: {names}.")
    elif hold_out:
        yield Note("No photograph is set aside to measure likeness: there are too few for that.")
    adjusted = [entry for entry in dataset.entries if entry.adjustment]
    for entry in adjusted[:_NOTED_ADJUSTMENTS]:
        yield Note(f"{entry.source}, {entry.framing}: {entry.adjustment}.")
    if (further := len(adjusted) - _NOTED_ADJUSTMENTS) > 0:
        yield Note(f"Further crops moved or made smaller to stay inside their photographs: {further}.")
    yield from (Note(sentence) for sentence in cover(dataset.entries, shares).advice)
