"""Runs that were never trained: weights moved a little at random, saved as a training would."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from dreamgui.config import Method, TrainJob
from dreamgui.models.catalog.cards import RunCard
from dreamgui.models.catalog.catalog import LORA_FILE, Catalog, write_run
from dreamgui.models.lora.adapters import LoraSettings, add_lora, save_lora
from dreamgui.workspace import Workspace

torch.set_num_threads(1)


def make_run(workspace: Workspace, base: str, name: str, method: Method, rank: int = 4) -> Path:
    """A finished run on a base: its UNet moved by noise, or a LoRA that isn't zero."""
    unet = UNet2DConditionModel.from_pretrained(Catalog(workspace).folder(base) / "unet")
    folder = workspace.place("runs", name)
    folder.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(name))
        if method == "lora":
            add_lora(unet, LoraSettings(rank, float(rank)))
        for parameter in unet.parameters():
            if parameter.requires_grad:
                parameter.data += 0.05 * torch.randn_like(parameter)
    if method == "lora":
        save_lora(folder / LORA_FILE, unet)
    else:
        unet.half().save_pretrained(folder / "unet")
    job = TrainJob(model=base, method=method, rank=rank, steps=5)
    sizes = (file.stat().st_size for file in folder.rglob("*.safetensors"))
    card = RunCard(
        name=name, kind=method, base=base, rank=rank if method == "lora" else None,
        alpha=float(rank) if method == "lora" else None, learning_rate=job.effective_learning_rate, steps=5,
        seconds=1.5, file_bytes=sum(sizes), finished=True, job=job.model_dump(mode="json"),
    )  # fmt: skip
    write_run(folder, card)
    return folder
