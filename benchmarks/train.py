"""``python -m benchmarks.train``: steps a second of the plain loop and of ours, both in one run.

The bundled model's sizes on a CPU, Stable Diffusion 1.5's own on a GPU, random weights. Each figure is the
median of three; plain and ours take turns, so that other load hits both. The table is printed and stored in
``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.bases import SIZES_PX, Size, make_base
from benchmarks.plain import PlainLoop
from dreamgui.config import TrainJob
from dreamgui.diffusion.graph import FastStep
from dreamgui.diffusion.latents import Picture
from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.diffusion.step import StepSettings, TrainingStep
from dreamgui.diffusion.transfer import Readback
from dreamgui.evaluate.report import versions
from dreamgui.models.manager import LoraSettings, Models
from dreamgui.recipes.lessons import Lessons, Material, encode
from dreamgui.workspace import Workspace, safe_name, write_json

RESULTS = Path(__file__).parent / "results"
PROMPTS = ("a photo of sks woman face", "a photo of woman face")
ROUNDS, LEAST_STEPS = 3, 3


@dataclass(frozen=True)
class Case:
    """What is trained: the UNet or a LoRA of rank 8, with so many instance and as many class pictures."""

    method: str
    batch: int

    @property
    def name(self) -> str:
        """As in the table."""
        return f"{'UNet' if self.method == 'unet' else 'LoRA rank 8'} {self.batch}+{self.batch}"


@dataclass(frozen=True)
class Figures:
    """Medians of three: steps a second, seconds from Start to the first step (without and with cached
    latents on the disk for ours), peak device memory in bytes where the device tells it."""

    case: str
    plain_steps_s: float
    ours_steps_s: float
    plain_all: tuple[float, ...]
    ours_all: tuple[float, ...]
    ready_s: float
    ready_again_s: float
    plain_peak_bytes: int
    ours_peak_bytes: int
    load: float


CASES = (Case("unet", 1), Case("lora", 1), Case("unet", 8), Case("lora", 8))


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long one round of one loop lasts")
    parser.add_argument("--size", choices=sorted(SIZES_PX), help="of the model (default: by the device)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        models = Models(workspace)
        size: Size = options.size or ("demo" if models.device.type == "cpu" else "sd15")
        bench = Bench(workspace, models, size, options.seconds)
        rows = []
        for case in CASES:
            rows.append(bench.measure(case))
            print(line(rows[-1]), flush=True)
    store(models, size, rows)


class Bench:
    """Pictures and a base of random weights, and the two loops over them."""

    def __init__(self, workspace: Workspace, models: Models, size: Size, seconds: float) -> None:
        self.models = models
        self.base = make_base(workspace, size)
        self.size_px = SIZES_PX[size]
        self.seconds = seconds
        chance = np.random.default_rng(0)
        self.files = {}
        for kind in ("instance", "class"):
            folder = workspace.root / kind
            folder.mkdir()
            self.files[kind] = [folder / f"{number}.png" for number in range(16)]
            for path in self.files[kind]:
                small = Image.fromarray(chance.integers(0, 255, (8, 8, 3), np.uint8))
                small.resize((self.size_px, self.size_px), Image.Resampling.BICUBIC).save(path)

    def measure(self, case: Case) -> Figures:
        """Both loops, three rounds in turns."""
        plain, ours, ready = [], [], []
        peaks = {"plain": 0, "ours": 0}
        load = os.getloadavg()[0]
        for _ in range(ROUNDS):
            with self._peak(peaks, "plain"):
                plain.append(self._plain(case))
            with self._peak(peaks, "ours"):
                speed, seconds = self._ours(case)
            ours.append(speed)
            ready.append(seconds)
        middle = statistics.median
        again = min(ready[1:])
        return Figures(
            case.name, middle(plain), middle(ours), tuple(plain), tuple(ours), ready[0], again,
            peaks["plain"], peaks["ours"], load,
        )  # fmt: skip

    def _plain(self, case: Case) -> float:
        with self.models.train(self.base, self._lora(case)) as parts:
            loop = PlainLoop(parts, self.size_px)

            def step(number: int) -> None:
                start = number * case.batch % 16
                chosen = [self.files[kind][start : start + case.batch] for kind in ("instance", "class")]
                loop.step(chosen[0], chosen[1], PROMPTS)

            return self._speed(step, lambda: None)

    def _ours(self, case: Case) -> tuple[float, float]:
        began = time.perf_counter()
        job = TrainJob(method=case.method, batch_size=case.batch, validate_every=0)  # type: ignore[arg-type]
        with self.models.train(self.base, self._lora(case)) as parts:
            lessons = _encoded(parts, job, self._material())
            schedule = NoiseSchedule(parts.scheduler_config, parts.device)
            training = TrainingStep(parts.unet, schedule, parts.dtype, StepSettings())
            fast = FastStep(training)
            readback = Readback(parts.device)

            def step(number: int) -> None:
                measured = fast.launch(lessons.batch(number + 1, schedule.steps), 1e-4)
                for _, values in readback.add(number, measured):
                    training.read(values)

            step(0)
            self._wait()
            ready = time.perf_counter() - began
            return self._speed(step, lambda: list(readback.rest())), ready

    def _speed(self, step: Callable[[int], None], finish: Callable[[], Any]) -> float:
        """Steps a second, after two to warm up."""
        for number in range(2):
            step(number)
        finish()
        self._wait()
        began, number = time.perf_counter(), 0
        while time.perf_counter() - began < self.seconds or number < LEAST_STEPS:
            step(number)
            number += 1
        finish()
        self._wait()
        return number / (time.perf_counter() - began)

    def _material(self) -> Material:
        instance, prior = (
            [Picture(path, prompt) for path in self.files[kind]]
            for kind, prompt in zip(("instance", "class"), PROMPTS, strict=True)
        )
        return Material(instance, prior, [])

    def _lora(self, case: Case) -> LoraSettings | None:
        return None if case.method == "unet" else LoraSettings(8, 8.0)

    def _wait(self) -> None:
        if self.models.device.type == "cuda":
            torch.cuda.synchronize()

    @contextmanager
    def _peak(self, peaks: dict[str, int], name: str) -> Any:
        cuda = self.models.device.type == "cuda"
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        yield
        if cuda:
            peaks[name] = max(peaks[name], torch.cuda.max_memory_allocated())


def _encoded(parts: Any, job: TrainJob, material: Material) -> Lessons:
    encoding = encode(parts, job, material)
    while True:
        try:
            next(encoding)
        except StopIteration as end:
            return end.value


HEADER = (
    "| what | plain, steps/s | ours, steps/s | times | ours, images/s | first step, cold / again"
    " | peak memory plain / ours | load before |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def line(row: Figures) -> str:
    """A row of the table."""
    images = 2 * int(row.case.split("+")[1]) * row.ours_steps_s
    peak = f"{row.plain_peak_bytes / 2**30:.1f} / {row.ours_peak_bytes / 2**30:.1f} GiB"
    return (
        f"| {row.case} | {row.plain_steps_s:.3g} | {row.ours_steps_s:.3g}"
        f" | {row.ours_steps_s / row.plain_steps_s:.2f} | {images:.3g}"
        f" | {row.ready_s:.1f} / {row.ready_again_s:.1f} s | {peak if row.ours_peak_bytes else '-'}"
        f" | {row.load:.1f} |"
    )


def store(models: Models, size: Size, rows: list[Figures]) -> None:
    """The table as Markdown and JSON, with device and versions."""
    device = models.status()["device"]
    made = {"device": device, "size": size, "threads": torch.get_num_threads(), "versions": versions()}
    made["day"] = time.strftime("%Y-%m-%d")
    name = safe_name(f"train-{device}-{size}").lower()
    write_json(RESULTS / f"{name}.json", {**made, "rows": [asdict(row) for row in rows]})
    told = ", ".join(f"{key} {value}" for key, value in versions().items())
    table = "\n".join([HEADER, *map(line, rows)])
    what = f"{made['day']}, model of {size} sizes, random weights, medians of three. {told}."
    head = f"# Training, {device}\n\n{what}"
    (RESULTS / f"{name}.md").write_text(f"{head}\n\n{table}\n", encoding="utf-8")
    print(HEADER, *map(line, rows), f"stored in {RESULTS / name}.md", sep="\n")


if __name__ == "__main__":
    main()
