"""Coverage of a dataset and facts of a crop, as HTML and as a picture with boxes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from PIL import Image, ImageDraw, ImageEnhance

from dreamgui.config import Framing
from dreamgui.data.dataset.coverage import Coverage
from dreamgui.data.dataset.dataset import Dataset, Entry
from dreamgui.data.faces.detect import Box
from dreamgui.data.framing import FRAMINGS
from dreamgui.data.quality import LIGHTS, TURNS

VIEW_PX = 720
MOST_FACES = 8
_DIMMED = 0.45
_BOX_COLOUR, _FACE_COLOUR = "#4fd1b5", "#ffd27a"
_TURN_WORDS = {"left": "Looks left", "front": "Front", "right": "Looks right"}


def gallery_label(entry: Entry) -> str:
    """Return the caption of a crop in the gallery: one or two words."""
    if entry.dropped:
        return f"dropped: {entry.framing}"
    if entry.held_out:
        return f"held out: {entry.framing}"
    return (
        f"{entry.framing}: {'someone else?' if entry.someone_else else 'check'}"
        if entry.warnings
        else entry.framing
    )


def dataset_line(dataset: Dataset) -> str:
    """Return one paragraph of HTML: number of crops, held-out photographs, captions changed by another program."""
    crops = len(dataset.entries)
    photographs = len({entry.upload for entry in dataset.entries})
    dropped = sum(entry.dropped for entry in dataset.entries)
    text = f"{_count(crops, 'crop')} from {_count(photographs, 'photograph')}"
    text += f", {dropped} dropped" if dropped else ""
    held_out = ", ".join(dataset.held_out_photographs)
    kept = f" Held out of training: <b>{escape(held_out)}</b>." if held_out else ""
    remarks = "".join(f" <b>{escape(remark)}</b>" for remark in dataset.remarks)
    return f'<p class="dg-line">{text}.{kept}{remarks}</p>'


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def coverage_card(coverage: Coverage) -> str:
    """Return the table of framing, turn and light, a dot per crop, and the suggestions."""
    head = "".join(f'<th scope="col">{_TURN_WORDS[turn]}</th>' for turn in TURNS)
    rows = "".join(_coverage_row(coverage, framing) for framing in FRAMINGS)
    legend = "".join(f'<span><i class="dg-lit dg-{light}"></i>{light} light</span>' for light in LIGHTS)
    advice = "".join(f"<li>{escape(sentence)}</li>" for sentence in coverage.advice)
    suggestions = f'<ul class="dg-advice">{advice}</ul>' if advice else "<p>Nothing is missing.</p>"
    return (
        f'{suggestions}<table class="dg-coverage"><thead><tr><td></td>{head}</tr></thead>'
        f'<tbody>{rows}</tbody></table><p class="dg-legend">{legend}</p>'
    )


def _coverage_row(coverage: Coverage, framing: Framing) -> str:
    cells = []
    for turn in TURNS:
        counts = [(light, coverage.counts.get((framing, turn, light), 0)) for light in LIGHTS]
        dots = "".join(f'<i class="dg-lit dg-{light}"></i>' * count for light, count in counts)
        title = ", ".join(f"{count} {light}" for light, count in counts if count) or "none"
        cells.append(f'<td title="{title}"><b>{sum(n for _, n in counts)}</b><span>{dots}</span></td>')
    return f'<tr><th scope="row">{framing.capitalize()}</th>{"".join(cells)}</tr>'


def crop_line(entry: Entry) -> str:
    """Return a crop's source, the adjustment of its square, and its warnings as HTML."""
    side = entry.box[2] - entry.box[0]
    about = f"{escape(entry.file)} from <b>{escape(entry.source)}</b>, {side} x {side} px"
    if entry.enlargement > 1.005:
        about += f", enlarged {entry.enlargement:.2g} times"
    lines = [about, escape(entry.adjustment), escape(", ".join(entry.warnings))]
    kinds = ("", "", ' class="dg-doubt"')
    return "".join(
        f"<p{kind}>{line[0].upper()}{line[1:]}.</p>" for kind, line in zip(kinds, lines, strict=True) if line
    )


def view_scale(entry: Entry) -> float:
    """Return the photograph's pixels per pixel of :func:`view_with_boxes`."""
    return max(1.0, max(entry.photo_size) / VIEW_PX)


def view_with_boxes(photograph: Image.Image, entry: Entry) -> Image.Image:
    """Return the photograph, at most 720 px a side, dark outside the crop, with its other faces numbered.

    Args:
        photograph: upright, in any size.
        entry: the crop.
    """
    scale = view_scale(entry)
    size = (round(entry.photo_size[0] / scale), round(entry.photo_size[1] / scale))
    light = photograph.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    view = ImageEnhance.Brightness(light).enhance(_DIMMED)
    box = _in_view(entry.box, scale)
    view.paste(light.crop(box), box[:2])
    drawing = ImageDraw.Draw(view)
    for number, face in enumerate(entry.others[:MOST_FACES], 2):
        left, top, right, bottom = _in_view(face.box, scale)
        drawing.rectangle((left, top, right, bottom), outline=_FACE_COLOUR, width=2)
        drawing.text(
            (left + 4, top + 1), str(number), _FACE_COLOUR, font_size=20, stroke_width=2, stroke_fill="black"
        )
    drawing.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=_BOX_COLOUR, width=3)
    return view


def _in_view(box: Box | Sequence[float], scale: float) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(value / scale) for value in box)
    return left, top, right, bottom
