"""Packs a trained run for the repository: assets/demo (the app's) and benchmarks/judges (the benchmarks').

    python pack.py --run OUT --assets assets/demo --judges benchmarks/judges

UNet, VAE and text encoder become fp16 tensors under the keys of a civitai single file, in parts of at most
10 MiB; the ControlNets stay diffusers folders. A card.json that is there keeps what was written into it by
hand.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from architecture import CONTROL_KINDS, SIZE_PX, new_scheduler
from common import write_json
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from dreamgui.models.files.layout import read_layout
from tests.single_files import join_parts

PART_BYTES = 10 * 1024 * 1024
HEADER_BYTES = 256 * 1024
BUNDLE_BYTES = 35_000_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="the folder that make.py filled")
    parser.add_argument("--assets", type=Path, required=True)
    parser.add_argument("--judges", type=Path, required=True)
    options = parser.parse_args()
    options.assets.mkdir(parents=True, exist_ok=True)
    write_configs(options.run, options.assets / "config")
    write_checkpoint(options.run, options.assets)
    for kind in CONTROL_KINDS:
        write_controlnet(options.run / "controlnet" / kind, options.assets / "controlnet" / kind)
    write_card(options.run, options.assets)
    copy_judges(options.run / "judges", options.judges, options.assets.parent / "judges")
    size = sum(file.stat().st_size for file in options.assets.rglob("*") if file.is_file())
    print(f"{size / 1e6:.1f} MB in {options.assets}")
    if size > BUNDLE_BYTES:
        raise SystemExit(f"{options.assets} holds {size} bytes; {BUNDLE_BYTES} are the most")


def write_configs(run: Path, target: Path) -> None:
    """The configs of the parts and the scheduler, as in a diffusers folder."""
    for part, source in (
        ("unet", run / "model/unet"),
        ("text_encoder", run / "model/text_encoder"),
        ("vae", run / "vae"),
    ):
        (target / part).mkdir(parents=True, exist_ok=True)
        config = json.loads((source / "config.json").read_text(encoding="utf-8"))
        kept = {name: value for name, value in config.items() if name != "_name_or_path"}
        if "dtype" in kept:
            kept["dtype"] = "float16"
        write_json(target / part / "config.json", kept)
    new_scheduler().save_pretrained(target / "scheduler")


def write_checkpoint(run: Path, target: Path) -> None:
    """portraits-00001-of-0000N.safetensors: fp16 under LDM's keys."""
    parts = {
        "unet": UNet2DConditionModel.from_pretrained(run / "model/unet").state_dict(),
        "text_encoder": CLIPTextModel.from_pretrained(run / "model/text_encoder").state_dict(),
        "vae": AutoencoderKL.from_pretrained(run / "vae").state_dict(),
    }
    read_layout.cache_clear()
    joined = join_parts(parts, read_layout(target / "config"))  # pyright: ignore[reportArgumentType]
    tensors = {key: value.half() if value.is_floating_point() else value for key, value in joined.items()}
    for key, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise SystemExit(f"{key} doesn't fit into fp16")
    for old in target.glob("portraits-*-of-*.safetensors"):
        old.unlink()
    piles = split(tensors)
    for number, pile in enumerate(piles, 1):
        path = target / f"portraits-{number:05d}-of-{len(piles):05d}.safetensors"
        save_file(pile, str(path), {"format": "pt"})
        assert path.stat().st_size <= PART_BYTES, f"{path} has {path.stat().st_size} bytes"


def split(tensors: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """Piles of tensors, in order, each small enough for one part."""
    piles: list[dict[str, torch.Tensor]] = [{}]
    room = PART_BYTES - HEADER_BYTES
    for key, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        if size > room:
            piles.append({})
            room = PART_BYTES - HEADER_BYTES
        piles[-1][key] = tensor.contiguous()
        room -= size
    return piles


def write_controlnet(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    network = ControlNetModel.from_pretrained(source).half()
    network.save_pretrained(target)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    write_json(target / "config.json", config)


def write_card(run: Path, target: Path) -> None:
    """Sizes and how long each stage trained, beside what the card said before; a stage that left no curve
    in this run keeps what the card says of it."""
    path = target / "card.json"
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    trained = card.get("training", {})
    for stage, curve in (
        ("vae", run / "vae/curve.json"),
        ("vae_decoder", run / "vae/decoder.json"),
        ("unet", run / "model/curve.json"),
        ("names", run / "names/curve.json"),
        *((kind, run / "controlnet" / kind / "curve.json") for kind in CONTROL_KINDS),
    ):
        if not curve.exists():
            continue
        facts = json.loads(curve.read_text(encoding="utf-8"))
        last = facts["curve"][-1]
        trained[stage] = {"seconds": last["seconds"], "steps": last["step"]}
        trained[stage] |= {name: value for name, value in facts.items() if isinstance(value, float)}
    write_json(path, card | {"size_px": SIZE_PX, "training": trained})


def copy_judges(source: Path, target: Path, app: Path) -> None:
    for name, folder in (("face", target), ("scene", app)):
        folder.mkdir(parents=True, exist_ok=True)
        load_file(str(source / f"{name}.safetensors"))
        for suffix in ("safetensors", "json"):
            shutil.copy(source / f"{name}.{suffix}", folder)


if __name__ == "__main__":
    main()
