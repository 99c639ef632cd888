"""Pictures of one model: sizes, seeds, words for the person, passes, and what is kept."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from dreamgui.config import GenerateJob
from dreamgui.data.faces.detect import Face
from dreamgui.diffusion.generate import passes as passes_module
from dreamgui.diffusion.sample import ImageRequest
from dreamgui.diffusion.sample import generate as generated_pictures
from dreamgui.errors import BadInput, StopRequested, UnknownName
from dreamgui.events import Cell, Event, Note, Preview, Progress, Saved
from dreamgui.models.catalog.cards import ModelSpec
from dreamgui.models.manager import Models
from dreamgui.pictures.store import read_picture
from dreamgui.recipes import generate as recipe_module
from dreamgui.recipes.generate import generate
from tests.diffusion.test_tiny_decoder import small_taesd
from tests.recipes.runs import make_run
from tests.tiny import make_tiny_base


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    from dreamgui.workspace import Workspace

    workspace = Workspace(tmp_path_factory.mktemp("generate"))
    make_tiny_base(workspace)
    make_run(workspace, "tiny", "whole", "unet")
    make_run(workspace, "tiny", "adapter", "lora")
    return Models(workspace, torch.device("cpu"))


def run(models: Models, **fields: Any) -> list[Event]:
    job = GenerateJob.model_validate({"model": "tiny", "steps": 2, "seed": 5, "prompt": "a cat", **fields})
    return list(generate(job, models.catalog.workspace, models))


def pictures(events: list[Event]) -> list[Image.Image]:
    return [
        Image.open(event.image)
        for event in events
        if isinstance(event, Cell) and isinstance(event.image, Path)
    ]


def same(one: Image.Image, two: Image.Image) -> bool:
    return np.array_equal(np.asarray(one.convert("RGB")), np.asarray(two.convert("RGB")))


def notes(events: list[Event]) -> str:
    return " ".join(event.text for event in events if isinstance(event, Note))


def test_each_picture_is_kept_with_its_seed_and_is_the_base_s(models: Models) -> None:
    events = run(models, count=3, negative_prompt="a dog")
    saved = [event for event in events if isinstance(event, Saved)]
    assert [event.what for event in saved] == ["picture"] * 3
    with models.use(ModelSpec("tiny")) as parts:
        requests = [ImageRequest("a cat", "a dog", seed, 2) for seed in (5, 6, 7)]
        theirs = generated_pictures(parts, requests)
    for event, image, seed in zip(saved, theirs, (5, 6, 7), strict=True):
        found = read_picture(event.path)
        assert same(Image.open(event.path), image)
        assert (found.made.seed, found.made.size_px, found.made.negative_prompt) == (seed, (64, 64), "a dog")
        again = GenerateJob.model_validate(dict(found.job))
        assert (again.seed, again.count, again.prompt) == (seed, 1, "a cat")
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress[-1].done == progress[-1].total == 6


def test_settings_out_of_a_picture_give_the_picture_again(models: Models) -> None:
    [first] = pictures(
        run(models, seed=-1, model="adapter", lora_scale=-0.5, size="64x128", two_passes=False)
    )
    found = read_picture(Path(first.filename))  # pyright: ignore[reportAttributeAccessIssue]
    assert same(first, pictures(run(models, **dict(found.job)))[0])


def test_copies_lie_in_the_folder_that_was_named(models: Models, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for _ in range(2):
        run(models, out=tmp_path / "moon" / "pictures", steps=1, count=2)
    copies = sorted((tmp_path / "moon" / "pictures").iterdir())
    assert len(copies) == 4
    found = read_picture(copies[0])
    assert found.made.seed in (5, 6) and "out" not in found.job and str(tmp_path) not in str(found)
    with pytest.raises(BadInput, match="can't be made"):
        run(models, out=tmp_path / "file" / "pictures")


def test_a_new_seed_each_time(models: Models) -> None:
    seeds = {read_picture(Path(run(models, seed=-1)[-1].path)).made.seed for _ in range(3)}  # pyright: ignore[reportAttributeAccessIssue]
    assert len(seeds) == 3


def test_the_token_becomes_the_run_s_words(models: Models) -> None:
    [cell] = [
        event
        for event in run(models, model="adapter", prompt="{token} on the moon")
        if isinstance(event, Cell)
    ]
    assert cell.prompt == "sks woman face on the moon"
    [cell] = [event for event in run(models, prompt="{token} on the moon") if isinstance(event, Cell)]
    assert cell.prompt == "woman face on the moon"


def test_further_loras_change_the_picture_and_are_noted(models: Models) -> None:
    [plain], [more] = pictures(run(models)), pictures(run(models, loras="adapter:0.7"))
    assert not same(plain, more)
    [alone] = pictures(run(models, model="adapter", lora_scale=0.7))
    assert same(more, alone)
    made = read_picture(Path(more.filename)).made  # pyright: ignore[reportAttributeAccessIssue]
    [(name, digest, strength)] = made.loras
    assert (name, len(digest), strength) == ("adapter", 12, 0.7)
    [off] = pictures(run(models, loras=["adapter:0.5", "adapter:-0.5"]))
    assert np.abs(np.asarray(off).astype(int) - np.asarray(plain)).max() <= 1


def test_what_is_no_lora_is_refused(models: Models) -> None:
    with pytest.raises(BadInput, match="'whole' is no LoRA"):
        run(models, loras="whole")
    with pytest.raises(UnknownName, match="nobody"):
        run(models, loras="nobody:0.5")


def test_a_large_picture_is_made_in_two_passes(models: Models) -> None:
    events = run(models, size="96x128")
    assert pictures(events)[0].size == (96, 128) and "56x72" in notes(events)
    alone = run(models, size="96x128", two_passes=False)
    assert pictures(alone)[0].size == (96, 128) and "two passes" in notes(alone)
    assert not same(pictures(events)[0], pictures(alone)[0])
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress[-1].total == 4


def test_outside_the_mask_the_start_image_stays(models: Models, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "start.png")
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 24, 64))
    mask.save(tmp_path / "mask.png")
    files = {"image": tmp_path / "start.png", "mask": tmp_path / "mask.png"}
    [picture] = pictures(run(models, **files, image_strength=0.9))
    start = np.asarray(Image.open(files["image"]))
    assert np.array_equal(np.asarray(picture)[:, 40:], start[:, 40:])
    assert not np.array_equal(np.asarray(picture)[:, :20], start[:, :20])
    [whole] = pictures(run(models, image=files["image"], image_strength=0.9))
    assert not np.array_equal(np.asarray(whole)[:, 40:], start[:, 40:])
    found = read_picture(Path(picture.filename))  # pyright: ignore[reportAttributeAccessIssue]
    assert "image" not in found.job and str(tmp_path) not in str(found)


def test_the_size_follows_the_start_image(models: Models, tmp_path: Path) -> None:
    Image.new("RGB", (400, 200), "teal").save(tmp_path / "wide.png")
    assert pictures(run(models, image=tmp_path / "wide.png"))[0].size == (88, 48)


def test_a_small_face_is_generated_again_and_nothing_else(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    face = Face((20.0, 20.0, 32.0, 32.0), 0.9, ())
    monkeypatch.setattr("dreamgui.diffusion.generate.face_pass.detect_faces", lambda _: [face])
    events = run(models, face_pass=True, model="adapter")
    before, after = [event for event in events if isinstance(event, Cell)]
    assert before.model == f"adapter, {recipe_module.BEFORE}" and isinstance(before.image, Image.Image)
    assert isinstance(after.image, Path)
    apart = (np.asarray(before.image) != np.asarray(Image.open(after.image))).any(axis=2)
    assert apart[22:30, 22:30].any() and not apart[40:, :].any() and not apart[:, 40:].any()
    monkeypatch.setattr("dreamgui.diffusion.generate.face_pass.detect_faces", lambda _: [])
    events = run(models, face_pass=True)
    assert "no face" in notes(events) and len(pictures(events)) == 1


def test_stop_keeps_the_finished_pictures(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "dreamgui.recipes.generate.batches", lambda _, requests: [[each] for each in requests]
    )
    job = GenerateJob(model="tiny", steps=2, seed=5, count=3, prompt="a cat")
    steps = generate(job, models.catalog.workspace, models)
    for event in steps:
        if isinstance(event, Saved):
            break
    rest = [steps.throw(StopRequested()), *steps]
    assert "1 of 3" in notes(rest) and not any(isinstance(event, Saved) for event in rest)
    steps = generate(job, models.catalog.workspace, models)
    next(steps)
    with pytest.raises(StopRequested):
        steps.throw(StopRequested())


def test_a_preview_is_shown_now_and_then(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes_module, "_PREVIEW_SECONDS", -1.0)
    monkeypatch.setattr(passes_module, "_REST", -1)
    previews = [event for event in run(models, steps=3) if isinstance(event, Preview)]
    assert len(previews) == 3 and all(isinstance(each.image, Image.Image) for each in previews)


def test_taesd_beside_the_base_gives_the_preview(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes_module, "_PREVIEW_SECONDS", -1.0)
    monkeypatch.setattr(passes_module, "_REST", -1)
    folder = models.catalog.folder("tiny") / "taesd"
    small_taesd().save_pretrained(folder)
    events = run(models, steps=2)
    sizes = [
        each.image.size
        for each in events
        if isinstance(each, Preview) and isinstance(each.image, Image.Image)
    ]
    assert sizes == [(64, 64)] * 2
    (folder / "diffusion_pytorch_model.safetensors").write_bytes(b"broken")
    events = run(models, steps=2)
    sizes = [
        each.image.size
        for each in events
        if isinstance(each, Preview) and isinstance(each.image, Image.Image)
    ]
    assert sizes == [(8, 8)] * 2 and "can't be read as TAESD" in notes(events)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "fields",
    [{"size": "512"}, {"size": "100x64"}, {"size": "8x8"}, {"size": "4096x64"}, {"loras": "her:3"}, {"loras": ":1"},
     {"mask": "x.png"}, {"count": 0}, {"seed": -2}],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GenerateJob.model_validate(fields)


def test_sizes_are_read_as_people_write_them() -> None:
    assert [GenerateJob(size=text).size for text in ("512x768", "512 X 768", "512*768", "512\u00d7768", " ")] == [
        *["512x768"] * 4, "",
    ]  # fmt: skip
