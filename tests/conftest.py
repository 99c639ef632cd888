"""What tests of several rooms share: tiny models, made once; libraries are imported only where a test needs them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models, Parts

LONGEST = (
    "test_learning.py", "test_demo.py", "test_computed_memory.py", "test_worker.py", "test_compiler.py",
    "test_export.py", "test_train_beside.py", "test_kernels.py",
)  # fmt: skip
"""Files of minutes begin first: the last one to end would otherwise keep one core busy and the others idle."""
LONGEST_PAGES = (
    "test_page.py", "test_library_page.py", "test_fields_page.py", "test_clicks_page.py", "test_pose_page.py",
    "test_access_page.py", "test_kept_settings.py", "test_dataset_corrected.py",
)  # fmt: skip
"""The same for those with a browser."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first and those with a browser last; all others keep their order."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.path.name in LONGEST:
        return LONGEST.index(item.path.name)
    # A browser's event loop stays in its process, where asyncio.run then fails.
    if item.path.parent.name != "e2e":
        return len(LONGEST)
    name = item.path.name
    return len(LONGEST) + 1 + (LONGEST_PAGES.index(name) if name in LONGEST_PAGES else len(LONGEST_PAGES))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base with a canny ControlNet. Not to be changed."""
    from tests.tiny import make_tiny_base, make_tiny_controlnet

    folder = make_tiny_base(Workspace(tmp_path_factory.mktemp("shared")))
    make_tiny_controlnet(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_file(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base as one file in LDM's layout. Not to be changed."""
    from tests.tiny import make_tiny_file

    return make_tiny_file(tiny_folder, tmp_path_factory.mktemp("single") / "tiny.safetensors")


@pytest.fixture
def workspace(tmp_path: Path, tiny_folder: Path) -> Workspace:
    """A workspace of its own with the tiny base in it."""
    workspace = Workspace(tmp_path / "work")
    shutil.copytree(tiny_folder, workspace.place("models", "tiny"))
    return workspace


@pytest.fixture
def bundle(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Assets whose demo model is the tiny base."""
    from tests.tiny import make_tiny_bundle

    demo = make_tiny_bundle(tiny_folder, tmp_path / "assets")
    monkeypatch.setattr("dreamgui.assets.ASSETS", tmp_path / "assets")
    return demo


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A manager over one tiny base on the CPU."""
    import torch

    from dreamgui.models.manager import Models
    from tests.tiny import make_tiny_base

    torch.set_num_threads(1)
    workspace = Workspace(tmp_path_factory.mktemp("diffusion"))
    make_tiny_base(workspace)
    return Models(workspace, torch.device("cpu"))


@pytest.fixture
def parts(models: Models) -> Iterator[Parts]:
    """The tiny base, to generate with."""
    from dreamgui.models.catalog.cards import ModelSpec

    with models.use(ModelSpec("tiny")) as parts:
        yield parts


@pytest.fixture(params=["unet", "lora"])
def trained(models: Models, request: pytest.FixtureRequest) -> Iterator[Parts]:
    """The tiny base, to train by either method."""
    from dreamgui.models.manager import LoraSettings

    with models.train("tiny", LoraSettings(4, 4.0) if request.param == "lora" else None) as parts:
        yield parts
