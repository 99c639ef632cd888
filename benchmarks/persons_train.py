"""The second part of persons.py: trainings by the app's own recipe, and pictures from each trained model.

``--jobs N`` runs N processes, each with a workspace of its own; process i uses GPU i modulo their number.
Where mediapipe isn't installed, class images are taken as they come instead of being looked at.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp
from PIL import Image
from world import PLACE_PHRASES, identity

from dreamgui.config import ConvertJob, TrainJob
from dreamgui.diffusion import class_images
from dreamgui.diffusion.sample import ImageRequest, generate
from dreamgui.events import Event, Saved
from dreamgui.models.manager import Models
from dreamgui.recipes.convert import convert
from dreamgui.recipes.train import train
from dreamgui.workspace import Workspace

CLASS_PICTURES = 16
DRAW_FIELDS = ("steps", "guidance_scale", "scheduler")


def train_all(plan: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """Trains the whole plan, ``options.jobs`` at once."""
    began = time.monotonic()
    queue: Any = mp.get_context("spawn").Queue()
    for number, one in enumerate(plan):
        queue.put((number, one))
    if options.jobs == 1:
        work(0, queue, options, began)
    else:
        mp.start_processes(work, (queue, options, began), options.jobs, start_method="spawn")
    print(f"{len(plan)} trainings in {time.monotonic() - began:.0f} s", flush=True)


def work(index: int, queue: Any, options: argparse.Namespace, began: float) -> None:
    """Takes trainings from the queue until it is empty or the time is up."""
    if options.threads:
        torch.set_num_threads(options.threads)
    if find_spec("mediapipe") is None:
        setattr(class_images, "look_at", lambda image, framing: class_images.Look(0.5, 0.0))  # noqa: B010
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), options.out, index)
        while time.monotonic() - began < options.limit_s:
            try:
                number, one = queue.get(timeout=1)
            except Exception:  # noqa: BLE001 - Empty, whichever queue it is
                return
            facts = bench.training(one, options.out / options.name / f"{number:03d}")
            print({**one, "seconds": facts["seconds"]}, flush=True)


class Bench:
    """One workspace with the base model; weights in float32, as on the processor."""

    def __init__(self, root: Path, cropped: Path, index: int) -> None:
        self.workspace = Workspace(root)
        gpus = torch.cuda.device_count()
        device = torch.device("cuda", index % gpus) if gpus else torch.device("cpu")
        self.models = Models(self.workspace, device)
        self.models.dtype = self.models.train_dtype = torch.float32
        self.cropped = cropped
        self.base = self._run(convert(ConvertJob(dtype="fp32"), self.workspace, self.models), "model")
        self.card = self.models.catalog.card(self.base)

    def training(self, one: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Trains, draws into ``folder`` and says in facts.json what was done."""
        person, gender = one["person"], identity(one["person"]).gender
        name, began = self.base, time.monotonic()
        if one["method"]:
            name = self._train(one, gender)
        seconds = time.monotonic() - began
        places = list(PLACE_PHRASES)
        prompts = {
            "token": [f"a photo of sks {gender} face {PLACE_PHRASES[place]}" for place in places],
            "class": [f"a photo of {gender} face"] * CLASS_PICTURES,
        }
        wanted = self.card.recommended.get("generate", {})
        settings = {field: wanted[field] for field in DRAW_FIELDS if field in wanted}
        folder.mkdir(parents=True, exist_ok=True)
        with self.models.use(self.models.catalog.spec(name)) as parts:
            for first, (kind, texts) in enumerate(prompts.items(), 1):
                requests = [
                    ImageRequest(text, seed=1000 * first + 100 * one["seed"] + i, **settings)
                    for i, text in enumerate(texts)
                ]
                for number, image in enumerate(generate(parts, requests)):
                    image.save(folder / f"{kind}-{number:02d}.webp", quality=95)
        facts = {
            **one,
            "person": person,
            "gender": gender,
            "places": places,
            "prompts": prompts,
            "seconds": round(seconds, 1),
            "device": str(self.models.status()["device"]),
            "threads": torch.get_num_threads(),
        }
        (folder / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        return facts

    def _train(self, one: dict[str, Any], gender: str) -> str:
        dataset = f"p{one['person']}"
        place = self.workspace.place("datasets", dataset)
        if not place.exists():
            shutil.copytree(self.cropped / "datasets" / dataset, place)
        settings = {
            **self.card.recommended.get(one["method"], {}),
            **{name: value for name, value in one.items() if name in TrainJob.model_fields},
            "instance_prompt": f"a photo of sks {gender} face",
            "class_prompt": f"a photo of {gender} face",
            "sample_every": 0,
            "validate_every": 0,
            "checkpoint_every": 20000,
            "model": self.base,
            "dataset": dataset,
        }
        return self._run(train(TrainJob.model_validate(settings), self.workspace, self.models), "run")

    @staticmethod
    def _run(events: Any, what: str) -> str:
        found: list[Event] = list(events)
        return next(
            event.name for event in reversed(found) if isinstance(event, Saved) and event.what == what
        )


def pictures(folder: Path, kind: str) -> list[Image.Image]:
    """The pictures that a training left, in the order of their prompts."""
    return [Image.open(file).convert("RGB") for file in sorted(folder.glob(f"{kind}-*.webp"))]
