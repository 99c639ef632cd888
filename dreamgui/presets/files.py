"""Preset files: read whichever program wrote them, and our own ones written."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamgui.config import TrainJob
from dreamgui.errors import BadInput
from dreamgui.presets.kohya import is_kohya, read_kohya
from dreamgui.presets.onetrainer import is_onetrainer, read_onetrainer
from dreamgui.presets.reading import Reading

MARK = "dreamgui preset"
MOST_BYTES = 2_000_000
OF_ONE_PERSON = ("dataset", "instance_prompt", "class_prompt", "class_negative_prompt", "sample_prompts")
OF_ONE_RUN = ("run", "resume", "resume_from")
OF_ONE_MACHINE = ("processes", "shard", "class_folder")
NOT_SHARED = (*OF_ONE_PERSON, *OF_ONE_RUN, *OF_ONE_MACHINE)
"""Fields that a preset leaves out: it says how to train, not on whom."""
_RUNS_OWN = (*OF_ONE_RUN, *OF_ONE_MACHINE)


def read_preset(path: Path) -> Reading:
    """Return the account of a file: a preset, job.json or run.json of ours, kohya_ss, sd-scripts or OneTrainer.

    Raises:
        BadInput: the file can't be read, or holds settings of none of these.
    """
    values = _content(path)
    if values.get("format") == MARK and isinstance(values.get("settings"), Mapping):
        return _ours("a preset of DreamGUI", values["settings"], ())
    if isinstance(values.get("job"), Mapping):
        # job.json and run.json.
        return _ours("DreamGUI", values["job"], _RUNS_OWN)
    if is_onetrainer(values):
        return read_onetrainer(values)
    if is_kohya(values):
        return read_kohya(values)
    raise BadInput(
        f"{path.name} holds no settings of a training.",
        "Choose a preset, job.json or run.json of DreamGUI, or a file of kohya_ss, sd-scripts or OneTrainer.",
    )


def preset_text(settings: Mapping[str, Any]) -> str:
    """Return the settings of a training as a preset's JSON, without person, run and machine."""
    kept = {
        name: settings[name] for name in TrainJob.model_fields if name in settings and name not in NOT_SHARED
    }
    job = TrainJob.model_validate(kept).model_dump(mode="json", include=set(kept))
    return json.dumps({"format": MARK, "version": 1, "settings": job}, indent=2, ensure_ascii=False) + "\n"


def _ours(source: str, settings: Mapping[str, Any], skip: tuple[str, ...]) -> Reading:
    reading = Reading(source)
    for name, value in settings.items():
        if name in skip:
            reading.leave(name, "of that run or machine")
        elif name in TrainJob.model_fields:
            reading.take(name, name, value)
    reading.rest(settings)
    return reading


def _content(path: Path) -> dict[str, Any]:
    """Return the JSON or TOML of a file as a dict."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadInput(f"{path.name} is larger than 2 MB.", "Choose a file of settings.")
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as error:
        raise BadInput(
            f"{path.name} can't be read: {error.strerror or error}.", "Choose another file."
        ) from error
    except (ValueError, RecursionError) as error:
        what = "TOML" if path.suffix.lower() == ".toml" else "JSON"
        raise BadInput(
            f"{path.name} isn't valid {what}: {str(error)[:200]}.", "Save it again and retry."
        ) from error
    return values if isinstance(values, dict) else {}
