"""A model's three parts gathered: from the file or folder that came, and from a named base what it lacks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamgui.errors import BadInput, BadModelFile
from dreamgui.models.catalog.cards import Family, ModelCard
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.models.files.layout import PARTS, Layout, Part, read_layout
from dreamgui.models.files.part_files import folder_files
from dreamgui.models.recognition.components import Component, find_components, folder_components
from dreamgui.models.recognition.recognise import COMPLETE, PART_WORDS, Recognised, family_configs, recognise
from dreamgui.models.sources.fetch import Fetched

_COMPLETABLE = ("incomplete", "unet", "vae", "text_encoder")


@dataclass(frozen=True)
class Gathered:
    """Components that a model is written from."""

    family: Family
    layout: Layout
    components: dict[Part, Component]

    def describe(self) -> str:
        """Return where each part came from, in one line."""
        return "; ".join(_described(self.components[part]) for part in PARTS)

    def predicts_velocity(self, path: Path) -> bool:
        """Return whether the UNet predicts velocity in place of noise, as a mark in the file or the folder's scheduler says."""
        if path.is_dir():
            return (
                _scheduler(path / "scheduler" / "scheduler_config.json").get("prediction_type")
                == "v_prediction"
            )
        return "v_pred" in self.components["unet"].header.shapes


def gather(fetched: Fetched, catalog: Catalog, base: str = "", ema: bool = False) -> Gathered:
    """The three parts, each whole and of one family.

    Args:
        base: an installed model that completes a file or folder which lacks parts.
        ema: take the UNet's running average.

    Raises:
        BadModelFile: what came is no Stable Diffusion 1.5, or lacks parts and no fitting base is named.
        UnknownName: the base isn't installed.
    """
    if fetched.path.is_dir():
        return _folder(fetched, catalog, base, ema)
    found = recognise(fetched.path)
    if found.kind == "checkpoint" and found.family is not None:
        layout = read_layout(family_configs(found.family))
        parts = find_components(fetched.path, found.header, layout, ema)
        return Gathered(found.family, layout, parts)
    if found.kind not in _COMPLETABLE:
        raise BadModelFile(f"{Path(fetched.origin).name} is {found.name}.", found.next_step)
    if not base:
        known = ", ".join(catalog.bases()) or "none yet; convert a whole checkpoint first"
        raise BadModelFile(
            f"{Path(fetched.origin).name} is {found.name}.", f"{found.next_step} Installed: {known}."
        )
    card = catalog.card(base)
    _check_family(fetched, found, card)
    layout = read_layout(family_configs(card.family))
    own = find_components(fetched.path, found.header, layout, ema)
    rest = folder_components(catalog.folder(base), layout, f"the model {base!r}")
    return Gathered(card.family, layout, rest | own)


def _folder(fetched: Fetched, catalog: Catalog, base: str, ema: bool) -> Gathered:
    """The parts of a diffusers folder, whose family its UNet's weights tell, completed from a base."""
    files = folder_files(fetched.path)
    if not files:
        raise BadInput(
            f"{fetched.origin} is a folder without a UNet, VAE or text encoder.",
            "Choose a diffusers folder, or a single file.",
        )
    found = recognise(files["unet"]) if "unet" in files else None
    if found is not None and (found.kind != "unet" or found.family is None):
        raise BadModelFile(f"The UNet of {fetched.origin} is {found.name}.", found.next_step)
    if lacking := [part for part in PARTS if part not in files]:
        words = " and ".join(PART_WORDS[part] for part in lacking)
        if not base:
            raise BadModelFile(
                f"{fetched.origin} is a folder without {words}.",
                f"{COMPLETE} Installed: {', '.join(catalog.bases()) or 'none yet'}.",
            )
        card = catalog.card(base)
        if found is not None:
            _check_family(fetched, found, card)
        layout = read_layout(family_configs(card.family))
        own = folder_components(fetched.path, layout, fetched.origin, ema)
        rest = folder_components(catalog.folder(base), layout, f"the model {base!r}")
        return Gathered(card.family, layout, rest | own)
    assert found is not None and found.family is not None
    layout = read_layout(family_configs(found.family))
    return Gathered(found.family, layout, folder_components(fetched.path, layout, fetched.origin, ema))


def _described(one: Component) -> str:
    """A part's origin, and what of the file isn't in it."""
    average = ", running average" if one.averaged else ""
    scaled = f", {len(one.scales)} scaled" if one.scales else ""
    line = f"{PART_WORDS[one.part]} ({len(one.keys)} tensors, {one.header.main_format}{average}{scaled}) from {one.origin}"
    if one.unused:
        line += f" (not taken: {len(one.unused)} more, {', '.join(one.unused[:3])}{' ...' if one.unused[3:] else ''})"
    return line


def _scheduler(path: Path) -> dict[str, Any]:
    """A foreign scheduler's settings, or nothing if they can't be read."""
    try:
        config = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size < 100_000 else None
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def _check_family(fetched: Fetched, found: Recognised, base: ModelCard) -> None:
    if found.family not in (None, base.family):
        raise BadModelFile(
            f"{Path(fetched.origin).name} is of the family {found.family!r}, and the model {base.name!r} of {base.family!r}.",
            "Name a base of the same family.",
        )
