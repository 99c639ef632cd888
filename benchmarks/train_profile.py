"""``python -m benchmarks.train_profile unet``: where a training step's time goes on a GPU, kernel by kernel.

Prints, for a row of benchmarks.train, milliseconds a step, how much of them the GPU was busy, and the kernels that
took most, under names short enough to read.
"""

from __future__ import annotations

import argparse
import collections
import re
import tempfile
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.bases import SIZES_PX
from benchmarks.train_place import Place, until_loss
from benchmarks.train_rows import BY_NAME
from dreamgui.models.manager import Models

WARM, STEPS, SHOWN = 60, 40, 32
_SHORT = 110


def main() -> None:
    """Train, look at some steps, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="+", choices=BY_NAME)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--size", choices=SIZES_PX, default="sd15")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Place((options.home or Path(scratch)).resolve(), options.size, 1, 1, False)
        place.prepare()
        for name in options.rows:
            print(f"== {name}", *table(name, place), sep="\n", flush=True)


def table(name: str, place: Place) -> list[str]:
    """Lines: a summary, then a line a kernel: its share, microseconds a step, calls a step."""
    models = Models(place.workspace)
    kind = ProfilerActivity.CUDA if models.device.type == "cuda" else ProfilerActivity.CPU
    events = place.training(BY_NAME[name].settings, models)
    first = until_loss(events, WARM).step
    began = time.perf_counter()
    last = until_loss(events, first + STEPS).step
    took_ms = 1e3 * (time.perf_counter() - began) / (last - first)
    first = last
    with profile(activities=[kind]) as seen:
        steps = until_loss(events, first + STEPS).step - first
        if kind is ProfilerActivity.CUDA:
            torch.cuda.synchronize()
    events.close()  # type: ignore[attr-defined]
    models.release()
    times, calls = collections.Counter[str](), collections.Counter[str]()
    for event in seen.events():
        if event.device_time or kind is ProfilerActivity.CPU:
            times[short(event.name)] += event.device_time or event.self_cpu_time_total
            calls[short(event.name)] += 1
    busy = sum(times.values())
    lines = [
        f"{took_ms:.1f} ms a step, busy {busy / steps / 1e3:.1f} ms, {sum(calls.values()) / steps:.0f} kernels"
    ]
    return lines + [
        f"{100 * spent / busy:5.1f} % {spent / steps:9.0f} us {calls[kernel] / steps:7.1f} x  {kernel}"
        for kernel, spent in times.most_common(SHOWN)
    ]


def short(name: str) -> str:
    """A kernel's name without its namespaces."""
    return re.sub(r"\b(void|at::native::|at::|cuda::|\(anonymous namespace\)::|std::)\s*", "", name)[:_SHORT]


if __name__ == "__main__":
    main()
