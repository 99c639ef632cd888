"""``python -m dreamgui doctor``: what this machine has, and whether DreamGUI can work here."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dreamgui.assets import ASSETS
from dreamgui.doctor.advice import Advice, advice_on
from dreamgui.doctor.probe import probe
from dreamgui.sizes import file_size, memory_size
from dreamgui.workspace import Workspace

PACKAGES = (
    "torch", "diffusers", "transformers", "peft", "accelerate", "gradio", "mediapipe", "controlnet-aux",
    "safetensors", "dlib-bin", "numpy", "pillow",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def report(home: Path | None = None) -> int:
    """Print what is there.

    Returns:
        0 when everything that DreamGUI needs was found, 1 otherwise.
    """
    found = versions()
    for name, number in found.items():
        print(f"{name:16} {number}")
    workspace = Workspace(home)
    free = shutil.disk_usage(workspace.root).free
    print(f"{'workspace':16} {workspace.root} ({file_size(free)} free)")
    demo = (ASSETS / "demo" / "card.json").is_file()
    print(f"{'demo model':16} {'bundled' if demo else 'not in this copy: see tools/demo_model/README.md'}")
    if found["torch"] != "missing":
        print(f"{'device':16} {_device()}")
    if advice := gpu_advice():
        print(f"\n{advice.what}\n{advice.next_step}")
    return 0 if demo and "missing" not in found.values() else 1


def gpu_advice() -> Advice | None:
    """Return why a GPU of this machine isn't used and what to do, or None where all is well or there is none."""
    return advice_on(probe())


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        return f"{torch.cuda.get_device_name(0)}, {memory_size(total)}"
    if torch.backends.mps.is_available():
        return "Apple GPU (mps)"
    return f"CPU, {torch.get_num_threads()} threads: fine for the demo model, slow for Stable Diffusion 1.5"
