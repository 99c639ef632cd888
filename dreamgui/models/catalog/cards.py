"""Cards of base models and runs, and the choice of one to generate with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from dreamgui.config import Method
from dreamgui.errors import Damaged
from dreamgui.workspace import write_json

Family = Literal["sd15", "demo"]
MODEL_CARD = "dreamgui.json"
RUN_CARD = "run.json"
# The field's usual settings for one person's face (diffusers' DreamBooth page, kohya's presets,
# TheLastBen's notebook).
SD15_RECOMMENDED: dict[str, dict[str, Any]] = {
    "unet": {"learning_rate": 2e-6, "steps": 1200, "batch_size": 1, "class_count": 200},
    "lora": {"learning_rate": 1e-4, "steps": 1500, "batch_size": 1, "rank": 8, "class_count": 200},
    "class_images": {"class_steps": 20, "class_guidance_scale": 5.0, "class_count": 200},
    "generate": {"steps": 25, "guidance_scale": 5.0, "scheduler": "dpm++"},
}


class Card(BaseModel):
    """A small JSON file beside weights. Unknown fields are kept out, so an older program reads a newer
    card."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class ModelCard(Card):
    """``models/NAME/dreamgui.json``.

    Attributes:
        size_px: width and height at which the model generates best.
        source: the file or bundle it was converted from.
        sha256: hash of that file.
        components: where each part came from, where they came from more than one file.
        recommended: settings that fit this model, by use ("unet", "lora", "class_images", "generate"); the keys
            inside are fields of the job's config.
    """

    name: str
    family: Family
    size_px: int
    source: str = ""
    sha256: str = ""
    components: dict[str, str] = {}
    recommended: dict[str, dict[str, Any]] = {}

    @field_validator("recommended", mode="before")
    @classmethod
    def _old_name(cls, recommended: Any) -> Any:
        """Read "draw", the name of "generate" in cards of earlier versions."""
        if isinstance(recommended, dict) and "draw" in recommended:
            return {"generate" if use == "draw" else use: fields for use, fields in recommended.items()}
        return recommended

    def advice(self, method: str) -> dict[str, Any]:
        """Recommended settings of a training with this method ("unet", "lora") and of its class images."""
        return {**self.recommended.get("class_images", {}), **self.recommended.get(method, {})}

    def sweep_rates(self) -> dict[str, Any]:
        """Recommended learning rates by the fields of a sweep, without those that the card doesn't tell."""
        lora, unet = (self.advice(method).get("learning_rate") for method in ("lora", "unet"))
        return ({"learning_rates": (lora,)} if lora else {}) | ({"unet_learning_rate": unet} if unet else {})


class RunCard(Card):
    """``runs/NAME/run.json``. ``rank`` and ``alpha`` are None for a full UNet. ``loss`` is the last steps'
    mean and ``validation`` the last loss on held-out photographs. ``job`` is the TrainJob as JSON, as it was asked for. ``memory`` holds the settings that its memory tier
    turned on. ``origin`` tells a changed base or dataset (``training/origin.py``; empty: not known)."""

    name: str
    kind: Method
    base: str
    dataset: str = ""
    rank: int | None = None
    alpha: float | None = None
    learning_rate: float
    steps: int
    seconds: float = 0.0
    file_bytes: int = 0
    finished: bool = False
    loss: float | None = None
    validation: float | None = None
    job: dict[str, Any] = {}
    memory: dict[str, Any] = {}
    origin: dict[str, Any] = {}


@dataclass(frozen=True)
class ModelSpec:
    """Model to generate with: a base, and on it a run's UNet or LoRA (at a strength), further LoRAs of runs, each with
    its strength, and ControlNets: "canny", "pose", or a diffusers folder's whole path."""

    base: str
    unet_run: str = ""
    lora_run: str = ""
    lora_scale: float = 1.0
    controlnet: str = ""
    more_loras: tuple[tuple[str, float], ...] = ()
    more_controlnets: tuple[str, ...] = ()


AnyCard = TypeVar("AnyCard", bound=Card)


def read_card(path: Path, kind: type[AnyCard]) -> AnyCard:
    """The card in this file.

    Raises:
        Damaged: it is missing or isn't such a card.
    """
    try:
        return kind.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, ValidationError) as error:
        cause = str(error).splitlines()[0]
        raise Damaged(
            f"{path} can't be read: {cause}.", "Convert the model or train the run again."
        ) from error


def certificate_place(export: Path) -> Path:
    """Return where an export's certificate is: in a folder, or beside a file."""
    return (
        export / "certificate.json"
        if export.is_dir()
        else export.with_name(export.stem + ".certificate.json")
    )


def write_model(folder: Path, card: ModelCard) -> None:
    """Write a base model's card into its folder."""
    write_json(folder / MODEL_CARD, card.model_dump())


def write_run(folder: Path, card: RunCard) -> None:
    """Write a run's card into its folder."""
    write_json(folder / RUN_CARD, card.model_dump())
