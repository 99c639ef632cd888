"""A comparison of two models on plain pictures, with scores of two recognisers."""

from __future__ import annotations

import numpy as np
from PIL import Image

from dreamgui.config import CompareJob
from dreamgui.evaluate.comparison import Comparison
from dreamgui.evaluate.drift import ClassDrift
from dreamgui.evaluate.measures.identity import References
from dreamgui.evaluate.model_rows import ModelRow
from dreamgui.evaluate.person import CopyPair
from dreamgui.evaluate.reference import Reference
from dreamgui.events import Cell

PROMPTS = tuple("abcdef")
CLASS = "a photo of woman face"
ROWS = (ModelRow("base", "base", "base"), ModelRow("anna", "lora", "base", 8, class_prompt=CLASS))
SIMILARITY = {"base": 0.2, "anna": 0.6}


def picture(shade: int, side_px: int = 64) -> Image.Image:
    """A picture with a slope, so that two of them correlate."""
    row = np.arange(side_px, dtype=np.uint8) * 2
    return Image.fromarray(np.stack([np.tile(row, (side_px, 1)) // 2 + shade] * 3, axis=2))


def references(name: str) -> References:
    vectors = {str(n): np.array([np.cos(n / 10), np.sin(n / 10)], np.float32) for n in range(4)}
    return References(name, vectors, {})


def compared(**changes: object) -> Comparison:
    """Two models, six prompts, two seeds; the base has no face in its last picture."""
    job = CompareJob(models=("base", "anna"), prompts=PROMPTS, seeds=2, seed=3, dataset="anna")
    cells = []
    for model, mean in SIMILARITY.items():
        for number in range(2):
            for place, prompt in enumerate(PROMPTS):
                value = mean + 0.01 * place - 0.005 * number
                names = ("likeness", "identity", "identity_centroid", "sface", "memorising")
                scores: dict[str, float | None] = dict.fromkeys(names, value)
                scores |= {"yaw": 2.0 * place, "face_height": 0.5, "sharpness": 100.0 + place}
                if (model, number, place) == ("base", 1, 5):
                    scores = dict.fromkeys(scores, None)
                seed = job.seed_of(place, number)
                cells.append(Cell(model, prompt, seed, picture(5 * place + number), scores))
    shades = {"base": 0, "anna": 60}
    values: dict[str, object] = {
        "job": job, "rows": ROWS, "cells": tuple(cells), "class_prompt": CLASS,
        "class_cells": tuple(
            Cell(model, CLASS, 3 + n, picture(shade + n), {"likeness": 0.2})
            for model, shade in shades.items() for n in range(3)
        ),
        "drift": {model: ClassDrift((0.2,) * 3, 0.5, 0.7, 0.1) for model in shades},
        "reference": Reference(None, 4, True), "device": "cpu", "seconds": 1.0,
        "references": {"identity": references("dlib"), "sface": references("SFace")},
        "copies": {"base": (), "anna": (CopyPair(cells[-1], picture(9), "0001.png", 0.02, 0.99),)},
        **changes,
    }  # fmt: skip
    return Comparison(**values)  # pyright: ignore[reportArgumentType]
