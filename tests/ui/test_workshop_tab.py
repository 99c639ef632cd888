"""The workshop below Convert: a form a tool, the certificate in the page, and nothing that strangers may not touch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dreamgui.config import ExportJob, ExtractJob
from dreamgui.errors import BadInput, BadModelFile
from dreamgui.events import Cell, Event, Note, Progress, Saved, Score
from dreamgui.models.catalog.cards import ModelCard
from dreamgui.services import Services
from dreamgui.ui.parts.stream import view_of
from dreamgui.ui.tabs.convert.tab import inspected, model_card
from dreamgui.ui.tabs.convert.workshop import TOOLS, certificate_card, result_card
from dreamgui.workspace import Workspace, write_json
from tests.models.malformed_models import MODELS
from tests.ui.conftest import Page, visit
from tests.ui.fakes import add_base, picture

PROOF = {
    "files": {"<b>.safetensors": {"tensors": 1131, "size_bytes": 2_132_625_918, "sha256": "0123456789abcdef" * 4}},
    "reader": "diffusers 0.42.1 from_single_file", "prompt": "a photo", "seed": 20, "size_px": 256, "passed": True,
    "mean_difference": 0.25, "tolerance_mean": 1.0, "max_difference": 7.0, "tolerance_max": 48.0,
}  # fmt: skip


def ids(page: Page) -> set[str]:
    """The names of everything in the page."""
    components = httpx.get(f"{page.url}config").json()["components"]
    return {str(one["props"].get("elem_id")) for one in components}


def test_every_tool_has_its_form(page: Page) -> None:
    found = ids(page)
    for tool in TOOLS:
        kind = tool.job.kind
        assert {f"{kind}-start", f"{kind}-stop", f"{kind}-progress", f"{kind}-result"} <= found
        placed = {name for name in tool.job.model_fields if f"{kind}-{name.replace('_', '-')}" in found}
        assert placed == set(tool.job.model_fields) - set(tool.skip)
    assert {"convert-to", "convert-out", "convert-unet-weights", "convert-base", "convert-inspect"} <= found


def test_strangers_name_no_place_of_the_server(public_page: Page, tmp_path: Path) -> None:
    assert not {"export-out", "convert-out"} & ids(public_page)
    client = visit(public_page)
    with pytest.raises(Exception, match="a path on the server"):
        client.predict(source="demo", to="single-file", out=str(tmp_path / "x"), api_name="/convert")
    assert not (tmp_path / "x").exists()


def test_the_certificate_is_shown(tmp_path: Path) -> None:
    (tmp_path / "one.safetensors").write_bytes(b"")
    write_json(tmp_path / "one.certificate.json", PROOF)
    shown = certificate_card(tmp_path / "one.safetensors")
    for words in (
        "passed",
        "from_single_file",
        "0.250 of 255 (1 passes)",
        "7 of 255 (48 passes)",
        "1131 tensors",
    ):
        assert words in shown, words
    assert "0123456789abcdef..." in shown and "<b>" not in shown and "&lt;b&gt;" in shown
    write_json(tmp_path / "one.certificate.json", PROOF | {"passed": False})
    assert "not passed" in certificate_card(tmp_path / "one.safetensors")
    (tmp_path / "one.certificate.json").unlink()
    assert "missing or unreadable" in certificate_card(tmp_path / "one.safetensors")


@pytest.fixture
def services(tmp_path: Path) -> Services:
    """Services whose export ends well and whose extraction leaves a plot."""
    workspace = Workspace(tmp_path / "work")

    def export(job: ExportJob) -> Iterator[Event]:
        yield Progress("Exporting", 0, 1)
        yield Cell("live", "a photo", 20, picture("live"))
        target = workspace.root / "exports" / "one"
        target.mkdir(parents=True)
        write_json(target / "certificate.json", PROOF)
        yield Saved("export", "one", target)

    def extract(job: Any) -> Iterator[Event]:
        folder = workspace.place("runs", "small")
        folder.mkdir()
        (folder / "energy.svg").write_text("<svg id='curve'></svg>")
        yield Score("small", {"captured at rank 1": 0.51, "nothing": None})
        yield Note("done")
        yield Saved("run", "small", folder)

    recipes: Any = {"export": export, "extract": extract}
    return Services(workspace, lambda _workspace, _models: recipes)


def test_a_finished_tool_shows_what_it_made(services: Services) -> None:
    for job, words in ((ExportJob(model="x"), "from_single_file"), (ExtractJob(trained="x"), "id='curve'")):
        done = services.jobs.submit(job)
        list(done.follow())
        view = view_of(done)
        assert words in result_card(view)
    assert "0.51" in result_card(view) and "nothing" not in result_card(view)


def test_any_file_is_named_and_broken_ones_are_refused(tmp_path: Path) -> None:
    make, _ = MODELS["sdxl-unet"]
    (tmp_path / "<i>.safetensors").write_bytes(make())
    told = inspected(str(tmp_path / "<i>.safetensors"))
    assert told.count("<div>") == 5 and "Diffusion XL" in told and "<i>" not in told
    (tmp_path / "page.safetensors").write_text("<html>")
    with pytest.raises(BadModelFile, match="web page"):
        inspected(str(tmp_path / "page.safetensors"))
    for source in ("demo", str(tmp_path / "gone")):
        with pytest.raises(BadInput, match="no file"):
            inspected(source)


def test_the_card_tells_where_each_part_came_from(tmp_path: Path) -> None:
    services = Services(Workspace(tmp_path))
    add_base(services.workspace, "made")
    card = ModelCard(
        name="made", family="demo", size_px=64, components={"unet": "a.ckpt", "vae": "the model 'b'"}
    )
    write_json(
        services.workspace.place("models", "made") / "dreamgui.json", json.loads(card.model_dump_json())
    )
    shown = model_card(services, "made")
    assert "Source of each part" in shown and "a.ckpt" in shown and "the model &#x27;b&#x27;" in shown
