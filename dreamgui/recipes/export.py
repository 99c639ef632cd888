"""A model or run becomes a file that other programs load; it is only called saved once it is proved."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from dreamgui.config import ExportFormat, ExportJob
from dreamgui.data.dataset import Dataset
from dreamgui.diffusion.sample import Draw
from dreamgui.errors import BadInput, Damaged, UnknownName
from dreamgui.events import Cell, Event, Note, Progress, Saved, Score
from dreamgui.models.cards import certificate_place
from dreamgui.models.catalog import Catalog, ModelCard, ModelSpec, RunCard
from dreamgui.models.certificate import Certificate, FileProof, certificate_draw, certify, read_back
from dreamgui.models.export import (
    ModelFiles,
    checkpoint_entries,
    part_entries,
    write_checkpoint,
    write_folder,
)
from dreamgui.models.export_card import model_card, single_file_texts
from dreamgui.models.export_lora import LoraKeys, lora_tensors, write_lora_file
from dreamgui.models.export_open import lora_by_diffusers, lora_by_us, open_whole
from dreamgui.models.header import read_header
from dreamgui.models.layout import PARTS
from dreamgui.models.lora_files import lora_metadata
from dreamgui.models.single_file import WEIGHTS
from dreamgui.models.workshop import Source, lora_source, read_source
from dreamgui.recipes.drawn import drawn
from dreamgui.workspace import EXPORTS, Workspace, safe_name, write_json

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
_WIDER = {"F32": ("fp32",), "F16": ("fp16", "fp32"), "BF16": ("bf16", "fp32")}


@dataclass(frozen=True)
class Plan:
    """What is exported and where to.

    Attributes:
        run: the run's card, None for a base or a file.
        lora: the LoRA, where one is exported as such.
        pictures: how many photographs the run was trained on, where that is known.
        spec: the live model that the export must equal.
        target: the file or folder that will be there in the end.
    """

    job: ExportJob
    spec: ModelSpec
    card: ModelCard
    run: RunCard | None
    lora: Source | None
    pictures: int | None
    target: Path

    @property
    def keys(self) -> LoraKeys | None:
        """The layout of a LoRA's keys; None where a whole model is written."""
        return _KEYS.get(self.job.format)

    @property
    def title(self) -> str:
        """Name of what is exported."""
        return self.lora.name if self.lora else self.job.model


def export(job: ExportJob, workspace: Workspace, models: Models) -> Generator[Event, None, Certificate]:
    """Write, read back, draw through it with diffusers' loaders, compare, and only then put it in its place.

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
            proofs = _write_lora(plan, path, models.catalog, plan.lora, plan.keys)
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


def make_plan(job: ExportJob, workspace: Workspace, catalog: Catalog) -> Plan:
    """Check everything that can be checked before anything is written."""
    lora = None
    if job.format in _KEYS:
        lora = lora_source(catalog, job.model, job.base)
        spec, run = ModelSpec(lora.base, lora_run=lora.card.name if lora.card else ""), lora.card
    else:
        spec = catalog.spec(job.model, job.lora_scale)
        run = catalog.run(job.model) if spec.unet_run or spec.lora_run else None
    target = free_target(job, workspace, lora.name if lora else job.model)
    pictures = None
    if run and run.dataset:
        try:
            pictures = len(Dataset.load(workspace.find("datasets", run.dataset)).images())
        except (UnknownName, Damaged):
            pictures = None
    return Plan(job, spec, catalog.card(spec.base), run, lora, pictures, target)


def free_target(job: ExportJob, workspace: Workspace, title: str = "") -> Path:
    """Where an export goes: ``job.out``, else the workspace's exports under its title.

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
        stem = safe_name(f"{title}-{job.format}" if job.format != "single-file" else title)
        return workspace.root / EXPORTS / (stem + ending)
    target = job.out.expanduser().absolute()
    return target if target.name.endswith(ending) else target.with_name(target.name + ending)


def _write_whole(plan: Plan, path: Path, catalog: Catalog) -> dict[str, FileProof]:
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


def _write_lora(
    plan: Plan, path: Path, catalog: Catalog, lora: Source, keys: LoraKeys
) -> dict[str, FileProof]:
    file = read_source(catalog, lora)
    tensors = lora_tensors(file, keys, plan.job.dtype)
    write_lora_file(path, tensors, file, keys, _lora_texts(plan))
    return {path.name: read_back(path, tensors)}


def _lora_texts(plan: Plan) -> dict[str, str]:
    run = plan.run
    if run is None or run.rank is None:
        return {}
    alpha = float(run.rank) if run.alpha is None else run.alpha
    return lora_metadata(json.dumps(run.job), plan.card, run.rank, alpha, plan.pictures)


def _certificate(
    plan: Plan, path: Path, proofs: dict[str, FileProof], models: Models
) -> Generator[Event, None, Certificate]:
    """Draw the fixed picture with the base, the live model and the export."""
    job, request = plan.job, certificate_draw(plan.card)
    base: Image.Image | None = None
    if plan.run or plan.lora:
        base = yield from _drawn_live(ModelSpec(plan.spec.base), None, request, models, 1)
        yield Cell(plan.spec.base, request.prompt, request.seed, base)
    loose = plan.lora.file if plan.lora and not plan.run else None
    live = yield from _drawn_live(plan.spec, loose, request, models, 2)
    yield Cell(f"{plan.title}, live", request.prompt, request.seed, live)
    shown, loader = yield from _drawn_export(plan, path, request, models)
    yield Cell(f"{plan.title}, exported", request.prompt, request.seed, shown)
    yield Progress("Comparing", 4, _STEPS)
    rounded = _rounded(plan, models.catalog)
    return certify(
        plan.title, job.format, job.dtype, proofs, rounded, live, shown, base, str(models.device), loader
    )


def _drawn_live(
    spec: ModelSpec, lora: Path | None, request: Draw, models: Models, step: int
) -> Generator[Event, None, Image.Image]:
    """The picture as DreamGUI draws it, with a LoRA's file where that is no run. The lent parts end with this call."""
    progress = Progress(f"Drawing with {'the base' if step == 1 else 'the live model'}", step, _STEPS)
    yield progress
    with models.use(spec) as parts, lora_by_us(parts, lora) as shown_by:
        (image,) = yield from drawn(shown_by, [request], progress)
    return image


def _drawn_export(
    plan: Plan, path: Path, request: Draw, models: Models
) -> Generator[Event, None, tuple[Image.Image, str]]:
    """The picture through the export as diffusers opens it, and what opened it."""
    progress = Progress("Drawing through the export", 3, _STEPS)
    yield progress
    if plan.lora:
        with models.use(ModelSpec(plan.spec.base)) as parts, lora_by_diffusers(parts, path) as adapted:
            (shown,) = yield from drawn(adapted, [request], progress)
        return shown, "load_lora_weights"
    # One whole model at a time: the live one's memory is given back before the export is loaded.
    models.release()
    folder = models.catalog.folder(plan.spec.base)
    opened, loader = open_whole(path, folder, plan.card, models.device, models.dtype)
    (shown,) = yield from drawn(opened, [request], progress)
    return shown, loader


def _rounded(plan: Plan, catalog: Catalog) -> bool:
    """Whether the export's numbers were rounded on their way: narrowed, or a LoRA added to them."""
    if plan.lora:
        sources = [plan.lora.file]
    elif plan.spec.lora_run:
        return True
    else:
        files = ModelFiles.of(catalog, plan.spec)
        sources = [files.file(part) for part in PARTS]
    kept = (_WIDER.get(read_header(source).main_format, ()) for source in sources)
    return not all(plan.job.dtype in formats for formats in kept)


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


def _put_in_place(plan: Plan, path: Path, certificate: Certificate) -> None:
    """Certificate and model card beside the export; the export itself moves last."""
    card = model_card(plan.card, plan.run, plan.pictures, certificate)
    if path.is_dir():
        write_json(certificate_place(path), certificate.model_dump())
        (path / "README.md").write_text(card, encoding="utf-8")
    else:
        write_json(certificate_place(plan.target), certificate.model_dump())
        _card_place(plan.target).write_text(card, encoding="utf-8")
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
