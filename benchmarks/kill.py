"""``python -m benchmarks.kill --kills 70``: trainings killed by the system, then resumed.

A third dies after a step, a third with half a checkpoint written, a third at any moment. Each resumed run
must have the losses of one that was never killed, to the last bit, and leave nothing half-written behind.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

import torch

from dreamgui.config import TrainJob
from dreamgui.models.manager import Models
from dreamgui.recipes.train import train
from dreamgui.workspace import Workspace, write_json
from tests.diffusion.made import make_dataset
from tests.recipes.killing import Death, kill, leftovers, numbers, resume
from tests.tiny import make_tiny_base

RESULTS = Path(__file__).parent / "results"
STEPS, EVERY = 8, 2


def main() -> None:
    """Kill, resume, compare, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=70)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        make_tiny_base(workspace)
        make_dataset(workspace)
        found = _all(workspace, options.kills, random.Random(options.seed))
    found["seconds"] = round(time.monotonic() - began, 1)
    write_json(RESULTS / "kill.json", found)
    print(found)


def _all(workspace: Workspace, kills: int, chance: random.Random) -> dict[str, float]:
    models = Models(workspace, torch.device("cpu"))
    whole = numbers(list(train(_job("whole"), workspace, models)))
    found = {"kills": 0, "survived": 0, "other_losses": 0, "leftovers": 0}
    while found["kills"] < kills:
        job = _job(f"killed-{sum(found.values())}")
        if not kill(workspace, job, _death(found["kills"] % 3, chance)):
            found["survived"] += 1
            continue
        found["kills"] += 1
        found["other_losses"] += numbers(resume(workspace, models, job)) != whole
        found["leftovers"] += bool(leftovers(workspace, job))
    return {**found}


def _death(kind: int, chance: random.Random) -> Death:
    if kind == 0:
        return Death(chance.randint(1, STEPS))
    if kind == 1:
        return Death(chance.randrange(EVERY, STEPS, EVERY), in_a_save=True)
    return Death(after_seconds=chance.uniform(0.05, 1.0))


def _job(run: str) -> TrainJob:
    return TrainJob(
        model="tiny", dataset="anna", steps=STEPS, sample_every=0, prior_preservation=False,
        learning_rate=1e-3, checkpoint_every=EVERY, run=run,
    )  # fmt: skip


if __name__ == "__main__":
    main()
