"""A comparison as text, tables and pictures."""

from __future__ import annotations

from PIL import Image

from dreamgui.evaluate.charts import interval_chart
from dreamgui.evaluate.comparison import Comparison, ModelRow
from dreamgui.evaluate.document import (
    Block,
    Bullets,
    Chart,
    Content,
    Document,
    Heading,
    Paragraph,
    Shot,
    Table,
)
from dreamgui.evaluate.intervals import Interval
from dreamgui.evaluate.report import versions
from dreamgui.evaluate.sheet import contact_sheet
from dreamgui.events import Cell

GRID = "grid.png"
_NONE = "–"  # noqa: RUF001 - the usual sign for "no value" in a table


def compare_document(comparison: Comparison, name: str) -> Document:
    """The report of a comparison; ``name`` is the report's."""
    job, pictures = comparison.job, {}
    blocks: list[Block] = [
        *likeness_blocks(comparison),
        Heading("The same prompts, the same seeds"),
        cell_table(comparison, pictures),
        Paragraph(f"All of it in one picture: {GRID}"),
        *class_blocks(comparison, pictures),
        Heading("How this was made"),
        Bullets(method_notes(comparison)),
    ]
    pictures[GRID] = grid(comparison)
    data = {"kind": "compare", "report": name, **comparison_data(comparison), "versions": versions()}
    count = f"{len(comparison.rows)} models, {len(job.prompts)} prompts, {len(comparison.cells)} pictures"
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
        Paragraph(_reading(comparison)),
    )


def model_table(comparison: Comparison) -> Table:
    """One row a model: how it was trained and what was measured."""
    header = ("Model", "Kind", "Learning rate", "Steps", "Training", "File")
    measured = ("Likeness [95%]", "Gain over base [95%]", "Faces", "Class likeness", "Class diversity")
    return Table((*header, *measured), tuple(_model_row(comparison, row) for row in comparison.rows))


def _model_row(comparison: Comparison, row: ModelRow) -> tuple[Content, ...]:
    drawn = sum(cell.model == row.name for cell in comparison.cells)
    faces = sum(score is not None for score in comparison.scores(row.name))
    diversity = comparison.figures(row.name)["class_diversity"]
    class_likeness = comparison.class_likeness(row.name)
    return (
        row.name,
        kind_text(row),
        _NONE if row.learning_rate is None else f"{row.learning_rate:g}",
        str(row.steps) if row.steps else _NONE,
        f"{row.seconds:.0f} s" if row.steps else _NONE,
        size_text(row.file_bytes),
        _shown(comparison.likeness(row.name)),
        _shown(comparison.gain(row.name), "+"),
        f"{faces} of {drawn}",
        _NONE if class_likeness is None else f"{class_likeness.mean:.2f}",
        _NONE if diversity is None else f"{diversity:.2f}",
    )


def kind_text(row: ModelRow) -> str:
    """What was trained: "base", "full UNet", "LoRA, rank 8"."""
    return {"base": "base", "unet": "full UNet"}.get(row.kind, f"LoRA, rank {row.rank}")


def size_text(file_bytes: int) -> str:
    """A file's size for people: "0.6 MB", "44 KB"."""
    return f"{file_bytes / 1e6:.1f} MB" if file_bytes >= 100_000 else f"{file_bytes / 1e3:.0f} KB"


def _shown(interval: Interval | None, sign: str = "") -> str:
    if interval is None:
        return _NONE
    return f"{interval.mean:{sign}.2f} [{interval.low:{sign}.2f}, {interval.high:{sign}.2f}]"


def _reading(comparison: Comparison) -> str:
    """What the numbers mean, and how far they carry."""
    columns = len(comparison.job.prompts)
    if not any(score is not None for row in comparison.rows for score in comparison.scores(row.name)):
        return "Likeness could not be measured: no face was found in the drawings, or in the photographs."
    return (
        "Likeness is 1 minus the distance between the drawn face and the mean of the photographs' faces, "
        "in the space of dlib's face recognition network, from 0 to 1; higher is more alike. A picture "
        "without a face counts in “Faces” only. Each interval comes from a bootstrap over at most "
        f"{columns} pictures of one run, so it says how much the prompts and seeds matter, not what "
        "another training would give. The gain is taken picture by picture against the base with the same "
        "prompt and seed; an interval above 0 says that the prompts and seeds alone don't explain it."
    )


def cell_table(comparison: Comparison, pictures: dict[str, Image.Image]) -> Table:
    """Models by prompts, each picture with its likeness."""
    rows = []
    for number, row in enumerate(comparison.rows):
        cells: list[Content] = [row.name]
        for column in range(len(comparison.job.prompts)):
            cell = comparison.cell(row.name, column)
            cells.append(_shot(cell, cell_path(number, column), pictures) if cell else _NONE)
        rows.append(tuple(cells))
    return Table(("Model", *comparison.job.prompts), tuple(rows))


def cell_path(row: int, column: int) -> str:
    """Where the picture of this model and prompt number lies in the report's folder."""
    return f"images/model-{row + 1:02d}-prompt-{column + 1:02d}.png"


def class_path(row: int, number: int) -> str:
    """Where a model's class picture lies in the report's folder."""
    return f"images/model-{row + 1:02d}-class-{number + 1:02d}.png"


def _shot(cell: Cell, path: str, pictures: dict[str, Image.Image]) -> Shot:
    assert isinstance(cell.image, Image.Image), "a recipe's pictures are PIL images"
    pictures[path] = cell.image
    return Shot(path, f"{cell.model}: {cell.prompt}", score_text(cell))


def score_text(cell: Cell) -> str:
    """A cell's likeness as the small line below it."""
    score = cell.scores.get("likeness")
    if "likeness" not in cell.scores:
        return f"seed {cell.seed}"
    return "no face found" if score is None else f"likeness {score:.2f}"


def class_blocks(comparison: Comparison, pictures: dict[str, Image.Image]) -> tuple[Block, ...]:
    """The pictures drawn without the person's token; nothing where none were drawn."""
    if not comparison.class_cells:
        return ()
    rows = []
    for number, row in enumerate(comparison.rows):
        drawn = [cell for cell in comparison.class_cells if cell.model == row.name]
        shots = [_shot(cell, class_path(number, index), pictures) for index, cell in enumerate(drawn)]
        rows.append((row.name, *shots))
    width = max(len(row) for row in rows)
    padded = tuple((*row, *([_NONE] * (width - len(row)))) for row in rows)
    explanation = (
        f"Drawn from “{comparison.class_prompt}”, without the person's token. If the model kept the class, "
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
    """What a reader needs to draw the same pictures again, and to doubt the figures."""
    job = comparison.job
    kept = [row for row in comparison.rows if row.prior_preservation]
    trained = [row for row in comparison.rows if row.prior_preservation is not None]
    return (
        f"Sampler {job.scheduler}, {job.steps} steps, guidance {job.guidance_scale:g}, LoRA strength "
        f"{job.lora_scale:g}; negative prompt: {job.negative_prompt or 'none'}.",
        f"Seeds {job.seed} to {job.seed + len(job.prompts) - 1}, one a column, the same for every model; "
        "the noise of a picture does not depend on what is drawn beside it.",
        f"Prior preservation was on in {len(kept)} of {len(trained)} trained models.",
        f"Likeness is measured against the data set “{job.dataset}”; no picture was left out or drawn twice.",
        f"Drawn and measured in {comparison.seconds:.0f} s on {comparison.device}.",
    )


def comparison_data(comparison: Comparison) -> dict[str, object]:
    """The comparison as report.json holds it."""
    job, images, class_images = comparison.job, [], []
    for number, row in enumerate(comparison.rows):
        for column in range(len(job.prompts)):
            if cell := comparison.cell(row.name, column):
                images.append(_image_data(cell, cell_path(number, column)))
        drawn = [cell for cell in comparison.class_cells if cell.model == row.name]
        class_images += [_image_data(cell, class_path(number, index)) for index, cell in enumerate(drawn)]
    return {
        "stopped": comparison.stopped,
        "models": [comparison.model_data(row) for row in comparison.rows],
        "prompts": list(job.prompts),
        "class_prompt": comparison.class_prompt,
        "seed": job.seed,
        "images": images,
        "class_images": class_images,
        "settings": job.model_dump(mode="json"),
        "device": comparison.device,
        "seconds": round(comparison.seconds, 1),
    }


def _image_data(cell: Cell, path: str) -> dict[str, object]:
    return {"model": cell.model, "prompt": cell.prompt, "seed": cell.seed, "path": path, **cell.scores}
