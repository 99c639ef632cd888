"""Words for the person and the base model, as a LoRA's metadata tells them.

kohya's names begin with "ss_" (https://github.com/kohya-ss/sd-scripts), those of the shared standard with "modelspec."
(https://github.com/Stability-AI/ModelSpec).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

_WORDS = ("modelspec.trigger_phrase", "ss_trigger_words", "modelspec.trigger_words")
_HASHES = ("ss_new_sd_model_hash", "ss_sd_model_hash")
_NAMES = ("ss_sd_model_name", "ss_base_model")
_LEAST_DIGITS = 8
_MOST_LETTERS = 200
_REPEATED = re.compile(r"\d+_(.+)")


def trigger_words(metadata: Mapping[str, str]) -> str:
    """Return the words that call up the person, or "" where the metadata doesn't say.

    Without words of its own a kohya LoRA has them in its only folder's name, "10_sks woman": they are the caption of
    photographs without one.
    """
    for key in _WORDS:
        if words := " ".join(metadata.get(key, "").split()):
            return words[:_MOST_LETTERS]
    try:
        folders = json.loads(metadata.get("ss_dataset_dirs", ""))
    except (ValueError, RecursionError):
        return ""
    names = (
        [found[1] for name in folders if (found := _REPEATED.fullmatch(name))]
        if isinstance(folders, dict)
        else []
    )
    return " ".join(names[0].split())[:_MOST_LETTERS] if len(names) == 1 else ""


def named_base(metadata: Mapping[str, str], bases: Mapping[str, str]) -> str:
    """Return the base model that the metadata names by hash, else by file name, or "" where it names none of these.

    Args:
        bases: SHA-256 of each base model's file, by the model's name.
    """
    hashes = [
        value.lower() for key in _HASHES if len(value := metadata.get(key, "").strip()) >= _LEAST_DIGITS
    ]
    for name, digest in bases.items():
        if any(digest.startswith(value) for value in hashes):
            return name
    names = {PurePosixPath(metadata.get(key, "").replace("\\", "/")).stem for key in _NAMES}
    return next((name for name in bases if name in names), "")
