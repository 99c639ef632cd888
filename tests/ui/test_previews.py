"""Chosen photographs are shown before they are cropped; what can't be read is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from dreamgui.ui.tabs.dataset import previews as module
from dreamgui.ui.tabs.dataset.previews import previews


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))


def test_each_photograph_has_a_small_picture(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    Image.new("RGB", (900, 600), "red").save(tmp_path / "a<b>.png")
    shown = previews([str(tmp_path / name) for name in ("notes.txt", "a<b>.png", "broken.jpg")])
    assert len(shown["files"]) == 1 and 'alt="a&lt;b&gt;.png"' in shown["html"]
    with Image.open(shown["files"][0]["path"]) as thumbnail:
        assert max(thumbnail.size) <= module.THUMB_PX and thumbnail.getpixel((5, 5)) == pytest.approx(
            (254, 0, 0), abs=3
        )
    assert previews(None) == previews([]) == {"html": "", "files": []}


def test_of_many_photographs_the_rest_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path in paths:
        Image.new("RGB", (20, 20)).save(path)
    shown = previews([str(path) for path in paths])
    assert len(shown["files"]) == 2 and "and 3 more" in shown["html"]
