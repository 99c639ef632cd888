"""Reading of A1111's text, ours or that of another program: a picture's settings, and what wasn't understood."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from dreamgui.config import SAMPLER_NAMES
from dreamgui.pictures.made import NEGATIVE, Made
from dreamgui.pictures.parameter_line import is_parameter_line, pairs_of

_NETWORK = re.compile(r" ?<(lora|lyco|hypernet):([^:<>]+)((?::[^:<>]*)*)>", re.IGNORECASE)
_READ = {
    "Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model", "Model hash", "Lora hashes", "Version",
}  # fmt: skip
_WHOLE = re.compile(r"-?[0-9]{1,20}")
_PROPOSED = {"dpm++ 2m": "Karras", "dpm++ 2m sde": "Exponential"}
"""Noise levels that A1111's samplers of these names take when the schedule type is "Automatic"."""
_PLAIN = {"", "automatic", "uniform", "normal"}
"""Schedule types of evenly spaced timesteps."""
_SHOWN_CHARACTERS, _MOST_REMARKS = 60, 12


def parsed(text: str) -> tuple[Made, list[str]]:
    """Return how a picture was made, and a sentence for each thing that wasn't understood.

    A text without a line of pairs is a prompt. Nothing that isn't understood is replaced: its field is empty or 0.
    """
    remarks: list[str] = []
    lines = re.sub(r"\r\n?", "\n", text.replace("\0", "")).strip().split("\n")
    prompt, negative, line = _parts(lines, remarks)
    pairs, others = pairs_of(line)
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        remarks.append(f"{_shown(others[0])}{more} in the settings wasn't understood.")
    hashes, _ = pairs_of(pairs.get("Lora hashes", ""))
    made = Made(
        prompt=_NETWORK.sub(_without_lora, prompt).strip(),
        negative_prompt=negative,
        steps=_steps(pairs, remarks),
        sampler=_sampler(pairs, remarks),
        guidance_scale=_number("CFG scale", pairs.get("CFG scale", ""), 0.0, remarks),
        seed=_seed(pairs, remarks),
        size_px=_size(pairs, remarks),
        model=pairs.get("Model", ""),
        model_hash=pairs.get("Model hash", ""),
        loras=_loras(prompt, hashes, remarks),
        more={name: value for name, value in pairs.items() if name not in _READ},
    )
    if len(remarks) > _MOST_REMARKS:
        remarks[_MOST_REMARKS:] = [f"{len(remarks) - _MOST_REMARKS} further remarks are left out."]
    return made, remarks


def _parts(lines: list[str], remarks: list[str]) -> tuple[str, str, str]:
    """The prompt, the negative prompt and the line of pairs, the last line unless an extension wrote behind it."""
    places = [len(lines) - 1]
    places += [place for place in reversed(range(len(lines))) if lines[place].lstrip().startswith("Steps:")]
    place = next((place for place in places if is_parameter_line(lines[place])), len(lines))
    if behind := " ".join(lines[place + 1 :]).strip():
        remarks.append(f"{_shown(behind)} behind the settings wasn't understood.")
    line = lines[place] if place < len(lines) else ""
    before = lines[:place]
    start = next((n for n, each in enumerate(before) if each.lstrip().startswith(NEGATIVE)), len(before))
    negative = "\n".join(before[start:]).strip().removeprefix(NEGATIVE).strip()
    return "\n".join(before[:start]).strip(), negative, line


def _loras(prompt: str, hashes: Mapping[str, str], remarks: list[str]) -> tuple[tuple[str, str, float], ...]:
    """Name, hash and strength of each LoRA in the prompt. One without a strength counts at 1, as A1111 has it."""
    loras = []
    for kind, name, rest in _NETWORK.findall(prompt):
        if kind.lower() != "lora":
            remarks.append(f"<{kind}:{name}> stays in the prompt: only LoRAs are read out.")
            continue
        strength, *others = rest.removeprefix(":").split(":")
        if any(other != strength for other in others):
            remarks.append(f"The LoRA {name!r} has further strengths; the first one counts.")
        number = _number(f"strength of the LoRA {name!r}", strength or "1", 1.0, remarks)
        loras.append((name, hashes.get(name, ""), number))
    return tuple(loras)


def _without_lora(found: re.Match[str]) -> str:
    return "" if found[1].lower() == "lora" else found[0]


def _sampler(pairs: Mapping[str, str], remarks: list[str]) -> str:
    """Our name of a sampler. Newer versions of A1111 tell its noise levels apart, as "Schedule type"."""
    name, schedule = pairs.get("Sampler", ""), pairs.get("Schedule type", "")
    if schedule.lower() == "automatic":
        schedule = _PROPOSED.get(name.lower(), "")
    plain = schedule.lower() in _PLAIN or name.lower().endswith(f" {schedule.lower()}")
    wanted = name if plain else f"{name} {schedule}"
    for ours, theirs in SAMPLER_NAMES.items():
        if theirs.lower() == wanted.lower():
            return ours
    if name:
        remarks.append(f"The sampler {_shown(wanted)} isn't known here. The chosen one is kept.")
    return ""


def _steps(pairs: Mapping[str, str], remarks: list[str]) -> int:
    text = pairs.get("Steps", "")
    if not text or re.fullmatch(r"[0-9]{1,6}", text):
        return int(text or 0)
    remarks.append(_no_number("Steps", text))
    return 0


def _seed(pairs: Mapping[str, str], remarks: list[str]) -> int | None:
    text = pairs.get("Seed", "")
    if _WHOLE.fullmatch(text):
        return int(text)
    if text:
        remarks.append(_no_number("Seed", text))
    return None


def _size(pairs: Mapping[str, str], remarks: list[str]) -> tuple[int, int]:
    text = pairs.get("Size", "")
    if size := re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text):
        return int(size[1]), int(size[2])
    if text:
        remarks.append(f"Size {_shown(text)} isn't width x height. The chosen one is kept.")
    return 0, 0


def _number(what: str, text: str, otherwise: float, remarks: list[str]) -> float:
    if not text:
        return otherwise
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return number
    remarks.append(_no_number(what, text))
    return otherwise


def _no_number(what: str, text: str) -> str:
    return f"{what[0].upper()}{what[1:]}: {_shown(text)} isn't a number in its range. It was left out."


def _shown(text: str) -> str:
    """A piece of another program's text as a sentence can hold it."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}...")
