"""One tiny base for all of these tests, copied where a test changes it; one torch thread."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from dreamgui.workspace import Workspace
from tests.tiny import make_tiny_base, make_tiny_bundle, make_tiny_controlnet, make_tiny_file

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base with a canny ControlNet. Not to be changed."""
    folder = make_tiny_base(Workspace(tmp_path_factory.mktemp("shared")))
    make_tiny_controlnet(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_file(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base as one file in LDM's layout. Not to be changed."""
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
    demo = make_tiny_bundle(tiny_folder, tmp_path / "assets")
    monkeypatch.setattr("dreamgui.assets.ASSETS", tmp_path / "assets")
    return demo
