"""A comparison as text, tables and pictures."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from dreamgui.config import SEED_STRIDE, CompareJob
from dreamgui.evaluate.comparison import Comparison
from dreamgui.evaluate.document.blocks import (
    Block,
    Bullets,
    Chart,
    Content,
    Document,
    Figure,
    Heading,
    Paragraph,
    Table,
)
from dreamgui.evaluate.document.charts import interval_chart
from dreamgui.evaluate.document.sheet import contact_sheet
from dreamgui.evaluate.model_rows import ModelRow
from dreamgui.evaluate.repeat import pixel_hash
from dreamgui.evaluate.reports.measures_report import definition_blocks, measure_blocks, metrics_data
from dreamgui.evaluate.reports.plane_report import plane_blocks, plane_data
from dreamgui.evaluate.reports.report import versions
from dreamgui.evaluate.statistics import Interval
from dreamgui.events import Cell
from dreamgui.sizes import file_size

GRID = "grid.png"
SHOWN_PROMPTS = 8
_NONE = "–"  # noqa: RUF001 - the usual sign for "no value" in a table


def compare_document(comparison: Comparison, name: str) -> Document:
    """The report of a comparison. ``name`` is the report's."""
    job, pictures = comparison.job, {}
    blocks: list[Block] = [
        *likeness_blocks(comparison),
        Heading("The same prompts, the same seeds"),
        cell_table(comparison, pictures),
        Paragraph(f"All prompts in one picture: {GRID}.{shown_note(job)}"),
        *plane_blocks(comparison),
        *measure_blocks(comparison, pictures),
        *class_blocks(comparison, pictures),
        Heading("How this was made"),
        Bullets(method_notes(comparison)),
        *definition_blocks(comparison),
    ]
    pictures[GRID] = grid(comparison)
    data = {"kind": "compare", "report": name, **comparison_data(comparison), "versions": versions()}
    grid_size = f"{len(comparison.rows)} models, {len(job.prompts)} prompts, {job.seeds} seeds"
    count = f"{grid_size}, {len(comparison.cells)} pictures"
    stopped = " It was stopped before its end, so pictures are missing." if comparison.stopped else ""
    return Document(f"Comparison {name}", f"{count}.{stopped}", tuple(blocks), pictures, data)


def likeness_blocks(comparison: Comparison) -> tuple[Block, ...]:
    """The figures of all models, and likeness as a chart."""
    rows = {row.name: comparison.likeness(row.name) for row in comparison.rows}
    chart = Chart("likeness.svg", "Likeness of each model with its 95% interval", interval_chart(rows))
    return (
        Heading("Likeness to the photographs"),
        model_table(comparison),
        chart,
        Paragraph(comparison.reference.sentence),
        Paragraph(_reading(comparison)),
    )


def model_table(comparison: Comparison) -> Table:
    """One row a model: how it was trained and what was measured."""
    header = ("Model", "Kind", "Learning rate", "Steps", "Training", "File")
    measured = ("Likeness [95%]", "Gain over base [95%]", "Faces", "Class likeness", "Class diversity")
    return Table((*header, *measured), tuple(_model_row(comparison, row) for row in comparison.rows))


def _model_row(comparison: Comparison, row: ModelRow) -> tuple[Content, ...]:
    generated = sum(cell.model == row.name for cell in comparison.cells)
    faces = sum(score is not None for each in comparison.scores(row.name) for score in each)
    diversity = comparison.figures(row.name)["class_diversity"]
    class_likeness = comparison.class_likeness(row.name)
    return (
        row.name,
        kind_text(row),
        _NONE if row.learning_rate is None else f"{row.learning_rate:g}",
        str(row.steps) if row.steps else _NONE,
        f"{row.seconds:.0f} s" if row.steps else _NONE,
        file_size(row.file_bytes),
        _shown(comparison.likeness(row.name)),
        _shown(comparison.gain(row.name), "+"),
        f"{faces} of {generated}",
        _NONE if class_likeness is None else f"{class_likeness.mean:.2f}",
        _NONE if diversity is None else f"{diversity:.2f}",
    )


def kind_text(row: ModelRow) -> str:
    """Return what was trained: "base", "full UNet", "LoRA, rank 8"."""
    return {"base": "base", "unet": "full UNet"}.get(row.kind, f"LoRA, rank {row.rank}")


def _shown(interval: Interval | None, sign: str = "") -> str:
    return _NONE if interval is None else interval.text(sign)


def _reading(comparison: Comparison) -> str:
    """Return what the numbers mean, and how far they carry."""
    job = comparison.job
    if not any(comparison.likeness(row.name) for row in comparison.rows):
        return "Likeness could not be measured: no face was found in the pictures, or in the photographs."
    return (
        "Likeness is 1 minus the distance between the generated face and the mean of the photographs' faces, "
        "in the space of dlib's face recognition network, from 0 to 1; higher is more alike. A picture "
        "without a face counts in “Faces” only. Each interval comes from a bootstrap over "
        f"{len(job.prompts)} prompts and {job.seeds} seeds of one run, so it says how much these matter, not what "
        "another training would give. The gain is taken picture by picture against the base with the same "
        "prompt and seed; an interval above 0 says that the prompts and seeds alone don't explain it."
    )


def cell_table(comparison: Comparison, pictures: dict[str, Image.Image]) -> Table:
    """Return models by prompts, each prompt's first picture with its likeness.

    Args:
        comparison: of which at most eight prompts are shown.
        pictures: takes all pictures, those that aren't shown too.
    """
    for path, cell in _placed(comparison):
        assert isinstance(cell.image, Image.Image), "a recipe's pictures are PIL images"
        pictures[path] = cell.image
    shown = range(min(SHOWN_PROMPTS, len(comparison.job.prompts)))
    rows = []
    for number, row in enumerate(comparison.rows):
        cells = [(comparison.cell(row.name, column), cell_path(number, column)) for column in shown]
        rows.append((row.name, *(_shot(cell, path, pictures) if cell else _NONE for cell, path in cells)))
    return Table(("Model", *comparison.job.prompts[: len(shown)]), tuple(rows))


def shown_note(job: CompareJob) -> str:
    """Return a sentence on the pictures that the tables don't show, and where they are."""
    more = job.seeds > 1 or len(job.prompts) > SHOWN_PROMPTS
    return " Further prompts and seeds are measured alike; their pictures lie in images." if more else ""


def cell_path(row: int, column: int, number: int = 0) -> str:
    """Return the place of a picture in the report's folder.

    Args:
        row: the model's place, from 0.
        column: the prompt's.
        number: the seed's among those of the prompt.
    """
    seed = f"-seed-{number + 1:02d}" if number else ""
    return f"images/model-{row + 1:02d}-prompt-{column + 1:02d}{seed}.png"


def _placed(comparison: Comparison) -> Iterator[tuple[str, Cell]]:
    """All cells with their places, model by model and prompt by prompt."""
    for row, model in enumerate(comparison.rows):
        for column in range(len(comparison.job.prompts)):
            for number in range(comparison.job.seeds):
                if cell := comparison.cell(model.name, column, number):
                    yield cell_path(row, column, number), cell


def class_path(row: int, number: int) -> str:
    """Return where a model's class picture lies in the report's folder."""
    return f"images/model-{row + 1:02d}-class-{number + 1:02d}.png"


def _shot(cell: Cell, path: str, pictures: dict[str, Image.Image]) -> Figure:
    assert isinstance(cell.image, Image.Image), "a recipe's pictures are PIL images"
    pictures[path] = cell.image
    return Figure(path, f"{cell.model}: {cell.prompt}", score_text(cell))


def score_text(cell: Cell) -> str:
    """A cell's likeness as the small line below it."""
    score = cell.scores.get("likeness")
    if "likeness" not in cell.scores:
        return f"seed {cell.seed}"
    return "no face found" if score is None else f"likeness {score:.2f}"


def class_blocks(comparison: Comparison, pictures: dict[str, Image.Image]) -> tuple[Block, ...]:
    """The pictures generated without the person's token, or nothing where there are none."""
    if not comparison.class_cells:
        return ()
    rows = []
    for number, row in enumerate(comparison.rows):
        generated = [cell for cell in comparison.class_cells if cell.model == row.name]
        shots = [_shot(cell, class_path(number, index), pictures) for index, cell in enumerate(generated)]
        rows.append((row.name, *shots))
    width = max(len(row) for row in rows)
    padded = tuple((*row, *([_NONE] * (width - len(row)))) for row in rows)
    explanation = (
        f"Generated from “{comparison.class_prompt}”, without the person's token. If the model kept the class, "
        "these are different people, as the base's are: class likeness (to the trained person) stays as "
        "low and class diversity (mean distance between two of these faces) as high as the base's."
    )
    header = ("Model", *(f"seed {comparison.job.seed + number}" for number in range(width - 1)))
    return Heading("Is the class still itself?"), Paragraph(explanation), Table(header, padded)


def grid(comparison: Comparison) -> Image.Image:
    """All cells in one picture."""
    found = {}
    for row, model in enumerate(comparison.rows):
        for column in range(len(comparison.job.prompts)):
            if cell := comparison.cell(model.name, column):
                found[row, column] = cell
    images = {place: cell.image for place, cell in found.items() if isinstance(cell.image, Image.Image)}
    notes = {place: score_text(cell) for place, cell in found.items()}
    return contact_sheet([row.name for row in comparison.rows], comparison.job.prompts, images, notes)


def method_notes(comparison: Comparison) -> tuple[str, ...]:
    """Return what a reader needs to generate the same pictures again, and to doubt the figures."""
    job = comparison.job
    kept = [row for row in comparison.rows if row.prior_preservation]
    trained = [row for row in comparison.rows if row.prior_preservation is not None]
    told = (comparison.repeated.sentence if comparison.repeated else "", comparison.reused_sentence)
    samplers = ", ".join(dict.fromkeys(sampler for sampler, _ in job.pairs_of_sampling))
    guidances = ", ".join(dict.fromkeys(f"{guidance:g}" for _, guidance in job.pairs_of_sampling))
    strengths = ", ".join(f"{strength:g}" for strength in job.strengths or (job.lora_scale,))
    return (
        *(sentence for sentence in told if sentence),
        f"Sampler {samplers}, {job.steps} steps, guidance {guidances}, LoRA strength "
        f"{strengths}; negative prompt: {job.negative_prompt or 'none'}.",
        f"{_seeds_text(job)}, the same for every model; the noise of a picture does not depend on what is "
        "generated beside it.",
        f"Prior preservation was on in {len(kept)} of {len(trained)} trained models.",
        f"The photographs are those of the dataset “{job.dataset}”; no picture was left out or generated twice.",
        f"Generated and measured in {comparison.seconds:.0f} s on {comparison.device}.",
    )


def _seeds_text(job: CompareJob) -> str:
    first = f"Seeds {job.seed} to {job.seed_of(len(job.prompts) - 1)}, one a column"
    more = f", and {job.seeds - 1} more of each prompt, {SEED_STRIDE} apart" if job.seeds > 1 else ""
    return first + more


def comparison_data(comparison: Comparison) -> dict[str, object]:
    """The comparison as report.json holds it."""
    job, class_images = comparison.job, []
    images = [_image_data(cell, path) for path, cell in _placed(comparison)]
    for number, row in enumerate(comparison.rows):
        generated = [cell for cell in comparison.class_cells if cell.model == row.name]
        class_images += [_image_data(cell, class_path(number, index)) for index, cell in enumerate(generated)]
    return {
        "stopped": comparison.stopped,
        "models": [comparison.model_data(row) for row in comparison.rows],
        "prompts": list(job.prompts),
        "class_prompt": comparison.class_prompt,
        "seed": job.seed,
        "seeds": job.seeds,
        "reference": comparison.reference.data(),
        "metrics": metrics_data(comparison),
        "copies": [
            {
                "model": model,
                "prompt": pair.cell.prompt,
                "seed": pair.cell.seed,
                "crop": pair.name,
                "hash_distance": pair.hash_distance,
                "face": pair.face,
            }
            for model, pairs in comparison.copies.items()
            for pair in pairs
        ],
        "plane": plane_data(comparison),
        "reused": comparison.reused,
        "repeated": comparison.repeated.data() if comparison.repeated else None,
        "images": images,
        "class_images": class_images,
        "settings": job.model_dump(mode="json"),
        "device": comparison.device,
        "seconds": round(comparison.seconds, 1),
    }


def _image_data(cell: Cell, path: str) -> dict[str, object]:
    assert isinstance(cell.image, Image.Image), "a recipe's pictures are PIL images"
    where = {"model": cell.model, "prompt": cell.prompt, "seed": cell.seed, "path": path}
    return {**where, "sha256": pixel_hash(cell.image), **cell.scores}
