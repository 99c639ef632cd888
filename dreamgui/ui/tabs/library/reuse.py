"""Settings of an item for the Train tab's form."""

from __future__ import annotations

from typing import Any

from dreamgui.config import TrainJob
from dreamgui.library.item import Item
from dreamgui.library.reading import read_json_file
from dreamgui.models.catalog.cards import RUN_CARD, RunCard
from dreamgui.services import Services
from dreamgui.training.origin import followed_dataset
from dreamgui.ui.parts.form import make_config

_OF_ONE_RUN = ("run", "resume", "resume_from", "processes", "shard")


def has_settings(item: Item) -> bool:
    """Return whether the Train tab can take something over from an item. A merged or extracted LoRA wasn't trained."""
    if item.fault or item.kind not in ("run", "dataset", "base"):
        return False
    card: RunCard | None = read_json_file(item.folder / RUN_CARD, RunCard).content
    return item.kind != "run" or bool(card and card.job)


def settings_of(services: Services, item: Item) -> tuple[dict[str, Any], list[str]]:
    """Return fields of a training from a run's settings, or a dataset's or base's name, and sentences on what is gone.

    Raises:
        OutOfRange: a run's card holds settings that no field takes.
    """
    if item.kind in ("dataset", "base"):
        return {"dataset" if item.kind == "dataset" else "model": item.name}, []
    return _of_run(services, services.catalog.run(item.name))


def _of_run(services: Services, card: RunCard) -> tuple[dict[str, Any], list[str]]:
    begun = make_config(
        TrainJob, {name: card.job[name] for name in TrainJob.model_fields if name in card.job}
    )
    settings = {name: value for name, value in begun.model_dump().items() if name not in _OF_ONE_RUN}
    settings["dataset"] = followed_dataset(services.workspace, settings["dataset"], card.origin)
    told = [f"The settings of {card.name} are filled in."]
    known = {"model": services.catalog.bases(), "dataset": services.workspace.names("datasets")}
    for name, names in known.items():
        if settings[name] not in names:
            told.append(f"There is no {'base' if name == 'model' else name} {settings[name]!r} any more.")
            del settings[name]
    return settings, told
