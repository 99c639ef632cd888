"""The model card of a run on the Hugging Face Hub, with the metadata that diffusers' training scripts write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from huggingface_hub import EvalResult, ModelCardData

from dreamgui.models.catalog.cards import ModelCard, RunCard

SD15_LICENCE = "creativeml-openrail-m"
"""Of Stable Diffusion 1.5; what is trained from it stays under its conditions of use."""
_TAGS = ("text-to-image", "diffusers", "diffusers-training", "stable-diffusion", "stable-diffusion-diffusers")


@dataclass(frozen=True)
class HubPicture:
    """A generated picture on the card: its file in the repository and its prompt."""

    file: str
    prompt: str


def hub_card(
    title: str,
    base: ModelCard,
    run: RunCard,
    pictures: Sequence[HubPicture],
    likeness: float | None,
    text: str,
) -> str:
    """Return the README.md of a run's repository.

    Args:
        title: the repository's name, without its owner.
        likeness: 0 to 1, as a report measured it; None where none did.
        text: the export's own card, whose metadata is left out.
    """
    lora = run.kind == "lora"
    tags = [*_TAGS, *(["lora", "template:sd-lora"] if lora else ["dreambooth"])]
    prompt = run.job.get("instance_prompt")
    metadata = ModelCardData(
        base_model=hub_name(base),
        license=SD15_LICENCE if base.family == "sd15" else None,
        library_name="diffusers",
        tags=tags,
        pipeline_tag="text-to-image",
        model_name=title if likeness is not None else None,
        eval_results=[_likeness(likeness)] if likeness is not None else None,
        ignore_metadata_errors=True,
        instance_prompt=prompt or None,
        widget=[{"text": each.prompt, "output": {"url": each.file}} for each in pictures] or None,
    )
    gallery = "\n<Gallery />\n" if pictures else ""
    return f"---\n{metadata.to_yaml()}\n---\n{gallery}\n{_without_metadata(text)}"


def hub_name(base: ModelCard) -> str | None:
    """Return a base model's "owner/name" on the hub, as its source tells, or None where it came from elsewhere."""
    repository, at, _ = base.source.partition("@")
    return repository if at and repository.count("/") == 1 and ":" not in repository else None


def _likeness(value: float) -> EvalResult:
    return EvalResult(
        task_type="text-to-image",
        dataset_type="private",
        dataset_name="photographs of the person that were not trained on",
        metric_type="likeness",
        metric_name="Likeness (0 to 1, DreamGUI)",
        metric_value=round(value, 4),
    )


def _without_metadata(card: str) -> str:
    _, _, rest = card.removeprefix("---\n").partition("\n---\n")
    return rest if card.startswith("---\n") else card
