"""An adapter's settings beside its tensors: peft's LoraConfig in a header or in ``adapter_config.json``.

Alpha and rank may differ by layer; peft's patterns are regular expressions for the end of a layer's path, and are
matched here as peft does.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dreamgui.errors import BadModelFile
from dreamgui.models.lora.kinds import Change, Decomposed, low_rank
from dreamgui.models.recognition.lora_names import TEXT, TEXT_MODEL, UNET

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


def settings_of(layers: Mapping[str, Change]) -> dict[str, Any]:
    """peft's settings for layers of LoRA or DoRA: the commonest rank and alpha, and those that differ by layer.

    Paths have no ``text_model.`` in front, which newer versions of transformers leave out; peft takes ends of paths.
    """
    found = {
        path.removeprefix(TEXT_MODEL): low for path, change in layers.items() if (low := low_rank(change))
    }
    if not found:
        return {}
    ranks = {path: layer.rank for path, layer in found.items()}
    alphas = {path: layer.alpha for path, layer in found.items()}
    rank, alpha = (Counter(values.values()).most_common(1)[0][0] for values in (ranks, alphas))
    return {
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": sorted(found),
        "rank_pattern": {path: value for path, value in ranks.items() if value != rank},
        "alpha_pattern": {path: value for path, value in alphas.items() if value != alpha},
        "use_dora": any(isinstance(change, Decomposed) for change in layers.values()),
    }


def adapter_header(unet: Mapping[str, Any], text: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Settings of peft's LoraConfig (r, lora_alpha, target_modules...) as diffusers looks for them in a header."""
    prefixed = {f"{UNET}.{key}": value for key, value in unet.items()}
    prefixed |= {f"{TEXT}.{key}": value for key, value in (text or {}).items()}
    return {ADAPTER_METADATA: json.dumps(prefixed, indent=2, sort_keys=True)}


def alpha_in_b(
    tensors: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an adapter with alpha / rank multiplied into its B, and alpha = rank in its settings.

    That is done only where alpha / rank is a power of two: then nothing is rounded, neither here nor in what the
    layer adds. Else both come back as they are. A B whose smallest numbers have no room in its dtype becomes fp32.

    Args:
        tensors: in peft's names, of any dtype.
        settings: peft's LoraConfig of one rank and one alpha.
    """
    ratio = settings["lora_alpha"] / settings["r"]
    if math.frexp(ratio)[0] != 0.5:
        return dict(tensors), dict(settings)
    found = {key: _scaled(tensor, ratio) for key, tensor in tensors.items() if ".lora_B." in key}
    return {**tensors, **found}, {**settings, "lora_alpha": settings["r"]}


def _scaled(tensor: Tensor, ratio: float) -> Tensor:
    """The tensor times a power of two, in its dtype where that is exact, else in fp32."""
    wide = tensor.float() * ratio
    narrow = wide.to(tensor.dtype)
    return narrow if torch.equal(narrow.float(), wide) else wide


def _unsound(name: str, why: str) -> BadModelFile:
    return BadModelFile(
        f"The adapter settings in {name} can't be read: {why}.", "Train or download it again."
    )
