"""Settings of the whole process, made before any library is imported, and how long it has its GPU.

ZeroGPU lends a GPU to a child process for about a minute. The Space's own process has none then. It is told by the variable
that the package ``spaces`` reads.
"""

from __future__ import annotations

import functools
import gc
import importlib.metadata
import os
import time
from importlib.util import find_spec

SPIN_COUNT = "8000"
"""OpenMP threads that spin without end while they wait take a loaded machine's cores from the page and from each
other. Threads that sleep at once are woken some thousand times a training step: 416 ms a step on two cores in place
of 229. Beside another busy program long spinning costs: 1.5 s a step at 20000, 1.1 at 8000, 0.8 at 1000; alone 0.40,
0.37 and 0.48."""
GC_THRESHOLDS = (50_000, 20, 50)
"""The libraries' half a million objects stay. Python's own thresholds search them so often that imports take a tenth
longer."""

GRADIO = {"GRADIO_ANALYTICS_MAX_EVENTS": "1", "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9)}
"""Gradio computes percentiles over its last 10,000 events after each event (6.31): half a second of a processor by
then, for a summary that this page doesn't serve. It keeps one event now, and computes nothing."""

_YES = ("1", "t", "true")
_until: list[float] = []


def prepare_process() -> None:
    """Set how OpenMP's threads wait, what Gradio counts and how often garbage is collected, and cache a slow look-up.

    OpenMP reads its variables once, when torch is imported. Variables that are set already stay.
    """
    for name, value in GRADIO.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    gc.set_threshold(*GC_THRESHOLDS)
    # diffusers and transformers each ask for all installed distributions when they are imported, 0.35 s a time.
    cached = functools.cache(importlib.metadata.packages_distributions)
    setattr(importlib.metadata, "packages_distributions", cached)  # noqa: B010


@functools.cache
def on_zero_gpu() -> bool:
    """Return whether this is a Space on ZeroGPU with the package ``spaces``."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in _YES and find_spec("spaces") is not None


def end_after(seconds: float) -> None:
    """Let this process's work end within so many seconds. Called by a process that has a GPU for so long."""
    _until[:] = [time.monotonic() + seconds]


def is_short() -> bool:
    """Return whether this process has its GPU for a short time, so that nothing is compiled or captured in it."""
    return bool(_until)


def is_over(grace_seconds: float = 0.0) -> bool:
    """Return whether the time, and ``grace_seconds`` more, are over: the work goes on in the next process."""
    return is_short() and time.monotonic() > _until[0] + grace_seconds
