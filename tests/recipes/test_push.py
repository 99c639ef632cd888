"""A run pushed to a web server on loopback that plays the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load

from dreamgui.config import PushJob
from dreamgui.errors import BadInput, StopRequested
from dreamgui.events import Event, Note, Progress
from dreamgui.models.manager import Models
from dreamgui.models.sources import login
from dreamgui.pictures.made import Made
from dreamgui.pictures.store import keep_picture
from dreamgui.recipes.workshop.push import push
from dreamgui.workspace import EXPORTS, Workspace, write_json
from tests.models.hub_server import TOKEN, HubServer
from tests.recipes.runs import make_run


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with HubServer() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server


@pytest.fixture
def lent(workspace: Workspace) -> Models:
    make_run(workspace, "tiny", "anna-lora", "lora")
    make_run(workspace, "tiny", "anna-unet", "unet")
    for number, (model, prompt) in enumerate([("anna-lora", "a"), ("tiny", "b"), ("anna-lora", "a: b")]):
        made = Made(prompt=prompt, seed=number, size_px=(64, 64))
        keep_picture(workspace, Image.new("RGB", (64, 64), (9, 9, number)), made, {"model": model}, {})
    return Models(workspace, torch.device("cpu"))


def pushed(workspace: Workspace, models: Models, **settings: object) -> list[Event]:
    return list(push(PushJob(**{"token": TOKEN, **settings}), workspace, models))


def test_a_lora_becomes_a_private_repository(workspace: Workspace, lent: Models, hub: HubServer) -> None:
    write_json(
        workspace.place("reports", "first") / "report.json",
        {"models": [{"name": "anna-lora", "likeness": 0.625}]},
    )
    events = pushed(workspace, lent, model="anna-lora", repo="her")
    assert hub.repositories == {"anna/her": True}
    files = hub.files["anna/her"]
    assert sorted(files) == [
        "README.md", "certificate.json", "images/0.png", "images/1.png", "pytorch_lora_weights.safetensors",
    ]  # fmt: skip
    ours = lent.catalog.run_file("anna-lora").read_bytes()
    assert load(files["pytorch_lora_weights.safetensors"]).keys() == load(ours).keys()
    assert b"parameters" not in files["images/0.png"]
    _, metadata, text = files["README.md"].decode().split("---\n", 2)
    card = yaml.safe_load(metadata)
    assert {"lora", "template:sd-lora", "text-to-image", "diffusers"} <= set(card["tags"])
    assert [each["text"] for each in card["widget"]] == ["a: b", "a"]
    assert card["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.625
    assert "Certificate" in text and "anna-lora" in text
    note = next(event.text for event in reversed(events) if isinstance(event, Note))
    assert f"{hub.url}/anna/her" in note and "only you" in note
    assert not list((workspace.root / EXPORTS).iterdir())


def test_a_unet_becomes_a_diffusers_folder(workspace: Workspace, lent: Models, hub: HubServer) -> None:
    pushed(workspace, lent, model="anna-unet", private=False)
    assert hub.repositories == {"anna/anna-unet": False}
    files = hub.files["anna/anna-unet"]
    assert {"model_index.json", "unet/diffusion_pytorch_model.safetensors", "README.md"} <= set(files)
    assert not [name for name in files if name.startswith("images")]


def test_a_public_repository_is_never_taken_for_a_private_one(
    workspace: Workspace, lent: Models, hub: HubServer
) -> None:
    hub.repositories["anna/her"] = False
    with pytest.raises(BadInput, match="everybody sees it"):
        pushed(workspace, lent, model="anna-lora", repo="her")
    assert not hub.files


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"token": ""}, "no login"),
        ({"token": "hf_wrong"}, "401"),
        ({"repo": "bert/her"}, "403"),
        ({"repo": "a b"}, "name"),
        ({"model": "tiny"}, "base model"),
    ],
)
def test_what_cannot_be_pushed_is_refused_before_the_export(
    workspace: Workspace, lent: Models, hub: HubServer, settings: dict[str, str], told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        pushed(workspace, lent, **{"model": "anna-lora", **settings})
    assert not hub.files


def test_a_refused_commit_is_told_without_the_servers_words(
    workspace: Workspace, lent: Models, hub: HubServer
) -> None:
    hub.refuse = 500
    with pytest.raises(BadInput, match="status 500") as refused:
        pushed(workspace, lent, model="anna-lora")
    assert "img" not in str(refused.value)
    assert not list((workspace.root / EXPORTS).iterdir())


def test_stop_between_two_files_shows_nothing(workspace: Workspace, lent: Models, hub: HubServer) -> None:
    running = push(PushJob(model="anna-lora", token=TOKEN), workspace, lent)
    next(event for event in running if isinstance(event, Progress) and "images/0" in event.label)
    with pytest.raises(StopRequested):
        running.throw(StopRequested())
    assert not hub.files and not list((workspace.root / EXPORTS).iterdir())


def test_strangers_never_push_with_the_machines_login(
    workspace: Workspace, lent: Models, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "get_token", lambda: TOKEN)
    monkeypatch.setattr(login, "_lent", [True])
    pushed(workspace, lent, model="anna-lora", token="")
    login.keep_to_owner()
    with pytest.raises(BadInput, match="no login"):
        pushed(workspace, lent, model="anna-lora", token="")


def test_the_token_is_never_written(workspace: Workspace) -> None:
    assert TOKEN not in PushJob(model="anna-lora", token=TOKEN).model_dump_json()
