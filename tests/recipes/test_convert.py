"""Converting: the bundle, a file, a pickled checkpoint; refused files leave nothing behind."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dreamgui.assets import ASSETS
from dreamgui.config import ConvertJob
from dreamgui.errors import BadModelFile, NotEnoughDisk, UnknownName
from dreamgui.events import Event, Progress, Saved
from dreamgui.models.cards import ModelSpec
from dreamgui.models.manager import Models
from dreamgui.recipes.convert import convert
from dreamgui.workspace import Workspace
from tests.tiny import make_tiny_base, make_tiny_bundle, make_tiny_controlnet, make_tiny_file

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_tiny_base(Workspace(tmp_path_factory.mktemp("made")))
    make_tiny_controlnet(folder)
    return folder


@pytest.fixture(scope="module")
def bundle(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assets = tmp_path_factory.mktemp("assets")
    make_tiny_bundle(tiny_folder, assets)
    return assets


@pytest.fixture
def workspace(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty workspace; the bundled model is the tiny base; sockets are forbidden."""
    monkeypatch.setattr("dreamgui.assets.ASSETS", bundle)

    def refuse(*_: object) -> None:
        raise AssertionError("converting must not open a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)
    return Workspace(tmp_path / "work")


def run(workspace: Workspace, **fields: Any) -> list[Event]:
    return list(convert(ConvertJob(**fields), workspace, Models(workspace, torch.device("cpu"))))


def saved(events: list[Event]) -> Saved:
    assert isinstance(events[-1], Saved) and sum(isinstance(event, Saved) for event in events) == 1
    return events[-1]


def test_the_bundled_model(workspace: Workspace, tiny_folder: Path) -> None:
    events = run(workspace)
    assert saved(events) == Saved("model", "portraits", workspace.place("models", "portraits"))
    steps = [(event.done, event.total) for event in events if isinstance(event, Progress)]
    assert [done for done, _ in steps] == sorted({done for done, _ in steps}) and steps[-1] == (6, 6)
    models = Models(workspace, torch.device("cpu"))
    card = models.catalog.card("portraits")
    assert (card.name, card.family, card.size_px, card.source) == ("portraits", "demo", 64, "demo")
    assert card.recommended == {"lora": {"steps": 5}} and len(card.sha256) == 64
    with models.use(ModelSpec("portraits", controlnet="canny")) as parts:
        original = load_file(tiny_folder / "unet" / "diffusion_pytorch_model.safetensors")
        state = parts.unet.state_dict()
        assert all(torch.equal(state[key], original[key].float()) for key in original)
        original = load_file(tiny_folder / "text_encoder" / "model.safetensors")
        state = {
            key.removeprefix("text_model."): value for key, value in parts.text_encoder.state_dict().items()
        }
        assert all(torch.equal(state[k.removeprefix("text_model.")], v.float()) for k, v in original.items())


def test_the_bundled_model_again_takes_its_own_place(workspace: Workspace) -> None:
    run(workspace)
    run(workspace)
    assert Models(workspace, torch.device("cpu")).catalog.bases() == ["portraits"]


def test_names(workspace: Workspace, tiny_folder: Path, tmp_path: Path) -> None:
    path = make_tiny_file(tiny_folder, tmp_path / "My Model v1.2.safetensors")
    assert saved(run(workspace, source=str(path))).name == "My-Model-v1.2"
    assert saved(run(workspace, source=str(path))).name == "My-Model-v1.2"
    other = make_tiny_file(
        make_tiny_base(Workspace(tmp_path / "second"), seed=5), tmp_path / "other.safetensors"
    )
    assert saved(run(workspace, source=str(other), model="My-Model-v1.2")).name == "My-Model-v1.2-2"
    assert saved(run(workspace, source=str(other), model="x", dtype="fp32")).name == "x"
    unet = load_file(workspace.place("models", "x") / "unet" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in unet.values()} == {torch.float32}


def test_a_pickled_checkpoint(workspace: Workspace, tiny_folder: Path, tmp_path: Path) -> None:
    tensors = load_file(make_tiny_file(tiny_folder, tmp_path / "x.safetensors"))
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "old.ckpt")
    assert saved(run(workspace, source=str(tmp_path / "old.ckpt"))).name == "old"


def test_refused_files_leave_nothing_behind(workspace: Workspace, tmp_path: Path) -> None:
    page = tmp_path / "page.safetensors"
    page.write_text("<html>Log in</html>")
    with pytest.raises(BadModelFile, match="web page"):
        run(workspace, source=str(page))
    with pytest.raises(UnknownName, match="no file"):
        run(workspace, source=str(tmp_path / "nothing.safetensors"))
    whole = make_tiny_file(make_tiny_base(Workspace(tmp_path / "w")), tmp_path / "nan.safetensors")
    tensors = load_file(whole)
    tensors["first_stage_model.decoder.conv_out.bias"][0] = float("nan")
    save_file(tensors, tmp_path / "nan.safetensors")
    with pytest.raises(BadModelFile, match=r"decoder\.conv_out\.bias holds NaN"):
        run(workspace, source=str(tmp_path / "nan.safetensors"))
    assert list((workspace.root / "models").iterdir()) == []


def test_a_full_disk_is_said_before_anything_is_written(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(workspace.root)
    monkeypatch.setattr("dreamgui.workspace.shutil.disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(NotEnoughDisk):
        run(workspace)
    assert list((workspace.root / "models").iterdir()) == []


@pytest.mark.skipif(not (ASSETS / "demo" / "card.json").is_file(), reason="the demo model isn't there yet")
def test_the_real_bundle(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work")
    assert saved(run(workspace)).name == "portraits"
    models = Models(workspace, torch.device("cpu"))
    for kind in ("canny", "pose"):
        with models.use(ModelSpec("portraits", controlnet=kind)) as parts:
            assert parts.controlnet is not None and parts.card.family == "demo" and parts.card.recommended
