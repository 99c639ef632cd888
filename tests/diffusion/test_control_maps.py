"""The maps: edges and skeletons, and the stub without which controlnet_aux can't be imported."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from PIL import Image, ImageDraw

from dreamgui.diffusion.control.control_maps import canny_map, skeletons, visible_points

# Nose, neck, right arm, left arm, right leg, left leg, eyes, ears, in a picture 128 pixels wide and high.
TRUNK_AND_ARMS = [(64, 20), (64, 36), (50, 36), (44, 56), (42, 74), (78, 36), (84, 56), (86, 74)]
LEGS_AND_HEAD = [
    (56, 72),
    (56, 96),
    (56, 120),
    (72, 72),
    (72, 96),
    (72, 120),
    (60, 17),
    (68, 17),
    (55, 19),
    (73, 19),
]
STANDING = np.array([*TRUNK_AND_ARMS, *LEGS_AND_HEAD], dtype=float)


def standing(visibility: float = 1.0) -> np.ndarray:
    return np.column_stack([STANDING, np.full(18, visibility)])


def test_canny_finds_the_edge_of_a_disc_at_the_pictures_size() -> None:
    image = Image.new("RGB", (200, 136), "white")
    ImageDraw.Draw(image).ellipse((60, 30, 140, 110), fill="black")
    edges = np.asarray(canny_map(image, 100, 200))
    assert edges.shape == (136, 200, 3)
    assert set(np.unique(edges)) == {0, 255}
    assert edges[70, 57:64].any() and not edges[60:80, 90:110].any()


def test_canny_is_controlnet_auxs_own_map() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((128, 128), Image.Resampling.BICUBIC)
    skeletons([standing()], (128, 128))  # imports the package with its stub
    from controlnet_aux import CannyDetector  # pyright: ignore[reportMissingTypeStubs]

    theirs = CannyDetector()(image, 60, 150, detect_resolution=128, image_resolution=128)
    assert np.array_equal(np.asarray(canny_map(image, 60, 150)), np.asarray(theirs))


def test_higher_thresholds_keep_fewer_edges() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((128, 128), Image.Resampling.BICUBIC)
    assert np.asarray(canny_map(image, 50, 100)).sum() > np.asarray(canny_map(image, 200, 254)).sum() > 0


def test_skeleton_has_openposes_colours_in_place() -> None:
    skeleton = np.asarray(skeletons([standing()], (128, 128)))
    assert skeleton.shape == (128, 128, 3)
    assert not skeleton[:10, :10].any()
    red, green, blue = skeleton[20, 64].astype(int)
    assert red > 150 and green < 80 and blue < 80, "the nose is OpenPose's first colour, red"
    assert skeleton[84, 56, 1] > 60 and skeleton[84, 56, 0] < 60, "the right thigh is green"


def test_small_skeletons_are_controlnet_auxs_own_drawing() -> None:
    ours = np.asarray(skeletons([standing()], (128, 128)))
    from controlnet_aux.open_pose import BodyResult, Keypoint, PoseResult, draw_poses  # pyright: ignore

    points: list[Keypoint | None] = [Keypoint(x / 128, y / 128) for x, y in STANDING]
    theirs = draw_poses(
        [PoseResult(BodyResult(points, 1.0, 18), None, None, None)], 128, 128, True, False, False
    )
    assert np.array_equal(ours, theirs)


def test_large_skeletons_keep_their_proportions() -> None:
    usual = np.asarray(skeletons([standing() * [4, 4, 1]], (512, 512)).resize((1024, 1024))).astype(float)
    large = np.asarray(skeletons([standing() * [8, 8, 1]], (1024, 1024))).astype(float)
    assert np.abs(usual - large).mean() < 0.5
    assert skeletons([standing() * [6, 8, 1]], (768, 1024)).size == (768, 1024)


def test_points_unseen_or_outside_are_not_drawn() -> None:
    points = standing()
    points[10, 2] = 0.1
    points[13, 1] = 140
    seen = visible_points(points, (128, 128))
    assert not seen[10] and not seen[13] and seen.sum() == 16
    assert not np.asarray(skeletons([points], (128, 128)))[104:, :].any(), "both shins are left out"
    assert not np.asarray(skeletons([standing(0.0)], (128, 128))).any()


def test_controlnet_aux_still_needs_the_stub() -> None:
    """When this fails, controlnet_aux imports beside today's mediapipe: remove the stub from hints.py."""
    code = "import importlib; importlib.import_module('controlnet_aux')"
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0 and "solutions" in result.stderr, result.stderr[-500:]
