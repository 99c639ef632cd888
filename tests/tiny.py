"""Models of random weights with Stable Diffusion 1.5's classes, small enough for a test: about 2 million
numbers."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from dreamgui.assets import asset
from dreamgui.models.catalog.cards import ModelCard, write_model
from dreamgui.models.files.layout import Layout, read_layout
from dreamgui.workspace import Workspace, new_folder
from tests.single_files import write_single_file

WIDTH = 32
CHANNELS = (32, 64)
ONE_LEVEL = {
    "block_out_channels": (WIDTH,), "down_block_types": ("CrossAttnDownBlock2D",), "up_block_types": ("UpBlock2D",),
}  # fmt: skip
"""Settings of the smallest UNet that has each kind of layer."""


def tiny_unet(size_px: int = 64, **changes: object) -> UNet2DConditionModel:
    """A UNet of two levels, one layer each, four heads."""
    settings = {
        "sample_size": size_px // 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": CHANNELS,
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": WIDTH,
        "attention_head_dim": 4,
        "norm_num_groups": 16,
    }
    return UNet2DConditionModel(**{**settings, **changes})


def tiny_vae(size_px: int = 64) -> AutoencoderKL:
    """An autoencoder with 4 latent channels and factor 8."""
    settings: dict[str, Any] = {
        "sample_size": size_px,
        "block_out_channels": (16, 16, 32, 32),
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 8,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "scaling_factor": 0.18215,
    }
    return AutoencoderKL(**settings)


def tiny_text_encoder() -> CLIPTextModel:
    """A text encoder of two layers over CLIP's whole vocabulary."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=77,
            hidden_act="quick_gelu",
            projection_dim=WIDTH,
            bos_token_id=0,
            eos_token_id=2,
            pad_token_id=1,
        )
    )


def make_tiny_base(
    workspace: Workspace, name: str = "tiny", size_px: int = 64, seed: int = 0, levels: int = 2
) -> Path:
    """Put a base model of random weights (fp16) into the workspace's models; its pictures are ``size_px``
    square."""
    target = workspace.place("models", name)
    with new_folder(target) as folder:
        shutil.copytree(_weights(size_px, seed, levels), folder, dirs_exist_ok=True)
        for shared in ("tokenizer", "scheduler"):
            shutil.copytree(asset(f"sd15/{shared}"), folder / shared)
        shutil.copy(asset("sd15/model_index.json"), folder)
        draw = {"steps": 3, "guidance_scale": 5.0}
        write_model(
            folder, ModelCard(name=name, family="demo", size_px=size_px, recommended={"generate": draw})
        )
    return target


@cache
def _weights(size_px: int, seed: int, levels: int) -> Path:
    """The folder of a tiny base's weights, made once a process: hundreds of tests ask for the same."""
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = tiny_unet(size_px) if levels > 1 else tiny_unet(size_px, **ONE_LEVEL)
        parts = {"unet": unet, "vae": tiny_vae(size_px), "text_encoder": tiny_text_encoder()}
    for part, model in parts.items():
        model.half().save_pretrained(Path(made.name) / part)
    return Path(made.name)


def make_tiny_controlnet(base: Path, kind: str = "canny", seed: int = 1) -> Path:
    """Give a tiny base a ControlNet of this kind, whose output isn't zero as a fresh one's would be."""
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8, 16, 16))
        for parameter in model.parameters():
            if not parameter.any():
                parameter.data.normal_(std=0.02)
    folder = base / "controlnet" / kind
    model.half().save_pretrained(folder)
    return folder


def make_tiny_file(base: Path, target: Path) -> Path:
    """Write a tiny base as one file in LDM's layout."""
    write_single_file(base, read_layout(base), target)
    return target


def make_tiny_bundle(base: Path, assets: Path) -> Path:
    """Fill a folder like the project's assets, whose demo model is this tiny base in two parts.

    For ``monkeypatch.setattr("dreamgui.assets.ASSETS", assets)``.
    """
    demo = assets / "demo"
    for part in ("unet", "vae", "text_encoder", "scheduler"):
        (demo / "config" / part).mkdir(parents=True)
        for config in (base / part).glob("*.json"):
            shutil.copy(config, demo / "config" / part)
    if (base / "controlnet").is_dir():
        shutil.copytree(base / "controlnet", demo / "controlnet")
    (demo / "photos").mkdir()
    Image.new("RGB", (96, 64), "teal").save(demo / "photos" / "01.jpg")
    (demo / "card.json").write_text(json.dumps({"size_px": 64, "recommended": {"lora": {"steps": 5}}}))
    tensors = load_file(make_tiny_file(base, assets / "whole.safetensors"))
    for number, keys in enumerate((sorted(tensors)[::2], sorted(tensors)[1::2]), start=1):
        save_file({key: tensors[key] for key in keys}, demo / f"portraits-0000{number}-of-00002.safetensors")
    (assets / "sd15").symlink_to(asset("sd15"))
    return demo


def make_layout() -> Layout:
    """The layout of the tiny models, without a folder of weights."""
    with tempfile.TemporaryDirectory() as folder:
        tiny_unet().save_config(Path(folder) / "unet")
        tiny_vae().save_config(Path(folder) / "vae")
        tiny_text_encoder().config.save_pretrained(Path(folder) / "text_encoder")
        return read_layout(Path(folder))
