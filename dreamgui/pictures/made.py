"""Settings of a picture, and the text with them that A1111 writes under "PNG info" and civitai reads.

The form: the prompt, "Negative prompt: ..." where there is one, and a last line of pairs
(:mod:`dreamgui.pictures.parameter_line`). :mod:`dreamgui.pictures.parsed` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dreamgui import __version__
from dreamgui.config import SAMPLER_NAMES
from dreamgui.pictures.parameter_line import written

NEGATIVE = "Negative prompt:"


@dataclass(frozen=True)
class Made:
    """Settings of a picture. Those that another program didn't tell are empty, or 0.

    Attributes:
        sampler: our name, for instance "dpm++"; empty where it isn't one of ours.
        size_px: width and height; (0, 0) is not known.
        loras: name, hash as in "Lora hashes" (or ""), and strength.
        more: further pairs of the line, in their order.
    """

    prompt: str = ""
    negative_prompt: str = ""
    steps: int = 0
    sampler: str = ""
    guidance_scale: float = 0.0
    seed: int | None = None
    size_px: tuple[int, int] = (0, 0)
    model: str = ""
    model_hash: str = ""
    loras: tuple[tuple[str, str, float], ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)


def parameters(made: Made) -> str:
    """Return the text that other programs read."""
    loras = [(_lora_name(name), digest, strength) for name, digest, strength in made.loras]
    tags = "".join(f" <lora:{name}:{strength:.12g}>" for name, _, strength in loras)
    lines = [(_lines_of(made.prompt) + tags).strip()]
    if made.negative_prompt:
        lines.append(f"{NEGATIVE} {_lines_of(made.negative_prompt)}")
    width, height = made.size_px
    pairs = {
        "Steps": str(made.steps),
        "Sampler": SAMPLER_NAMES.get(made.sampler, made.sampler),  # pyright: ignore[reportArgumentType, reportCallIssue]
        "CFG scale": f"{made.guidance_scale:.12g}",
        "Seed": "" if made.seed is None else str(made.seed),
        "Size": f"{width}x{height}" if width else "",
        "Model hash": made.model_hash,
        "Model": made.model,
        **made.more,
        "Lora hashes": ", ".join(f"{name}: {digest}" for name, digest, _ in loras if digest),
        "Version": f"DreamGUI {__version__}",
    }
    return "\n".join([*lines, written(pairs)])


def _lines_of(prompt: str) -> str:
    """A prompt with "\\n" at its lines' ends, and only there."""
    return re.sub(r"\r\n?", "\n", prompt)


def _lora_name(name: str) -> str:
    """A LoRA's name without the characters that end it. A1111 leaves out the same."""
    return re.sub(r'[:,<>"]', "", name)
