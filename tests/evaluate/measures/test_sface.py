"""SFace's file is checked before it is used, and faces are brought to its template."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dreamgui.data.faces.detect import Face, detect_faces
from dreamgui.errors import BadInput, BadModelFile
from dreamgui.evaluate.measures import sface as module
from dreamgui.evaluate.measures.recogniser import Recogniser
from dreamgui.evaluate.measures.sface import FILE, SHA256, SIDE_PX, SFace, aligned, fetched, from_workspace
from dreamgui.events import Note
from dreamgui.models.sources import download
from dreamgui.workspace import Workspace
from tests.evaluate.measures.tiny_onnx import tiny_recogniser
from tests.evaluate.test_reference import ASTRONAUT, HOPPER, NOBODY
from tests.models.server import Server


def test_a_users_own_file_embeds_faces_and_is_named_by_its_hash(tmp_path: Path) -> None:
    path = tiny_recogniser(tmp_path / "mine.onnx")
    recogniser: Recogniser = SFace(path)
    assert recogniser.name == "ONNX file mine.onnx"
    assert hashlib.sha256(path.read_bytes()).hexdigest() in recogniser.source
    face, again, other = (recogniser.embed(image) for image in (ASTRONAUT, ASTRONAUT, HOPPER))
    assert face is not None and again is not None and other is not None
    assert face.shape == (128,) and face.dtype == np.float32 and np.linalg.norm(face) == pytest.approx(1)
    assert np.array_equal(face, again) and not np.allclose(face, other)
    assert recogniser.embed(NOBODY) is None


def test_a_missing_file_is_told_with_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match="There is no face recognition file.*opencv_zoo"):
        SFace(tmp_path / "gone.onnx")


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x07:\x05graph"])
def test_a_corrupt_file_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(BadModelFile, match=r"broken\.onnx can't be used"):
        SFace(path)


def test_a_network_of_another_input_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match="112 x 112"):
        SFace(tiny_recogniser(tmp_path / "larger.onnx", side_px=224))


def test_the_workspaces_file_must_be_the_published_one(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert from_workspace(workspace) is None
    folder = workspace.root / "recognisers"
    folder.mkdir()
    tiny_recogniser(folder / FILE)
    with pytest.raises(BadModelFile, match=f"isn't the file that was published.*not {SHA256[:12]}"):
        from_workspace(workspace)


def test_a_face_is_turned_and_scaled_to_the_template() -> None:
    """A picture with a red dot at each eye, turned by 30 degrees and enlarged, shows them where SFace expects them."""
    canvas = Image.new("RGB", (600, 600), "white")
    angle, scale = np.radians(30), 2.5
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    template = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (56.1396, 92.2848)])
    points = [tuple(map(float, point @ turn.T + (250, 150))) for point in template]
    for x, y in points[:2]:
        ImageDraw.Draw(canvas).ellipse((x - 9, y - 9, x + 9, y + 9), fill="red")
    face = aligned(canvas, Face((0, 0, 600, 600), 1.0, tuple(points)))
    assert face.shape == (SIDE_PX, SIDE_PX, 3) and face.dtype == np.uint8
    rows, columns = np.nonzero((face[..., 0] > 200) & (face[..., 1] < 60))
    left, right = columns < SIDE_PX // 2, columns >= SIDE_PX // 2
    assert (columns[left].mean(), rows[left].mean()) == pytest.approx(template[0], abs=1.0)
    assert (columns[right].mean(), rows[right].mean()) == pytest.approx(template[1], abs=1.0)


def test_a_leaning_head_is_upright_after_alignment() -> None:
    straight, leaning = (
        aligned(image, detect_faces(image)[0]).astype(float) for image in (ASTRONAUT, ASTRONAUT.rotate(15))
    )
    inner = slice(30, 90)
    assert np.abs(straight - leaning)[inner, inner].mean() < 20


def test_the_file_is_fetched_once_and_its_hash_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tiny_recogniser(tmp_path / "published.onnx").read_bytes()
    workspace = Workspace(tmp_path / "home")
    path = workspace.root / "recognisers" / FILE
    with Server(files={"/sface": content}) as server:
        monkeypatch.setattr(module, "ADDRESS", f"{server.url}/sface")
        with pytest.raises(BadModelFile, match="SHA-256"):
            list(fetched(workspace))
        assert not path.exists(), "another file than the published one isn't kept"
        monkeypatch.setattr(module, "SHA256", hashlib.sha256(content).hexdigest())
        events = list(fetched(workspace))
        assert path.read_bytes() == content
        asked = len(server.seen)
        assert list(fetched(workspace)) == [] and len(server.seen) == asked
    assert any(isinstance(event, Note) and "/sface" in event.text for event in events)
    found = from_workspace(workspace)
    assert found is not None and found.embed(ASTRONAUT) is not None
    path.unlink()
    monkeypatch.setattr(module, "ADDRESS", "http://127.0.0.1:9/gone")
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    with pytest.raises(BadInput, match="can't be reached"):
        list(fetched(workspace))
