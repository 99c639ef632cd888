"""A model's three parts gathered: from the file or folder that came, and from a named base what it lacks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamgui.errors import BadInput, BadModelFile
from dreamgui.models.cards import Family, ModelCard
from dreamgui.models.catalog import Catalog
from dreamgui.models.components import Component, find_components, folder_components, part_files
from dreamgui.models.fetch import Fetched
from dreamgui.models.layout import PARTS, Layout, Part, read_layout
from dreamgui.models.recognise import PART_WORDS, Recognised, family_configs, recognise

_COMPLETABLE = ("incomplete", "unet", "vae", "text_encoder")


@dataclass(frozen=True)
class Gathered:
    """Everything that a model is written from."""

    family: Family
    layout: Layout
    components: dict[Part, Component]

    def told(self) -> str:
        """Where each part came from, in one line."""
        lines = [f"{PART_WORDS[part]} ({len(self.components[part].keys)} tensors, "
                 f"{self.components[part].header.main_format}) from {self.components[part].told}" for part in PARTS]  # fmt: skip
        return "; ".join(lines)

    def predicts_velocity(self, path: Path) -> bool:
        """Whether the UNet predicts velocity in place of noise, as a mark in the file or the folder's scheduler says."""
        if path.is_dir():
            return (
                _scheduler(path / "scheduler" / "scheduler_config.json").get("prediction_type")
                == "v_prediction"
            )
        return "v_pred" in self.components["unet"].header.shapes


def gather(fetched: Fetched, catalog: Catalog, base: str = "", ema: bool = False) -> Gathered:
    """The three parts, each whole and of one family.

    Args:
        base: an installed model that completes a file which lacks parts.
        ema: take the UNet's running average.

    Raises:
        BadModelFile: what came is no Stable Diffusion 1.5, or lacks parts and no fitting base is named.
        UnknownName: the base isn't installed.
    """
    if fetched.path.is_dir():
        return _folder(fetched)
    found = recognise(fetched.path)
    if found.kind == "checkpoint" and found.family is not None:
        layout = read_layout(family_configs(found.family))
        parts = find_components(fetched.path, found.header, layout, ema)
        return Gathered(found.family, layout, parts)
    if found.kind not in _COMPLETABLE:
        raise BadModelFile(f"{Path(fetched.told).name} is {found.name}.", found.next_step)
    if not base:
        known = ", ".join(catalog.bases()) or "none yet; convert a whole checkpoint first"
        raise BadModelFile(
            f"{Path(fetched.told).name} is {found.name}.", f"{found.next_step} Installed: {known}."
        )
    card = catalog.card(base)
    _check_family(fetched, found, card)
    layout = read_layout(family_configs(card.family))
    own = find_components(fetched.path, found.header, layout, ema)
    rest = folder_components(catalog.folder(base), layout, f"the model {base!r}")
    return Gathered(card.family, layout, rest | own)


def _folder(fetched: Fetched) -> Gathered:
    """The parts of a diffusers folder, whose family its UNet's weights tell."""
    names = [name for name in part_files("unet") if (fetched.path / name).is_file()]
    if not names:
        raise BadInput(
            f"{fetched.told} is a folder without a UNet.", "Choose a diffusers folder, or a single file."
        )
    found = recognise(fetched.path / names[0])
    if found.kind != "unet" or found.family is None:
        raise BadModelFile(f"The UNet of {fetched.told} is {found.name}.", found.next_step)
    layout = read_layout(family_configs(found.family))
    return Gathered(found.family, layout, folder_components(fetched.path, layout, fetched.told))


def _scheduler(path: Path) -> dict[str, Any]:
    """A foreign scheduler's settings; nothing if they can't be read."""
    try:
        config = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size < 100_000 else None
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def _check_family(fetched: Fetched, found: Recognised, base: ModelCard) -> None:
    if found.family not in (None, base.family):
        raise BadModelFile(
            f"{Path(fetched.told).name} is of the family {found.family!r}, and the model {base.name!r} of {base.family!r}.",
            "Name a base of the same family.",
        )
