"""Runs and their checkpoints as items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dreamgui.diffusion.person_words import person_of
from dreamgui.library.folders import weight
from dreamgui.library.history import last_sample
from dreamgui.library.item import Item, State
from dreamgui.library.reading import made_at, read_json_file
from dreamgui.models.catalog.cards import RUN_CARD, RunCard
from dreamgui.models.catalog.catalog import SNAPSHOTS, snapshot_name
from dreamgui.training.checkpoint_files import CARD, read_checkpoint_card
from dreamgui.training.resumable import CHECKPOINTS, is_training
from dreamgui.workspace import Workspace


def run_item(
    workspace: Workspace,
    folder: Path,
    name: str,
    size_bytes: int,
    faces: Mapping[str, Path | None],
    likeness: float | None,
) -> Item:
    """Return a run's item.

    Args:
        faces: thumbnails of datasets by name.
        likeness: from 0 to 1; None where no report measured it.
    """
    read, made = read_json_file(folder / RUN_CARD, RunCard), made_at(folder / RUN_CARD, folder)
    running = is_training(folder)
    if read.fault:
        state: State = "running" if running else "broken"
        return Item("run", name, folder, made, size_bytes, state=state, fault="" if running else read.fault)
    card: RunCard = read.content
    face = faces.get(card.dataset) or last_sample(workspace, folder)
    state = "running" if running else "done" if _is_done(card) else "stopped"
    return Item("run", name, folder, made, size_bytes, _who(card), _figures(card, likeness), face, state)


def checkpoint_items(run: Item) -> Iterator[Item]:
    """Yield the items of a run's checkpoints, each with its run's face."""
    for folder in sorted((run.folder / CHECKPOINTS).glob("step-*")):
        name, made = f"{run.name}/{folder.name}", made_at(folder / CARD, folder)
        size = weight(folder).size_bytes
        try:
            step = int(read_checkpoint_card(folder)["step"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            fault = "The checkpoint isn't whole."
            yield Item(
                "checkpoint",
                name,
                folder,
                made,
                size,
                run.who,
                {},
                run.thumbnail,
                "broken",
                fault,
                run=run.name,
            )
        else:
            figures = {"Step": str(step)}
            yield Item("checkpoint", name, folder, made, size, run.who, figures, run.thumbnail, run=run.name)


def kept_model_items(run: Item) -> Iterator[Item]:
    """Yield the items of the weights that a run kept as models. Each is of the kind checkpoint and named RUN@STEP."""
    for folder in sorted((run.folder / SNAPSHOTS).glob("[0-9]*")):
        if folder.name.isdecimal():
            name, size = snapshot_name(run.name, int(folder.name)), weight(folder).size_bytes
            figures = {"Step": folder.name, "Use": "as a model"}
            made = made_at(folder, folder)
            yield Item("checkpoint", name, folder, made, size, run.who, figures, run.thumbnail, run=run.name)


def _is_done(card: RunCard) -> bool:
    wanted = card.job.get("steps")
    return card.finished and card.steps >= (wanted if isinstance(wanted, int) else 0)


def _who(card: RunCard) -> str:
    prompt = card.job.get("instance_prompt")
    person = person_of(prompt) if isinstance(prompt, str) and prompt.strip() else ""
    return ", ".join(dict.fromkeys(text for text in (person, card.dataset) if text))


def _figures(card: RunCard, likeness: float | None) -> dict[str, str]:
    wanted = card.job.get("steps")
    left = f" of {wanted}" if isinstance(wanted, int) and wanted > card.steps else ""
    figures: dict[str, Any] = {
        "Method": "UNet" if card.kind == "unet" else f"LoRA, rank {card.rank}",
        "Base": card.base,
        "Steps": f"{card.steps}{left}",
        "Learning rate": f"{card.learning_rate:g}",
        "Loss": None if card.loss is None else f"{card.loss:.4f}",
        "Validation loss": None if card.validation is None else f"{card.validation:.4f}",
        "Likeness": None if likeness is None else f"{likeness:.2f}",
    }
    return {label: text for label, text in figures.items() if text is not None}
