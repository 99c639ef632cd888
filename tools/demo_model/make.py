"""Draws the pictures and trains the whole demo model from nothing, stage after stage.

    python tools/demo_model/make.py --out DIR --gpus 2 --minutes 24

A stage whose result is there is left out, so a run that was cut off goes on where it stopped; ``--only``
names the stages to run. About 150 s go to drawing, loading and sampling, the rest to the stages by the
shares below.
"""

from __future__ import annotations

import argparse
import json
import os
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
CANDIDATES = {
    "vae": [(64, True), (64, False)],
    "unet": [(512, True), (512, False)],
    "control": [(384, True), (384, False)],
}
# Of a compiled step that is in the compiler's cache: what the first one still takes.
CACHED_START_S = 20
COMPILE_PATIENCE_S = 150


@dataclass(frozen=True)
class Run:
    """Where the run lies and what it may use."""

    out: Path
    gpus: int
    minutes: float
    count: int
    workers: int
    timed: bool

    def seconds(self, stage: str) -> float:
        """The stage's training seconds; with one GPU the two ControlNets share theirs."""
        left = max(30.0, self.minutes * 60 - FIXED_S) * SHARES[stage]
        return left if self.gpus > 1 or stage in ("vae", "unet") else left / 2

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
    parser.add_argument("--count", type=int, default=110_000, help="training pictures")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 1) - 2))
    parser.add_argument("--untimed", action="store_true", help="don't try compiling; for a quick trial")
    parser.add_argument("--only", nargs="+", choices=list(STAGES), help="run these stages, whatever is there")
    options = parser.parse_args()
    return Run(
        options.out.resolve(),
        options.gpus,
        options.minutes,
        options.count,
        options.workers,
        not options.untimed,
    ), options.only or []


def start(script: str, *words: object, gpu: int | None = None, gpus: int = 1) -> subprocess.Popen[bytes]:
    """Starts a script: on one GPU, or under torchrun on several."""
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(gpus)]
    command = [sys.executable, *(several if gpus > 1 else []), str(HERE / script), *map(str, words)]
    quiet = {
        "DIFFUSERS_VERBOSITY": "error",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    environment = {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "4", **os.environ, **quiet}
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = str(gpu)
    return subprocess.Popen(command, env=environment)


def wait(*processes: subprocess.Popen[bytes]) -> None:
    """Waits for all; ends this program if one failed."""
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"a stage failed: exit codes {codes}")


def draw_pictures(run: Run) -> None:
    """Draws the three sets; meanwhile, and until the VAE starts, the GPUs are asked how fast they train."""
    folder, workers = run.out / "pictures", ("--workers", run.workers)
    held_out = (
        "--persons",
        max(20, run.count // 366),
        "--each",
        12,
        "--first-seed",
        HELD_OUT_SEED,
        "--out",
        run.held_out,
        *workers,
    )
    people = ("--persons", max(60, run.count // 22), "--each", 6, "--first-seed", LEARNED_SEED)
    if run.timed:
        parts = [["vae", "control"], ["unet"]] if run.gpus > 1 else [list(CANDIDATES)]
        SPEEDS.extend(start_speeds(run, some, gpu) for gpu, some in enumerate(parts))
    wait(start("make_people.py", *held_out))
    wait(start("make_people.py", *people, "--out", folder / "people", *workers))
    wait(start("make_pictures.py", "--count", run.count, "--out", run.train, *workers))
    (folder / "complete").touch()


SPEEDS: list[subprocess.Popen[bytes]] = []


def start_speeds(run: Run, parts: list[str], gpu: int) -> subprocess.Popen[bytes]:
    """One shell that times the parts' candidates in turn on one GPU; a failure only leaves one out."""
    script = f"timeout {COMPILE_PATIENCE_S} {sys.executable} {HERE / 'throughput.py'} --seconds 5"
    out = run.out / "throughput"
    lines = [
        f"{script} --out {out} --part {part} --batch {batch} {'--compile' if compiled else ''}"
        for part in parts
        for batch, compiled in CANDIDATES[part]
    ]
    caches = {"TORCHINDUCTOR_CACHE_DIR": str(run.out / "compiled"), "CUDA_VISIBLE_DEVICES": str(gpu)}
    environment = {**os.environ, **caches, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(["bash", "-c", "; ".join(lines)], env=environment)


def prepare_and_judge(run: Run) -> None:
    """Control maps and tokens on the processor, the judges on the GPUs."""
    maps = start("prepare.py", "--pictures", run.train, "--workers", run.workers)
    common = (
        "--pictures",
        run.out / "pictures/people",
        "--held-out",
        run.held_out,
        "--out",
        run.out / "judges",
    )
    common = (*common, "--seconds", run.seconds("judges"))
    if run.gpus > 1:
        wait(
            maps,
            *(start("train_judges.py", *common, "--only", k, gpu=i) for i, k in enumerate(("face", "scene"))),
        )
    else:
        wait(maps, start("train_judges.py", *common))


def train_vae(run: Run) -> None:
    words = (
        "--pictures",
        run.train,
        "--held-out",
        run.held_out,
        "--judges",
        run.out / "judges",
        "--out",
        run.out / "vae",
    )
    for process in SPEEDS:
        process.wait()
    wait(start("train_vae.py", *words, *budget(run, "vae"), gpus=run.gpus))


def encode(run: Run) -> None:
    wait(start("encode.py", "--pictures", run.train, "--vae", run.out / "vae", gpus=run.gpus))


def train_unet(run: Run) -> None:
    words = ("--pictures", run.train, "--vae", run.out / "vae", "--out", run.out / "model")
    wait(start("train_unet.py", *words, *budget(run, "unet"), gpus=run.gpus))


def train_controlnets(run: Run) -> None:
    """Both at once on two GPUs, else one after the other."""
    words = (
        "--pictures",
        run.train,
        "--held-out",
        run.held_out,
        "--vae",
        run.out / "vae",
        "--model",
        run.out / "model",
    )
    started = []
    for index, kind in enumerate(("canny", "pose")):
        more = (
            "--kind",
            kind,
            "--out",
            run.out / "controlnet" / kind,
            "--seconds",
            run.seconds("controlnets"),
            *(["--compile"] if "--compile" in budget(run, "control", "controlnets") else []),
        )
        started.append(
            start("train_controlnets.py", *words, *more, gpu=index % run.gpus if run.gpus > 1 else None)
        )
        if run.gpus == 1:
            wait(started[-1])
    wait(*started)


def budget(run: Run, part: str, stage: str = "") -> list[object]:
    """Seconds, batch and compiling: the candidate that sees the most pictures in the time there is."""
    seconds = run.seconds(stage or part)
    best, words = 0.0, list[object]()
    for file in sorted((run.out / "throughput").glob(f"{part}_*.json")):
        facts = json.loads(file.read_text(encoding="utf-8"))
        seen = facts["pictures_per_s"] * (seconds - (CACHED_START_S if facts["compile"] else 0))
        if seen > best:
            best, words = seen, ["--batch", facts["batch"], *(["--compile"] if facts["compile"] else [])]
    if "--compile" in words:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(run.out / "compiled")
    return ["--seconds", seconds, *words]


STAGES: dict[str, tuple[Callable[[Run], None], str]] = {
    "pictures": (draw_pictures, "pictures/complete"),
    "judges": (prepare_and_judge, "judges/scene.json"),
    "vae": (train_vae, "vae/config.json"),
    "encode": (encode, "pictures/train/latents.npy"),
    "unet": (train_unet, "model/text_encoder/config.json"),
    "controlnets": (train_controlnets, "controlnet/pose/config.json"),
}


if __name__ == "__main__":
    main()
