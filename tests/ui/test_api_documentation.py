"""docs/api.md has an example of each public endpoint, and the examples run as they stand."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from gradio_client import Client
from gradio_client.exceptions import AppError
from safetensors.torch import save_file

from dreamgui.events import Loss
from dreamgui.ui.parts.stream import view_of
from tests.ui.conftest import Page, visit
from tests.ui.fakes import picture

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
ADDRESS = "http://127.0.0.1:7860"
LORA_KEY = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_{}.weight"


def write_files(folder: Path) -> None:
    """Write the files that the examples upload."""
    for name in set(re.findall(r'handle_file\("([^"]+)"\)', "".join(BLOCKS))):
        if name.endswith(".safetensors"):
            tensors = {LORA_KEY.format("A"): torch.zeros(4, 320), LORA_KEY.format("B"): torch.zeros(320, 4)}
            save_file(tensors, folder / name)
        else:
            picture(name, size_px=200).save(folder / name)


@pytest.fixture
def ran(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Names of all examples after they ran."""
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block.replace(ADDRESS, page.url), "docs/api.md", "exec"), names)
    return names


def test_the_examples_run(ran: dict[str, Any], page: Page) -> None:
    assert ran["cropped"]["figures"]["crops"] == 3
    assert ran["long"].result()["state"] == "cancelled"
    assert Path(ran["exported"]["files"]["export"]).read_bytes() == b"weights"
    assert len(ran["made"]["files"]["pictures"]) == 2
    assert Path(ran["kept"]["image"]).is_file() and ran["kept"]["prompt"] == "a photo of {token} on the moon"
    assert ran["again"]["figures"]["cells"][0]["seed"] == ran["kept"]["settings"]["seed"]
    assert {"me-r8", "me-unet", "me-long", "me-merged", "anna"} <= {
        card.name for card in page.services.catalog.runs()
    }
    app: Client = ran["app"]
    first, second, _ = app.predict(dataset="me", api_name="/crops")
    assert first["caption"].endswith("smiling") and not second["dropped"]
    labels = {
        item["name"]: item["tags"] for item in app.predict(api_name="/library") if item["kind"] == "run"
    }
    assert labels["me-r8"] == ["good"]
    assert app.predict(api_name="/trash") == []


def test_each_public_endpoint_is_shown(page: Page) -> None:
    api = Client(page.url, verbose=False).view_api(return_format="dict")
    assert isinstance(api, dict)
    shown = {f"/{name}" for name in re.findall(r'api_name="/(\w+)"', TEXT)}
    assert shown == set(api["named_endpoints"])


def test_a_sweeps_queue_is_changed_while_it_runs(page: Page) -> None:
    app = Client(page.url, verbose=False)
    running = app.submit(ranks=["2", "4", "8"], steps=2000, report="try", sample_every=0, api_name="/sweep")
    while not view_of(page.services.jobs.latest("sweep")).all(Loss):
        time.sleep(0.05)
    queue = app.predict(api_name="/queue")
    assert [each["state"] for each in queue] == ["running", "waiting", "waiting"]
    last = queue[-1]["run"]
    assert app.predict(run=last, change="earlier", api_name="/queue")[1]["run"] == last
    assert app.predict(run=last, change="skip", api_name="/queue")[1]["state"] == "skipped"
    assert app.predict(run=last, change="retry", api_name="/queue")[-1] == {"run": last, "state": "waiting"}
    app.predict(kind="sweep", api_name="/stop")
    assert running.result()["state"] == "cancelled"


def test_a_request_without_a_running_job_is_refused(page: Page) -> None:
    app = Client(page.url, verbose=False)
    with pytest.raises(AppError, match="No train job has begun its first step"):
        app.predict(what="save", api_name="/ask")
    with pytest.raises(AppError, match="No sweep job has begun its first step"):
        app.predict(api_name="/queue")


def test_strangers_name_models_not_paths(public_page: Page, tmp_path: Path) -> None:
    path = tmp_path / "private.safetensors"
    path.write_bytes(b"weights")
    app = visit(public_page)
    fields = {"export": "model", "merge": "lora", "resize": "lora", "mix": "first", "generate": "model"}
    for endpoint, field in fields.items():
        with pytest.raises(AppError, match="There is no model, run or dataset named"):
            app.predict(**{field: str(path)}, api_name=f"/{endpoint}")


def test_strangers_inspect_uploads_only(public_page: Page, tmp_path: Path) -> None:
    path = tmp_path / "private.safetensors"
    path.write_bytes(b"weights")
    app = visit(public_page)
    with pytest.raises(AppError, match="wasn't uploaded"):
        app.predict(source=str(path), api_name="/inspect")


def test_strangers_place_no_exports(public_page: Page, tmp_path: Path) -> None:
    with pytest.raises(AppError, match="out is a path on the server"):
        visit(public_page).predict(out=str(tmp_path / "there"), api_name="/export")
    assert not (tmp_path / "there").exists()
