"""torch.compile for the steps of a training: kernels made for this model and this device, kept for the next time.

https://docs.pytorch.org/docs/stable/torch.compiler.html. The model is compiled for learning only; samples and
looks at held-out photographs, whose shapes are others, use it as it is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

import torch

from dreamgui.training.steps.batches import Batch
from dreamgui.training.steps.step import TrainingStep

_COMPILERS = ("cc", "gcc", "clang", "c++", "g++", "clang++", "cl")
_SHOWN_CHARACTERS = 200


def compiled(training: TrainingStep, batch: Batch, cache: Path) -> Iterator[str]:
    """Compile a training's forward and backward pass, and yield sentences for the user before and after.

    It is tried on a batch like those to come; no weight changes. Where it can't be done, steps run as without.

    Args:
        cache: a folder for what the compiler makes; found there, it needn't be made again.
    """
    if missing := _missing(training.device):
        yield f"Steps run uncompiled: {missing}"
        return
    yield (
        "The model is being compiled, so the first step takes longer: up to some minutes the first time, less "
        "when these settings were compiled before."
    )
    # Read whenever something is compiled, here and in the compiler's own processes.
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache)
    # What earlier trainings of this process compiled would count against the number of variants.
    torch.compiler.reset()
    training.compile()
    try:
        # Gradients that are asked for go to no weight, and wake nothing that waits for them there.
        total = training.losses(training.parts(batch)[0]).total
        torch.autograd.grad(total, training.leaves())
    except (RuntimeError, OSError, SubprocessError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        training.compiled = None
        yield f"Steps run uncompiled: {_cause(error)}"


def _missing(device: torch.device) -> str:
    """Return what the compiler needs and this machine lacks, as a sentence, or "" where nothing is known to lack."""
    if device.type == "cuda" and find_spec("triton") is None:
        return "kernels for a GPU are made by Triton, which isn't installed (pip install triton)."
    given = [os.environ.get(name, "") for name in ("CC", "CXX")]
    if not any(name and shutil.which(name) for name in (*given, *_COMPILERS)):
        return "it takes a C++ compiler, and there is none here; install one, for instance g++."
    return ""


def _cause(error: BaseException) -> str:
    """The innermost error's first line: what lies around it only names the compiler's parts."""
    inner: Any = error
    while cause := getattr(inner, "inner_exception", None) or inner.__cause__:
        inner = cause
    lines = [line for line in str(inner).splitlines() if line.strip()]
    return f"{type(inner).__name__}: {lines[0] if lines else ''}"[:_SHOWN_CHARACTERS]
