"""Rows of a report: the kind of a compared model, how it was trained where it was, and with which sampling it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dreamgui.config import CompareJob, TrainJob
from dreamgui.errors import BadInput
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.names import composed

MOST_ROWS = 100


@dataclass(frozen=True)
class ModelRow:
    """A compared model: ``kind`` base, unet or lora, and how it was trained where it was.

    Attributes:
        seconds: of its training.
        file_bytes: size of its weights.
        class_prompt: that its training preserved; empty for a base.
        prior_preservation: whether it did; None for a base.
        model: its name in the catalog; ``name`` is the model's with what sets this row apart, as in "anna:0.8".
        strength: of the LoRA; None for other models.
        scheduler: sampler that it is asked with; "" is not known.
        guidance_scale: with which it is asked; None is not known.
        floor: row of the base with the same sampling.
        sha256: of its weights; "" is not known.
    """

    name: str
    kind: str
    base: str
    rank: int | None = None
    alpha: float | None = None
    learning_rate: float | None = None
    steps: int = 0
    seconds: float = 0.0
    file_bytes: int = 0
    class_prompt: str = ""
    prior_preservation: bool | None = None
    model: str = ""
    strength: float | None = None
    scheduler: str = ""
    guidance_scale: float | None = None
    floor: str = ""
    sha256: str = ""

    @property
    def known_as(self) -> str:
        """Return the model's name in the catalog."""
        return self.model or self.name

    @property
    def beside(self) -> str:
        """Return the name of the row that is its floor: the base with the same sampling."""
        return self.floor or self.base


def model_row(catalog: Catalog, name: str) -> ModelRow:
    """Return what a report says of a base, a run or a kept model RUN@STEP.

    Raises:
        UnknownName: there is no such model.
    """
    if catalog.is_base(name):
        files = (
            file for file in catalog.folder(name).rglob("*.safetensors") if "controlnet" not in file.parts
        )
        return ModelRow(name, "base", name, file_bytes=sum(file.stat().st_size for file in files))
    card = catalog.run(name)
    return ModelRow(
        name=name,
        kind=card.kind,
        base=card.base,
        rank=card.rank,
        alpha=card.alpha,
        learning_rate=card.learning_rate,
        steps=card.steps,
        seconds=card.seconds,
        file_bytes=card.file_bytes,
        class_prompt=card.job.get("class_prompt") or TrainJob.model_fields["class_prompt"].default,
        prior_preservation=bool(card.job.get("prior_preservation")),
    )


def compared_names(job: CompareJob, catalog: Catalog) -> list[str]:
    """Return the names of the models that a job compares, each once. A run stands behind the models kept on its way."""
    names = dict.fromkeys(map(composed, job.models))
    if not job.kept_models:
        return list(names)
    return list(dict.fromkeys(each for name in names for each in (*catalog.kept_models(name), name)))


def compared_rows(job: CompareJob, catalog: Catalog) -> list[ModelRow]:
    """Return a row for each model, LoRA strength, sampler and guidance scale of a job, the models in their order.

    A row's name is the model's, with ":0.8" for a strength and the sampler and guidance where several are compared.

    Raises:
        UnknownName: there is no such model.
        BadInput: there are more than 100.
    """
    cards = [model_row(catalog, name) for name in compared_names(job, catalog)]
    rows = [row for card in cards for row in _variants(card, job)]
    if len(rows) > MOST_ROWS:
        raise BadInput(
            f"The axes make {len(rows)} rows, more than {MOST_ROWS}.",
            "Choose fewer models, strengths, samplers or guidance scales.",
        )
    return rows


def _variants(card: ModelRow, job: CompareJob) -> Iterator[ModelRow]:
    lora = card.kind == "lora"
    strengths = (job.strengths or (job.lora_scale,)) if lora else (None,)
    for strength in strengths:
        part = f":{strength:g}" if lora and job.strengths else ""
        for sampler, guidance in job.pairs_of_sampling:
            ending = f" {sampler}" * (len(job.samplers) > 1) + f" guidance {guidance:g}" * (
                len(job.guidances) > 1
            )
            yield replace(
                card,
                name=f"{card.name}{part}{ending}",
                model=card.name,
                strength=strength,
                scheduler=sampler,
                guidance_scale=guidance,
                floor=f"{card.base}{ending}",
            )
