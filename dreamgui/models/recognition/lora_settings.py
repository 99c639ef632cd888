"""An adapter's settings beside its tensors: peft's LoraConfig in a header or in ``adapter_config.json``.

Alpha and rank may differ by layer; peft's patterns are regular expressions for the end of a layer's path, and are
matched here as peft does. torch isn't imported, so that a header alone is enough.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dreamgui.errors import BadModelFile
from dreamgui.models.recognition.lora_names import TEXT, UNET

# The key under which diffusers looks for the adapter's rank and alpha in a file's metadata.
ADAPTER_METADATA = "lora_adapter_metadata"
# The text by which kohya's scripts tell the same.
NETWORK_ALPHA = "ss_network_alpha"
# A pattern out of a foreign file must not keep a regular expression searching for hours.
_MOST_REPEATS = 4
_REPEATED_GROUP = re.compile(r"\)[*+?{]")


@dataclass(frozen=True)
class LayerSettings:
    """Settings of one layer: ``alpha`` is None where the file doesn't say it."""

    alpha: float | None = None
    rank_stabilised: bool = False

    def scale(self, rank: int) -> float:
        """Factor of what the layer adds: alpha / rank, or alpha / sqrt(rank) (rsLoRA), or 1 without an alpha."""
        if self.alpha is None:
            return 1.0
        return self.alpha / (math.sqrt(rank) if self.rank_stabilised else rank)


@dataclass(frozen=True)
class AdapterSettings:
    """peft's settings of one part's adapter, as far as reading needs them."""

    name: str
    values: Mapping[str, Any]

    def of(self, path: str) -> LayerSettings:
        """Return the settings of the layer at this path.

        Raises:
            BadModelFile: a pattern isn't a regular expression, or alpha isn't a number.
        """
        patterns = self.values.get("alpha_pattern") or {}
        alpha = self.values.get("lora_alpha", self.values.get("alpha"))
        try:
            pattern = next((each for each in patterns if self._matches(each, path)), None)
            told = alpha if pattern is None else patterns[pattern]
            return LayerSettings(
                None if told is None else float(told), bool(self.values.get("use_rslora", False))
            )
        except (TypeError, ValueError, re.error) as error:
            raise _unsound(self.name, str(error)) from error

    def _matches(self, pattern: str, path: str) -> bool:
        repeats = sum(pattern.count(sign) for sign in "*+{?")
        if repeats > _MOST_REPEATS or _REPEATED_GROUP.search(pattern):
            raise _unsound(self.name, f"the pattern {pattern[:80]!r} takes too long to match")
        return re.match(rf"(.*\.)?({pattern})$", path) is not None


def read_settings(name: str, text: str | None) -> dict[str, AdapterSettings]:
    """Settings by part out of a header's text or ``adapter_config.json``. Without a prefix they are the UNet's.

    Raises:
        BadModelFile: it isn't a JSON object.
    """
    try:
        entries = json.loads(text) if text else {}
        prefixed = {part: _under(f"{part}.", entries) for part in (UNET, TEXT)}
    except (ValueError, AttributeError, RecursionError) as error:
        raise _unsound(name, str(error)) from error
    if not any(prefixed.values()):
        prefixed = {UNET: entries, TEXT: entries}
    return {part: AdapterSettings(name, values) for part, values in prefixed.items()}


def _under(prefix: str, entries: Mapping[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in entries.items() if key.startswith(prefix)}


def _unsound(name: str, why: str) -> BadModelFile:
    return BadModelFile(
        f"The adapter settings in {name} can't be read: {why}.", "Train or download it again."
    )
