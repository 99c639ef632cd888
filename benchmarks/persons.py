"""How well the bundled model learns drawn persons that were in no training.

    python benchmarks/persons.py crop --out DIR           20 raw photographs a person, drawn and cropped
    python benchmarks/persons.py train --out DIR          trainings by the plan, and pictures from each
    python benchmarks/persons.py judge --out DIR          who is in them and where; the table

Each part may run on another machine; ``train`` needs neither a face detector nor the photographs. For each
person and seed the full UNet with and without prior preservation and LoRAs of rank 4, 8 and 16 are trained
with the settings that the bundled card recommends, or with those of ``--plan`` (a JSON list of
``{"variant": ..., "method": ..., ...}``). Of each, pictures of the token in every surrounding and pictures of
the class are drawn. A small identity encoder and a classifier of surroundings, both trained on the renderer
alone (benchmarks/judges), say who is in them and where; dlib's distance is reported beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools" / "demo_model"), str(ROOT / "benchmarks")]

FIRST_PERSON = 9_000_101
VARIANTS: list[dict[str, Any]] = [
    {"variant": "unet", "method": "unet"},
    {"variant": "unet without prior", "method": "unet", "prior_preservation": False},
    {"variant": "lora 4", "method": "lora", "rank": 4},
    {"variant": "lora 8", "method": "lora", "rank": 8},
    {"variant": "lora 16", "method": "lora", "rank": 16},
]
BASE: dict[str, Any] = {"variant": "base", "method": ""}


def trainings(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Person, seed, variant and settings of every training, the slow ones first; the base once a person."""
    plan = json.loads(options.plan.read_text(encoding="utf-8")) if options.plan else VARIANTS
    people = range(options.first_person, options.first_person + options.persons)
    found = [
        {"person": person, "seed": seed, **settings}
        for seed in range(options.seeds)
        for person in people
        for settings in plan
    ]
    return [
        *sorted(found, key=lambda one: one["method"] != "unet"),
        *({"person": p, "seed": 0, **BASE} for p in people),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("crop", "train", "judge"))
    parser.add_argument("--out", type=Path, required=True, help="the folder that the parts share")
    parser.add_argument("--first-person", type=int, default=FIRST_PERSON)
    parser.add_argument("--persons", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--plan", type=Path)
    parser.add_argument("--name", default="drawn", help="subfolder of these trainings' pictures")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, shared among the GPUs")
    parser.add_argument("--threads", type=int, default=0, help="threads a training (0: PyTorch's choice)")
    parser.add_argument("--limit-s", type=float, default=1e9, help="start no training after so many seconds")
    parser.add_argument("--judges", type=Path, default=ROOT / "benchmarks" / "judges")
    parser.add_argument("--result", type=Path, help="also write the results to this file")
    options = parser.parse_args()
    if options.part == "crop":
        from persons_crop import crop_all

        crop_all(options.out, range(options.first_person, options.first_person + options.persons))
    elif options.part == "train":
        from persons_train import train_all

        train_all(trainings(options), options)
    else:
        from persons_judge import judge_all

        judge_all(options)


if __name__ == "__main__":
    main()
