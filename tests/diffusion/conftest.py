"""One tiny base, lent for drawing or training; one torch thread, as the machine is shared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from dreamgui.models.catalog import ModelSpec
from dreamgui.models.manager import LoraSettings, Models, Parts
from dreamgui.workspace import Workspace
from tests.tiny import make_tiny_base

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A manager over one tiny base on the CPU."""
    workspace = Workspace(tmp_path_factory.mktemp("diffusion"))
    make_tiny_base(workspace)
    return Models(workspace, torch.device("cpu"))


@pytest.fixture
def parts(models: Models) -> Iterator[Parts]:
    """The tiny base, for drawing."""
    with models.use(ModelSpec("tiny")) as parts:
        yield parts


@pytest.fixture(params=["unet", "lora"])
def trained(models: Models, request: pytest.FixtureRequest) -> Iterator[Parts]:
    """The tiny base, for training by either method."""
    with models.train("tiny", LoraSettings(4, 4.0) if request.param == "lora" else None) as parts:
        yield parts
