"""The bundled parts become one file and a folder of photographs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dreamgui.errors import Damaged, UnknownName
from dreamgui.models.sources import demo_bundle


def test_assemble_gives_the_whole_file(bundle: Path, tiny_file: Path, tmp_path: Path) -> None:
    path = demo_bundle.assemble(tmp_path / "new" / "portraits.safetensors")
    ours, whole = load_file(path), load_file(tiny_file)
    assert ours.keys() == whole.keys() and all(torch.equal(ours[key], whole[key]) for key in whole)
    first = path.read_bytes()
    assert demo_bundle.assemble(path).read_bytes() == first
    assert [item.name for item in path.parent.iterdir()] == ["portraits.safetensors"]


def test_unpack(bundle: Path, tmp_path: Path) -> None:
    paths = demo_bundle.unpack(tmp_path / "out")
    assert paths == [tmp_path / "out" / "portraits.safetensors", tmp_path / "out" / "photos"]
    assert [path.name for path in paths[1].iterdir()] == ["01.jpg"]


def test_a_missing_part_is_named(bundle: Path, tmp_path: Path) -> None:
    (bundle / "portraits-00002-of-00002.safetensors").unlink()
    with pytest.raises(Damaged, match="1 of 2 parts"):
        demo_bundle.assemble(tmp_path / "x.safetensors")


def test_a_copy_without_the_bundle_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.setattr("dreamgui.assets.ASSETS", tmp_path)
    with pytest.raises(UnknownName, match="isn't in this copy"):
        demo_bundle.assemble(tmp_path / "x.safetensors")
