"""Base models of random weights: Stable Diffusion 1.5's own sizes, the bundled demo model's, or the tests'."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from dreamgui.assets import asset
from dreamgui.models.catalog.cards import ModelCard, write_model
from dreamgui.workspace import Workspace, new_folder

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools" / "demo_model"))

Size = Literal["tiny", "demo", "sd15"]
SIZES_PX: dict[Size, int] = {"tiny": 64, "demo": 160, "sd15": 512}


def make_base(workspace: Workspace, size: Size, seed: int = 0, device: str = "cpu") -> str:
    """Put a base of this size (fp16, diffusers folder) into the workspace, unless it is there; its name.

    On a GPU the random numbers of Stable Diffusion's billion weights take a second, on a processor half a minute.
    """
    place = workspace.place("models", size)
    if place.is_dir():
        return size
    torch.manual_seed(seed)
    with new_folder(place) as folder:
        with torch.device(device):
            parts = _parts(size)
        while parts:
            part, model = parts.popitem()
            model.half().to("cpu").save_pretrained(folder / part)
        for shared in ("tokenizer", "scheduler"):
            shutil.copytree(asset(f"sd15/{shared}"), folder / shared)
        shutil.copy(asset("sd15/model_index.json"), folder)
        family = "sd15" if size == "sd15" else "demo"
        write_model(folder, ModelCard(name=size, family=family, size_px=SIZES_PX[size]))
    del model
    if device == "cuda":
        torch.cuda.empty_cache()
    return size


def _parts(size: Size) -> dict[str, Any]:
    if size == "tiny":
        from tests.tiny import tiny_text_encoder, tiny_unet, tiny_vae

        return {"unet": tiny_unet(), "vae": tiny_vae(), "text_encoder": tiny_text_encoder()}
    if size == "demo":
        from architecture import new_text_encoder, new_unet, new_vae

        return {"unet": new_unet(), "vae": new_vae(), "text_encoder": new_text_encoder()}
    configs = asset("sd15")
    return {
        "unet": UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(configs / "unet")),
        "vae": AutoencoderKL.from_config(AutoencoderKL.load_config(configs / "vae")),
        "text_encoder": CLIPTextModel(CLIPTextConfig.from_pretrained(configs / "text_encoder")),
    }
