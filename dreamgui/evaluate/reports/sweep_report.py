"""Results of a sweep: one row a training, so that one can tell whether rank or learning rate mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from PIL import Image

from dreamgui.config import SweepJob
from dreamgui.evaluate.document.blocks import Block, Content, Document, Figure, Heading, Paragraph, Table
from dreamgui.evaluate.reference import Reference
from dreamgui.evaluate.reports.report import versions
from dreamgui.sizes import file_size

_HEADER = ("Run", "Rank", "Rate", "Time", "File", "Loss", "Held-out loss", "Likeness", "Faces")


@dataclass(frozen=True)
class SweepRow:
    """One training of the sweep.

    Attributes:
        rank: None for the whole UNet.
        loss: mean of its last steps; ``validation`` the last loss on held-out photographs.
        likeness: mean over the generated pictures that show a face; ``faces_found`` their share.
        pictures: one a prompt, by their path in the report's folder.
        failed: why it has no figures; empty where it is done.
    """

    run: str
    rank: int | None
    learning_rate: float
    seconds: float | None = None
    file_bytes: int | None = None
    loss: float | None = None
    validation: float | None = None
    likeness: float | None = None
    faces_found: float | None = None
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)
    failed: str = ""

    @property
    def figures(self) -> dict[str, float | None]:
        """Its numbers by name, as the Score event carries them."""
        texts = ("run", "pictures", "failed")
        return {name: value for name, value in vars(self).items() if name not in texts}


def sweep_document(
    job: SweepJob, name: str, rows: Sequence[SweepRow], planned: int, reference: Reference, device: str
) -> Document:
    """The sweep so far as a report: a table of figures and the pictures below each other."""
    lead = (
        f"{len(rows)} of {planned} trainings of {job.steps} steps on {job.model}, with the same photographs"
        f" in the same order and the same seed {job.seed}, on {device}."
    )
    blocks: list[Block] = [
        Table(_HEADER, tuple(_figures(row) for row in rows)),
        Paragraph(reference.sentence),
    ]
    if any(row.pictures for row in rows):
        header = ("Run", *job.prompts)
        shown = (row for row in rows if row.pictures)
        blocks += [Heading("Pictures"), Table(header, tuple(_shots(row, job.prompts) for row in shown))]
    blocks += [Paragraph(f"{row.run} failed: {row.failed}") for row in rows if row.failed]
    pictures = {path: image for row in rows for path, image in row.pictures.items()}
    return Document(name, lead, tuple(blocks), pictures, _data(job, rows, reference, device))


def _figures(row: SweepRow) -> tuple[str, ...]:
    return (
        row.run,
        "UNet" if row.rank is None else str(row.rank),
        f"{row.learning_rate:g}",
        _shown(row.seconds, "{:.0f} s"),
        "-" if row.file_bytes is None else file_size(row.file_bytes),
        _shown(row.loss, "{:.4f}"),
        _shown(row.validation, "{:.4f}"),
        _shown(row.likeness, "{:.2f}"),
        _shown(row.faces_found, "{:.0%}"),
    )


def _shots(row: SweepRow, prompts: Sequence[str]) -> tuple[Content, ...]:
    return (row.run, *(Figure(path, prompt) for path, prompt in zip(row.pictures, prompts, strict=True)))


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _data(job: SweepJob, rows: Sequence[SweepRow], reference: Reference, device: str) -> dict[str, object]:
    plain = [{**asdict(row), "pictures": list(row.pictures)} for row in rows]
    return {
        "job": job.model_dump(mode="json"),
        "device": device,
        "reference": reference.data(),
        "versions": versions(),
        "rows": plain,
    }
