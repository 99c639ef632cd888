"""A picture's edges or pose guide the same prompt through several models, at one or several strengths."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from PIL import Image

from dreamgui.config import ControlJob
from dreamgui.data.dataset.opened import opened
from dreamgui.data.faces.identity import Likeness
from dreamgui.diffusion.control.control_maps import canny_map
from dreamgui.diffusion.control.guides import Guides, make_guides
from dreamgui.diffusion.generation import generated, notes_on, request
from dreamgui.errors import StopRequested
from dreamgui.evaluate.following import Followed
from dreamgui.evaluate.reference import reference_of
from dreamgui.evaluate.reports.control_report import ControlResult, control_document
from dreamgui.evaluate.reports.report import write_report
from dreamgui.events import Cell, ControlMap, Event, Note, Progress, Saved, Score
from dreamgui.models.controlnet.obtain import obtain
from dreamgui.models.zero_gpu import uses_device
from dreamgui.names import composed, name_notes
from dreamgui.training.prompts import followed_run
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.catalog.cards import ModelSpec
    from dreamgui.models.manager import Models


@uses_device
def control(job: ControlJob, workspace: Workspace, models: Models) -> Generator[Event, None, ControlResult]:
    """Take the maps, generate the prompt on them through every model at every strength, write reports/NAME.

    A prompt and a dataset that weren't given are those of the first run. Each picture is measured: how closely it
    follows its map, and its likeness. When stopped, what was generated becomes the report.

    Returns:
        What was generated (to whoever delegates to this recipe).

    Raises:
        BadPhoto: a control image can't be read.
        BadInput: a map would be empty: nobody is found for a pose, or a picture has no edges.
        BadModelFile: a ControlNet's file can't be read or doesn't fit the base model.
        UnknownName: there is no such model, dataset or ControlNet.
    """
    began = time.monotonic()
    names = list(dict.fromkeys(map(composed, job.models)))
    controlnets = yield from _controlnets(job, workspace)
    specs = [_spec(models, name, job, controlnets) for name in names]
    job, followed = followed_run(job, workspace, models.catalog)
    total = len(names) * len(job.scales)
    yield Progress("Generating", 0, total)
    texts = [job.prompt, job.negative_prompt]
    yield from notes_on(texts, specs[0].base, models.catalog, job.word_weights)
    guides = make_guides(job, models.catalog.card(specs[0].base).size_px)
    for sentence in [*followed, *guides.notes]:
        yield Note(sentence)
    for each, mapped in zip(guides.jobs, guides.mapped, strict=True):
        yield ControlMap(each.control, mapped.map)
    person = yield from _person(job, workspace)

    cells: list[Cell] = []
    stopped = False
    try:
        for name, spec in zip(names, specs, strict=True):
            yield from _generated(job, models, name, spec, guides, person, cells, total)
    except StopRequested:
        if not cells:
            raise
        stopped = True
        yield Note(f"Stopped after {len(cells)} of {total} pictures; they become the report.")
    maps = tuple(mapped.map for mapped in guides.mapped)
    result = ControlResult(
        job, guides.source, maps[0], tuple(cells), models.status()["device"], time.monotonic() - began, stopped,
        maps[1:],
    )  # fmt: skip
    yield from _reported(result, workspace)
    return result


def _controlnets(job: ControlJob, workspace: Workspace) -> Generator[Event, None, list[str]]:
    """Return the name of each ControlNet: its type, or the path of one that the user names."""
    found = []
    for each in (job, *([job.second] if job.second else [])):
        named = each.control_model.strip()
        found.append(str((yield from obtain(named, workspace))) if named else each.control)
    return found


def _spec(models: Models, name: str, job: ControlJob, controlnets: Sequence[str]) -> ModelSpec:
    spec = models.catalog.spec(name, job.lora_scale, controlnet=controlnets[0])
    return replace(spec, more_controlnets=tuple(controlnets[1:]))


def _person(job: ControlJob, workspace: Workspace) -> Generator[Event, None, Likeness | None]:
    """The person of the dataset, or None without a dataset or a face in it."""
    if not job.dataset:
        return None
    reference = reference_of((yield from opened(workspace, job.dataset)))
    for sentence in reference.notes:
        yield Note(sentence)
    return reference.person


def _generated(
    job: ControlJob,
    models: Models,
    name: str,
    spec: ModelSpec,
    guides: Guides,
    person: Likeness | None,
    cells: list[Cell],
    total: int,
) -> Generator[Event]:
    """Generate a model's row of strengths into ``cells``, and measure it."""
    size_px = guides.source.width
    asked = replace(request(job, job.prompt, job.seed), width_px=size_px, height_px=size_px)
    wanted = _wanted(guides)
    with models.use(spec) as parts:
        for scale in job.scales:
            told = Progress("Generating", len(cells), total)
            [image] = yield from generated(parts, [asked], told, guides.inputs(scale))
            cells.append(
                Cell(
                    name, job.prompt, job.seed, image, {"strength": scale, **_measured(image, wanted, person)}
                )
            )
            yield cells[-1]
            yield Progress("Generating", len(cells), total)
    yield Score(name, _row_figures(cells[-len(job.scales) :]))


def _wanted(guides: Guides) -> list[Followed]:
    """Return the measure of each map."""
    return [
        Followed(
            mapped.map,
            partial(canny_map, low=each.canny_low, high=each.canny_high) if each.control == "canny" else None,
            mapped.people,
        )
        for each, mapped in zip(guides.jobs, guides.mapped, strict=True)
    ]


def _measured(
    image: Image.Image, wanted: Sequence[Followed], person: Likeness | None
) -> dict[str, float | None]:
    """Figures of a picture. The first map's win over the second's of the same type."""
    found: dict[str, float | None] = {"likeness": person.score(image)} if person else {}
    for each in reversed(wanted):
        found |= each.figures(image)
    return found


def _row_figures(cells: Sequence[Cell]) -> dict[str, float | None]:
    """A model's figures by name, with the strength behind them where there are several."""
    return {
        name if len(cells) == 1 else f"{name} at {cell.scores['strength']:g}": value
        for cell in cells
        for name, value in cell.scores.items()
        if name != "strength"
    }


def _reported(result: ControlResult, workspace: Workspace) -> Generator[Event]:
    """Write the report."""
    job = result.job
    name = workspace.fresh("reports", job.report or time.strftime(f"{job.control}-%Y%m%d-%H%M%S"))
    for sentence in name_notes(job.report, name):
        yield Note(sentence)
    folder = workspace.place("reports", name)
    write_report(control_document(result, name), folder)
    yield Saved("report", name, folder)
