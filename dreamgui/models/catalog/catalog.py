"""Catalog of models: converted bases, and the runs trained on them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from dreamgui.errors import BadInput, Damaged, UnknownName
from dreamgui.models.catalog.cards import (
    MODEL_CARD,
    RUN_CARD,
    ModelCard,
    ModelSpec,
    RunCard,
    read_card,
    write_run,
)
from dreamgui.names import composed
from dreamgui.workspace import Workspace, read_json

__all__ = ["LORA_FILE", "SNAPSHOTS", "UNET_FILE", "Catalog", "ModelCard", "ModelSpec", "RunCard", "write_run"]

LORA_FILE = "pytorch_lora_weights.safetensors"
UNET_FILE = "unet/diffusion_pytorch_model.safetensors"
SNAPSHOTS = "steps"
"""Folder in a run's: in it one a step, with the same files as the finished run."""
KEPT_CARD = "kept.json"
"""In a kept model's folder: the seconds that its training took until then."""
_PARTS = (
    "unet/config.json",
    UNET_FILE,
    "vae/config.json",
    "text_encoder/config.json",
    "tokenizer/vocab.json",
)


def snapshot_name(run: str, step: int) -> str:
    """Return the name of the weights that a run had after a step."""
    return f"{run}@{step}"


class Catalog:
    """The models and runs of a workspace. Always reads the disk, so it is never out of date."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def bases(self) -> list[str]:
        """Names of the base models, oldest first."""
        return [name for name in self.workspace.names("models") if (self.folder(name) / MODEL_CARD).is_file()]

    def runs(self) -> list[RunCard]:
        """Cards of all runs, finished or not, oldest first. A run whose card can't be read is left out."""
        cards = []
        for name in self.workspace.names("runs"):
            path = self.workspace.place("runs", name) / RUN_CARD
            if path.is_file():
                try:
                    cards.append(self._named(read_card(path, RunCard), name))
                except Damaged:
                    continue
        return cards

    def names(self) -> list[str]:
        """Return the names to generate with, without the models kept on a run's way: bases, then finished runs."""
        return [*self.bases(), *(card.name for card in self.runs() if card.finished)]

    def all_names(self) -> list[str]:
        """Return the names to generate with: bases, then each finished run with the models kept on its way."""
        names = self.bases()
        for card in self.runs():
            names += [card.name] * card.finished
            names += self.kept_models(card.name)
        return names

    def kept_models(self, run: str) -> list[str]:
        """Return the names of the models kept on a run's way, ``RUN@STEP``, in ascending order."""
        return [snapshot_name(run, step) for step in self.snapshots(run)]

    def snapshots(self, run: str) -> list[int]:
        """Return the steps of a run whose weights were kept as models, in ascending order."""
        folder = self.workspace.place("runs", run) / SNAPSHOTS
        return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdecimal())

    def is_base(self, name: str) -> bool:
        """Return whether a base model has this name, composed or decomposed."""
        return composed(name) in self.bases()

    def folder(self, base: str) -> Path:
        """The diffusers folder of a base model.

        Raises:
            UnknownName: there is none.
        """
        return self.workspace.find("models", base)

    def card(self, base: str) -> ModelCard:
        """The card of a base model.

        Raises:
            UnknownName: there is no such model.
            Damaged: a part of it is missing.
        """
        folder = self.folder(base)
        for part in _PARTS:
            if not (folder / part).is_file():
                raise Damaged(f"The model {base!r} lacks {part}.", "Convert it again.")
        return read_card(folder / MODEL_CARD, ModelCard)

    def run(self, name: str) -> RunCard:
        """The card of a run, or of its weights after a step (``RUN@STEP``).

        Raises:
            UnknownName: there is no such run, or no weights of this step.
            Damaged: its card is missing or broken.
        """
        run, step = self._run_and_step(name)
        card = self._named(read_card(self.workspace.find("runs", run) / RUN_CARD, RunCard), run)
        if not step:
            return card
        path = self._weights(card.kind, run, step)
        size = path.stat().st_size if path.is_file() else 0
        then: dict[str, Any] = {
            "seconds": 0.0,
            "name": snapshot_name(run, step),
            "steps": step,
            "file_bytes": size,
            "finished": True,
        }
        with suppress(OSError, ValueError, KeyError):
            then["seconds"] = read_json(self.workspace.find("runs", run) / SNAPSHOTS / str(step) / KEPT_CARD)[
                "seconds"
            ]
        return card.model_copy(update={**then, "loss": None, "validation": None})

    def _named(self, card: RunCard, name: str) -> RunCard:
        """The card with its names as this catalog lists them.

        The folder's name wins: a run that was copied or renamed in a file manager still names the first one in its
        card, and whoever goes on with it must not write there. A file that came from elsewhere may decompose names.
        """
        names = {"name": composed(name), "base": composed(card.base), "dataset": composed(card.dataset)}
        return card.model_copy(update=names)

    def run_file(self, name: str) -> Path:
        """The safetensors file of a run's weights (whole UNet or LoRA).

        Raises:
            Damaged: the run has no weights yet.
        """
        path = self._weights(self.run(name).kind, *self._run_and_step(name))
        if not path.is_file():
            raise Damaged(f"The run {name!r} has no weights at {path}.", "Train it to its end, or resume it.")
        return path

    def _weights(self, kind: str, run: str, step: int) -> Path:
        folder = self.workspace.find("runs", run)
        folder = folder / SNAPSHOTS / str(step) if step else folder
        return folder / (LORA_FILE if kind == "lora" else UNET_FILE)

    def _run_and_step(self, name: str) -> tuple[str, int]:
        """Return a run's name and, for ``RUN@STEP``, the step. A run of the whole name comes first."""
        run, _, step = composed(name).rpartition("@")
        taken = composed(name) in self.workspace.names("runs")
        if run and not taken and step.isdecimal() and int(step) in self.snapshots(run):
            return run, int(step)
        return composed(name), 0

    def spec(self, name: str, lora_scale: float = 1.0, controlnet: str = "") -> ModelSpec:
        """Return what to generate with for a name out of :meth:`names`.

        Raises:
            UnknownName: neither a base nor a run has this name.
            BadInput: the run isn't finished.
        """
        name = composed(name)
        if name in self.bases():
            return ModelSpec(name, controlnet=controlnet)
        if self._run_and_step(name)[0] not in self.workspace.names("runs"):
            known = ", ".join(self.all_names()) or "none yet"
            # Whether the file exists isn't looked up: a visitor could find out so what lies on the disk.
            if PurePath(name).name != name and name:
                raise UnknownName(
                    f"{name!r} is a path or an address, not the name of a model or run.",
                    f"Convert a checkpoint, import or merge a LoRA, then name the result. Known: {known}.",
                )
            raise UnknownName(f"There is no model or run named {name!r}.", f"Known: {known}.")
        card = self.run(name)
        if not card.finished:
            raise BadInput(f"The run {name!r} isn't finished.", "Resume it, or wait until it is done.")
        if card.kind == "unet":
            return ModelSpec(card.base, unet_run=name, controlnet=controlnet)
        return ModelSpec(card.base, lora_run=name, lora_scale=lora_scale, controlnet=controlnet)
