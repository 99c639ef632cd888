from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamgui.assets import asset
from dreamgui.data.faces.body import POINTS, detect_bodies, detect_body
from dreamgui.data.faces.detect import Face, detect_faces, merge
from dreamgui.data.photos.load import load_image


def middle_inside(face: Face, box: tuple[float, float, float, float]) -> bool:
    x, y = face.center
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def test_real_faces_are_found_once(astronaut: Path, hopper: Path, coffee: Path) -> None:
    (face,) = detect_faces(load_image(astronaut))
    assert middle_inside(face, (195, 90, 260, 160)) and 80 < face.size_px < 120 and face.score > 0.8
    right_eye, left_eye, nose, mouth, *_ = face.landmarks
    assert right_eye[0] < nose[0] < left_eye[0] and right_eye[1] < nose[1] < mouth[1]
    assert len(detect_faces(load_image(hopper))) == 1
    assert detect_faces(load_image(coffee)) == []


def test_two_faces_are_two(astronaut: Path) -> None:
    image = load_image(astronaut)
    both = Image.new("RGB", (1024, 512))
    both.paste(image, (0, 0))
    both.paste(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (512, 0))
    assert sorted(round(face.center[0] / 512, 1) for face in detect_faces(both)) == [0.4, 1.6]


@pytest.mark.parametrize("face_px", [40, 60])
def test_small_faces_in_large_photographs_are_found_by_tiles(astronaut: Path, face_px: int) -> None:
    scale = face_px / 95
    small = load_image(astronaut).resize((round(512 * scale), round(512 * scale)))
    scene = Image.new("RGB", (3000, 2000), (90, 110, 90))
    scene.paste(small, (2000, 900))
    (face,) = detect_faces(scene)
    assert face.size_px < 1.5 * face_px
    assert middle_inside(face, (2000 + 190 * scale, 900 + 80 * scale, 2000 + 265 * scale, 900 + 165 * scale))


def test_a_higher_confidence_leaves_faces_out(astronaut: Path) -> None:
    image = load_image(astronaut)
    score = detect_faces(image)[0].score
    assert detect_faces(image, min(1.0, score + 0.01)) == []


def test_boxes_stay_inside_the_picture(astronaut: Path) -> None:
    (face,) = detect_faces(load_image(astronaut).crop((205, 40, 500, 335)))
    x0, y0, x1, y1 = face.box
    assert x0 == 0 and y0 >= 0 and x1 <= 295 and y1 <= 295


def test_merge_keeps_the_surest_of_overlapping_boxes() -> None:
    def face(box: tuple[float, float, float, float], score: float) -> Face:
        return Face(box, score, ())

    sure, doubtful, inside, other = (
        face((0, 0, 100, 100), 0.9),
        face((10, 10, 110, 110), 0.6),
        face((20, 20, 60, 60), 0.7),
        face((200, 0, 300, 100), 0.5),
    )
    assert merge([other, doubtful, inside, sure]) == [sure, other]


def test_several_threads_may_look(astronaut: Path) -> None:
    image = load_image(astronaut)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: detect_faces(image), range(12)))
    assert all(faces == found[0] for faces in found)


def test_the_body_is_given_in_openpose_order(astronaut: Path, coffee: Path) -> None:
    image = load_image(astronaut)
    body = detect_body(image)
    assert body is not None and body.shape == (18, 3) and body.dtype == np.float32
    point = dict(zip(POINTS, body, strict=True))
    # The astronaut looks at us: her right is on the left of the picture.
    assert point["right shoulder"][0] < point["neck"][0] < point["left shoulder"][0]
    assert point["right eye"][0] < point["nose"][0] < point["left eye"][0]
    assert np.allclose(point["neck"][:2], (point["right shoulder"][:2] + point["left shoulder"][:2]) / 2)
    face = detect_faces(image)[0]
    for name, landmark in zip(("right eye", "left eye", "nose"), face.landmarks, strict=False):
        assert np.abs(point[name][:2] - landmark).max() < 0.2 * face.size_px, name
    outside = ((body[:, :2] >= 512) | (body[:, :2] < 0)).any(axis=1)
    assert (body[outside, 2] == 0).all() and body[~outside, 2].max() > 0.9
    assert detect_body(load_image(coffee)) is None


def test_a_body_in_pictures_that_are_not_square(astronaut: Path, hopper: Path) -> None:
    for image in (load_image(hopper), load_image(astronaut).crop((0, 0, 512, 360))):
        body = detect_body(image)
        assert body is not None
        (face,) = detect_faces(image)
        found = body[[POINTS.index(name) for name in ("right eye", "left eye", "nose")], :2]
        assert np.abs(found - face.landmarks[:3]).max() < 0.2 * face.size_px


def test_a_body_whose_hips_lie_outside_is_found_by_its_face() -> None:
    """mediapipe alone finds nobody in this one; in the other it finds a body upside down only, which doesn't count."""
    image = load_image(asset("demo") / "photos" / "IMG_0478.jpg")
    assert detect_body(image) is None
    [body] = detect_bodies(image)
    [face] = detect_faces(image)
    assert (body[:, 2] >= 0.5).sum() >= 8
    found = body[[POINTS.index(point) for point in ("right eye", "left eye", "nose")], :2]
    assert np.abs(found - face.landmarks[:3]).max() < 0.2 * face.size_px
    assert body[POINTS.index("right shoulder")][0] < body[POINTS.index("left shoulder")][0]
    outside = ((body[:, :2] < 0) | (body[:, :2] >= image.size)).any(axis=1)
    assert not body[outside, 2].any()
    assert detect_bodies(load_image(asset("demo") / "photos" / "IMG_0431.jpg")) == []


def test_mediapipe_is_late_and_quiet(astronaut: Path) -> None:
    """A fresh process: nothing is imported before it is needed, only our own lines reach stderr."""
    code = (
        "import sys; from pathlib import Path; from dreamgui.data.faces.body import detect_body;"
        "from dreamgui.data.faces.detect import detect_faces; from dreamgui.data.photos.load import load_image;"
        "assert 'mediapipe' not in sys.modules and 'cv2' not in sys.modules;"
        f"image = load_image(Path({str(astronaut)!r}));"
        "print(len(detect_faces(image)), file=sys.stderr);"
        "detect_body(image); print('end', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["1", "end"] and not done.stdout
