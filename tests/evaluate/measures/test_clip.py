"""CLIP-T and CLIP-I with a tiny CLIP of random weights in a folder, and with a safety checker's vision tower."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from dreamgui.assets import asset
from dreamgui.errors import BadInput
from dreamgui.evaluate.measures import clip as module
from dreamgui.evaluate.measures.clip import SAFETY, Clip, ClipJudge

SIDE_PX = 32
PROMPT = "a photo of a woman"


def config() -> CLIPConfig:
    layer = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
    vision = {**layer, "image_size": SIDE_PX, "patch_size": 8, "projection_dim": 8}
    text = {**layer, "vocab_size": 49408, "projection_dim": 8}
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)


def make_tiny_clip(folder: Path) -> Path:
    """A CLIP of random weights with its tokenizer, as transformers saves one."""
    torch.manual_seed(0)
    CLIPModel(config()).save_pretrained(folder)
    for file in (asset("sd15") / "tokenizer").iterdir():
        shutil.copy(file, folder)
    size = {"height": SIDE_PX, "width": SIDE_PX}
    CLIPImageProcessor(size={"shortest_edge": SIDE_PX}, crop_size=size).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny-clip")


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8))


def test_scores_are_the_raw_cosines_that_transformers_gives(folder: Path) -> None:
    clip = Clip(folder)
    assert clip.name == "CLIP tiny-clip (patch 8, 32 px, cosine not times 100)" and clip.reads_text
    model, crops = CLIPModel.from_pretrained(folder).eval(), [picture(1), picture(2)]
    tokens = clip._tokenizer([PROMPT], return_tensors="pt")
    pixels = clip._processor(images=[picture(0), *crops], return_tensors="pt")
    with torch.no_grad():
        out = model(**tokens, **pixels)
    ours, crop, other = out.image_embeds
    judge = ClipJudge(clip, crops)
    scores = judge.scores(picture(0), PROMPT)
    assert scores["clip_t"] == pytest.approx(float(ours @ out.text_embeds[0]), abs=1e-5)
    assert scores["clip_i"] == pytest.approx(float((ours @ crop + ours @ other) / 2), abs=1e-5)
    assert ClipJudge(clip, []).scores(picture(0), PROMPT)["clip_i"] is None
    assert clip.text("word " * 200) is not None, "what is beyond 77 tokens is left out"


def test_the_vision_tower_of_a_safety_checker_gives_clip_i_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    StableDiffusionSafetyChecker(config()).save_pretrained(tmp_path / "sd" / SAFETY)
    clip = Clip(tmp_path / "sd")
    assert clip.name.startswith("CLIP sd's safety_checker") and not clip.reads_text
    scores = ClipJudge(clip, [picture(0)]).scores(picture(0), PROMPT)
    assert scores["clip_t"] is None and scores["clip_i"] == pytest.approx(1, abs=1e-5)


def test_what_is_no_clip_is_told(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "reachable", lambda: False)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    for place in (tmp_path / "broken", tmp_path, Path("nobody/such-clip")):
        with pytest.raises(BadInput, match="No CLIP can be read from"):
            Clip(place)


def test_pickled_weights_are_never_opened(tmp_path: Path, folder: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (pickled / file.name).write_bytes(file.read_bytes())
    torch.save(CLIPModel(config()).state_dict(), pickled / "pytorch_model.bin")
    assert json.loads((pickled / "config.json").read_text())["model_type"] == "clip"
    with pytest.raises(BadInput, match="No CLIP can be read"):
        Clip(pickled)
