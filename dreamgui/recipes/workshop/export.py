"""A model or run becomes a file that other programs load. It is only called saved once it is proved."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from dreamgui.config import ExportFormat, ExportJob
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.diffusion.generation import generated
from dreamgui.diffusion.sample import ImageRequest
from dreamgui.errors import BadInput, Damaged, UnknownName
from dreamgui.events import Cell, Event, Note, Progress, Saved, Score
from dreamgui.exporting.certificate import Certificate, FileProof, certificate_request, certify, read_back
from dreamgui.exporting.lora import LoraKeys, exported_lora, is_rounded, write_lora_file
from dreamgui.exporting.model_card import model_card, single_file_texts
from dreamgui.exporting.reopen import lora_by_diffusers, open_whole
from dreamgui.exporting.whole_model import (
    ModelFiles,
    checkpoint_entries,
    part_entries,
    write_checkpoint,
    write_folder,
)
from dreamgui.exporting.workshop import Source, lora_source, read_source, require_no_file
from dreamgui.models.catalog.cards import certificate_place
from dreamgui.models.catalog.catalog import Catalog, ModelCard, ModelSpec, RunCard
from dreamgui.models.files.dtypes import holds_all_of
from dreamgui.models.files.header import read_header
from dreamgui.models.files.layout import PARTS
from dreamgui.models.lora.adapters import LoraFile
from dreamgui.models.lora.attach import attached
from dreamgui.models.lora.settings import settings_of
from dreamgui.models.lora.texts import lora_metadata
from dreamgui.models.recognition.components import WEIGHTS
from dreamgui.models.recognition.lora_settings import NETWORK_ALPHA
from dreamgui.models.zero_gpu import uses_device
from dreamgui.names import safe_name
from dreamgui.workspace import EXPORTS, Workspace, write_json

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

_STEPS = 5
_ENDINGS = {
    "single-file": ".safetensors",
    "diffusers": "",
    "lora-kohya": ".safetensors",
    "lora-diffusers": ".safetensors",
}
_KEYS: dict[ExportFormat, LoraKeys] = {"lora-kohya": "kohya", "lora-diffusers": "diffusers"}


@dataclass(frozen=True)
class ExportPlan:
    """Plan of an export: content and target.

    Attributes:
        run: the run's card, None for a base or a file.
        lora: the LoRA, where one is exported as such.
        captions: of the photographs that the run was trained on, where they are known.
        spec: the live model that the export must equal.
        target: the file or folder that will be there in the end.
    """

    job: ExportJob
    spec: ModelSpec
    card: ModelCard
    run: RunCard | None
    lora: Source | None
    captions: tuple[str, ...] | None
    target: Path

    @property
    def keys(self) -> LoraKeys | None:
        """The layout of a LoRA's keys, or None where a whole model is written."""
        return _KEYS.get(self.job.format)

    @property
    def pictures(self) -> int | None:
        """Return how many photographs the run was trained on, where that is known."""
        return None if self.captions is None else len(self.captions)

    @property
    def title(self) -> str:
        """Name of what is exported."""
        return self.lora.name if self.lora else self.job.model


@uses_device
def export(job: ExportJob, workspace: Workspace, models: Models) -> Generator[Event, None, Certificate]:
    """Write, read back, generate through it with diffusers' loaders, compare, and only then put it in its place.

    Raises:
        UnknownName, BadInput: there is no such model, it can't become this format, or the target exists.
        NotEnoughDisk: the export doesn't fit.
        Damaged: the export isn't the model; nothing is left of it.
    """
    plan = make_plan(job, workspace, models.catalog)
    with _beside(plan.target) as scratch:
        path = scratch / plan.target.name
        yield Progress("Exporting", 0, _STEPS)
        if plan.lora and plan.keys:
            file = read_source(models.catalog, plan.lora)
            proofs = _write_lora(plan, path, file, plan.keys)
            if file.unread:
                yield Note(f"Not in the export, as DreamGUI doesn't read it: {', '.join(file.unread)}.")
        else:
            proofs = _write_whole(plan, path, models.catalog)
        yield Progress("Written and read back", 1, _STEPS)
        certificate = yield from _certificate(plan, path, proofs, models)
        yield Score(f"{plan.title} as {job.format}", _numbers(certificate))
        certificate.require_passed()
        yield Note(certificate.sentence)
        _put_in_place(plan, path, certificate)
    yield Progress("Certified", _STEPS, _STEPS)
    yield Saved("export", plan.target.name, plan.target)
    return certificate


def make_plan(job: ExportJob, workspace: Workspace, catalog: Catalog) -> ExportPlan:
    """Check everything that can be checked before anything is written."""
    lora = None
    if job.format in _KEYS:
        lora = lora_source(catalog, job.model, job.base)
        spec, run = ModelSpec(lora.base, lora_run=lora.card.name if lora.card else ""), lora.card
    else:
        require_no_file(job, catalog)
        spec = catalog.spec(job.model, job.lora_scale)
        run = catalog.run(job.model) if spec.unet_run or spec.lora_run else None
    target = free_target(job, workspace, lora.name if lora else job.model)
    captions = None
    if run and run.dataset:
        with suppress(UnknownName, Damaged):
            dataset = Dataset.load(workspace.find("datasets", run.dataset))
            captions = tuple(caption for _, caption in dataset.images())
    return ExportPlan(job, spec, catalog.card(spec.base), run, lora, captions, target)


def free_target(job: ExportJob, workspace: Workspace, title: str = "") -> Path:
    """Return where an export goes: ``job.out``, else the workspace's exports under its title.

    Raises:
        BadInput: something is there already.
    """
    target = _target(job, title, workspace)
    beside = [
        target,
        *(() if job.format == "diffusers" else (certificate_place(target), _card_place(target))),
    ]
    if taken := [path for path in beside if path.exists()]:
        raise BadInput(f"{taken[0]} exists already.", "Choose another name, or delete it first.")
    return target


def _target(job: ExportJob, title: str, workspace: Workspace) -> Path:
    ending = _ENDINGS[job.format]
    if job.out is None:
        stem = safe_name(title, f"-{job.format}" if job.format != "single-file" else "")
        return workspace.root / EXPORTS / (stem + ending)
    target = job.out.expanduser().absolute()
    return target if target.name.endswith(ending) else target.with_name(target.name + ending)


def _write_whole(plan: ExportPlan, path: Path, catalog: Catalog) -> dict[str, FileProof]:
    files, job = ModelFiles.of(catalog, plan.spec), plan.job
    if job.format == "single-file":
        write_checkpoint(files, path, job.dtype, single_file_texts(plan.card, plan.run))
        with checkpoint_entries(files, job.dtype) as entries:
            return {path.name: read_back(path, entries)}
    write_folder(files, path, job.dtype)
    proofs = {}
    for part in PARTS:
        with part_entries(files, part, job.dtype) as entries:
            proofs[WEIGHTS[part]] = read_back(path / WEIGHTS[part], entries)
    return proofs


def _write_lora(plan: ExportPlan, path: Path, lora: LoraFile, keys: LoraKeys) -> dict[str, FileProof]:
    file = exported_lora(lora, keys, plan.job.dtype)
    texts = _lora_texts(plan)
    if NETWORK_ALPHA in texts:
        texts[NETWORK_ALPHA] = str(float(settings_of(file.layers or file.text_layers)["lora_alpha"]))
    tensors = write_lora_file(path, file, keys, texts)
    return {path.name: read_back(path, tensors)}


def _lora_texts(plan: ExportPlan) -> dict[str, str]:
    run = plan.run
    if run is None or run.rank is None:
        return {}
    alpha = float(run.rank) if run.alpha is None else run.alpha
    return lora_metadata(json.dumps(run.job), plan.card, run.rank, alpha, plan.captions, run.name)


def _certificate(
    plan: ExportPlan, path: Path, proofs: dict[str, FileProof], models: Models
) -> Generator[Event, None, Certificate]:
    """Generate the fixed picture with the base, the live model and the export."""
    job, request = plan.job, certificate_request(plan.card)
    base: Image.Image | None = None
    if plan.run or plan.lora:
        base = yield from _generated_live(ModelSpec(plan.spec.base), None, request, models, 1)
        yield Cell(plan.spec.base, request.prompt, request.seed, base)
    loose = plan.lora.file if plan.lora and not plan.run else None
    live = yield from _generated_live(plan.spec, loose, request, models, 2)
    yield Cell(f"{plan.title}, live", request.prompt, request.seed, live)
    shown, loader = yield from _generated_export(plan, path, request, models)
    yield Cell(f"{plan.title}, exported", request.prompt, request.seed, shown)
    yield Progress("Comparing", 4, _STEPS)
    rounded, in_half = _rounded(plan, models.catalog), models.dtype.itemsize < 4
    return certify(
        plan.title, job.format, job.dtype, proofs, rounded, live, shown, base, str(models.device), loader, in_half
    )  # fmt: skip


def _generated_live(
    spec: ModelSpec, lora: Path | None, request: ImageRequest, models: Models, step: int
) -> Generator[Event, None, Image.Image]:
    """The picture as DreamGUI generates it, with a LoRA's file where that is no run. The lent parts end with this call."""
    progress = Progress(f"Generating with {'the base' if step == 1 else 'the live model'}", step, _STEPS)
    yield progress
    loras = [(lora, 1.0)] if lora else []
    with models.use(spec) as parts, attached(parts.unet, parts.text_encoder, *loras):
        (image,) = yield from generated(parts, [request], progress)
    return image


def _generated_export(
    plan: ExportPlan, path: Path, request: ImageRequest, models: Models
) -> Generator[Event, None, tuple[Image.Image, str]]:
    """The picture through the export as diffusers opens it, and what opened it."""
    progress = Progress("Generating through the export", 3, _STEPS)
    yield progress
    base, folder = ModelSpec(plan.spec.base), models.catalog.folder(plan.spec.base)
    if plan.lora:
        with models.use(base) as parts, lora_by_diffusers(parts, path, folder) as adapted:
            (shown,) = yield from generated(adapted, [request], progress)
        return shown, "load_lora_weights"
    # One whole model at a time: the live one's memory is given back before the export is loaded.
    models.release()
    opened, loader = open_whole(path, folder, plan.card, models.device, models.dtype)
    (shown,) = yield from generated(opened, [request], progress)
    return shown, loader


def _rounded(plan: ExportPlan, catalog: Catalog) -> bool:
    """Return whether the export's numbers were rounded on their way: narrowed, or a LoRA added to them."""
    if plan.lora and plan.keys:
        file = read_source(catalog, plan.lora)
        return is_rounded(file, exported_lora(file, plan.keys, plan.job.dtype))
    if plan.spec.lora_run:
        return True
    files = ModelFiles.of(catalog, plan.spec)
    kept = (read_header(files.file(part)).main_format for part in PARTS)
    return not all(holds_all_of(plan.job.dtype, name) for name in kept)


def _numbers(certificate: Certificate) -> dict[str, float | None]:
    return {
        "mean difference": certificate.mean_difference,
        "largest difference": certificate.max_difference,
        "mean that passes": certificate.tolerance_mean,
        "largest that passes": certificate.tolerance_max,
        "mean difference of the base": certificate.effect_mean,
    }


def _card_place(target: Path) -> Path:
    """The model card beside a file: a README.md of its own name, as its folder may have another one."""
    return target.with_name(target.stem + ".README.md")


def _put_in_place(plan: ExportPlan, path: Path, certificate: Certificate) -> None:
    """Certificate and model card beside the export. The export itself moves last."""
    card = model_card(plan.card, plan.run, plan.pictures, certificate)
    is_folder = path.is_dir()
    write_json(certificate_place(path if is_folder else plan.target), certificate.model_dump())
    (path / "README.md" if is_folder else _card_place(plan.target)).write_text(card, encoding="utf-8")
    path.replace(plan.target)


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A folder on the target's disk that is gone after the block."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=".export."))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
