"""The measures of a comparison as tables and sentences: similarity, memorising with its copies, damage, poses."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from dreamgui.evaluate.comparison import Comparison
from dreamgui.evaluate.document.blocks import Block, Bullets, Figure, Heading, Paragraph, Table
from dreamgui.evaluate.measures.reading import DLIB, SFACE
from dreamgui.evaluate.metrics import (
    IDENTITY,
    MEMORISING,
    POSE,
    Metric,
    as_taken,
    by_group,
    measured,
    metric_of,
)
from dreamgui.evaluate.verdicts import verdicts

_NONE = "–"  # noqa: RUF001 - the usual sign for "no value" in a table
MOST_COPIES = 12


def measure_blocks(comparison: Comparison, pictures: dict[str, Image.Image]) -> Iterator[Block]:
    """Yield the tables of the measures, each with its sentences. A group that nothing was measured of is left out.

    Args:
        comparison: to be told.
        pictures: takes the pictures of copies and their training crops by path.
    """
    rows = {row.name: comparison.figures(row.name) for row in comparison.rows}
    for title, metrics in by_group(measured(rows)).items():
        yield Heading(title)
        header = ("Model", *(f"{metric.title} {_short(metric)}".rstrip() for metric in metrics))
        values = [(name, *(metric.text(row) or _NONE for metric in metrics)) for name, row in rows.items()]
        yield Table(header, tuple(values))
        yield from _sentences(comparison, title, pictures)
    if SFACE not in comparison.references and comparison.references:
        yield Paragraph(
            "Only one recogniser was there. Choose Fetch SFace, or name an ONNX file of your own, so that models which were "
            "chosen by dlib are reported by another one."
        )


def _short(metric: Metric) -> str:
    return {"higher is better": "↑", "lower is better": "↓"}.get(metric.direction, "")


def _sentences(comparison: Comparison, title: str, pictures: dict[str, Image.Image]) -> Iterator[Block]:
    if title == IDENTITY:
        yield Paragraph(comparison.references[DLIB].sentence)
        if told := verdicts({row.name: comparison.scores(row.name, DLIB) for row in comparison.rows}):
            yield Bullets(told)
    if title == MEMORISING:
        yield from copy_blocks(comparison, pictures)
    if title == POSE:
        told = tuple(
            sentence
            for row in comparison.rows
            if (sentence := comparison.spread(row.name).sentence(row.name))
        )
        if told:
            yield Bullets(told)


def copy_blocks(comparison: Comparison, pictures: dict[str, Image.Image]) -> Iterator[Block]:
    """Yield the pairs of a generated picture and the training crop that it nearly is, side by side."""
    pairs = [pair for row in comparison.rows for pair in comparison.copies.get(row.name, ())]
    if not pairs:
        yield Paragraph("No generated picture is nearly a training crop.")
        return
    rows = []
    for number, pair in enumerate(pairs[:MOST_COPIES]):
        ours, theirs = (f"images/copy-{number + 1:02d}-{part}.png" for part in ("generated", "crop"))
        assert isinstance(pair.cell.image, Image.Image), "a recipe's pictures are PIL images"
        pictures[ours], pictures[theirs] = pair.cell.image, pair.crop
        face = "no face" if pair.face is None else f"cosine of the faces {pair.face:.2f}"
        note = f"{100 * pair.hash_distance:.0f} % of the hash bits differ, {face}"
        generated = Figure(ours, f"{pair.cell.model}: {pair.cell.prompt}", f"seed {pair.cell.seed}")
        rows.append(
            (pair.cell.model, generated, Figure(theirs, f"Training crop {pair.name}", pair.name), note)
        )
    count = "1 picture is" if len(pairs) == 1 else f"{len(pairs)} pictures are"
    yield Paragraph(f"{count} nearly a training crop: the model memorised it. Train for fewer steps.")
    yield Table(("Model", "Generated", "Training crop", "Distance"), tuple(rows))


def definition_blocks(comparison: Comparison) -> Iterator[Block]:
    """Yield the definition of each figure that was measured."""
    rows = {row.name: comparison.figures(row.name) for row in comparison.rows}
    found = [
        (each.title, each.formula, each.extent, each.direction, each.embedder or "none", each.source)
        for each in (as_taken(metric, comparison.embedders) for metric in measured(rows))
    ]
    if found:
        yield Heading("Definitions of the figures")
        yield Table(("Figure", "Formula", "Range", "Direction", "Embedder", "Source"), tuple(found))


def metrics_data(comparison: Comparison) -> dict[str, dict[str, str]]:
    """Return the description of every figure in report.json by its key."""
    keys = {metric_of(key) for row in comparison.rows for key in comparison.figures(row.name)}
    taken = [as_taken(metric, comparison.embedders) for metric in sorted(keys, key=lambda each: each.key)]
    return {metric.key: metric.data() for metric in taken}
