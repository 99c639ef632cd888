"""Looks at this machine's GPUs: by the driver's own tool, the bus, and PyTorch."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dreamgui.doctor.advice import Probe

ANSWER_SECONDS = 10
NVIDIA, AMD = "0x10de", "0x1002"
LEAST_AMD_BYTES = 4_000_000_000
_DISPLAYS = ("0x0300", "0x0302", "0x0380")
_WINDOWS_TOOL = Path("C:/Windows/System32/nvidia-smi.exe")


def probe() -> Probe:
    """Return what this machine has and what PyTorch sees of it. PyTorch is imported, nothing is changed."""
    system = platform.system()
    names, driver, driver_cuda = nvidia_driver()
    makers = pci_makers() if system == "Linux" else windows_makers() if system == "Windows" else set[str]()
    translated = system == "Darwin" and _answer("sysctl", "-n", "sysctl.proc_translated").strip() == "1"
    return Probe(
        system=system,
        nvidia=names,
        nvidia_device=bool(names) or "nvidia" in makers,
        driver=driver,
        driver_cuda=driver_cuda,
        amd="amd" in makers,
        apple=translated or (system == "Darwin" and platform.machine() == "arm64"),
        translated=translated,
        hidden=os.environ.get("CUDA_VISIBLE_DEVICES"),
        **of_torch(),
    )


def nvidia_driver() -> tuple[tuple[str, ...], str, str]:
    """Return the names of the GPUs, the driver's version and its newest CUDA version, as nvidia-smi tells them."""
    tool = shutil.which("nvidia-smi") or (str(_WINDOWS_TOOL) if _WINDOWS_TOOL.is_file() else "")
    if not tool:
        return (), "", ""
    return read_smi(_answer(tool, "--query-gpu=name,driver_version", "--format=csv,noheader"), _answer(tool))


def read_smi(listed: str, table: str) -> tuple[tuple[str, ...], str, str]:
    """Read nvidia-smi's list "NAME, DRIVER" (a GPU a line) and its table, whose head has the CUDA version."""
    lines = [line.rpartition(", ") for line in listed.splitlines() if ", " in line]
    cuda = re.search(r"CUDA Version:\s*(\d+\.\d+)", table)
    names = tuple(name.strip() for name, _, _ in lines)
    return names, lines[0][2].strip() if lines else "", cuda[1] if cuda else ""


def pci_makers(bus: Path = Path("/sys/bus/pci/devices")) -> set[str]:
    """Return "nvidia" and "amd" as far as the bus has such a GPU (Linux).

    AMD's count from 3.7 GiB of their own memory (sold as 4 GB), as processors with small graphics of AMD gain nothing by ROCm.
    """
    found = set()
    for device in bus.glob("*"):
        if not _line(device / "class").startswith(_DISPLAYS):
            continue
        vendor, memory = _line(device / "vendor"), _line(device / "mem_info_vram_total")
        if vendor == NVIDIA:
            found.add("nvidia")
        if vendor == AMD and memory.isdecimal() and int(memory) >= LEAST_AMD_BYTES:
            found.add("amd")
    return found


def windows_makers() -> set[str]:
    """Return "nvidia" and "amd" by the names of the display adapters (Windows)."""
    names = _answer("powershell", "-NoProfile", "-Command", "(Get-CimInstance Win32_VideoController).Name")
    marks = {"nvidia": "NVIDIA", "amd": "Radeon RX"}
    return {maker for maker, mark in marks.items() if mark in names}


def _line(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def of_torch() -> dict[str, Any]:
    """Return PyTorch's part of a :class:`Probe`."""
    try:
        import torch
    except (ImportError, OSError):
        return {}
    facts: dict[str, Any] = {
        "torch": torch.__version__,
        "torchvision": _version("torchvision"),
        "cuda": torch.version.cuda or "",
        "hip": torch.version.hip or "",
    }
    if torch.cuda.is_available():
        return facts | {"sees": torch.cuda.get_device_name(0), "missing_kernels": _missing_kernels(torch)}
    return facts | {"sees": "Apple GPU (mps)" if torch.backends.mps.is_available() else ""}


def _missing_kernels(torch: Any) -> str:
    """Return the GPU's compute capability where this build's kernels don't run on it, or "" where they do."""
    major, minor = torch.cuda.get_device_capability(0)
    return "" if runs_on(torch.cuda.get_arch_list(), major, minor) else f"{major}.{minor}"


def runs_on(built: list[str], major: int, minor: int) -> bool:
    """Return whether kernels for these architectures (sm_80, compute_120) run on a GPU of this compute capability.

    Kernels run on a GPU of the same major number and an equal or higher minor one; PTX runs on each newer GPU. A list
    without NVIDIA's names (ROCm) counts as fitting.
    """
    known = [re.fullmatch(r"(sm|compute)_(\d+)(\d)[af]?", name) for name in built]
    parts = [(found[1], int(found[2]), int(found[3])) for found in known if found]
    if not parts:
        return True
    return any(
        (kind == "sm" and of == major and least <= minor)
        or (kind == "compute" and (of, least) <= (major, minor))
        for kind, of, least in parts
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _answer(*command: str) -> str:
    """Return what a tool prints, or "" where it isn't there, fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""
