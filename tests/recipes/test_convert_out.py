"""Converting to a place of one's own: a folder or a single file, there and back on the command line, certified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dreamgui.cli import main
from dreamgui.config import ConvertJob
from dreamgui.errors import BadInput, Damaged, StopRequested, UnknownName
from dreamgui.events import Event, Progress, Saved
from dreamgui.models.manager import Models
from dreamgui.models.sources.demo_bundle import unpack
from dreamgui.recipes.convert import convert
from dreamgui.workspace import Workspace
from tests.tiny import make_tiny_base, make_tiny_bundle, make_tiny_controlnet

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Assets whose demo model is a tiny base."""
    folder = tmp_path_factory.mktemp("assets")
    base = make_tiny_base(Workspace(tmp_path_factory.mktemp("made")))
    make_tiny_controlnet(base)
    make_tiny_bundle(base, folder)
    return folder


@pytest.fixture
def demo(assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bundled model's single file, as ``dreamgui demo --unpack`` writes it."""
    monkeypatch.setattr("dreamgui.assets.ASSETS", assets)
    return unpack(tmp_path / "bundle")[0]


@pytest.fixture
def workspace(demo: Path, tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "work")


def run(workspace: Workspace, **fields: Any) -> list[Event]:
    return list(convert(ConvertJob(**fields), workspace, Models(workspace, torch.device("cpu"))))


def nothing_is_left(workspace: Workspace, *folders: Path) -> bool:
    left = [path for folder in (workspace.root / "models", *folders) for path in folder.iterdir()]
    return left == []


def test_there_and_back_on_the_command_line(workspace: Workspace, demo: Path, tmp_path: Path) -> None:
    home, folder, back = ["--home", str(workspace.root)], tmp_path / "folder", tmp_path / "back.safetensors"
    assert demo.name == "portraits.safetensors"
    assert main([*home, "convert", str(demo), "--to", "diffusers", "--out", str(folder)]) == 0
    assert main([*home, "convert", str(folder), "--to", "single-file", "--out", str(back)]) == 0
    before, after = load_file(demo), load_file(back)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    for certificate in (folder / "certificate.json", tmp_path / "back.certificate.json"):
        proof = json.loads(certificate.read_text())
        assert proof["passed"] and proof["max_difference"] <= proof["tolerance_max"] and proof["files"]
    assert (tmp_path / "back.README.md").is_file() and nothing_is_left(workspace)


def test_without_a_place_a_single_file_goes_to_the_exports(workspace: Workspace, demo: Path) -> None:
    events = run(workspace, source=str(demo), to="single-file", dtype="bf16")
    (saved,) = (event for event in events if isinstance(event, Saved))
    assert saved.path == workspace.root / "exports" / "portraits.safetensors"
    weights = [value for value in load_file(saved.path).values() if value.is_floating_point()]
    assert all(value.dtype == torch.bfloat16 for value in weights) and nothing_is_left(workspace)


def test_an_installed_model_is_given_out_and_stays(workspace: Workspace, tmp_path: Path) -> None:
    run(workspace)
    run(workspace, source="portraits", to="single-file", out=tmp_path / "one.safetensors")
    assert (tmp_path / "one.certificate.json").is_file() and workspace.names("models") == ["portraits"]
    with pytest.raises(UnknownName):
        run(workspace, source="nobody", to="single-file")


def test_a_taken_place_is_said_before_anything_is_done(
    workspace: Workspace, demo: Path, tmp_path: Path
) -> None:
    (tmp_path / "one.safetensors").write_text("mine")
    steps = convert(
        ConvertJob(source=str(demo), to="single-file", out=tmp_path / "one.safetensors"),
        workspace,
        Models(workspace, torch.device("cpu")),
    )
    with pytest.raises(BadInput, match="exists already"):
        next(iter(steps))
    assert (tmp_path / "one.safetensors").read_text() == "mine"


@pytest.mark.parametrize("label", ["Wrote the VAE", "Exporting", "Generating through the export"])
def test_stopping_leaves_nothing(workspace: Workspace, demo: Path, tmp_path: Path, label: str) -> None:
    job = ConvertJob(source=str(demo), out=tmp_path / "to" / "folder")
    steps: Any = convert(job, workspace, Models(workspace, torch.device("cpu")))
    while not (isinstance(event := next(steps), Progress) and event.label == label):
        pass
    with pytest.raises(StopRequested):
        steps.throw(StopRequested())
    assert nothing_is_left(workspace, *(path for path in [tmp_path / "to"] if path.exists()))


def test_a_file_that_draws_something_else_is_never_called_saved(
    workspace: Workspace, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamgui.exporting.certificate.difference", lambda *_: (255.0, 99.0))
    with pytest.raises(Damaged, match="generates another picture"):
        run(workspace, source=str(demo), out=tmp_path / "to" / "folder")
    assert nothing_is_left(workspace, tmp_path / "to")
