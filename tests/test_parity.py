"""Our denoising loop against diffusers' own pipelines: the same pictures to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from PIL import Image

from dreamgui.config import SchedulerName
from dreamgui.diffusion.control.residuals import ControlInput
from dreamgui.diffusion.sample import ImageRequest, generate
from dreamgui.diffusion.samplers import SAMPLER_SETTINGS, SAMPLERS
from dreamgui.diffusion.start import StartImage
from dreamgui.models.catalog.catalog import ModelSpec
from dreamgui.models.manager import Models, Parts
from dreamgui.workspace import Workspace
from tests.tiny import make_tiny_base, make_tiny_controlnet

PROMPT, NEGATIVE = "a photo of sks woman face in the forest", "blurry"
SAMPLER_NAMES = get_args(SchedulerName)
DRAWS_NOISE = ("dpm++sde", "euler-a", "lcm")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    workspace = Workspace(tmp_path_factory.mktemp("parity"))
    make_tiny_controlnet(make_tiny_base(workspace))
    return Models(workspace, torch.device("cpu"))


def pipeline(folder: Path, parts: Parts, name: SchedulerName) -> Any:
    pipe = StableDiffusionPipeline.from_pretrained(
        folder,
        unet=parts.unet,
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        safety_checker=None,
        feature_extractor=None,
    )
    pipe.scheduler = SAMPLERS[name].from_config(pipe.scheduler.config, **SAMPLER_SETTINGS.get(name, {}))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def other_pipeline(kind: Any, models: Models, parts: Parts, name: SchedulerName) -> Any:
    pipe = kind(**pipeline(models.catalog.folder("tiny"), parts, name).components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@contextmanager
def decoded_latents() -> Iterator[list[torch.Tensor]]:
    """Collects what is decoded, ours and theirs: pictures of 8 bits would hide small differences."""
    seen: list[torch.Tensor] = []
    with pytest.MonkeyPatch.context() as patch:
        decode = AutoencoderKL.decode

        def noted(vae: AutoencoderKL, latents: Any, *rest: Any, **more: Any) -> Any:
            seen.append(latents.clone())
            return decode(vae, latents, *rest, **more)

        patch.setattr(AutoencoderKL, "decode", noted)
        yield seen


def difference(ours: list[Image.Image], theirs: list[Image.Image]) -> float:
    pairs = zip(ours, theirs, strict=True)
    return max(float(np.abs(np.asarray(a, np.float32) - np.asarray(b, np.float32)).max()) for a, b in pairs)


@pytest.mark.parametrize("name", SAMPLER_NAMES)
@pytest.mark.parametrize("guidance_scale", [5.0, 1.0])
def test_equals_stable_diffusion_pipeline(models: Models, name: SchedulerName, guidance_scale: float) -> None:
    with models.use(ModelSpec("tiny")) as parts:
        pipe = pipeline(models.catalog.folder("tiny"), parts, name)
        settings = {"num_inference_steps": 5, "guidance_scale": guidance_scale, "negative_prompt": NEGATIVE}
        with decoded_latents() as latents:
            theirs = pipe(PROMPT, generator=generators(3), **settings).images
            ours = generate(parts, [ImageRequest(PROMPT, NEGATIVE, 3, 5, guidance_scale, name)])
    assert torch.equal(*latents)
    assert difference(ours, theirs) == 0.0


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_equals_controlnet_pipeline(models: Models, name: SchedulerName) -> None:
    lines = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8))
    with models.use(ModelSpec("tiny", controlnet="canny")) as parts:
        plain = pipeline(models.catalog.folder("tiny"), parts, name)
        pipe: Any = StableDiffusionControlNetPipeline(**{**plain.components, "controlnet": parts.controlnet})
        pipe.set_progress_bar_config(disable=True)
        settings = {"height": 64, "width": 96, "num_inference_steps": 5, "guidance_scale": 4.0}
        request = ImageRequest(PROMPT, "", 7, 5, 4.0, name, width_px=96, height_px=64)
        with decoded_latents() as latents:
            scale = {"controlnet_conditioning_scale": 0.7}
            theirs = pipe(PROMPT, lines, generator=generators(7), **settings, **scale).images
            ours = generate(parts, [request], [ControlInput(lines, 0.7)])
        unled = generate(parts, [request])
    assert torch.equal(*latents)
    assert difference(ours, theirs) == 0.0
    assert difference(unled, theirs) > 0


def test_each_picture_of_a_batch_equals_the_pipelines_picture(models: Models) -> None:
    seeds, settings = (1, 2, 3), {"num_inference_steps": 4, "guidance_scale": 5.0}
    with models.use(ModelSpec("tiny")) as parts:
        pipe = pipeline(models.catalog.folder("tiny"), parts, "dpm++")
        theirs = [pipe(PROMPT, generator=generators(seed), **settings).images[0] for seed in seeds]
        ours = generate(parts, [ImageRequest(PROMPT, seed=seed, steps=4) for seed in seeds])
    assert difference(ours, theirs) == 0.0


@pytest.mark.parametrize("name", SAMPLER_NAMES)
@pytest.mark.parametrize("strength", [0.3, 0.8, 1.0])
def test_equals_img2img_pipeline(models: Models, name: SchedulerName, strength: float) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    with models.use(ModelSpec("tiny")) as parts:
        pipe = other_pipeline(StableDiffusionImg2ImgPipeline, models, parts, name)
        settings = {"num_inference_steps": 7, "guidance_scale": 4.0, "negative_prompt": NEGATIVE}
        with decoded_latents() as latents:
            theirs = pipe(PROMPT, image, strength, generator=generators(3), **settings).images
            start = StartImage(image, strength)
            ours = generate(parts, [ImageRequest(PROMPT, NEGATIVE, 3, 7, 4.0, name, start=start)])
    assert torch.equal(*latents)
    assert difference(ours, theirs) == 0.0


@pytest.mark.parametrize("name", [name for name in SAMPLER_NAMES if name not in DRAWS_NOISE])
@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_equals_inpaint_pipeline(models: Models, name: SchedulerName, strength: float) -> None:
    """Theirs also encodes the masked picture, so that samplers with noise of their own get other noise."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 8, 48, 40))
    with models.use(ModelSpec("tiny")) as parts:
        pipe = other_pipeline(StableDiffusionInpaintPipeline, models, parts, name)
        settings = {"num_inference_steps": 7, "guidance_scale": 4.0, "strength": strength}
        with decoded_latents() as latents:
            theirs = pipe(
                PROMPT, image=image, mask_image=mask, height=64, width=64, generator=generators(3), **settings
            ).images
            start = StartImage(image, strength, mask)
            ours = generate(parts, [ImageRequest(PROMPT, "", 3, 7, 4.0, name, start=start)])
    assert torch.equal(*latents)
    assert difference(ours, theirs) == 0.0
