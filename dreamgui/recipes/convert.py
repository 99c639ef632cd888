"""A checkpoint from anywhere becomes a diffusers folder. Nothing but a download needs the network."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

from dreamgui.assets import asset
from dreamgui.config import ConvertJob, ExportJob
from dreamgui.errors import BadModelFile, Damaged
from dreamgui.events import Event, Note, Progress, Saved
from dreamgui.models import loading
from dreamgui.models.catalog.cards import (
    MODEL_CARD,
    SD15_RECOMMENDED,
    Family,
    ModelCard,
    read_card,
    write_model,
)
from dreamgui.models.complete import Gathered, gather
from dreamgui.models.files.dtypes import CODES, ITEM_BYTES
from dreamgui.models.files.hashing import BackgroundHash
from dreamgui.models.files.header import read_header
from dreamgui.models.files.layout import PARTS
from dreamgui.models.manager import Models
from dreamgui.models.recognition.components import WEIGHTS, write_components
from dreamgui.models.recognition.recognise import PART_WORDS, family_configs
from dreamgui.models.sources import demo_bundle
from dreamgui.models.sources.fetch import Fetched, fetch
from dreamgui.models.sources.source import DEMO, parse_source
from dreamgui.names import composed, name_notes
from dreamgui.recipes.workshop.export import export, free_target
from dreamgui.workspace import Workspace, new_folder, read_json, write_json

_STEPS = len(PARTS) + 3
_CAT = [49406, 320, 1125, 539, 320, 2368, 49407]


def convert(job: ConvertJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Make the source a model of the workspace, or a certified folder or file outside it.

    Raises:
        BadInput, BadModelFile, UnknownName: the source can't be had or used, or the place is taken.
        NotEnoughDisk: the result doesn't fit.
        Damaged: what was written isn't the model; nothing is left of it.
    """
    if job.out is not None or job.to != "diffusers":
        yield from _export(job, workspace, models)
        return
    name = yield from _install(job, workspace, models)
    for sentence in name_notes(job.model, name):
        yield Note(sentence)
    yield Progress("On the disk", _STEPS, _STEPS)
    yield Saved("model", name, workspace.place("models", name))


def _export(job: ConvertJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """The export of a model that is only there meanwhile. One that the catalog has already is exported as it is."""
    order = ExportJob(format=job.to, out=job.out, dtype=job.dtype)
    if (
        composed(job.source) in models.catalog.names()
        and job.source != DEMO
        and not Path(job.source).exists()
    ):
        yield from export(order.model_copy(update={"model": job.source}), workspace, models)
        return
    if job.out is not None:
        free_target(order, workspace)
    name = yield from _install(job, workspace, models, meanwhile=True)
    try:
        yield from export(order.model_copy(update={"model": name}), workspace, models)
    finally:
        models.release()
        shutil.rmtree(workspace.place("models", name), ignore_errors=True)


def _install(
    job: ConvertJob, workspace: Workspace, models: Models, meanwhile: bool = False
) -> Generator[Event, None, str]:
    """Fetch and recognise the source, write its parts, configs and tokenizer, read the result back.

    Nothing is yielded once the model has its place, so whoever stops the recipe never leaves one behind unnamed.

    Args:
        meanwhile: take a name that no model has.

    Returns:
        the model's name.
    """
    fetched = yield from fetch(parse_source(job.source), job.token, workspace)
    try:
        yield Progress("Reading the file", 0, _STEPS)
        gathered = gather(fetched, models.catalog, job.base, job.unet_weights == "ema")
        numbers = sum(math.prod(slot.shape) for slot in gathered.layout.values())
        workspace.require_space(numbers * ITEM_BYTES[CODES[job.dtype]], "The converted model")
        yield Note(f"{_title(fetched)}: {gathered.describe()}.")
        yield Progress("Checked", 1, _STEPS)

        with tempfile.TemporaryDirectory(dir=workspace.root / "models", prefix=".convert.") as scratch:
            folder = Path(scratch)
            with BackgroundHash(_hashed(fetched, gathered), fetched.sha256) as digest:
                for done, part in enumerate(
                    write_components(gathered.components, folder, job.dtype), start=2
                ):
                    yield Progress(f"Wrote the {PART_WORDS[part]}", done, _STEPS)
                _write_configs(gathered, folder, fetched)
                _reopen(gathered, folder)
                yield Progress("Wrote configs and tokenizer, read them back", _STEPS - 1, _STEPS)
                card = _card(fetched, gathered, digest.result())
            wanted = job.model or fetched.wanted
            name = workspace.fresh("models", wanted) if meanwhile else _name(wanted, workspace, card)
            write_model(folder, card.model_copy(update={"name": name}))
            with new_folder(workspace.place("models", name)) as fresh:
                for item in list(folder.iterdir()):
                    os.replace(item, fresh / item.name)
    except BadModelFile:
        _drop(fetched)
        raise
    _drop(fetched)
    return name


def _drop(fetched: Fetched) -> None:
    """A download isn't needed any more once it is converted or refused. A stopped one is gone on with."""
    if fetched.temporary is not None:
        shutil.rmtree(fetched.temporary, ignore_errors=True)


def _title(fetched: Fetched) -> str:
    return "The bundled model" if fetched.origin == DEMO else fetched.origin


def _hashed(fetched: Fetched, gathered: Gathered) -> list[Path]:
    """The files whose hash names the model: of a folder those of its UNet's weights.

    The index of split weights isn't among them: those of two models may be the same.
    """
    unet = gathered.components["unet"]
    return sorted(set(unet.header.files.values())) or [unet.path if fetched.path.is_dir() else fetched.path]


def _card(fetched: Fetched, gathered: Gathered, digest: str) -> ModelCard:
    """The model's card. Its name is filled in when it is known."""
    told = (
        demo_bundle.demo_card()
        if gathered.family == "demo"
        else {"size_px": 512, "recommended": SD15_RECOMMENDED}
    )
    origins: dict[str, str] = {part: gathered.components[part].origin for part in PARTS}
    return ModelCard(
        name="",
        family=gathered.family,
        size_px=told["size_px"],
        source=fetched.origin,
        sha256=digest,
        components=origins if len(set(origins.values())) > 1 else {},
        recommended=told.get("recommended", {}),
    )


def _name(wanted: str, workspace: Workspace, card: ModelCard) -> str:
    """Return the given name where it is free or holds the same model already, else one with a number behind it."""
    place = workspace.place("models", wanted)
    try:
        old = read_card(place / MODEL_CARD, ModelCard)
    except Damaged:
        return workspace.fresh("models", wanted)
    same = (old.sha256, old.components) == (card.sha256, card.components) or old.source == card.source == DEMO
    return place.name if same else workspace.fresh("models", wanted)


def _write_configs(gathered: Gathered, folder: Path, fetched: Fetched) -> None:
    """The configs of the family, the tokenizer, and the demo's ControlNets."""
    configs = family_configs(gathered.family)
    for name in ("unet", "vae", "text_encoder", "scheduler"):
        for file in (configs / name).glob("*.json"):
            (folder / name).mkdir(exist_ok=True)
            shutil.copy(file, folder / name)
    shutil.copytree(asset("sd15/tokenizer"), folder / "tokenizer")
    shutil.copy(asset("sd15/model_index.json"), folder)
    if gathered.predicts_velocity(fetched.path):
        scheduler = folder / "scheduler" / "scheduler_config.json"
        write_json(scheduler, read_json(scheduler) | {"prediction_type": "v_prediction"})
    _copy_controlnets(gathered.family, folder)


def _copy_controlnets(family: Family, folder: Path) -> None:
    for controlnet in demo_bundle.demo_controlnets() if family == "demo" else []:
        shutil.copytree(controlnet, folder / "controlnet" / controlnet.name)


def _reopen(gathered: Gathered, folder: Path) -> None:
    """Read back what was written: every file holds exactly the tensors that diffusers' classes ask for."""
    for part in PARTS:
        written = read_header(folder / WEIGHTS[part]).shapes
        if written != {key: slot.shape for key, slot in gathered.components[part].slots.items()}:
            raise Damaged(
                f"The {PART_WORDS[part]} wasn't written whole.", "Check the disk and convert again."
            )
    if loading.load_tokenizer(folder)("a photo of a cat").input_ids != _CAT:
        raise Damaged(
            f"The tokenizer's files in {asset('sd15/tokenizer')} are damaged.", "Clone the project again."
        )
    loading.load_scheduler_config(folder)
