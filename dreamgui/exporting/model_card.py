"""Texts of an export for people: its model card, and the texts in a single file's header."""

from __future__ import annotations

import json

from dreamgui.exporting.certificate import Certificate
from dreamgui.models.catalog.cards import ModelCard, RunCard

_PYTHON = "```python\n{}\n```"
_USE = {
    "single-file": "Put `{file}` into `models/Stable-diffusion` (A1111, Forge) or `models/checkpoints` "
    "(ComfyUI), or:\n\n" + _PYTHON.format('pipe = StableDiffusionPipeline.from_single_file("{file}")'),
    "diffusers": _PYTHON.format('pipe = StableDiffusionPipeline.from_pretrained("{file}")'),
    "lora-kohya": "Put `{file}` into `models/Lora` (A1111, Forge) or `models/loras` (ComfyUI) and write "
    "`<lora:{stem}:1>` into the prompt.",
    "lora-diffusers": _PYTHON.format('pipe.load_lora_weights(".", weight_name="{file}")'),
}


def single_file_texts(base: ModelCard, run: RunCard | None) -> dict[str, str]:
    """Texts for a whole model's header: what it is, what it was made from, and the training's settings."""
    texts = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-v1",
        "modelspec.title": run.name if run else base.name,
        "dreamgui_base": base.name,
        "dreamgui_base_sha256": base.sha256,
    }
    return {**texts, "dreamgui_job": json.dumps(run.job)} if run else texts


def model_card(base: ModelCard, run: RunCard | None, pictures: int | None, certificate: Certificate) -> str:
    """The README.md of an export, in the form that model hubs read."""
    file = next(iter(certificate.files)) if len(certificate.files) == 1 else "."
    rows = {"Base model": base.name, "SHA-256 of the base": base.sha256 or "unknown", **_facts(run, pictures)}
    rows |= {f"SHA-256 of `{name}`": proof.sha256 for name, proof in certificate.files.items()}
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    tags = "".join(
        f"- {tag}\n"
        for tag in ("stable-diffusion", "text-to-image", *(["lora"] if "lora" in certificate.format else []))
    )
    return f"""---
base_model: {base.name}
library_name: diffusers
tags:
{tags}---
# {certificate.name}

Stable Diffusion 1.5, {certificate.format}, {certificate.dtype}, made with {certificate.program}.

| | |
| --- | --- |
{table}

## Use

{_USE[certificate.format].format(file=file, stem=file.removesuffix(".safetensors"))}

{_prompt(run)}## Certificate

{certificate.sentence}
Prompt {certificate.prompt!r}, seed {certificate.seed}, {certificate.steps} steps,
{certificate.size_px} pixels, on {certificate.device}.
"""


def _facts(run: RunCard | None, pictures: int | None) -> dict[str, object]:
    if run is None:
        return {}
    facts: dict[str, object] = {"Trained": "LoRA" if run.kind == "lora" else "whole UNet"}
    if run.rank is not None:
        facts["Rank, alpha"] = f"{run.rank}, {run.alpha:g}" if run.alpha is not None else run.rank
    if run.steps:
        facts["Steps, learning rate"] = f"{run.steps}, {run.learning_rate:g}"
    if pictures is not None:
        facts["Photographs"] = pictures
    return facts


def _prompt(run: RunCard | None) -> str:
    prompt = run.job.get("instance_prompt") if run else None
    return f"Prompt that it was trained with: `{prompt}`\n\n" if prompt else ""
