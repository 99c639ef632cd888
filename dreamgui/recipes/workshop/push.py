"""A run becomes a repository on the Hugging Face Hub, private by default, with a model card and generated pictures."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from dreamgui.config import ExportJob, PushJob
from dreamgui.errors import BadInput
from dreamgui.evaluate.reports.scores import likeness_of
from dreamgui.events import Event, Note, Progress, Saved
from dreamgui.exporting.hub_card import HubPicture, hub_card
from dreamgui.exporting.hub_repository import HubRepository
from dreamgui.models.catalog.cards import certificate_place
from dreamgui.models.catalog.catalog import LORA_FILE
from dreamgui.names import composed, safe_name
from dreamgui.pictures.store import picture_path, summaries
from dreamgui.recipes.workshop.export import export
from dreamgui.workspace import EXPORTS, Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models


def push(job: PushJob, workspace: Workspace, models: Models) -> Generator[Event, None, None]:
    """Export the run with its certificate, add a model card and generated pictures, and upload it as one commit.

    Photographs, crops, captions and the dataset's name stay here. When stopped, the repository stays as it was.

    Raises:
        UnknownName, BadInput: there is no such run, no login, or the hub refuses it.
        Damaged: the export isn't the run.
    """
    spec = models.catalog.spec(job.model)
    if not spec.unet_run and not spec.lora_run:
        raise BadInput(f"{job.model!r} is a base model.", "Choose a run: a base model has its page already.")
    run, base = models.catalog.run(job.model), models.catalog.card(spec.base)
    repository = HubRepository.open(job.repo or _repo_name(run.name), job.private, job.token)
    (workspace.root / EXPORTS).mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=workspace.root / EXPORTS, prefix=".push."))
    try:
        folder = scratch / "repository"
        text = yield from _exported(job, run.kind == "lora", folder, workspace, models)
        pictures = _pictures(job, folder, workspace)
        likeness = likeness_of(workspace, run.name)
        title = repository.name.rpartition("/")[2]
        card = hub_card(title, base, run, pictures, likeness, text)
        (folder / "README.md").write_text(card, encoding="utf-8")
        count = sum(path.is_file() for path in folder.rglob("*"))
        for number, file in enumerate(repository.upload(folder, f"{title}, by DreamGUI")):
            yield Progress(f"Uploading {file}", number, count)
        yield Progress("Uploaded", count, count)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    seen = "only you see it" if repository.private else "everybody sees it"
    yield Note(f"{run.name} is at {repository.url}; {seen}.")


def _exported(
    job: PushJob, lora: bool, folder: Path, workspace: Workspace, models: Models
) -> Generator[Event, None, str]:
    """Export into the folder. Return the export's card."""
    folder.mkdir()
    out = folder / LORA_FILE if lora else folder / "model"
    wanted = ExportJob(model=job.model, format="lora-diffusers" if lora else "diffusers", out=out)
    for event in export(wanted, workspace, models):
        if not isinstance(event, Saved):
            yield event
    if lora:
        text = out.with_name(f"{out.stem}.README.md")
        certificate_place(out).rename(folder / "certificate.json")
    else:
        for path in out.iterdir():
            path.rename(folder / path.name)
        out.rmdir()
        text = folder / "README.md"
    card = text.read_text(encoding="utf-8")
    text.unlink()
    return card


def _pictures(job: PushJob, folder: Path, workspace: Workspace) -> list[HubPicture]:
    """Copy the run's newest generated pictures without their settings, each prompt once."""
    found: dict[str, HubPicture] = {}
    for each in summaries(workspace):
        if len(found) == job.pictures:
            break
        if composed(each.model) != composed(job.model) or each.prompt in found:
            continue
        file = f"images/{len(found)}.png"
        (folder / "images").mkdir(exist_ok=True)
        with Image.open(picture_path(workspace, each.name)) as image:
            image.convert("RGB").save(folder / file)
        found[each.prompt] = HubPicture(file, each.prompt)
    return list(found.values())


def _repo_name(run: str) -> str:
    """Return a run's name in the hub's letters."""
    letters = "".join(each if each.isascii() and (each.isalnum() or each in "-_.") else "-" for each in run)
    return safe_name(letters.strip("-.") or "my-model")
