"""The plane of checkpoints in a report: a figure and the suggestions in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dreamgui.evaluate.comparison import Comparison
from dreamgui.evaluate.document.blocks import Block, Bullets, Chart, Heading, Paragraph
from dreamgui.evaluate.measures.reading import DLIB, SFACE
from dreamgui.evaluate.model_rows import ModelRow
from dreamgui.evaluate.plane import LEAST_POINTS, Point, Suggestion, pareto_front, suggestion
from dreamgui.evaluate.reports.plane_chart import plane_chart
from dreamgui.evaluate.statistics import mean_interval

FIDELITY, CLIP_T, DAMAGE = "fidelity", "clip_t", "damage"
_UP = {
    FIDELITY: "prompt fidelity, higher is better",
    CLIP_T: "CLIP-T, higher is better",
    DAMAGE: "damage, lower (further up) is better",
}


def chooser_of(comparison: Comparison) -> str:
    """Return the figure that checkpoints are chosen by: dlib's, or the second recogniser's where it was asked and is there."""
    second = comparison.job.chosen_by == "second" and SFACE in comparison.references
    return SFACE if second else DLIB


def quality_of(comparison: Comparison) -> str:
    """Return the measure of quality: "fidelity" where it was measured, else "clip_t", else "damage"."""
    for key in (FIDELITY, CLIP_T):
        if any(cell.scores.get(key) is not None for cell in comparison.cells):
            return key
    return DAMAGE


def points_of(comparison: Comparison) -> tuple[str, tuple[Point, ...]]:
    """Return the measure of quality, and a point for each trained model that has a place."""
    chooser, measure = chooser_of(comparison), quality_of(comparison)
    points = []
    for row in comparison.rows:
        if row.kind != "base":
            damage = measure == DAMAGE
            quality = _undamaged(comparison, row.name) if damage else comparison.scores(row.name, measure)
            memorising = comparison.scores(row.name, "memorising")
            identity = comparison.scores(row.name, chooser)
            strength = row.strength if comparison.job.strengths else None
            points.append(Point(row.name, method_of(row), row.steps, identity, quality, memorising, strength))
    return measure, tuple(p for p in points if p.quality and p.place)


def run_of(row: ModelRow) -> str:
    """Return the run of a kept model RUN@STEP, else the model's own name."""
    run, _, step = row.known_as.rpartition("@")
    return run if run and step == str(row.steps) else row.known_as


def method_of(row: ModelRow) -> str:
    """Return the run with the sampling where several are compared: what one checkpoint is suggested of."""
    return run_of(row) + row.beside.removeprefix(row.base)


def suggestions(points: Sequence[Point]) -> tuple[Suggestion, ...]:
    """Return the suggestion of each run that has two checkpoints and more."""
    runs = {
        run: [point for point in points if point.method == run] for run in {p.method: None for p in points}
    }
    found = [suggestion(checkpoints) for checkpoints in runs.values() if len(checkpoints) > 1]
    return tuple(each for each in found if each)


def plane_blocks(comparison: Comparison) -> Iterator[Block]:
    """Yield the figure and the sentences, or nothing with fewer than three trained models that have a place."""
    quality, points = points_of(comparison)
    if len(points) < LEAST_POINTS:
        return
    front = pareto_front(points)
    yield Heading("Which checkpoint")
    label = _UP[quality]
    alt = "Trained models by identity similarity and " + label
    yield Chart("plane.svg", alt, plane_chart(points, front, label, quality == "damage"))
    names = ", ".join(point.name for point in front)
    yield Paragraph(f"No other model is better in both than these (Pareto front): {names}.")
    if told := suggestion_sentences(comparison):
        yield Bullets(told)


def suggestion_sentences(comparison: Comparison) -> tuple[str, ...]:
    """Return each method's suggestion, with what the recogniser that didn't choose says of it."""
    quality, points = points_of(comparison)
    other = DLIB if chooser_of(comparison) == SFACE else SFACE
    told = []
    for each in suggestions(points):
        sentence = each.sentence("CLIP-T" if quality == CLIP_T else quality)
        seen = (
            mean_interval(comparison.scores(each.point.name, other))
            if other in comparison.references
            else None
        )
        name = comparison.references[other].recogniser if seen else ""
        told.append(f"{sentence} {name}, which didn't choose, gives it {seen.text()}." if seen else sentence)
    return tuple(told)


def plane_data(comparison: Comparison) -> dict[str, object] | None:
    """Return the plane as report.json holds it, or None where there is none."""
    quality, points = points_of(comparison)
    if len(points) < LEAST_POINTS:
        return None
    front = {point.name for point in pareto_front(points)}
    rows = []
    for point in points:
        (x, y), gap = point.place or (0.0, 0.0), mean_interval(point.memorising)
        rows.append(
            {
                "model": point.name, "run": point.method, "step": point.step, "strength": point.strength, "identity": x,
                quality: -y if quality == "damage" else y, "memorising": gap and gap.mean,
                "on_front": point.name in front,
            }
        )  # fmt: skip
    told = [
        {
            "run": each.point.method, "model": each.point.name, "most_alike": each.best.name,
            "onset": each.onset and each.onset.name, "sentence": each.sentence(quality),
        }
        for each in suggestions(points)
    ]  # fmt: skip
    return {"quality": quality, "points": rows, "suggestions": told}


def _undamaged(comparison: Comparison, model: str) -> list[list[float | None]]:
    """The negative damage [1][seeds] of a model, or nothing without its base."""
    moved = comparison.damages(model)
    row: list[float | None] = [None if value is None else -value for value, _ in moved.values()]
    return [row] if row else []
