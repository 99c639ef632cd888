"""The place of a whole picture in the frame of a map: as large as fits, in the middle, bars beside it."""

from __future__ import annotations

from PIL import Image

Box = tuple[int, int, int, int]


def fitted(size: tuple[int, int], frame: tuple[int, int]) -> Box:
    """Return the largest box with a picture's proportions in the middle of a frame.

    Args:
        size: width and height of the picture in pixels.
        frame: width and height of the frame in pixels.

    Returns:
        x0, y0, x1, y1 in pixels of the frame; each side is at least 1 pixel.
    """
    scale = min(frame[0] / size[0], frame[1] / size[1])
    width, height = (max(1, round(side * scale)) for side in size)
    x, y = (frame[0] - width) // 2, (frame[1] - height) // 2
    return x, y, x + width, y + height


def at_size(image: Image.Image, box: Box) -> Image.Image:
    """Return a picture at the size of a box, by Lanczos."""
    size = (box[2] - box[0], box[3] - box[1])
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def framed(inner: Image.Image, box: Box, frame: tuple[int, int]) -> Image.Image:
    """Return a picture of a box's size in a black frame, as RGB."""
    board = Image.new("RGB", frame)
    board.paste(inner.convert("RGB"), box[:2])
    return board


def bars(box: Box, frame: tuple[int, int]) -> str:
    """Return the sizes of the bars in words, or "" where there are none."""
    left, above, right, below = box[0], box[1], frame[0] - box[2], frame[1] - box[3]
    if left or right:
        return f"{_pixels(left, right)} at the left and the right"
    return f"{_pixels(above, below)} above and below" if above or below else ""


def _pixels(one: int, other: int) -> str:
    return f"{one} pixels" if one == other else f"{one} and {other} pixels"
