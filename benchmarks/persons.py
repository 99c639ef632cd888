"""How well the bundled model learns drawn persons that were in no training.

    python benchmarks/persons.py --persons 5 --seeds 2 --out benchmarks/results/persons.json

For each person and seed: 20 raw photographs are drawn and cropped, then the full UNet with and without prior
preservation and LoRAs of rank 4, 8 and 16 are trained with the settings that the bundled card recommends. Of
each model, pictures of the token in every surrounding and pictures of the class are drawn. A small identity
encoder and a classifier of surroundings, both trained on the renderer alone (benchmarks/judges), say who is
in them and where; dlib's distance is reported beside it.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools" / "demo_model")]

from judges import Judges, boxes_from_detector, load_judges
from make_photos import make_photos
from world import PLACE_PHRASES, identity

from dreamgui.config import ConvertJob, CropJob, JobConfig, TrainJob
from dreamgui.data.dataset import Dataset
from dreamgui.data.faces import detect_faces
from dreamgui.diffusion.sample import Draw, draw
from dreamgui.doctor import versions
from dreamgui.evaluate.identity import Likeness
from dreamgui.events import Saved
from dreamgui.models.manager import Models
from dreamgui.recipes import recipe
from dreamgui.workspace import Workspace

FIRST_PERSON = 9_000_101
CLASS_PICTURES = 16
VARIANTS: dict[str, dict[str, Any]] = {
    "unet": {"method": "unet"},
    "unet without prior": {"method": "unet", "prior_preservation": False},
    "lora 4": {"method": "lora", "rank": 4},
    "lora 8": {"method": "lora", "rank": 8},
    "lora 16": {"method": "lora", "rank": 16},
}


@dataclass(frozen=True)
class Result:
    """Shares from 0 to 1 over one model's pictures; ``dlib``: mean distance of the token pictures' faces."""

    person: int
    seed: int
    variant: str
    seconds: float
    token_recognised: float
    class_recognised: float
    places_right: float
    faces_found: float
    dlib: float | None


class Bench:
    """One workspace, one base model, the judges."""

    def __init__(self, root: Path, judges: Judges) -> None:
        self.workspace = Workspace(root)
        self.models = Models(self.workspace)
        self.judges = judges
        self.base = self.run(ConvertJob())["model"]

    def run(self, job: JobConfig) -> dict[str, str]:
        """Run a recipe to its end; the names of what it saved."""
        events = recipe(job.kind)(job, self.workspace, self.models)
        return {event.what: event.name for event in events if isinstance(event, Saved)}

    def person(self, person: int, seed: int) -> Iterator[Result]:
        """Photographs, crops, then one result a variant."""
        gender = identity(person).gender
        photos = self.workspace.root / f"photos-{person}"
        files = tuple(make_photos(person, 20, photos))
        prompts = {
            "instance_prompt": f"a photo of sks {gender} face",
            "class_prompt": f"a photo of {gender} face",
        }
        crop = CropJob(
            photos=files,
            dataset=f"p{person}",
            size_px=self.models.catalog.card(self.base).size_px,
            instance_prompt=prompts["instance_prompt"],
        )
        dataset = Dataset.load(self.workspace.find("datasets", self.run(crop)["dataset"]))
        recommended = self.models.catalog.card(self.base).recommended
        for variant, settings in VARIANTS.items():
            wanted = {
                **recommended[settings["method"]],
                **prompts,
                **settings,
                "sample_every": 0,
                "seed": seed,
            }
            job = TrainJob.model_validate({**wanted, "model": self.base, "dataset": dataset.folder.name})
            began = time.monotonic()
            run = self.run(job)["run"]
            yield self.judged(person, seed, variant, run, dataset, gender, time.monotonic() - began)

    def judged(
        self, person: int, seed: int, variant: str, run: str, dataset: Dataset, gender: str, seconds: float
    ) -> Result:
        """Draw with the trained model and ask the judges."""
        references = [Image.open(path).convert("RGB") for path, _ in dataset.images()]
        known = self.faces(references)[1].mean(0, keepdim=True)
        places = [place for place in PLACE_PHRASES if place in self.judges.places]
        token = [f"a photo of sks {gender} face {PLACE_PHRASES[place]}" for place in places]
        steps = self.models.catalog.card(self.base).recommended.get("draw", {})
        with self.models.use(self.models.catalog.spec(run)) as parts:
            drawn = draw(
                parts, [Draw(prompt, seed=1000 + i, **_draw(steps)) for i, prompt in enumerate(token)]
            )
            prompt = f"a photo of {gender} face"
            class_drawn = draw(
                parts, [Draw(prompt, seed=2000 + i, **_draw(steps)) for i in range(CLASS_PICTURES)]
            )
        likeness = Likeness(references)
        distances = [d for image in drawn if (d := likeness.distance(image)) is not None]
        seen, _ = self.faces(drawn)
        where = self.judges.where(_tensor(drawn))
        return Result(
            person,
            seed,
            variant,
            round(seconds, 1),
            self.recognised(drawn, known),
            self.recognised(class_drawn, known),
            float(np.mean([a == b for a, b in zip(where, places, strict=True)])),
            len(seen) / len(drawn),
            float(np.mean(distances)) if distances else None,
        )

    def recognised(self, images: list[Image.Image], known: torch.Tensor) -> float:
        """Share of all pictures whose face the encoder takes for the person; no face found counts as not."""
        _, found = self.faces(images)
        cosines = torch.nn.functional.cosine_similarity(found, known) if len(found) else torch.zeros(0)
        return float((cosines > self.judges.same_person).sum()) / len(images)

    def faces(self, images: list[Image.Image]) -> tuple[list[int], torch.Tensor]:
        """Indices of the pictures with a face, and these faces' embeddings [n, 128]."""
        boxes, indices = [], []
        for index, image in enumerate(images):
            if faces := detect_faces(image):
                boxes.append(max(faces, key=lambda face: face.score).box)
                indices.append(index)
        if not indices:
            return [], torch.zeros(0, 128)
        chosen = _tensor([images[index] for index in indices])
        return indices, self.judges.embeddings(chosen, boxes_from_detector(torch.tensor(boxes).float()))


def _draw(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in ("steps", "guidance_scale", "scheduler") if name in settings}


def _tensor(images: list[Image.Image]) -> torch.Tensor:
    pixels = np.stack([np.asarray(image.convert("RGB")) for image in images]).astype(np.float32)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1


def table(results: list[Result]) -> str:
    """Means a variant, as Markdown."""
    lines = [
        "| variant | runs | seconds | token: the person | class: the person | place right | dlib |",
        "|" + " --- |" * 7,
    ]
    for variant in VARIANTS:
        rows = [result for result in results if result.variant == variant]
        if rows:
            far = [row.dlib for row in rows if row.dlib is not None]
            shares = (
                f"{np.mean([getattr(row, name) for row in rows]):.0%}"
                for name in ("token_recognised", "class_recognised", "places_right")
            )
            seconds = (
                f"{np.mean([row.seconds for row in rows]):.0f} (most {max(row.seconds for row in rows):.0f})"
            )
            distance = f"{np.mean(far):.2f}" if far else "-"
            lines.append(
                f"| {variant} | {len(rows)} | {seconds} | " + " | ".join(shares) + f" | {distance} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--persons", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--judges", type=Path, default=ROOT / "benchmarks" / "judges")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "persons.json")
    options = parser.parse_args()
    judges, results = load_judges(options.judges), []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), judges)
        for person in range(FIRST_PERSON, FIRST_PERSON + options.persons):
            for seed in range(options.seeds):
                for result in bench.person(person, seed):
                    results.append(result)
                    print(result, flush=True)
        device = bench.models.status()["device"]
    print(table(results))
    facts = {
        "device": device,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
    options.out.write_text(
        json.dumps({**facts, "results": [asdict(r) for r in results]}, indent=1), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
