"""Make what lies in home/, with the code of 26 November 2026 (commit 31976c5), before the house was built anew.

    git worktree add /tmp/before-code 31976c5 && cd /tmp/before-code
    PYTHONPATH=. python .../tests/version_before/make.py /tmp/before

Kept of it are the JSON files, the crops, the pictures of the jobs, and one checkpoint. It imports that commit's modules.
"""

import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image

from dreamgui.config import TrainJob
from dreamgui.errors import StopRequested
from dreamgui.events import Loss
from dreamgui.models.manager import Models
from dreamgui.recipes.train import train
from dreamgui.workspace import Workspace
from tests.data.conftest import packaged
from tests.tiny import make_tiny_base, make_tiny_controlnet

HOME = Path(sys.argv[1])
TRAINING = ("--model", "tiny", "--dataset", "anna", "--method", "lora", "--rank", "2", "--sample-every", "0")
TRAINING += ("--no-prior-preservation", "--batch-size", "1", "--checkpoint-every", "1")
PROMPT = "a photo of sks woman face in the forest"


def command(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "dreamgui", "--home", str(HOME), *words], check=True)


def stopped(workspace: Workspace) -> None:
    """A training that was stopped after two of four steps."""
    job = TrainJob(
        model="tiny", dataset="anna", method="lora", rank=2, sample_every=0, prior_preservation=False, batch_size=1,
        checkpoint_every=1, run="stopped", steps=4,
    )  # fmt: skip
    stream = train(job, workspace, Models(workspace, torch.device("cpu")))
    for event in stream:
        if isinstance(event, Loss) and event.step == 2:
            break
    try:
        stream.throw(StopRequested())
        list(stream)
    except StopIteration:
        pass


def main() -> None:
    workspace = Workspace(HOME)
    make_tiny_controlnet(make_tiny_base(workspace), "canny")
    photographs = HOME / "photos"
    photographs.mkdir()
    picture = Image.open(packaged("skimage", "data/astronaut.png")).convert("RGB")
    picture.save(photographs / "a.png")
    picture.resize((480, 480)).save(photographs / "b.jpg", quality=90)
    picture.rotate(4).save(photographs / "c.png")
    command("convert", "demo")
    command("crop", str(photographs), "--dataset", "anna", "--size-px", "64")
    command("train", *TRAINING, "--run", "anna", "--steps", "2")
    stopped(workspace)
    both = ("--models", "tiny", "anna", "--dataset", "anna", "--prompts", PROMPT, "--steps", "1")
    command("compare", *both, "--report", "both")
    command("control", str(photographs / "a.png"), "--models", "tiny", "--steps", "1", "--report", "edges")


if __name__ == "__main__":
    main()
