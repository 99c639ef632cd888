"""The scene judge tells the place of drawn pictures, and fidelity falls when the place in the prompt is swapped."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamgui.evaluate.measures.scene import Scenes, bundled_scenes

sys.path.insert(0, str(Path(__file__).parents[3] / "tools" / "demo_model"))

import world


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    found = bundled_scenes()
    assert found is not None
    return found


def test_fidelity_falls_when_the_place_is_swapped(scenes: Scenes) -> None:
    """All sixteen places, each against the next one: at least nine of ten."""
    rng, falls = np.random.default_rng(5), []
    for number, place in enumerate(world.PLACES):
        person = world.identity(9000 + number)
        view = world.scene(rng, person, place=place)
        image = Image.fromarray(world.draw(person, view).image)
        other = world.PLACES[(number + 1) % len(world.PLACES)]
        right, wrong = (
            scenes.fidelity(image, f"a photo of sks woman face {world.PLACE_PHRASES[each]}")
            for each in (place, other)
        )
        assert right is not None and wrong is not None
        falls.append(right > wrong + 0.3)
    assert np.mean(falls) >= 0.9


@pytest.mark.parametrize(
    ("prompt", "place"),
    [
        ("a photo of sks woman face on the Beach", "beach"),
        ("a photo under water", "underwater"),
        ("in a café", "cafe"),
        ("a photo of sks woman face", None),
        ("seaside", None),
        ("a beach beside the forest", None),
    ],
)
def test_the_place_that_a_prompt_names(scenes: Scenes, prompt: str, place: str | None) -> None:
    assert scenes.place_in(prompt) == place


def test_a_prompt_without_a_place_has_no_fidelity(scenes: Scenes) -> None:
    assert scenes.fidelity(Image.new("RGB", (64, 64)), "a photo") is None


def test_a_copy_without_the_judge_measures_no_fidelity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamgui.assets.ASSETS", tmp_path)
    assert bundled_scenes() is None
