"""Which pictures a class set has, and how a drawn one is judged; on real photographs."""

from __future__ import annotations

from collections import Counter
from math import inf
from pathlib import Path

import pytest
from PIL import Image

from dreamgui.config import Framing
from dreamgui.data.class_images.plan import (
    MOST,
    Mix,
    framed_prompt,
    look_at,
    mix_of,
    plan_slots,
    read_generated,
    write_generated,
)
from dreamgui.data.framing import FRAMINGS
from dreamgui.workspace import Workspace
from tests.data.class_pictures import framed
from tests.diffusion.made import make_dataset


def test_the_mix_holds_at_every_length() -> None:
    mix: Mix = {"close-up": 5, "medium": 3, "full": 2}
    slots = plan_slots(100, mix)
    for length in range(1, 101):
        have = Counter(slot.framing for slot in slots[:length])
        assert all(abs(have[framing] - mix[framing] * length / 10) < 1 for framing in FRAMINGS)
    assert plan_slots(37, mix) == slots[:37]
    assert [slot.index for slot in slots] == list(range(100))
    assert {slot.framing for slot in plan_slots(50, {"close-up": 0, "medium": 4, "full": 0})} == {"medium"}
    assert [slot.file for slot in plan_slots(2, None)] == ["plain-00000.png", "plain-00001.png"]


def test_no_two_pictures_share_a_file_or_a_seed() -> None:
    slots = plan_slots(MOST, mix_of(None))
    assert len({slot.file for slot in slots}) == MOST
    assert len({slot.seed(7, attempt) for slot in slots for attempt in range(3)}) == 3 * MOST
    assert [slot.seed(7, 0) for slot in plan_slots(3, None)] == [7, 8, 9]


def test_the_mix_is_that_of_the_pictures_in_use(tmp_path: Path) -> None:
    assert mix_of(None) == {"close-up": 40, "medium": 40, "full": 20}
    dataset = make_dataset(Workspace(tmp_path), count=4)
    assert mix_of(dataset) == {"close-up": 4, "medium": 0, "full": 0}
    dataset.drop(dataset.entries[0].file)
    assert mix_of(dataset)["close-up"] == 3
    for entry in dataset.entries[1:]:
        dataset.drop(entry.file)
    assert mix_of(dataset) == mix_of(None)


@pytest.mark.parametrize(
    ("prompt", "framing", "wanted"),
    [
        ("a photo of woman face", None, "a photo of woman face"),
        ("a photo of woman face", "close-up", "a photo of woman face, close-up"),
        ("a photo of woman face", "medium", "a photo of woman, portrait"),
        ("a photo of woman face in the forest", "full", "a photo of woman in the forest, full body"),
        ("a photo of a face", "medium", "a photo of a face, portrait"),
        ("man, surface", "full", "man, surface, full body"),
    ],
)
def test_prompts_say_the_framing(prompt: str, framing: Framing | None, wanted: str) -> None:
    assert framed_prompt(prompt, framing) == wanted


def test_drawings_are_judged_by_their_face(astronaut: Path) -> None:
    shown = {framing: framed(astronaut, framing) for framing in FRAMINGS}
    for asked in FRAMINGS:
        for framing, image in shown.items():
            look = look_at(image, asked)
            assert (look.right == (framing == asked) and 0 < look.misfit < inf) or look.right
    assert all(look_at(image, None).right for image in shown.values())
    assert look_at(shown["full"], "close-up").misfit > look_at(shown["medium"], "close-up").misfit
    nobody = look_at(Image.new("RGB", (128, 128), "teal"), None)
    assert nobody.face_share == 0 and nobody.misfit == inf


def test_a_kept_drawing_tells_how_it_was_made(astronaut: Path, tmp_path: Path) -> None:
    image, file = framed(astronaut, "medium"), tmp_path / "x.png"
    look = look_at(image, "medium")
    write_generated(file, image, "a photo of Zoë, portrait", 12, look)
    kept = read_generated(file, "medium")
    assert kept is not None and kept.right and kept.face_share == pytest.approx(look.face_share, abs=1e-3)
    with Image.open(file) as again:
        assert again.info["prompt"] == "a photo of Zoë, portrait" and again.info["seed"] == "12"
    file.write_bytes(file.read_bytes()[:-200])
    assert read_generated(file, "medium") is None and read_generated(tmp_path / "gone.png", None) is None
    image.save(file)
    assert read_generated(file, "medium") is None
