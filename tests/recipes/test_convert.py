"""Converting: the bundle, a file, a pickled checkpoint; refused files leave nothing behind."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save, save_file

from dreamgui.assets import ASSETS
from dreamgui.config import ConvertJob
from dreamgui.errors import BadInput, BadModelFile, NotEnoughDisk, StopRequested, UnknownName
from dreamgui.events import Event, Note, Progress, Saved
from dreamgui.models.catalog.cards import ModelSpec
from dreamgui.models.files.layout import PARTS, PREFIXES, Part
from dreamgui.models.manager import Models
from dreamgui.models.recognition.components import WEIGHTS
from dreamgui.recipes.convert import convert
from dreamgui.workspace import Workspace
from tests.models.server import Server, civitai_answers, hub_answers
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


def events_notes(events: list[Event]) -> str:
    return " ".join(event.text for event in events if isinstance(event, Note))


def split(tensors: dict[str, torch.Tensor], *starts: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in tensors.items() if key.startswith(starts)}


@pytest.fixture
def whole(tiny_folder: Path, tmp_path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a tiny checkpoint."""
    return load_file(make_tiny_file(tiny_folder, tmp_path / "whole.safetensors"))


@pytest.mark.parametrize(
    ("starts", "own", "words"),
    [
        (
            ("model.diffusion_model.",),
            "unet",
            "text encoder .* from the model 'portraits'; VAE .* from the model 'portraits'",
        ),
        (
            ("first_stage_model.",),
            "vae",
            "UNet .* from the model 'portraits'; .* VAE .* from part.safetensors",
        ),
        (
            ("cond_stage_model.",),
            "text_encoder",
            "UNet .* 'portraits'; text encoder .* from part.safetensors",
        ),
        (("model.diffusion_model.", "cond_stage"), "unet", "VAE .* from the model 'portraits'"),
    ],
)
def test_what_lacks_parts_is_completed_from_a_base(
    workspace: Workspace, tmp_path: Path, starts: tuple[str, ...], own: str, words: str
) -> None:
    run(workspace)
    other = make_tiny_base(Workspace(tmp_path / "other"), seed=9)
    tensors = load_file(make_tiny_file(other, tmp_path / "other.safetensors"))
    save_file(split(tensors, *starts), tmp_path / "part.safetensors")
    events = run(workspace, source=str(tmp_path / "part.safetensors"), base="portraits")
    assert re.search(words, events_notes(events))
    folder, base = saved(events).path, workspace.place("models", "portraits")
    for part in PARTS:
        origin = (
            other
            if any(
                PREFIXES[part].startswith(start) or start.startswith(PREFIXES[part][:10]) for start in starts
            )
            else base
        )
        ours, theirs = load_file(folder / WEIGHTS[part]), load_file(origin / WEIGHTS[part])
        plain = {key.removeprefix("text_model."): value for key, value in theirs.items()}
        assert all(
            torch.equal(value, plain[key.removeprefix("text_model.")]) for key, value in ours.items()
        ), part
    card = Models(workspace, torch.device("cpu")).catalog.card("part")
    assert card.components[own] == "part.safetensors" and "the model 'portraits'" in card.components.values()


def test_what_lacks_parts_is_refused_without_a_base(
    workspace: Workspace, whole: dict, tmp_path: Path
) -> None:
    save_file(split(whole, "model.diffusion_model."), tmp_path / "unet.safetensors")
    with pytest.raises(BadModelFile, match=r"UNet alone.*none yet"):
        run(workspace, source=str(tmp_path / "unet.safetensors"))
    run(workspace)
    with pytest.raises(BadModelFile, match="Installed: portraits"):
        run(workspace, source=str(tmp_path / "unet.safetensors"))
    with pytest.raises(UnknownName, match="nobody"):
        run(workspace, source=str(tmp_path / "unet.safetensors"), base="nobody")


def bare(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


@pytest.mark.parametrize("style", ["ldm", "diffusers", "old attention"])
@pytest.mark.parametrize("part", ["unet", "vae"])
def test_bare_parts_in_either_naming(
    workspace: Workspace, whole: dict, tiny_folder: Path, tmp_path: Path, part: Part, style: str
) -> None:
    run(workspace)
    tensors = bare(whole, PREFIXES[part])
    if style != "ldm":
        tensors = load_file(tiny_folder / WEIGHTS[part])
    if style == "old attention":
        for new, old in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
            tensors = {
                key.replace(f".{new}.", f".{old}.") if part == "vae" else key: value
                for key, value in tensors.items()
            }
    save_file(tensors, tmp_path / "x.safetensors")
    folder = saved(run(workspace, source=str(tmp_path / "x.safetensors"), base="portraits")).path
    ours, theirs = load_file(folder / WEIGHTS[part]), load_file(tiny_folder / WEIGHTS[part])
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("wrap", ["", "module.", "state_dict."])
def test_ema_weights_are_taken_when_chosen(
    workspace: Workspace, whole: dict, tmp_path: Path, wrap: str
) -> None:
    ema = {
        "model_ema." + key.removeprefix("model.").replace(".", ""): value + 1
        for key, value in whole.items() if key.startswith("model.diffusion_model.")
    }  # fmt: skip
    tensors = {
        wrap + key: value.contiguous()
        for key, value in (whole | ema | {"model_ema.decay": torch.ones(())}).items()
    }
    save_file(tensors, tmp_path / "ema.safetensors")
    plain = saved(run(workspace, source=str(tmp_path / "ema.safetensors"), model="plain")).path
    average = saved(
        run(workspace, source=str(tmp_path / "ema.safetensors"), model="average", unet_weights="ema")
    ).path
    one, two = load_file(plain / WEIGHTS["unet"]), load_file(average / WEIGHTS["unet"])
    assert one.keys() == two.keys() and all(torch.equal(two[key], one[key] + 1) for key in one)
    save_file(whole, tmp_path / "none.safetensors")
    with pytest.raises(BadModelFile, match="no EMA"):
        run(workspace, source=str(tmp_path / "none.safetensors"), unet_weights="ema")


def test_a_velocity_model_keeps_its_mark(workspace: Workspace, whole: dict, tmp_path: Path) -> None:
    save_file(whole | {"v_pred": torch.zeros(0)}, tmp_path / "v.safetensors")
    folder = saved(run(workspace, source=str(tmp_path / "v.safetensors"))).path
    assert (
        json.loads((folder / "scheduler" / "scheduler_config.json").read_text())["prediction_type"]
        == "v_prediction"
    )


@pytest.mark.parametrize("legacy", [False, True])
def test_every_kind_of_pickle_gives_the_same_model(
    workspace: Workspace, whole: dict, tmp_path: Path, legacy: bool
) -> None:
    run(workspace)
    torch.save(whole, tmp_path / "bare.ckpt", _use_new_zipfile_serialization=not legacy)
    folder = saved(run(workspace, source=str(tmp_path / "bare.ckpt"))).path
    for part in PARTS:
        ours, theirs = (
            load_file(folder / WEIGHTS[part]),
            load_file(workspace.place("models", "portraits") / WEIGHTS[part]),
        )
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_diffusers_folder(workspace: Workspace, tiny_folder: Path) -> None:
    card = Models(workspace, torch.device("cpu")).catalog.card(
        saved(run(workspace, source=str(tiny_folder), model="copy")).name
    )
    assert card.family == "demo" and card.source == "tiny" and not card.components
    ours, theirs = (
        load_file(folder / WEIGHTS["vae"]) for folder in (workspace.place("models", "copy"), tiny_folder)
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    with pytest.raises(BadInput, match="without a UNet"):
        run(workspace, source=str(workspace.root))


@pytest.fixture
def online(
    workspace: Workspace, bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Server]:
    """A server that plays civitai and the hub; sockets are allowed again."""
    monkeypatch.undo()
    monkeypatch.setattr("dreamgui.assets.ASSETS", bundle)
    with Server() as server:
        monkeypatch.setenv("DREAMGUI_CIVITAI_URL", server.url)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        yield server


def test_from_civitai_with_a_stop_in_between(
    online: Server, workspace: Workspace, tiny_folder: Path, tmp_path: Path
) -> None:
    data = make_tiny_file(tiny_folder, tmp_path / "x.safetensors").read_bytes()
    civitai_answers(online, data, "Anna v2.safetensors")
    online.needs["/api/download/models/42"] = "sesame"
    config = ConvertJob(source="https://civitai.com/models/7?modelVersionId=42", token="sesame")
    steps = convert(config, workspace, Models(workspace, torch.device("cpu")))
    assert isinstance(next(steps), Progress)
    with pytest.raises(StopRequested):
        steps.throw(StopRequested())
    assert workspace.names("models") == []
    events = list(convert(config, workspace, Models(workspace, torch.device("cpu"))))
    assert saved(events).name == "Anna-v2"
    card = Models(workspace, torch.device("cpu")).catalog.card("Anna-v2")
    assert (card.source, card.sha256) == ("civitai:42:Anna v2.safetensors", hashlib.sha256(data).hexdigest())
    assert any("range" in headers for headers in online.headers("/api/download/models/42"))
    assert [path.name for path in (workspace.root / "models").iterdir()] == ["Anna-v2"]
    assert "sesame" not in repr(events)


def test_a_login_page_from_civitai_leaves_nothing_behind(online: Server, workspace: Workspace) -> None:
    civitai_answers(online, b"x")
    online.pages.add("/api/download/models/42")
    with pytest.raises(BadInput, match="asks for a login") as caught:
        run(workspace, source="civitai:42")
    assert "CIVITAI_API_TOKEN" in caught.value.next_step and workspace.names("models") == []


def test_a_folder_from_the_hub(online: Server, workspace: Workspace, tiny_folder: Path) -> None:
    files = {
        path.relative_to(tiny_folder).as_posix(): path.read_bytes()
        for path in tiny_folder.rglob("*")
        if path.is_file()
    }
    hub_answers(online, "anna/portraits", files)
    events = run(workspace, source="anna/portraits")
    card = Models(workspace, torch.device("cpu")).catalog.card(saved(events).name)
    assert card.name == "portraits" and card.source == f"anna/portraits@{'c' * 40}"
    assert "at commit cccccccccccc" in events_notes(events)
    assert [path.name for path in (workspace.root / "models").iterdir()] == ["portraits"]


def split_unet(folder: Path, index: str, factor: float = 1.0) -> dict[str, bytes]:
    """A folder's files as a repository has them, with the UNet (times a factor) in two files."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path != folder / WEIGHTS["unet"]
    }
    tensors = {key: value * factor for key, value in load_file(folder / WEIGHTS["unet"]).items()}
    places = {key: f"part-{number % 2}.safetensors" for number, key in enumerate(sorted(tensors))}
    for name in ("part-0.safetensors", "part-1.safetensors"):
        files[f"unet/{name}"] = save({key: tensors[key] for key in places if places[key] == name})
    return files | {f"unet/{index}": json.dumps({"weight_map": places}).encode()}


@pytest.mark.parametrize(
    "index",
    ["diffusion_pytorch_model.safetensors.index.json", "diffusion_pytorch_model.fp16.safetensors.index.json"],
)
def test_split_weights_from_the_hub(
    online: Server, workspace: Workspace, tiny_folder: Path, index: str
) -> None:
    hub_answers(online, "anna/split", split_unet(tiny_folder, index))
    name = saved(run(workspace, source="anna/split")).name
    ours = load_file(workspace.place("models", name) / WEIGHTS["unet"])
    theirs = load_file(tiny_folder / WEIGHTS["unet"])
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key].half()) for key in ours)


def test_two_models_with_the_same_index_are_two(
    online: Server, workspace: Workspace, tiny_folder: Path
) -> None:
    index = "diffusion_pytorch_model.safetensors.index.json"
    hub_answers(online, "anna/split", split_unet(tiny_folder, index))
    assert saved(run(workspace, source="anna/split")).name == "split"
    hub_answers(online, "berta/split", split_unet(tiny_folder, index, factor=0.5))
    assert saved(run(workspace, source="berta/split")).name != "split"


def test_a_missing_piece_of_split_weights_is_named(
    online: Server, workspace: Workspace, tiny_folder: Path
) -> None:
    files = split_unet(tiny_folder, "diffusion_pytorch_model.safetensors.index.json")
    del files["unet/part-1.safetensors"]
    hub_answers(online, "anna/split", files)
    with pytest.raises(BadInput, match=r"anna/split lacks part-1\.safetensors"):
        run(workspace, source="anna/split")
    assert workspace.names("models") == []


def test_a_wrong_file_from_the_hub_is_refused_and_removed(online: Server, workspace: Workspace) -> None:
    hub_answers(
        online,
        "anna/lora",
        {"lora.safetensors": save({"unet.x.attn2.to_k.lora_A.weight": torch.zeros(4, 768)})},
    )
    with pytest.raises(BadModelFile, match=r"LoRA \(diffusers"):
        run(workspace, source="anna/lora")
    assert list((workspace.root / "models").iterdir()) == []


def test_stale_leftovers_are_swept_and_fresh_ones_kept(workspace: Workspace) -> None:
    shelf, exports = workspace.root / "models", workspace.root / "exports" / ".export.old"
    exports.mkdir(parents=True)
    os.utime(exports, (1, 1))
    for name in (".convert.old", ".download.old", ".convert.new", "kept"):
        (shelf / name).mkdir()
        (shelf / name / "file").write_text("x")
    for path in [
        *(shelf / ".convert.old").rglob("*"),
        shelf / ".convert.old",
        shelf / ".download.old",
        shelf / "kept",
    ]:
        os.utime(path, (1, 1))
    os.utime(shelf / ".download.old" / "file")
    Models(workspace, torch.device("cpu"))
    assert sorted(path.name for path in shelf.iterdir()) == [".convert.new", ".download.old", "kept"]
    assert not exports.exists()


OFFLINE = """
import socket, sys
def refuse(*_, **__): raise SystemExit("a socket was opened")
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refuse
socket.create_connection = socket.getaddrinfo = refuse
from pathlib import Path
import torch
from dreamgui.config import ConvertJob
from dreamgui.models.manager import Models
from dreamgui.recipes.convert import convert
from dreamgui.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]))
print(list(convert(ConvertJob(source=sys.argv[2]), workspace, Models(workspace, torch.device("cpu"))))[-1])
"""


def test_with_the_network_cut_off(workspace: Workspace, bundle: Path, whole: dict, tmp_path: Path) -> None:
    """In a process of its own, so that no import of ours was done before the sockets were taken away."""
    torch.save({"state_dict": whole}, tmp_path / "old.ckpt")
    command = [sys.executable, "-c", OFFLINE, str(workspace.root), str(tmp_path / "old.ckpt")]
    environment = os.environ | {"DREAMGUI_ASSETS": str(bundle), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Saved(what='model', name='old'" in done.stdout
