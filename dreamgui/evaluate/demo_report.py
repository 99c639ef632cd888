"""The demo's report: the whole job on one drawn person, as one would hand it in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from PIL import Image

from dreamgui.evaluate.charts import curve_chart, smoothed
from dreamgui.evaluate.compare_report import (
    GRID,
    cell_table,
    class_blocks,
    comparison_data,
    grid,
    kind_text,
    likeness_blocks,
    method_notes,
    size_text,
)
from dreamgui.evaluate.comparison import Comparison, ModelRow
from dreamgui.evaluate.control_report import TITLES, ControlDrawing, control_gallery, control_rows
from dreamgui.evaluate.document import (
    Block,
    Bullets,
    Chart,
    Document,
    Figures,
    Gallery,
    Heading,
    Paragraph,
    Shot,
    Table,
)
from dreamgui.evaluate.report import versions
from dreamgui.events import Loss

_SHOWN_CROPS = 8
_DRIFT = 0.1
"""From this gain in likeness on, class pictures begin to look like the person."""
_NOT_SAID = (
    "The model is a small one of drawn faces, made to learn on two processor cores. Its figures say "
    "nothing about Stable Diffusion 1.5 or about photographs of people; the way of working is the same.",
    "One person, one training a setting, five prompts: the differences between the ranks can be chance. The "
    "best LoRA is best on these very pictures, so its gain is rather too high.",
    "dlib's network was trained on photographs. It tells drawn people apart, but its distances are smaller "
    "between them; compare models with each other, not with the 0.6 that is usual for photographs.",
)


@dataclass(frozen=True)
class DemoResult:
    """Everything that the stages of the demo found.

    Attributes:
        quick: whether it ran with a few steps only.
        size_px: side of the model's pictures.
        crops: the cut pictures with their framing.
        photographs: how many photographs there were.
        class_pictures: how many class pictures were drawn for prior preservation.
        comparison: base, UNet and LoRAs on the prompts.
        drawings: the ControlNet drawings.
        losses: every step's losses, by run.
        seconds: how long each stage took, in their order.
    """

    quick: bool
    size_px: int
    crops: Sequence[tuple[Image.Image, str]]
    photographs: int
    class_pictures: int
    comparison: Comparison
    drawings: Sequence[ControlDrawing]
    losses: Mapping[str, Sequence[Loss]]
    seconds: Mapping[str, float]


def demo_document(result: DemoResult) -> Document:
    """The demo's whole report."""
    comparison, pictures = result.comparison, {}
    blocks: list[Block] = [
        *(
            [Paragraph("This was a quick run of a few steps: its figures mean nothing.")]
            if result.quick
            else []
        ),
        Figures(_headlines(result)),
        Heading("What was found"),
        Bullets(_findings(comparison)),
        Heading("The photographs, cut"),
        Paragraph(
            f"{result.photographs} raw photographs of one drawn person gave {len(result.crops)} crops of "
            f"{result.size_px} x {result.size_px} pixels in varied framing, of which these are some. "
            f"{result.class_pictures} pictures of the class were drawn by the base for prior preservation."
        ),
        _crop_gallery(result, pictures),
        Heading("The training"),
        training_table(result),
        *_loss_chart(result),
        *likeness_blocks(comparison),
        Heading("The same prompts, the same seeds"),
        cell_table(comparison, pictures),
        Paragraph(f"All of it in one picture: {GRID}"),
        *class_blocks(comparison, pictures),
    ]
    for drawing in result.drawings:
        job = drawing.job
        blocks += [
            Heading(f"Led by the {TITLES[job.control]} of a picture (ControlNet)"),
            Paragraph(f"Every model drew “{job.prompt}” from seed {job.seed} on the same map."),
            control_gallery(drawing, pictures),
        ]
    blocks += [Heading("Where the time went"), _time_table(result), Heading("How this was made")]
    blocks += [Bullets(method_notes(comparison)), Heading("What it doesn't say"), Bullets(_NOT_SAID)]
    blocks += [Heading("Made with"), Table(("What", "Version"), tuple(versions().items()))]
    pictures[GRID] = grid(comparison)
    return Document("One drawn person, learned", _lead(result), tuple(blocks), pictures, demo_data(result))


def demo_data(result: DemoResult) -> dict[str, object]:
    """The demo as report.json holds it."""
    drawn = [row for drawing in result.drawings for row in control_rows(drawing)]
    return {
        "kind": "demo",
        "quick": result.quick,
        **comparison_data(result.comparison),
        "control": drawn,
        "seconds": round(sum(result.seconds.values()), 1),
        "times": {stage: round(seconds, 1) for stage, seconds in result.seconds.items()},
        "seconds_a_step": {run: _step_seconds(losses) for run, losses in result.losses.items() if losses},
        "photographs": result.photographs,
        "crops": len(result.crops),
        "class_pictures": result.class_pictures,
        "size_px": result.size_px,
        "versions": versions(),
    }


def _lead(result: DemoResult) -> str:
    minutes = sum(result.seconds.values()) / 60
    return (
        "DreamGUI's whole job on its bundled model: photographs cut, a checkpoint converted, the full "
        "UNet and LoRAs of three ranks trained with prior preservation, compared on the same prompts and "
        f"seeds, and led by edges and a pose. It took {minutes:.1f} minutes on {result.comparison.device}, "
        "without a network."
    )


def _headlines(result: DemoResult) -> tuple[tuple[str, str], ...]:
    comparison = result.comparison
    tiles = []
    titles = {
        "base": "likeness of the base",
        "unet": "likeness of the full UNet",
        "lora": "likeness of the best LoRA",
    }
    for kind, title in titles.items():
        row = comparison.best(kind)
        if row and (likeness := comparison.likeness(row.name)):
            tiles.append((f"{likeness.mean:.2f}", f"{title} ({row.name})"))
    tiles.append((f"{sum(result.seconds.values()) / 60:.1f} min", "for everything"))
    return tuple(tiles)


def _findings(comparison: Comparison) -> tuple[str, ...]:
    """Sentences that follow from the figures, for better or worse."""
    sentences = []
    for kind, title in (("unet", "The full UNet"), ("lora", "The best LoRA")):
        row = comparison.best(kind)
        gain = comparison.gain(row.name) if row else None
        if row and gain:
            sure = "which a bootstrap confirms" if gain.low > 0 else "which a bootstrap does not confirm"
            sentences.append(
                f"{title} ({row.name}, {size_text(row.file_bytes)}) is more alike than the base by "
                f"{gain.mean:+.2f} over {gain.count} pictures, {sure} (95% interval {gain.low:+.2f} to "
                f"{gain.high:+.2f})."
            )
        elif row:
            sentences.append(f"{title}: its gain could not be measured, as too few faces were found.")
        if row:
            sentences += _class_finding(comparison, row, title)
    for row in comparison.rows:
        if row.prior_preservation is False:
            sentences += _class_finding(comparison, row, f"{row.name}, trained without prior preservation,")
    return tuple(sentences)


def _class_finding(comparison: Comparison, row: ModelRow, title: str) -> list[str]:
    base, ours = comparison.class_likeness(row.base), comparison.class_likeness(row.name)
    if base is None or ours is None:
        return []
    verdict = (
        "the class stayed itself" if ours.mean - base.mean < _DRIFT else "the class drifted to the person"
    )
    return [
        f"{title} without the token: {verdict}. “{comparison.class_prompt}” is drawn with a likeness to the "
        f"person of {ours.mean:.2f}, by the base of {base.mean:.2f} ({ours.count} pictures with a face)."
    ]


def _crop_gallery(result: DemoResult, pictures: dict[str, Image.Image]) -> Gallery:
    shots = []
    for number, (image, framing) in enumerate(result.crops[:_SHOWN_CROPS]):
        path = f"images/crop-{number + 1:02d}.png"
        pictures[path] = image
        shots.append(Shot(path, f"Crop {number + 1}", framing))
    return Gallery(tuple(shots))


def training_table(result: DemoResult) -> Table:
    """One row a training: its settings and what it cost."""
    rows = []
    for row in result.comparison.rows:
        if row.kind == "base":
            continue
        losses = result.losses.get(row.name, ())
        rows.append(
            (
                row.name,
                kind_text(row) if row.alpha is None else f"{kind_text(row)}, alpha {row.alpha:g}",
                f"{row.learning_rate:g}",
                str(row.steps),
                "on" if row.prior_preservation else "off",
                f"{_step_seconds(losses):.2f} s" if losses else "",
                f"{row.seconds:.0f} s",
                size_text(row.file_bytes),
            )
        )
    header = (
        "Run",
        "What was trained",
        "Learning rate",
        "Steps",
        "Prior preservation",
        "A step",
        "In all",
        "File",
    )
    return Table(header, tuple(rows))


def _step_seconds(losses: Sequence[Loss]) -> float:
    return round(median(loss.seconds for loss in losses), 4)


def _loss_chart(result: DemoResult) -> list[Chart]:
    curves = {
        run: smoothed([loss.instance for loss in losses]) for run, losses in result.losses.items() if losses
    }
    if not curves:
        return []
    alt = "Loss on the person's pictures, mean over a sliding tenth of the steps, by training step"
    return [Chart("loss.svg", alt, curve_chart(curves, "step; loss on the person's pictures, smoothed"))]


def _time_table(result: DemoResult) -> Table:
    total = sum(result.seconds.values())
    rows = [
        (stage, f"{seconds:.1f} s", f"{100 * seconds / total:.0f} %")
        for stage, seconds in result.seconds.items()
    ]
    return Table(("Stage", "Time", "Share"), (*rows, ("all", f"{total:.1f} s", "100 %")))
