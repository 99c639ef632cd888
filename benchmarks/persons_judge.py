"""The third part of persons.py: who is in the pictures, and where."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from judges import Judges, boxes_from_detector, load_judges
from persons_train import pictures
from PIL import Image

from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.faces.detect import detect_faces
from dreamgui.data.faces.identity import Likeness
from dreamgui.doctor import versions

SHARES = ("token_recognised", "class_recognised", "places_right", "faces_found")


def judge_all(options: argparse.Namespace) -> None:
    """Prints a line a training and the table of means; ``--result`` keeps both."""
    jury = Jury(load_judges(options.judges), options.out / "datasets")
    folders = sorted(path.parent for path in (options.out / options.name).glob("*/facts.json"))
    results = [jury.judged(folder) for folder in folders]
    print(table(results))
    if options.result:
        text = {"judged_with": versions(), "same_person": jury.judges.same_person, "results": results}
        options.result.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


class Jury:
    """The judges, and what they know of each person: the crops that were trained on."""

    def __init__(self, judges: Judges, datasets: Path) -> None:
        self.judges = judges
        self.datasets = datasets
        self._known: dict[int, tuple[torch.Tensor, Likeness]] = {}

    def known(self, person: int) -> tuple[torch.Tensor, Likeness]:
        """The person's mean embedding ``[1, 128]`` and dlib's likeness."""
        if person not in self._known:
            dataset = Dataset.load(self.datasets / f"p{person}")
            references = [Image.open(path).convert("RGB") for path, _ in dataset.images()]
            self._known[person] = self.faces(references)[1].mean(0, keepdim=True), Likeness.of(references)
        return self._known[person]

    def judged(self, folder: Path) -> dict[str, Any]:
        """The facts of a training with its shares (0 to 1) and dlib's mean distance of the token pictures."""
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        token, plain = pictures(folder, "token"), pictures(folder, "class")
        known, likeness = self.known(facts["person"])
        distances = [d for image in token if (d := likeness.distance(image)) is not None]
        where = self.judges.where(_tensor(token))
        found = {
            "token_recognised": self.recognised(token, known),
            "class_recognised": self.recognised(plain, known),
            "places_right": float(np.mean([a == b for a, b in zip(where, facts["places"], strict=True)])),
            "faces_found": len(self.faces(token)[0]) / len(token),
            "class_spread": self.spread(plain),
            "dlib": float(np.mean(distances)) if distances else None,
        }
        kept = {name: value for name, value in facts.items() if name not in ("prompts", "places")}
        return {**kept, **{n: v if v is None else round(v, 4) for n, v in found.items()}}

    def recognised(self, images: list[Image.Image], known: torch.Tensor) -> float:
        """Share of all pictures whose face the encoder takes for the person; no face found counts as not."""
        _, found = self.faces(images)
        cosines = torch.nn.functional.cosine_similarity(found, known) if len(found) else torch.zeros(0)
        return float((cosines > self.judges.same_person).sum()) / len(images)

    def spread(self, images: list[Image.Image]) -> float:
        """1 less the mean cosine between the pictures' faces: 0 if all are one person."""
        _, found = self.faces(images)
        if len(found) < 2:
            return 0.0
        cosines = torch.nn.functional.normalize(found, dim=1) @ torch.nn.functional.normalize(found, dim=1).T
        return 1 - float((cosines.sum() - len(found)) / (len(found) * (len(found) - 1)))

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


def _tensor(images: list[Image.Image]) -> torch.Tensor:
    pixels = np.stack([np.asarray(image) for image in images]).astype(np.float32)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1


def table(results: list[dict[str, Any]]) -> str:
    """Means a variant, as Markdown."""
    titles = ["token: the person", "class: the person", "place right", "face found"]
    lines = [
        "| variant | trainings | seconds, mean (most) | " + " | ".join(titles) + " | dlib |",
        "|" + " --- |" * 8,
    ]
    for variant in dict.fromkeys(result["variant"] for result in results):
        rows = [result for result in results if result["variant"] == variant]
        far = [row["dlib"] for row in rows if row["dlib"] is not None]
        seconds = [row["seconds"] for row in rows]
        shares = " | ".join(f"{np.mean([row[name] for row in rows]):.0%}" for name in SHARES)
        lines.append(
            f"| {variant} | {len(rows)} | {np.mean(seconds):.0f} ({max(seconds):.0f}) | {shares} | "
            f"{np.mean(far) if far else float('nan'):.2f} |"
        )
    return "\n".join(lines)
