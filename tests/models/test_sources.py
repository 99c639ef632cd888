"""What users type as a source, and what civitai and Hugging Face answer (a real server on loopback plays them)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from dreamgui.config import ConvertJob
from dreamgui.errors import BadInput, BadModelFile, UnknownName
from dreamgui.models.sources import civitai, hub
from dreamgui.models.sources.source import BundledModel, CivitaiModel, HubModel, LocalPath, parse_source
from tests.models.server import Server, civitai_answers, hub_answers


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("demo", BundledModel()),
        ("128713", CivitaiModel(None, 128713)),
        ("civitai:128713", CivitaiModel(None, 128713)),
        ("https://civitai.com/models/4201/realistic-vision", CivitaiModel(4201, None)),
        ("https://civitai.com/models/4201/a-b?modelVersionId=501240", CivitaiModel(4201, 501240)),
        ("https://www.civitai.com/models/4201?modelVersionId=501240&x=1", CivitaiModel(4201, 501240)),
        (
            "https://civitai.com/api/download/models/501240?type=Model&format=SafeTensor",
            CivitaiModel(None, 501240),
        ),
        ("owner/name", HubModel("owner/name")),
        ("hf:owner/name", HubModel("owner/name")),
        ("owner/name@fp16", HubModel("owner/name", "fp16")),
        ("owner/name@v1.0:sub/file.safetensors", HubModel("owner/name", "v1.0", "sub/file.safetensors")),
        ("https://huggingface.co/owner/name", HubModel("owner/name")),
        ("https://huggingface.co/owner/name/tree/fp16", HubModel("owner/name", "fp16")),
        (
            "https://huggingface.co/owner/name/blob/main/a%20b.safetensors",
            HubModel("owner/name", "main", "a b.safetensors"),
        ),
        (
            "https://huggingface.co/o/n/resolve/main/x/y.ckpt?download=true",
            HubModel("o/n", "main", "x/y.ckpt"),
        ),
    ],
)
def test_sources_are_read(text: str, source: object) -> None:
    assert parse_source(text) == source


def test_a_path_that_exists_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert parse_source("owner/name") == LocalPath(Path("owner/name"))


@pytest.mark.parametrize(
    "text",
    ["", " ", "/no/such/file.safetensors", "no.ckpt", "models/no.safetensors", "https://example.com/x.ckpt", "https://civitai.com/images/3",
     "https://civitai.com/models/x", "ftp://civitai.com/models/4", "../../x", "a\0b", "x" * 9000, "owner/../name", "https://civitai.com.evil.com/models/3"],
)  # fmt: skip
def test_what_is_no_source_is_said(text: str) -> None:
    with pytest.raises(UnknownName) as caught:
        parse_source(text)
    assert caught.value.next_step and len(str(caught.value)) < 500


def test_a_token_is_never_dumped() -> None:
    job = ConvertJob(
        source="https://civitai.com/api/download/models/5?token=sesame&type=Model", token="sesame"
    )
    assert "sesame" not in job.model_dump_json() + repr(job) + str(job) and job.token == "sesame"
    assert job.source == "https://civitai.com/api/download/models/5?type=Model"
    assert (
        ConvertJob(source="https://civitai.com/models/5?token=sesame").source
        == "https://civitai.com/models/5"
    )


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    with Server() as running:
        monkeypatch.setenv("DREAMGUI_CIVITAI_URL", running.url)
        monkeypatch.delenv("CIVITAI_API_TOKEN", raising=False)
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", running.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield running


def test_a_civitai_version(server: Server) -> None:
    civitai_answers(server, b"x" * 1000)
    remote, told = civitai.find_file(CivitaiModel(7, 42))
    assert (remote.name, remote.size_bytes, len(remote.sha256)) == ("anna.safetensors", 1000, 64)
    assert remote.url == f"{server.url}/api/download/models/42" and told == "civitai:42:anna.safetensors"
    assert civitai.find_file(CivitaiModel(7, None)) == (remote, told)


def test_a_civitai_token_from_the_field_or_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    civitai_answers(server, b"x")
    server.needs["/api/v1/model-versions/42"] = "sesame"
    with pytest.raises(BadInput, match="login") as caught:
        civitai.find_file(CivitaiModel(None, 42))
    assert "CIVITAI_API_TOKEN" in caught.value.next_step
    assert civitai.find_file(CivitaiModel(None, 42), "sesame")[0].headers == {
        "Authorization": "Bearer sesame"
    }
    monkeypatch.setenv("CIVITAI_API_TOKEN", "sesame")
    assert civitai.find_file(CivitaiModel(None, 42))[0].headers
    civitai_answers(server, b"x", file={"downloadUrl": "http://elsewhere.example/x"})
    assert civitai.find_file(CivitaiModel(None, 42))[0].headers == {}


def test_the_best_civitai_file(server: Server) -> None:
    files = [
        {"name": "a.ckpt", "type": "Model", "primary": True},
        {"name": "vae.pt", "type": "VAE"},
        {"name": "b.safetensors", "type": "Model"},
    ]
    civitai_answers(server, b"x", files=files)
    assert civitai.find_file(CivitaiModel(None, 42))[0].name == "b.safetensors"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"type": "LORA"}}, "LORA"),
        ({"baseModel": "SDXL 1.0"}, "made for SDXL"),
        ({"files": []}, "no model file"),
        ({"files": [{"type": "Model"}]}, "unknown way"),
        ({"files": 5}, "unknown way"),
    ],
)
def test_civitai_versions_that_do_not_serve(server: Server, changes: dict, words: str) -> None:
    civitai_answers(server, b"x", **changes)
    with pytest.raises((BadInput, BadModelFile), match=words):
        civitai.find_file(CivitaiModel(None, 42))


def test_civitai_missing_closed_or_gone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="no model version 43"):
        civitai.find_file(CivitaiModel(None, 43))
    server.pages.add("/api/v1/model-versions/44")
    with pytest.raises(BadInput, match="answers with a page"):
        civitai.find_file(CivitaiModel(None, 44))
    monkeypatch.setenv("DREAMGUI_CIVITAI_URL", "http://127.0.0.1:9")
    with pytest.raises(BadInput, match="can't be reached"):
        civitai.find_file(CivitaiModel(None, 42))


FOLDER = {name: b"x" for name in ("unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors",
          "vae/diffusion_pytorch_model.safetensors", "text_encoder/pytorch_model.bin", "scheduler/scheduler_config.json", "README.md")}  # fmt: skip


def test_a_hub_folder_is_pinned_and_small(server: Server) -> None:
    hub_answers(server, "anna/portraits", FOLDER)
    files = hub.find_files(HubModel("anna/portraits"))
    assert files.origin == f"anna/portraits@{'c' * 40}" and not files.single and not files.cached
    assert {place: remote.url.split("c" * 40 + "/")[1] for place, remote in files.remotes.items()} == {
        "unet/diffusion_pytorch_model.safetensors": "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.safetensors": "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors": "text_encoder/pytorch_model.bin",
        "scheduler/scheduler_config.json": "scheduler/scheduler_config.json",
    }


INDEXES = ["diffusion_pytorch_model.safetensors.index.json", "diffusion_pytorch_model.fp16.safetensors.index.json",
           "diffusion_pytorch_model.safetensors.index.fp16.json"]  # fmt: skip


@pytest.mark.parametrize("index", INDEXES)
def test_split_weights_on_the_hub(server: Server, index: str) -> None:
    """The index keeps its name, and all that lies beside it may be asked for."""
    shards = [f"unet/any-0000{number}.safetensors" for number in (1, 2)]
    split = {name: b"x" for name in FOLDER if not name.startswith("unet/")}
    split |= {f"unet/{index}": b"{}", **dict.fromkeys(shards, b"x")}
    hub_answers(server, "anna/split", split)
    files = hub.find_files(HubModel("anna/split"))
    assert files.indexes == (f"unet/{index}",) and list(files.shards) == shards
    assert (
        f"unet/{index}" in files.remotes and "unet/diffusion_pytorch_model.safetensors" not in files.remotes
    )
    whole = "unet/diffusion_pytorch_model.fp16.safetensors"
    hub_answers(server, "anna/split", split | {whole: b"x"})
    files = hub.find_files(HubModel("anna/split"))
    assert (
        not files.indexes and not files.shards and files.remotes["unet/diffusion_pytorch_model.safetensors"]
    )


def test_a_single_file_on_the_hub(server: Server) -> None:
    hub_answers(server, "anna/x", {"a.safetensors": b"1", "b.ckpt": b"2"}, revision="v1")
    assert list(hub.find_files(HubModel("anna/x", "v1")).remotes) == ["a.safetensors"]
    files = hub.find_files(HubModel("anna/x", "v1", "b.ckpt"), token="sesame")
    assert files.single == "b.ckpt" and files.remotes["b.ckpt"].headers == {"Authorization": "Bearer sesame"}
    with pytest.raises(BadInput, match=r"no file 'c'") as caught:
        hub.find_files(HubModel("anna/x", "v1", "c"))
    assert "a.safetensors" in caught.value.next_step


def test_hub_models_that_do_not_serve(server: Server) -> None:
    with pytest.raises(BadInput, match="no model nobody/nothing"):
        hub.find_files(HubModel("nobody/nothing"))
    hub_answers(server, "anna/two", {"a.safetensors": b"1", "b.safetensors": b"2"})
    with pytest.raises(BadInput, match="2 files that could") as caught:
        hub.find_files(HubModel("anna/two"))
    assert "anna/two:a.safetensors" in caught.value.next_step


@pytest.mark.parametrize("way", ["no network", "HF_HUB_OFFLINE"])
def test_without_the_hub_it_is_said_at_once(
    server: Server, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "no network":
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    else:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"waits {seconds} s"))
    with pytest.raises(BadInput, match=r"HF_HUB_OFFLINE is set|127\.0\.0\.1:9 can't be reached"):
        hub.find_files(HubModel("anna/portraits"))


def test_the_hubs_cache_serves_without_a_network(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    root = tmp_path / "cache" / "models--anna--portraits"
    for name in FOLDER:
        path = root / "snapshots" / ("d" * 40) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("d" * 40)
    files = hub.find_files(HubModel("anna/portraits"))
    assert files.origin == f"anna/portraits@{'d' * 40}" and not files.remotes and len(files.cached) == 3
    one = hub.find_files(HubModel("anna/portraits", "main", "vae/diffusion_pytorch_model.safetensors"))
    assert one.single == "diffusion_pytorch_model.safetensors" and one.origin.startswith(
        f"anna/portraits@{'d' * 40}:"
    )


def test_the_hubs_cache_serves_split_weights_without_a_network(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    root = tmp_path / "cache" / "models--anna--split"
    split = {name for name in FOLDER if not name.startswith("unet/")}
    for name in split | {f"unet/{INDEXES[0]}", "unet/any-1.safetensors"}:
        path = root / "snapshots" / ("d" * 40) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("d" * 40)
    files = hub.find_files(HubModel("anna/split"))
    assert files.indexes == (f"unet/{INDEXES[0]}",) and list(files.shards) == ["unet/any-1.safetensors"]
