"""Which models exist: converted bases, and the runs trained on them."""

from __future__ import annotations

from pathlib import Path

from dreamgui.errors import BadInput, Damaged, UnknownName
from dreamgui.models.cards import MODEL_CARD, RUN_CARD, ModelCard, ModelSpec, RunCard, read_card, write_run
from dreamgui.workspace import Workspace

__all__ = ["LORA_FILE", "UNET_FILE", "Catalog", "ModelCard", "ModelSpec", "RunCard", "write_run"]

LORA_FILE = "pytorch_lora_weights.safetensors"
UNET_FILE = "unet/diffusion_pytorch_model.safetensors"
_PARTS = (
    "unet/config.json",
    UNET_FILE,
    "vae/config.json",
    "text_encoder/config.json",
    "tokenizer/vocab.json",
)


class Catalog:
    """The models and runs of a workspace. Always reads the disk, so it is never out of date."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def bases(self) -> list[str]:
        """Names of the base models, oldest first."""
        return [name for name in self.workspace.names("models") if (self.folder(name) / MODEL_CARD).is_file()]

    def runs(self) -> list[RunCard]:
        """Cards of all runs, finished or not, oldest first; a run whose card can't be read is left out."""
        cards = []
        for name in self.workspace.names("runs"):
            path = self.workspace.place("runs", name) / RUN_CARD
            if path.is_file():
                try:
                    cards.append(read_card(path, RunCard))
                except Damaged:
                    continue
        return cards

    def names(self) -> list[str]:
        """What pictures can be drawn with: bases, then finished runs."""
        return [*self.bases(), *(card.name for card in self.runs() if card.finished)]

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
        """The card of a run.

        Raises:
            UnknownName: there is no such run.
            Damaged: its card is missing or broken.
        """
        return read_card(self.workspace.find("runs", name) / RUN_CARD, RunCard)

    def run_file(self, name: str) -> Path:
        """The safetensors file of a run's weights (whole UNet or LoRA).

        Raises:
            Damaged: the run has no weights yet.
        """
        card = self.run(name)
        path = self.workspace.find("runs", name) / (LORA_FILE if card.kind == "lora" else UNET_FILE)
        if not path.is_file():
            raise Damaged(f"The run {name!r} has no weights at {path}.", "Train it to its end, or resume it.")
        return path

    def spec(self, name: str, lora_scale: float = 1.0, controlnet: str = "") -> ModelSpec:
        """What to draw with for a name out of :meth:`names`.

        Raises:
            UnknownName: neither a base nor a run has this name.
            BadInput: the run isn't finished.
        """
        if name in self.bases():
            return ModelSpec(name, controlnet=controlnet)
        if name not in self.workspace.names("runs"):
            known = ", ".join(self.names()) or "none yet"
            raise UnknownName(f"There is no model or run named {name!r}.", f"Known: {known}.")
        card = self.run(name)
        if not card.finished:
            raise BadInput(f"The run {name!r} isn't finished.", "Resume it, or wait until it is done.")
        if card.kind == "unet":
            return ModelSpec(card.base, unet_run=name, controlnet=controlnet)
        return ModelSpec(card.base, lora_run=name, lora_scale=lora_scale, controlnet=controlnet)
