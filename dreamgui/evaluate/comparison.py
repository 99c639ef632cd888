"""Results of a comparison: every generated cell, and each model's figures from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property

from dreamgui.config import CompareJob
from dreamgui.evaluate.drift import ClassDrift
from dreamgui.evaluate.figures import (
    Figures,
    damage_figures,
    damages,
    framing_figures,
    named,
    similarity_figures,
    with_zeros,
)
from dreamgui.evaluate.measures.framing import Spread, View
from dreamgui.evaluate.measures.identity import References
from dreamgui.evaluate.measures.reading import DLIB, SFACE
from dreamgui.evaluate.metrics import per_picture
from dreamgui.evaluate.model_rows import ModelRow
from dreamgui.evaluate.person import CopyPair
from dreamgui.evaluate.reference import Reference
from dreamgui.evaluate.repeat import Repeated
from dreamgui.evaluate.statistics import Interval, mean_interval, paired_difference
from dreamgui.events import Cell


@dataclass(frozen=True)
class Comparison:
    """Models by prompts.

    Attributes:
        job: what was asked for.
        rows: the models in their order.
        cells: the generated cells, with PIL pictures.
        class_cells: pictures from the class prompt, without the person's token; none without a trained model.
        class_prompt: that prompt.
        drift: what the class pictures show, by model.
        reference: the faces that likeness is measured against.
        device: the machine in words.
        seconds: the whole comparison took.
        stopped: whether the user stopped it, so that cells are missing.
        references: photographs by the name of the recogniser's figures; empty where none was read.
        copies: pictures that are nearly a training crop, by model.
        repeated: of which earlier report it is a repetition, and how many pictures are identical.
        reused: number of pictures that are those of earlier reports.
        clip: name of the CLIP; "" where none was used.
    """

    job: CompareJob
    rows: tuple[ModelRow, ...]
    cells: tuple[Cell, ...]
    class_cells: tuple[Cell, ...]
    class_prompt: str
    drift: Mapping[str, ClassDrift]
    reference: Reference
    device: str
    seconds: float
    stopped: bool = False
    references: Mapping[str, References] = field(default_factory=dict)
    copies: Mapping[str, tuple[CopyPair, ...]] = field(default_factory=dict)
    repeated: Repeated | None = None
    reused: int = 0
    clip: str = ""

    @property
    def embedders(self) -> dict[str, str]:
        """Return the names of the second recogniser ("sface") and of the CLIP ("clip"), where they were used."""
        second = {SFACE: self.references[SFACE].recogniser} if SFACE in self.references else {}
        return second | ({"clip": self.clip} if self.clip else {})

    @property
    def reused_sentence(self) -> str:
        """Return a sentence on pictures that weren't generated again, or "" without one."""
        total = len(self.cells) + len(self.class_cells)
        told = f"{self.reused} of {total} pictures are those of earlier reports with the same weights, settings and machine."
        return told if self.reused else ""

    def cell(self, model: str, column: int, number: int = 0) -> Cell | None:
        """Return the cell of a model, a prompt's place and a seed's place, or None where it wasn't generated."""
        return self._by_place.get((model, self.job.prompts[column], self.job.seed_of(column, number)))

    @cached_property
    def _by_place(self) -> dict[tuple[str, str, int], Cell]:
        return {(cell.model, cell.prompt, cell.seed): cell for cell in self.cells}

    def scores(self, model: str, name: str = "likeness") -> list[list[float | None]]:
        """Return a score of each cell [prompts][seeds], or None where it wasn't generated or shows no face."""
        cells = [
            [self.cell(model, column, number) for number in range(self.job.seeds)]
            for column in range(len(self.job.prompts))
        ]
        return [[cell.scores.get(name) if cell else None for cell in row] for row in cells]

    def likeness(self, model: str) -> Interval | None:
        """Mean likeness of a model with its interval, or None where no face was found."""
        return mean_interval(self.scores(model))

    def gain(self, model: str) -> Interval | None:
        """Return how much likeness it gains on its base, cell by cell. None without its base beside it."""
        row = next(row for row in self.rows if row.name == model)
        if row.kind == "base" or row.beside not in {other.name for other in self.rows}:
            return None
        difference = paired_difference(self.scores(model), self.scores(row.beside))
        return None if difference is None else difference.interval

    def class_likeness(self, model: str) -> Interval | None:
        """Mean likeness of the class pictures to the person."""
        return mean_interval(self.drift[model].likeness) if model in self.drift else None

    def best(self, kind: str) -> ModelRow | None:
        """The model of this kind with the highest likeness, or the first one where no face was found.

        One that was trained without prior preservation is alike at the class's cost and comes last.
        """
        rows = [row for row in self.rows if row.kind == kind]
        rows = [row for row in rows if row.prior_preservation is not False] or rows
        return max(rows, key=lambda row: getattr(self.likeness(row.name), "mean", -1.0), default=None)

    def spread(self, model: str) -> Spread:
        """Return the views of a model's faces."""
        scores = [cell.scores for cell in self.cells if cell.model == model]
        views = [
            View(each.get("yaw"), height, each.get("sharpness") or 0.0)
            for each in scores
            if (height := each.get("face_height")) is not None
        ]
        return Spread(len(scores), tuple(views))

    def damages(self, model: str) -> dict[int, tuple[float | None, float]]:
        """Return a model's damage by seed, as (1 - cosine, pixels), or nothing without its base beside it."""
        row = next(row for row in self.rows if row.name == model)
        if row.kind == "base":
            return {}
        by_model = [[cell for cell in self.class_cells if cell.model == name] for name in (model, row.beside)]
        return damages(*by_model)

    def figures(self, model: str) -> Figures:
        """Return a model's numbers by name, as events and report.json carry them. The page docs/metrics.md describes each."""
        faces = [score for row in self.scores(model) for score in row if score is not None]
        generated = sum(cell.model == model for cell in self.cells)
        drift = self.drift.get(model)
        return {
            **self._means(model),
            "faces_found": len(faces) / generated if generated else None,
            **named("gain", self.gain(model)),
            **self._similarities(model),
            "copies": float(len(self.copies[model])) if model in self.copies else None,
            "class_likeness": getattr(self.class_likeness(model), "mean", None),
            "class_diversity": getattr(drift, "diversity", None),
            "pres": getattr(drift, "pres", None),
            "div": getattr(drift, "div", None),
            **damage_figures(self.damages(model)),
            **framing_figures(self.spread(model)),
        }

    def _means(self, model: str) -> Figures:
        """Return the metrics that are means over the pictures of a model."""
        found: Figures = {}
        for metric in per_picture():
            found |= named(metric.key, mean_interval(self.scores(model, metric.key)))
        return found

    def _similarities(self, model: str) -> Figures:
        base = next(row.beside for row in self.rows if row.name == model)
        beside = base in {row.name for row in self.rows}
        found: Figures = {}
        for name, references in self.references.items():
            scores, floor = self.scores(model, name), self.scores(base, name) if beside else None
            found |= similarity_figures(name, scores, floor, references)
        if DLIB in self.references:
            centroid = mean_interval(self.scores(model, "identity_centroid"))
            places = range(len(self.job.prompts))
            there = [[self.cell(model, p, n) is not None for n in range(self.job.seeds)] for p in places]
            found |= named("identity_centroid", centroid)
            found |= named("identity_with_zeros", with_zeros(self.scores(model, DLIB), there))
        return found

    def model_data(self, row: ModelRow) -> dict[str, object]:
        """A row of report.json's ``models``."""
        return {**asdict(row), **self.figures(row.name)}
