"""Draws the pictures and trains the whole demo model from nothing, stage after stage.

    python tools/demo_model/make.py --out DIR --gpus 2 --minutes 24 --compile

A stage whose result is there is left out, so a run that was cut off goes on where it stopped; ``--only``
names the stages to run. ``--trained DIR`` takes VAE and judges from an earlier run (DIR/vae, DIR/judges).
About 150 s go to drawing, loading and sampling, the rest to the stages by the shares below.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIXED_S = 150.0
SHARES = {"judges": 0.04, "vae": 0.33, "unet": 0.5, "controlnets": 0.13}
HELD_OUT_SEED, LEARNED_SEED = 9_500_000, 2_000_000
_BACKGROUND: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Run:
    """Where the run lies and what it may use."""

    out: Path
    gpus: int
    minutes: float
    count: int
    workers: int
    compile: bool
    trained: Path | None

    def seconds(self, stage: str) -> float:
        """The stage's training seconds; with one GPU the two ControlNets share theirs."""
        taken = [] if self.trained is None else ["judges", "vae"]
        whole = sum(share for name, share in SHARES.items() if name not in taken)
        left = max(30.0, self.minutes * 60 - FIXED_S) * SHARES[stage] / whole
        return left if self.gpus > 1 or stage in ("vae", "unet") else left / 2

    def budget(self, stage: str) -> list[object]:
        """Seconds, and whether to compile, as words for a training script."""
        return ["--seconds", self.seconds(stage), *(["--compile"] if self.compile else [])]

    @property
    def train(self) -> Path:
        return self.out / "pictures" / "train"

    @property
    def held_out(self) -> Path:
        return self.out / "pictures" / "held-out"


def main() -> None:
    run, only = read_options()
    run.out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    for name, (stage, result) in STAGES.items():
        if only and name not in only:
            continue
        if (run.out / result).exists() and not only:
            print(f"== {name}: {result} is there", flush=True)
            continue
        print(f"== {name} at {time.monotonic() - start:.0f} s", flush=True)
        stage(run)
    print(f"== done at {time.monotonic() - start:.0f} s", flush=True)


def read_options() -> tuple[Run, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=24)
    parser.add_argument("--count", type=int, default=90_000, help="training pictures")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 1) - 2))
    parser.add_argument("--compile", action="store_true", help="torch.compile: 20 steps a second, not 12")
    parser.add_argument("--trained", type=Path, help="folder with vae/ and judges/ of an earlier run")
    parser.add_argument("--only", nargs="+", choices=list(STAGES), help="run these stages, whatever is there")
    options = parser.parse_args()
    fields = {name: value for name, value in vars(options).items() if name != "only"}
    return Run(**{**fields, "out": options.out.resolve()}), options.only or []


def start(script: str, *words: object, gpu: int | None = None, gpus: int = 1) -> subprocess.Popen[bytes]:
    """Starts a script: on one GPU, or under torchrun on several."""
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(gpus)]
    command = [sys.executable, *(several if gpus > 1 else []), str(HERE / script), *map(str, words)]
    quiet = {
        "DIFFUSERS_VERBOSITY": "error",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    # One thread a drawing process: there are as many of them as cores.
    threads = "1" if script.startswith(("make_", "prepare")) else "4"
    environment = {"PYTHONUNBUFFERED": "1", **os.environ, **quiet, "OMP_NUM_THREADS": threads}
    environment |= {"OPENBLAS_NUM_THREADS": threads}
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = str(gpu)
    return subprocess.Popen(command, env=environment)


def wait(*processes: subprocess.Popen[bytes]) -> None:
    """Waits for all; ends this program if one failed."""
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"a stage failed: exit codes {codes}")


def draw_pictures(run: Run) -> None:
    """Draws the sets: held-out persons, many persons for the judges, and what all else is trained on."""
    folder, workers = run.out / "pictures", ("--workers", run.workers)
    persons = max(20, run.count // 366) if run.trained is None else 20
    held_out = ("--persons", persons, "--each", 12, "--first-seed", HELD_OUT_SEED, "--out", run.held_out)
    wait(start("make_people.py", *held_out, *workers))
    if run.trained is None:
        people = ("--persons", max(60, run.count // 22), "--each", 6, "--first-seed", LEARNED_SEED)
        wait(start("make_people.py", *people, "--out", folder / "people", *workers))
    wait(start("make_pictures.py", "--count", run.count, "--out", run.train, *workers))
    (folder / "complete").touch()


def train_judges(run: Run) -> None:
    if run.trained is not None:
        shutil.copytree(run.trained / "judges", run.out / "judges", dirs_exist_ok=True)
        return
    common = ("--pictures", run.out / "pictures/people", "--held-out", run.held_out)
    common = (*common, "--out", run.out / "judges", "--seconds", run.seconds("judges"))
    if run.gpus > 1:
        kinds = enumerate(("face", "scene"))
        wait(*(start("train_judges.py", *common, "--only", kind, gpu=gpu) for gpu, kind in kinds))
    else:
        wait(start("train_judges.py", *common))


def train_vae(run: Run) -> None:
    if run.trained is not None:
        shutil.copytree(run.trained / "vae", run.out / "vae", dirs_exist_ok=True)
        return
    words = ("--pictures", run.train, "--held-out", run.held_out, "--judges", run.out / "judges")
    wait(start("train_vae.py", *words, "--out", run.out / "vae", *run.budget("vae"), gpus=run.gpus))


def encode(run: Run) -> None:
    """Latents on the GPUs, token numbers on the processor; the control maps go on being drawn after that."""
    prepare = ("--pictures", run.train, "--workers", run.workers)
    tokens = start("prepare.py", *prepare, "--only", "tokens")
    wait(start("encode.py", "--pictures", run.train, "--vae", run.out / "vae", gpus=run.gpus), tokens)
    _BACKGROUND.append(start("prepare.py", *prepare, "--only", "maps"))


def train_unet(run: Run) -> None:
    words = ("--pictures", run.train, "--vae", run.out / "vae", "--out", run.out / "model")
    wait(start("train_unet.py", *words, *run.budget("unet"), gpus=run.gpus))


def train_controlnets(run: Run) -> None:
    """Both at once on two GPUs, else one after the other."""
    if not (run.train / "maps-complete").exists():
        again = ("--pictures", run.train, "--workers", run.workers, "--only", "maps")
        wait(*(_BACKGROUND or [start("prepare.py", *again)]))
    words = ("--pictures", run.train, "--held-out", run.held_out, "--vae", run.out / "vae")
    words = (*words, "--model", run.out / "model", *run.budget("controlnets"))
    started = []
    for index, kind in enumerate(("canny", "pose")):
        more = ("--kind", kind, "--out", run.out / "controlnet" / kind)
        gpu = index % run.gpus if run.gpus > 1 else None
        started.append(start("train_controlnets.py", *words, *more, gpu=gpu))
        if run.gpus == 1:
            wait(started[-1])
    wait(*started)


STAGES: dict[str, tuple[Callable[[Run], None], str]] = {
    "pictures": (draw_pictures, "pictures/complete"),
    "judges": (train_judges, "judges/scene.json"),
    "vae": (train_vae, "vae/config.json"),
    "encode": (encode, "pictures/train/latents.npy"),
    "unet": (train_unet, "model/text_encoder/config.json"),
    "controlnets": (train_controlnets, "controlnet/pose/config.json"),
}


if __name__ == "__main__":
    main()
