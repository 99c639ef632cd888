"""Remarks on photographs and on the dataset made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dreamgui.config import CropJob, Framing
from dreamgui.data.crop import Photograph
from dreamgui.data.dataset.coverage import cover
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.photos.unpack import Member
from dreamgui.data.turning import LEANING_DEGREES
from dreamgui.events import Note

_NOTED_ADJUSTMENTS = 5
_TURNS = {90: "a quarter to the right", 180: "upside down", 270: "a quarter to the left"}


def remarks(photograph: Photograph) -> Iterator[Note]:
    """Yield doubts about a photograph: who is in it, and whether the frame cuts the face, and whether it was
    turned, or leans."""
    if photograph.turned:
        yield Note(f"{photograph.source}: turned {_TURNS[photograph.turned]}, as the face's eyes tell.")
    if photograph.face.found and abs(roll := photograph.face.roll) > LEANING_DEGREES:
        side = "right" if roll > 0 else "left"
        yield Note(
            f"{photograph.source}: the face leans by {abs(roll):.0f} degrees to the {side}; straighten the photograph "
            "if the person stands upright."
        )
    if photograph.agreement == 0:
        yield Note(f"{photograph.source}: someone else? No face in it resembles the person in the others.")
    if photograph.others:
        why = "the person of the set" if photograph.agreement else "the largest and most central one"
        yield Note(f"{photograph.source}: {len(photograph.faces)} faces; {why} was taken.")
    if photograph.touches_edge:
        yield Note(f"{photograph.source}: the face touches the photograph's edge; better drop its crops.")


def about_captions(
    job: CropJob, photographs: Sequence[Photograph], members: Sequence[Member]
) -> Iterator[Note]:
    """Yield how many captions lay beside the photographs, and whether they are a finished dataset."""
    captioned = sum(bool(member.caption) for member in members)
    if captioned:
        yield Note(f"Captions that lay beside the photographs were taken: {captioned} of {len(members)}.")
    sizes = {photograph.size for photograph in photographs}
    (width, height) = next(iter(sizes))
    ready = len(sizes) == 1 and width == height >= job.size_px and captioned == len(members)
    if ready and not job.take_as_is:
        yield Note(
            f"All pictures are square, of {width} pixels and captioned, as of a finished dataset: to take "
            "them whole in place of cropping them, tick 'Take as is' (--take-as-is)."
        )


def summary(dataset: Dataset, shares: Mapping[Framing, float], hold_out: bool) -> Iterator[Note]:
    """Yield what the user should know before training on these crops."""
    crops, sources = len(dataset.entries), len({entry.upload for entry in dataset.entries})
    if crops > sources:
        given = "1 photograph" if sources == 1 else f"{sources} photographs"
        yield Note(f"{given} gave {crops} crops, some two or three of different framing.")
    if dataset.held_out_photographs:
        names = ", ".join(dataset.held_out_photographs)
        yield Note(f"Set aside to measure likeness, never trained on: {names}.")
    elif hold_out:
        yield Note("No photograph is set aside to measure likeness: there are too few for that.")
    faceless = dict.fromkeys(entry.source for entry in dataset.entries if not entry.subject.found)
    if faceless:
        yield Note(
            f"No face was found in {', '.join(faceless)}: taken all the same, as you asked to take pictures as "
            "they are. Likeness isn't measured for these."
        )
    adjusted = [entry for entry in dataset.entries if entry.adjustment]
    for entry in adjusted[:_NOTED_ADJUSTMENTS]:
        yield Note(f"{entry.source}, {entry.framing}: {entry.adjustment}.")
    if (further := len(adjusted) - _NOTED_ADJUSTMENTS) > 0:
        yield Note(f"Further crops moved or made smaller to stay inside their photographs: {further}.")
    yield from (Note(sentence) for sentence in cover(dataset.entries, shares).advice)
