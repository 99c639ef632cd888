"""What a comparison found: every cell that was drawn, and each model's figures from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from dreamgui.config import CompareJob
from dreamgui.evaluate.drift import ClassDrift
from dreamgui.evaluate.intervals import Interval, bootstrap, paired_gain
from dreamgui.events import Cell


@dataclass(frozen=True)
class ModelRow:
    """A compared model: ``kind`` base, unet or lora, and how it was trained where it was.

    Attributes:
        seconds: of its training.
        file_bytes: size of its weights.
        class_prompt: that its training preserved; empty for a base.
        prior_preservation: whether it did; None for a base.
    """

    name: str
    kind: str
    base: str
    rank: int | None = None
    alpha: float | None = None
    learning_rate: float | None = None
    steps: int = 0
    seconds: float = 0.0
    file_bytes: int = 0
    class_prompt: str = ""
    prior_preservation: bool | None = None


@dataclass(frozen=True)
class Comparison:
    """Models by prompts.

    Attributes:
        job: what was asked for.
        rows: the models in their order.
        cells: the drawn cells, with PIL pictures.
        class_cells: pictures from the class prompt, without the person's token; none without a trained model.
        class_prompt: that prompt.
        drift: what the class pictures show, by model.
        device: the machine in words.
        seconds: the whole comparison took.
        stopped: whether the user stopped it, so that cells are missing.
    """

    job: CompareJob
    rows: tuple[ModelRow, ...]
    cells: tuple[Cell, ...]
    class_cells: tuple[Cell, ...]
    class_prompt: str
    drift: Mapping[str, ClassDrift]
    device: str
    seconds: float
    stopped: bool = False

    def cell(self, model: str, column: int) -> Cell | None:
        """The cell of this model and prompt number, None where it wasn't drawn."""
        seed = self.job.seed + column
        prompt = self.job.prompts[column]
        return next((c for c in self.cells if (c.model, c.prompt, c.seed) == (model, prompt, seed)), None)

    def scores(self, model: str) -> list[float | None]:
        """Likeness of each prompt's cell, None where it wasn't drawn or shows no face."""
        cells = [self.cell(model, column) for column in range(len(self.job.prompts))]
        return [cell.scores.get("likeness") if cell else None for cell in cells]

    def likeness(self, model: str) -> Interval | None:
        """Mean likeness of a model with its interval; None where no face was found."""
        return bootstrap(self.scores(model))

    def gain(self, model: str) -> Interval | None:
        """By how much it is more alike than its base, cell by cell; None without its base beside it."""
        row = next(row for row in self.rows if row.name == model)
        if row.kind == "base" or row.base not in {other.name for other in self.rows}:
            return None
        return paired_gain(self.scores(model), self.scores(row.base))

    def class_likeness(self, model: str) -> Interval | None:
        """Mean likeness of the class pictures to the person."""
        return bootstrap(self.drift[model].likeness) if model in self.drift else None

    def best(self, kind: str) -> ModelRow | None:
        """The model of this kind with the highest likeness; the first one where no face was found.

        One that was trained without prior preservation is alike at the class's cost and comes last.
        """
        rows = [row for row in self.rows if row.kind == kind]
        rows = [row for row in rows if row.prior_preservation is not False] or rows
        return max(rows, key=lambda row: getattr(self.likeness(row.name), "mean", -1.0), default=None)

    def figures(self, model: str) -> dict[str, float | None]:
        """A model's numbers by name, as events and report.json carry them."""
        faces = [score for score in self.scores(model) if score is not None]
        drawn = sum(cell.model == model for cell in self.cells)
        return {
            **_named("likeness", self.likeness(model)),
            "faces_found": len(faces) / drawn if drawn else None,
            **_named("gain", self.gain(model)),
            "class_likeness": getattr(self.class_likeness(model), "mean", None),
            "class_diversity": self.drift[model].diversity if model in self.drift else None,
        }

    def model_data(self, row: ModelRow) -> dict[str, object]:
        """A row of report.json's ``models``."""
        return {**asdict(row), **self.figures(row.name)}


def _named(name: str, interval: Interval | None) -> dict[str, float | None]:
    if interval is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
