"""Draws the training curves that a run left, one panel a stage.

    python tools/demo_model/curves.py --run DIR --out curves.png

DIR is a run of make.py, or what collect.py kept of it. Needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

STAGES = {
    "face judge": ("judges/face.json", ("contrast", "woman_man")),
    "scene judge": ("judges/scene.json", ("loss",)),
    "VAE": ("vae/curve.json", ("l1", "square", "edge", "looks", "identity")),
    "VAE's decoder": ("vae/decoder.json", ("l1", "square", "edge", "looks", "identity")),
    "UNet and text encoder": ("model/curve.json", ("loss",)),
    "names": ("names/curve.json", ("loss",)),
    "ControlNet canny": ("controlnet/canny/curve.json", ("loss",)),
    "ControlNet pose": ("controlnet/pose/curve.json", ("loss",)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    found = {
        title: (json.loads((options.run / file).read_text(encoding="utf-8"))["curve"], names)
        for title, (file, names) in STAGES.items()
        if (options.run / file).exists()
    }
    if not found:
        parser.error(f"{options.run} holds no curve")
    figure, panels = plt.subplots(1, len(found), figsize=(3.2 * len(found), 2.8), squeeze=False)
    for panel, (title, (rows, names)) in zip(panels[0], found.items(), strict=True):
        for name in names:
            panel.plot([row["seconds"] for row in rows], [row[name] for row in rows], label=name)
        panel.set(title=title, xlabel="seconds", yscale="log")
        panel.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
