"""Drawing inside a recipe that has more to do than to draw: a chance to stop, without a flood of events."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from dreamgui.diffusion.sample import ControlInput, Draw, draw_steps
from dreamgui.events import Event, Progress

if TYPE_CHECKING:
    from dreamgui.models.manager import Parts


def drawn(
    parts: Parts, requests: Sequence[Draw], progress: Progress, control: ControlInput | None = None
) -> Generator[Event, None, list[Image.Image]]:
    """Draw pictures; yields the given progress about once a second, and returns the pictures."""
    told = time.monotonic()
    steps = draw_steps(parts, requests, control)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        if time.monotonic() - told > 1:
            told = time.monotonic()
            yield progress
