"""A real face in each framing, as a model would draw it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from dreamgui.config import Framing

FACE_PX, CENTER = 100, (226, 122)
SHARES: dict[Framing, float] = {"close-up": 0.5, "medium": 0.25, "full": 0.11}


def framed(astronaut: Path, framing: Framing, size_px: int = 128) -> Image.Image:
    """The astronaut with the face at this framing's share of the side."""
    photograph = Image.open(astronaut).convert("RGB")
    canvas = Image.new("RGB", (1512, 1512), (90, 120, 90))
    canvas.paste(photograph, (500, 500))
    side = round(FACE_PX / SHARES[framing])
    x, y = 500 + CENTER[0] - side // 2, 500 + CENTER[1] - side * 2 // 5
    return canvas.crop((x, y, x + side, y + side)).resize((size_px, size_px), Image.Resampling.LANCZOS)
