"""A checkpoint in one file becomes a diffusers folder, offline."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from dreamgui.assets import asset
from dreamgui.config import ConvertJob
from dreamgui.errors import BadModelFile, Damaged, UnknownName
from dreamgui.events import Event, Note, Progress, Saved
from dreamgui.models import demo_bundle, loading
from dreamgui.models.cards import MODEL_CARD, SD15_RECOMMENDED, Family, ModelCard, read_card, write_model
from dreamgui.models.ckpt import to_safetensors
from dreamgui.models.layout import PARTS, read_layout
from dreamgui.models.manager import Models
from dreamgui.models.recognise import family_configs, recognise, require_checkpoint
from dreamgui.models.single_file import DTYPES, sha256, write_parts
from dreamgui.workspace import Workspace, new_folder

DEMO = "demo"
_STEPS = len(PARTS) + 3
_WORDS = {"unet": "UNet", "text_encoder": "text encoder", "vae": "VAE"}


def convert(job: ConvertJob, workspace: Workspace, models: Models) -> Iterator[Event]:
    """Recognise the file, write its parts, configs and tokenizer, open the result again, then say saved."""
    with tempfile.TemporaryDirectory(dir=workspace.root / "models", prefix=".convert.") as scratch:
        yield Progress("Reading the file", 0, _STEPS)
        source = _safetensors(job.source, workspace, Path(scratch))
        family = require_checkpoint(source)
        found = recognise(source)
        yield Note(
            f"{_title(job.source)} is {found.name}: {found.tensors} tensors, {found.size_bytes / 1e6:.0f} MB."
        )
        workspace.require_space(2 * found.size_bytes if job.dtype == "fp32" else found.size_bytes)
        card = _card(job, family, sha256(source))
        name = _name(job, workspace, card)
        target = workspace.place("models", name)
        yield Progress("Checked", 1, _STEPS)

        with new_folder(target) as folder:
            layout = read_layout(family_configs(family))
            for done, part in enumerate(write_parts(source, layout, folder, job.dtype), start=2):
                yield Progress(f"Wrote the {_WORDS[part]}", done, _STEPS)
            _copy_configs(family, folder)
            write_model(folder, card.model_copy(update={"name": name}))
            yield Progress("Wrote configs and tokenizer", _STEPS - 1, _STEPS)
            _reopen(folder, job)
        yield Progress("Opened it again", _STEPS, _STEPS)
    yield Saved("model", name, target)


def _title(source: str) -> str:
    return "The bundled model" if source == DEMO else Path(source).name


def _safetensors(source: str, workspace: Workspace, scratch: Path) -> Path:
    """The source as a safetensors file: the bundled one is put together, a pickled one is read by a child
    process."""
    if source == DEMO:
        return demo_bundle.assemble(workspace.place("uploads", DEMO) / demo_bundle.MODEL_FILE)
    path = Path(source).expanduser()
    if not path.is_file():
        raise UnknownName(
            f"There is no file {source!r}.", "Give the path of a .safetensors or .ckpt file, or 'demo'."
        )
    if recognise(path).kind != "pickle":
        return path
    workspace.require_space(2 * path.stat().st_size)
    target = scratch / f"{path.stem}.safetensors"
    to_safetensors(path, target)
    return target


def _card(job: ConvertJob, family: Family, digest: str) -> ModelCard:
    """The model's card; its name is filled in when it is known."""
    told = {"size_px": 512, "recommended": SD15_RECOMMENDED}
    if family == "demo":
        told = demo_bundle.demo_card()
    return ModelCard(
        name="",
        family=family,
        size_px=told["size_px"],
        source=DEMO if job.source == DEMO else Path(job.source).name,
        sha256=digest,
        recommended=told.get("recommended", {}),
    )


def _name(job: ConvertJob, workspace: Workspace, card: ModelCard) -> str:
    """The wished name where it is free or holds the same model already, else one with a number behind it."""
    wish = job.model or ("portraits" if job.source == DEMO else Path(job.source).stem)
    place = workspace.place("models", wish)
    try:
        old = read_card(place / MODEL_CARD, ModelCard)
    except Damaged:
        return workspace.fresh("models", wish)
    same = old.sha256 == card.sha256 or old.source == card.source == DEMO
    return place.name if same else workspace.fresh("models", wish)


def _copy_configs(family: Family, folder: Path) -> None:
    """The configs of the family, the tokenizer, and the demo's ControlNets."""
    configs = family_configs(family)
    for name in ("unet", "vae", "text_encoder", "scheduler"):
        for file in (configs / name).glob("*.json"):
            (folder / name).mkdir(exist_ok=True)
            shutil.copy(file, folder / name)
    shutil.copytree(asset("sd15/tokenizer"), folder / "tokenizer")
    shutil.copy(asset("sd15/model_index.json"), folder)
    if family == "demo":
        for controlnet in demo_bundle.demo_controlnets():
            shutil.copytree(controlnet, folder / "controlnet" / controlnet.name)


def _reopen(folder: Path, job: ConvertJob) -> None:
    """Load every part with the class that will use it; it checks keys and shapes."""
    cpu, dtype = torch.device("cpu"), DTYPES[job.dtype]
    if loading.load_tokenizer(folder)("a photo of a cat").input_ids != [
        49406,
        320,
        1125,
        539,
        320,
        2368,
        49407,
    ]:
        raise BadModelFile("The tokenizer's files are damaged.", "Clone the project again.")
    for load in (loading.load_unet, loading.load_text_encoder, loading.load_vae):
        load(folder, cpu, dtype)
    loading.load_scheduler_config(folder)
