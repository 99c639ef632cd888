"""Pictures generated between two steps of a training: how long they take, and what it costs the training.

    python -m benchmarks.beside --home FOLDER --out FOLDER [--size tiny] [--steps 120] [--methods lora unet]

Random weights. Each method trains three times by the same seed: alone, alone once more, and with a picture asked for
at three steps. Writes ``beside-DEVICE-SIZE.json`` into ``--out`` (default: benchmarks/results): seconds from the
request to the picture, seconds of the training, the largest difference of its losses, its peak of memory.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import torch

from benchmarks.bases import SIZES_PX
from benchmarks.train_place import Place
from dreamgui import recipes
from dreamgui.config import GenerateJob, JobConfig
from dreamgui.events import Done, Event, Loss
from dreamgui.models.device import device_name
from dreamgui.services import Services

SHARES = (0.25, 0.5, 0.75)
"""When pictures are asked for, as shares of the training's steps."""
PICTURE_STEPS = 25


class Trainings:
    """Trainings of one method in one workspace; the newest one's losses and seconds."""

    def __init__(self, place: Place, method: str, steps: int) -> None:
        self.place, self.method, self.steps = place, method, steps
        self.services = Services(place.workspace)
        self.picture_seconds: list[float] = []

    def run(self, name: str, asked_at: tuple[int, ...] = ()) -> dict[str, Any]:
        """Train once; its losses, its seconds from the first step to the last, its peak of memory in MiB."""
        threads: list[Thread] = []
        told: dict[int, tuple[float, float]] = {}
        bound = recipes.bind(self.services.workspace, lambda: self.services.models)["train"]

        def watched(config: JobConfig) -> Iterator[Event]:
            for event in bound(config):
                if isinstance(event, Loss):
                    told[event.step] = (event.instance, time.perf_counter())
                    if event.step in asked_at:
                        threads.append(Thread(target=self._ask, args=(event.step,)))
                        threads[-1].start()
                yield event

        self.services.jobs._recipes = {**self.services.jobs._recipes, "train": watched}
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        training = self.services.jobs.submit(
            self.place.job({"method": self.method, "steps": self.steps, "run": name, "seed": 5})
        )
        ended = training.wait()
        if not isinstance(ended, Done):
            raise SystemExit(f"the training ended with {training.events()[-1]}")
        for thread in threads:
            thread.join()
        times = [at for _, at in told.values()]
        peak = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0
        return {
            "losses": [loss for loss, _ in told.values()],
            "seconds": round(max(times) - min(times), 2),
            "peak_mib": round(peak),
        }

    def _ask(self, seed: int) -> None:
        self.picture_seconds.append(self.picture(seed))

    def picture(self, seed: int) -> float:
        """Seconds from the request to the end of a Generate job of one picture."""
        began = time.perf_counter()
        wanted = GenerateJob(
            model=self.place.size, prompt="a photo of sks woman face", steps=PICTURE_STEPS, seed=seed
        )
        job = self.services.jobs.submit(wanted)
        if not isinstance(job.wait(), Done):
            raise SystemExit(f"the picture ended with {job.events()[-1]}")
        return time.perf_counter() - began


def measured(place: Place, method: str, steps: int) -> dict[str, Any]:
    """One method's row."""
    trainings = Trainings(place, method, steps)
    pictures = sorted(trainings.picture(seed) for seed in range(5))
    alone, again = trainings.run(f"alone-{method}"), trainings.run(f"again-{method}")
    beside = trainings.run(f"beside-{method}", tuple(round(steps * share) for share in SHARES))
    return {
        "picture_s": {
            "alone": round(pictures[2], 3),
            "beside": [round(s, 3) for s in trainings.picture_seconds],
        },
        "training_s": {"alone": [alone["seconds"], again["seconds"]], "beside": beside["seconds"]},
        "largest_loss_difference": {
            "alone_again": _apart(alone["losses"], again["losses"]),
            "beside": _apart(alone["losses"], beside["losses"]),
        },
        "peak_mib": {"alone": again["peak_mib"], "beside": beside["peak_mib"]},
    }


def _apart(first: list[float], second: list[float]) -> float:
    return max(abs(one - other) for one, other in zip(first, second, strict=True))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path("/tmp/dreamgui-bench"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--size", choices=SIZES_PX, default="sd15")
    parser.add_argument("--methods", nargs="*", default=["lora", "unet"])
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()
    place = Place(options.home.resolve(), options.size, 0, 0, False)
    place.prepare()
    name = device_name(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    found: dict[str, Any] = {
        "device": name,
        "date": str(datetime.date.today()),
        "torch": torch.__version__,
        "size": options.size,
        "what": f"{options.steps} training steps; pictures of {PICTURE_STEPS} steps asked for at {SHARES} of them",
        "rows": {},
    }
    file = options.out / f"beside-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}-{options.size}.json"
    for method in options.methods:
        found["rows"][method] = measured(place, method, options.steps)
        print(method, json.dumps(found["rows"][method]), flush=True)
        file.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
