"""A comparison while it is made: pictures come in, scores and figures go out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from PIL import Image

from dreamgui.config import CompareJob
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.evaluate.comparison import Comparison
from dreamgui.evaluate.drift import ClassDrift, class_drift
from dreamgui.evaluate.figures import Figures
from dreamgui.evaluate.measures.clip import ClipJudge, clip_judge
from dreamgui.evaluate.measures.reading import DLIB, Reading
from dreamgui.evaluate.measures.scene import bundled_scenes
from dreamgui.evaluate.model_rows import ModelRow
from dreamgui.evaluate.person import CopyPair, Person
from dreamgui.evaluate.repeat import Earlier
from dreamgui.events import Cell, Score


class Judge(Protocol):
    """A measure of one picture and its prompt."""

    def scores(self, image: Image.Image, prompt: str) -> Mapping[str, float | None]:
        """Return scores by the keys of the catalogue's metrics, or None for what can't be measured.

        Args:
            image: RGB.
            prompt: as the picture was asked for.
        """
        ...


def judges_for(job: CompareJob, dataset: Dataset, demo: bool) -> tuple[Judge, ...]:
    """Return the judges that a job's settings and models allow.

    Args:
        demo: all models are the bundled one, or were trained on it.

    Raises:
        BadInput: there is no such CLIP.
    """
    found = (
        bundled_scenes() if demo else None,
        clip_judge(job.clip, dataset) if job.clip else None,
    )
    return tuple(judge for judge in found if judge is not None)


class Collected:
    """The pictures so far, each measured as it comes.

    Args:
        job: the comparison's.
        rows: its models.
        class_prompt: of the pictures without the token; "" where none are generated.
        person: that pictures are measured against.
        earlier: the report that is repeated.
        judges: beside those of the face, which the person has.
    """

    def __init__(
        self,
        job: CompareJob,
        rows: Sequence[ModelRow],
        class_prompt: str,
        person: Person,
        earlier: Earlier | None = None,
        judges: Sequence[Judge] = (),
    ) -> None:
        self.job = job
        self.rows = tuple(rows)
        self.class_prompt = class_prompt
        self.person = person
        self.earlier = earlier
        self.judges = judges
        self.reused = 0
        self.cells: list[Cell] = []
        self.class_cells: list[Cell] = []
        self._readings: list[Reading] = []
        self._drift: dict[str, ClassDrift] = {}
        self._copies: dict[str, tuple[CopyPair, ...]] = {}
        self._reported: dict[str, Figures] = {}

    @property
    def count(self) -> int:
        """Return the number of pictures so far, class pictures among them."""
        return len(self.cells) + len(self.class_cells)

    def add(self, model: str, prompt: str, seed: int, image: Image.Image, reused: bool = False) -> Cell:
        """Measure a picture, keep it, and return it with its scores.

        Args:
            model: name of its row.
            prompt: as it was asked for.
            seed: of its noise.
            image: RGB.
            reused: whether it is an earlier report's.
        """
        self.reused += reused
        reading = self.person.read(image)
        scores = self.person.scores(reading)
        for judge in self.judges:
            scores |= judge.scores(image, prompt)
        cell = Cell(model, prompt, seed, image, scores)
        self.cells.append(cell)
        self._readings.append(reading)
        return cell

    def finish(self, model: str, class_pictures: Sequence[Image.Image]) -> None:
        """Measure what needs all pictures of a model: copies, and the class pictures from the job's seeds on.

        The page's grid doesn't show class pictures, the report does.
        """
        likeness: Sequence[float | None] = ()
        if known := self.person.reference.person:
            self._drift[model] = class_drift(class_pictures, known, self.person.references[DLIB].vectors)
            likeness = self._drift[model].likeness
        scores = [{"likeness": value} for value in likeness] or [{}] * len(class_pictures)
        self.class_cells += [
            Cell(model, self.class_prompt, self.job.seed + number, image, score)
            for number, (image, score) in enumerate(zip(class_pictures, scores, strict=True))
        ]
        pairs = zip(self.cells, self._readings, strict=True)
        ours = [(cell, reading) for cell, reading in pairs if cell.model == model]
        cells, readings = [cell for cell, _ in ours], [reading for _, reading in ours]
        self._copies[model] = self.person.copies(cells, readings)

    def news(self) -> Iterator[Score]:
        """Yield the figures of each finished model that are new: a base that comes later is the floor of earlier ones."""
        comparison = self.comparison("", 0.0)
        for name in self._copies:
            if (figures := comparison.figures(name)) != self._reported.get(name):
                self._reported[name] = figures
                yield Score(name, figures)

    def comparison(self, device: str, seconds: float, stopped: bool = False) -> Comparison:
        """Return what was found so far.

        Args:
            device: the machine in words.
            seconds: that it took.
            stopped: whether the user stopped it.
        """
        pictures = [*self.cells, *self.class_cells]
        return Comparison(
            job=self.job,
            rows=self.rows,
            cells=tuple(self.cells),
            class_cells=tuple(self.class_cells),
            class_prompt=self.class_prompt,
            drift=dict(self._drift),
            reference=self.person.reference,
            device=device,
            seconds=seconds,
            stopped=stopped,
            references=self.person.references,
            copies=dict(self._copies),
            reused=self.reused,
            clip=next((judge.name for judge in self.judges if isinstance(judge, ClipJudge)), ""),
            repeated=self.earlier.compared(pictures) if self.earlier and device else None,
        )
