"""The ControlNet tab's own photograph."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamgui.assets import ASSETS
from dreamgui.data.faces.body import detect_body
from dreamgui.data.photos.load import load_image
from dreamgui.diffusion.control.control_maps import canny_map
from dreamgui.ui.tabs.control.tab import demo_figure

POINTS_OF_A_WHOLE_FIGURE = 18


@pytest.mark.skipif(
    not (ASSETS / "demo/photos").is_dir(), reason="the bundled photographs aren't in assets/demo"
)
def test_the_demos_photograph_has_a_pose_and_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    image = load_image(Path(demo_figure()))
    body = detect_body(image)
    assert body is not None and (body[:, 2] > 0).sum() == POINTS_OF_A_WHOLE_FIGURE
    assert canny_map(image).getextrema() != ((0, 0),) * 3
