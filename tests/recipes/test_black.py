"""A model whose numbers are NaN gives black pictures. That is said, wherever pictures are made."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from dreamgui.config import CompareJob, GenerateJob
from dreamgui.diffusion.generation import black_notes
from dreamgui.diffusion.sample import ImageRequest
from dreamgui.diffusion.start import StartImage
from dreamgui.events import Note
from dreamgui.models.catalog.catalog import UNET_FILE
from dreamgui.models.manager import Models
from dreamgui.recipes.compare import compare
from dreamgui.recipes.generate import generate
from dreamgui.workspace import Workspace
from tests.diffusion.made import make_dataset
from tests.tiny import make_tiny_base


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A tiny base whose last bias is NaN."""
    workspace = Workspace(tmp_path_factory.mktemp("black"))
    make_dataset(workspace)
    file = make_tiny_base(workspace) / UNET_FILE
    tensors = load_file(file)
    tensors["conv_out.bias"] = torch.full_like(tensors["conv_out.bias"], torch.nan)
    save_file(tensors, file)
    return Models(workspace, torch.device("cpu"))


@pytest.mark.parametrize("way", ["generate", "compare"])
def test_black_pictures_are_said(models: Models, way: str) -> None:
    workspace, settings = models.catalog.workspace, {"steps": 2, "seed": 5}
    if way == "generate":
        job = GenerateJob.model_validate({**settings, "model": "tiny", "prompt": "a cat"})
        events = list(generate(job, workspace, models))
    else:
        grid = CompareJob.model_validate(
            {**settings, "models": ("tiny",), "prompts": ("a cat",), "dataset": "anna"}
        )
        events = list(compare(grid, workspace, models))
    told = [event.text for event in events if isinstance(event, Note) and "NaN" in event.text]
    assert len(told) == 1 and told[0].startswith("The picture of seed 5 is black throughout")


def test_one_light_pixel_or_a_start_image_is_no_fault() -> None:
    black, light = (Image.new("RGB", (8, 8)) for _ in range(2))
    light.putpixel((3, 3), (0, 0, 1))
    plain, begun = ImageRequest("a cat", seed=1), ImageRequest("a cat", seed=2, start=StartImage(black, 0.5))
    assert not list(black_notes([plain, begun], [light, black]))
    [note] = black_notes([plain, plain, begun], [black, black, black])
    assert note.text.startswith("The pictures of seeds 1, 1 are black")
