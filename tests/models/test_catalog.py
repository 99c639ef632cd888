"""The catalog reads the disk as it is."""

from __future__ import annotations

import json
import shutil
import unicodedata
from typing import Any

import pytest

from dreamgui.errors import BadInput, Damaged, UnknownName
from dreamgui.models.catalog.cards import ModelCard, ModelSpec, RunCard, write_run
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.workspace import Workspace


def add_run(workspace: Workspace, name: str, kind: Any = "lora", finished: bool = True) -> RunCard:
    card = RunCard(
        name=name, kind=kind, base="tiny", learning_rate=1e-4, steps=3, rank=4, alpha=4.0, finished=finished
    )
    write_run(workspace.place("runs", name), card)
    return card


def test_names_and_specs(workspace: Workspace) -> None:
    catalog = Catalog(workspace)
    card = add_run(workspace, "a")
    add_run(workspace, "b", "unet")
    add_run(workspace, "c", finished=False)
    assert catalog.bases() == ["tiny"]
    assert sorted(catalog.names()) == ["a", "b", "tiny"] and catalog.names()[0] == "tiny"
    assert catalog.run("a") == card
    assert catalog.spec("tiny", controlnet="canny") == ModelSpec("tiny", controlnet="canny")
    assert catalog.spec("a", lora_scale=0.5) == ModelSpec("tiny", lora_run="a", lora_scale=0.5)
    assert catalog.spec("b") == ModelSpec("tiny", unet_run="b")
    assert (catalog.card("tiny").family, catalog.card("tiny").size_px) == ("demo", 64)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_a_name_is_the_same_composed_and_decomposed(workspace: Workspace, form: Any, written: Any) -> None:
    """A copy from a Mac may hold decomposed folders and cards; a name that is typed may be so too."""
    catalog, name = Catalog(workspace), "zo\u00eb-\u00fc"
    card = add_run(workspace, "card")
    folder = workspace.place("runs", "card").rename(
        workspace.root / "runs" / unicodedata.normalize(written, name)
    )
    write_run(folder, card.model_copy(update={"name": folder.name}))
    asked = unicodedata.normalize(form, name)
    assert catalog.run(asked).name == name and [run.name for run in catalog.runs()] == [name]
    assert catalog.spec(asked) == ModelSpec("tiny", lora_run=name)
    shutil.copytree(workspace.place("models", "tiny"), workspace.root / "models" / folder.name)
    assert catalog.is_base(asked) and catalog.spec(asked) == ModelSpec(name)


def test_unknown_and_unfinished(workspace: Workspace) -> None:
    catalog = Catalog(workspace)
    add_run(workspace, "c", finished=False)
    with pytest.raises(UnknownName, match="tiny"):
        catalog.spec("nobody")
    with pytest.raises(BadInput, match="isn't finished"):
        catalog.spec("c")
    with pytest.raises(Damaged, match="no weights"):
        catalog.run_file("c")


def test_a_broken_card_or_model_is_named_and_hides_nothing_else(workspace: Workspace) -> None:
    catalog = Catalog(workspace)
    add_run(workspace, "good")
    folder = workspace.place("runs", "bad")
    folder.mkdir()
    (folder / "run.json").write_text("{")
    assert [card.name for card in catalog.runs()] == ["good"]
    with pytest.raises(Damaged, match=r"run\.json"):
        catalog.run("bad")
    (workspace.place("models", "tiny") / "vae" / "config.json").unlink()
    with pytest.raises(Damaged, match="vae"):
        catalog.card("tiny")


def test_a_newer_card_is_read(workspace: Workspace) -> None:
    path = workspace.place("models", "tiny") / "dreamgui.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"from_the_future": 1}))
    assert Catalog(workspace).card("tiny").name == "tiny"


def test_a_card_of_an_earlier_version_says_draw() -> None:
    old = {
        "name": "a",
        "family": "demo",
        "size_px": 64,
        "recommended": {"draw": {"steps": 9}, "lora": {"rank": 4}},
    }
    assert ModelCard.model_validate(old).recommended == {"generate": {"steps": 9}, "lora": {"rank": 4}}
