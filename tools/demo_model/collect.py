"""Copies what a run is worth keeping into OUT/collected: the networks in fp16, judges, curves and sheets.

    python collect.py --run OUT

The folder has the run's own layout, so that pack.py reads it; what isn't there yet is left out. About 45 MB.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from architecture import CONTROL_KINDS
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from transformers import CLIPTextModel

NETWORKS = {
    "vae": AutoencoderKL,
    "model/unet": UNet2DConditionModel,
    "model/text_encoder": CLIPTextModel,
    **{f"controlnet/{kind}": ControlNetModel for kind in CONTROL_KINDS},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True)
    run: Path = parser.parse_args().run
    target = run / "collected"
    for name, kind in NETWORKS.items():
        if (run / name / "config.json").exists():
            kind.from_pretrained(run / name).half().save_pretrained(target / name)
    for folder in ("judges", "vae", "model", "controlnet"):
        for file in (run / folder).rglob("*"):
            if file.suffix in (".json", ".png") or file.parent.name == "judges":
                place = target / file.relative_to(run)
                place.parent.mkdir(parents=True, exist_ok=True)
                if not place.exists() or file.name != "config.json":
                    shutil.copy(file, place)
    files = [file for file in target.rglob("*") if file.is_file()]
    print(f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB in {len(files)} files in {target}")


if __name__ == "__main__":
    main()
