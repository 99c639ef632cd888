"""Pictures and datasets made for tests of the training."""

from __future__ import annotations

import numpy as np
from PIL import Image

from dreamgui.data.crop import Photograph
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.faces.detect import Face
from dreamgui.data.framing import Placement
from dreamgui.workspace import Workspace

INSTANCE_PROMPT = "a photo of sks woman face"


def picture(number: int, size_px: int = 64) -> Image.Image:
    """A few coloured blocks, others for each number."""
    blocks = np.random.default_rng(number).integers(0, 255, (4, 4, 3), np.uint8)
    return Image.fromarray(blocks).resize((size_px, size_px), Image.Resampling.BICUBIC)


def make_dataset(workspace: Workspace, name: str = "anna", count: int = 4, size_px: int = 64) -> Dataset:
    """A dataset of block pictures in the workspace."""
    dataset = Dataset.create(workspace.place("datasets", name), size_px, 1.5, INSTANCE_PROMPT, name)
    box = (0, 0, size_px, size_px)
    for number in range(count):
        kept = workspace.place("uploads", name) / f"{number + 1:04d}.png"
        photograph = Photograph(f"{number}.png", kept, (size_px, size_px), Face(box, 0.9, ()), ())
        dataset.add(photograph, Placement("close-up", box, 0.5, 1.0, 0, False), picture(number, size_px))
    return dataset
