"""Several ControlNets, start and end, and guess mode against diffusers' pipeline: the same latents to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import MultiControlNetModel, StableDiffusionControlNetPipeline
from PIL import Image

from dreamgui.config import SchedulerName
from dreamgui.diffusion.control.residuals import ControlInput
from dreamgui.diffusion.sample import ImageRequest, generate
from dreamgui.models.catalog.catalog import ModelSpec
from dreamgui.models.manager import Models, Parts
from dreamgui.workspace import Workspace
from tests.test_parity import NEGATIVE, PROMPT, decoded_latents, difference, generators, pipeline
from tests.tiny import make_tiny_base, make_tiny_controlnet

TWO = ModelSpec("tiny", controlnet="canny", more_controlnets=("pose",))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    workspace = Workspace(tmp_path_factory.mktemp("control-parity"))
    base = make_tiny_base(workspace)
    make_tiny_controlnet(base, "canny")
    make_tiny_controlnet(base, "pose", seed=2)
    return Models(workspace, torch.device("cpu"))


def maps() -> list[Image.Image]:
    noise = np.random.default_rng(0)
    return [Image.fromarray(noise.integers(0, 255, (64, 64, 3), np.uint8)) for _ in range(2)]


def stock(models: Models, parts: Parts, name: SchedulerName) -> Any:
    nets: Any = parts.controlnets
    pipe: Any = StableDiffusionControlNetPipeline(
        **{
            **pipeline(models.catalog.folder("tiny"), parts, name).components,
            "controlnet": MultiControlNetModel(nets) if len(nets) > 1 else nets[0],
        }
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("name", ["dpm++", "euler", "pndm"])
@pytest.mark.parametrize("guess", [False, True])
@pytest.mark.parametrize("guidance_scale", [4.0, 1.0])
def test_two_controlnets_equal_the_pipeline(
    models: Models, name: SchedulerName, guess: bool, guidance_scale: float
) -> None:
    scales, starts, ends = [0.7, 1.3], [0.0, 0.2], [0.6, 1.0]
    controls = [
        ControlInput(image, scale, start, end, guess)
        for image, scale, start, end in zip(maps(), scales, starts, ends, strict=True)
    ]
    with models.use(TWO) as parts, decoded_latents() as latents:
        theirs = stock(models, parts, name)(
            PROMPT,
            maps(),
            negative_prompt=NEGATIVE,
            num_inference_steps=5,
            guidance_scale=guidance_scale,
            generator=generators(7),
            controlnet_conditioning_scale=scales,
            control_guidance_start=starts,
            control_guidance_end=ends,
            guess_mode=guess,
        ).images
        ours = generate(parts, [ImageRequest(PROMPT, NEGATIVE, 7, 5, guidance_scale, name)], controls)
    assert torch.equal(*latents)
    assert difference(ours, theirs) == 0.0


@pytest.mark.parametrize("guess", [False, True])
@pytest.mark.parametrize(("start", "end"), [(0.0, 0.5), (0.4, 1.0), (0.25, 0.75), (0.0, 1.0)])
def test_one_controlnet_with_start_and_end_equals_the_pipeline(
    models: Models, guess: bool, start: float, end: float
) -> None:
    with models.use(ModelSpec("tiny", controlnet="canny")) as parts, decoded_latents() as latents:
        theirs = stock(models, parts, "dpm++")(
            PROMPT,
            maps()[0],
            num_inference_steps=5,
            guidance_scale=5.0,
            generator=generators(3),
            controlnet_conditioning_scale=0.8,
            control_guidance_start=start,
            control_guidance_end=end,
            guess_mode=guess,
        ).images
        asked = ControlInput(maps()[0], 0.8, start, end, guess)
        ours = generate(parts, [ImageRequest(PROMPT, seed=3, steps=5)], [asked])
    assert torch.equal(*latents)
    assert difference(ours, theirs) == 0.0


def test_strength_0_is_bitwise_the_picture_without_a_controlnet(models: Models) -> None:
    request = ImageRequest(PROMPT, seed=5, steps=4)
    with models.use(ModelSpec("tiny")) as parts:
        plain = generate(parts, [request])
    with models.use(TWO) as parts:
        off = generate(parts, [request], [ControlInput(image, 0.0) for image in maps()])
        alone = generate(parts, [request], [ControlInput(maps()[0], 0.0), ControlInput(maps()[1])])
    with models.use(ModelSpec("tiny", controlnet="pose")) as parts:
        pose = generate(parts, [request], [ControlInput(maps()[1])])
    assert difference(off, plain) == 0.0
    assert difference(alone, pose) == 0.0 < difference(alone, plain)


def test_each_setting_changes_the_picture(models: Models) -> None:
    image, request = maps()[0], ImageRequest(PROMPT, seed=5, steps=4)
    variants = (
        ControlInput(image),
        ControlInput(image, end=0.5),
        ControlInput(image, start=0.5),
        ControlInput(image, guess=True),
    )
    with models.use(ModelSpec("tiny", controlnet="canny")) as parts:
        pictures = [generate(parts, [request], [asked])[0].tobytes() for asked in variants]
    assert len(set(pictures)) == len(variants)
