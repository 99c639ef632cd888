"""Converting a full-size Stable Diffusion 1.5 single file, against diffusers' own way, in one run.

A single file of random fp32 weights (4.3 GB) is made on the spot and deleted afterwards. Both sides turn it into a
diffusers fp16 folder, each in a fresh process with its imports done and the file in the page cache; which comes first alternates,
and the medians are compared:

    ours      the convert recipe: recognise, check for NaN, cast, write, hash, read back, fsync, rename
    diffusers StableDiffusionPipeline.from_single_file(..., config=<local>, local_files_only=True), save_pretrained

    python benchmarks/convert.py [--rounds 5] [--out benchmarks/results/convert.json]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WALL_RATIO, ANONYMOUS_BYTES = 1.1, 2.0e9


class Anonymous:
    """Watches this process's anonymous memory in a thread."""

    def __init__(self) -> None:
        self.idle_bytes = self.peak_bytes = self.now_bytes()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @staticmethod
    def now_bytes() -> int:
        fields = dict(
            line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line
        )
        return int(fields["RssAnon"].split()[0]) * 1024

    def __enter__(self) -> Anonymous:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.peak_bytes = max(self.peak_bytes, self.now_bytes())


def make_single_file(target: Path) -> None:
    """Random fp32 weights under every key of a Stable Diffusion 1.5 checkpoint, written tensor by tensor."""
    import torch

    from dreamgui.assets import asset
    from dreamgui.models.files.layout import read_layout
    from dreamgui.models.files.writing import TensorEntry, write_safetensors

    shapes = {key: slot.ldm_shape for key, slot in read_layout(asset("sd15")).items()}
    torch.manual_seed(0)
    noise = torch.randn(40_000_000) * 0.02

    def value(shape: tuple[int, ...]) -> torch.Tensor:
        return noise[: torch.Size(shape).numel()].reshape(shape)

    entries = [TensorEntry(key, shape, torch.float32, partial(value, shape)) for key, shape in shapes.items()]
    write_safetensors(target, entries)


def ours(source: Path, out: Path) -> Callable[[], None]:
    import torch

    from dreamgui.config import ConvertJob
    from dreamgui.models.manager import Models
    from dreamgui.recipes.convert import convert
    from dreamgui.workspace import Workspace

    workspace = Workspace(out)
    models = Models(workspace, torch.device("cpu"))
    return lambda: print(
        [type(event).__name__ for event in convert(ConvertJob(source=str(source)), workspace, models)]
    )


def theirs(source: Path, out: Path) -> Callable[[], None]:
    import torch
    from diffusers import StableDiffusionPipeline

    from dreamgui.assets import asset

    def work() -> None:
        pipeline: Any = StableDiffusionPipeline
        made = pipeline.from_single_file(
            str(source), config=str(asset("sd15")), local_files_only=True, torch_dtype=torch.float16
        )
        made.save_pretrained(out / "saved")

    return work


def measure(side: str, source: Path, out: Path) -> None:
    """One side, in this process; prints seconds and bytes as its last line."""
    work = {"ours": ours, "diffusers": theirs}[side](source, out)
    warm(source)
    with Anonymous() as memory:
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
    print(
        json.dumps(
            {
                "seconds": round(seconds, 2),
                "anonymous_bytes": memory.peak_bytes - memory.idle_bytes,
                "load": os.getloadavg()[0],
            }
        )
    )


def warm(source: Path) -> None:
    """Read the file once, so that neither side pays for the disk."""
    with source.open("rb", buffering=0) as file:
        buffer = bytearray(1 << 24)
        while file.readinto(buffer):
            pass


def run(side: str, source: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=source.parent) as out:
        command = [sys.executable, __file__, "--side", side, "--source", str(source), "--into", out]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
    os.sync()
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "convert.json")
    parser.add_argument("--side", choices=("ours", "diffusers"))
    parser.add_argument("--source", type=Path)
    parser.add_argument("--into", type=Path)
    options = parser.parse_args()
    if options.side:
        measure(options.side, options.source, options.into)
        return
    folder = Path(tempfile.mkdtemp(prefix="dreamgui-convert-"))
    try:
        source = folder / "random.safetensors"
        make_single_file(source)
        os.sync()
        orders = [("diffusers", "ours"), ("ours", "diffusers")]
        rounds = [{side: run(side, source) for side in orders[n % 2]} for n in range(options.rounds)]
        size_bytes = source.stat().st_size
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    medians = {
        side: statistics.median(one[side]["seconds"] for one in rounds) for side in ("ours", "diffusers")
    }
    peak = max(one["ours"]["anonymous_bytes"] for one in rounds)
    result = {
        "file_bytes": size_bytes, "rounds": rounds, "medians": medians,
        "ratio": round(medians["ours"] / medians["diffusers"], 3), "ratio_allowed": WALL_RATIO,
        "anonymous_bytes": peak, "anonymous_allowed": ANONYMOUS_BYTES, "processors": os.cpu_count(),
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    if result["ratio"] > WALL_RATIO or peak > ANONYMOUS_BYTES:
        raise SystemExit("missed")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
