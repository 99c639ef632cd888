"""Advice where a machine has a GPU that PyTorch can't use: what is wrong, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

COMMANDS = "https://pytorch.org/get-started/locally"
CUDA_13_DRIVER = 580
"""Oldest NVIDIA driver for CUDA 13 (CUDA 12 asks for 525)."""
CUDA_13_INDEX = "https://download.pytorch.org/whl/cu130"


@dataclass(frozen=True)
class Probe:
    """Findings on a machine. Texts and tuples are empty where nothing was found.

    Attributes:
        system: platform.system(): Linux, Darwin or Windows.
        nvidia: names of the NVIDIA GPUs that the driver lists.
        nvidia_device: an NVIDIA GPU is on the bus, with a driver or without.
        driver: version of the NVIDIA driver, for instance 550.54.
        driver_cuda: newest CUDA version that the driver takes, for instance 12.4.
        amd: an AMD GPU is on the bus.
        apple: the processor is Apple's, also where this Python was made for Intel's.
        translated: this Python runs under Rosetta.
        torch, torchvision: versions, for instance 2.14.1+cpu.
        cuda, hip: CUDA or ROCm version that PyTorch was built for.
        sees: the GPU that PyTorch uses.
        missing_kernels: compute capability of that GPU, for instance 6.1, where this build has no kernels for it.
        hidden: value of CUDA_VISIBLE_DEVICES; None where it isn't set.
    """

    system: str
    nvidia: tuple[str, ...] = ()
    nvidia_device: bool = False
    driver: str = ""
    driver_cuda: str = ""
    amd: bool = False
    apple: bool = False
    translated: bool = False
    torch: str = ""
    torchvision: str = ""
    cuda: str = ""
    hip: str = ""
    sees: str = ""
    missing_kernels: str = ""
    hidden: str | None = None


@dataclass(frozen=True)
class Advice:
    """One fault of the set-up: two sentences."""

    what: str
    next_step: str


def advice_on(probe: Probe) -> Advice | None:
    """Return what keeps a GPU from being used and what to do, or None where all is well or there is no GPU."""
    if probe.missing_kernels:
        return Advice(
            f"This build of PyTorch has no kernels for {probe.sees} (compute capability {probe.missing_kernels}).",
            f"Install the build for an older CUDA version; {COMMANDS} has the command.",
        )
    if not probe.torch or probe.sees:
        return None
    if probe.nvidia:
        return _nvidia(probe, probe.nvidia[0])
    if probe.nvidia_device:
        return Advice(
            "This machine has an NVIDIA GPU, and its driver doesn't answer.",
            "Install the driver from nvidia.com, restart the machine, and check it with nvidia-smi.",
        )
    if probe.amd:
        return _amd(probe)
    return _apple(probe) if probe.apple else None


def _nvidia(probe: Probe, name: str) -> Advice:
    if probe.hip:
        return Advice(f"PyTorch was built for ROCm, and this machine has {name}.", _install(probe))
    if not probe.cuda:
        return Advice(
            f"PyTorch was installed without GPU support, and this machine has {name}.", _install(probe)
        )
    if _major(probe.driver_cuda) and _major(probe.driver_cuda) < _major(probe.cuda):
        return Advice(
            f"PyTorch can't use {name} with this driver ({probe.driver}: CUDA {probe.driver_cuda} at most, and "
            f"PyTorch was built for {probe.cuda}).",
            "Update the driver from nvidia.com and restart the machine. Or install the build for an older CUDA "
            f"version: {COMMANDS} has the command.",
        )
    if probe.hidden is not None and probe.hidden.strip() in ("", "-1"):
        return Advice(
            f"CUDA_VISIBLE_DEVICES is {probe.hidden!r}, which hides {name}.",
            "Unset it, or set it to 0, and start again.",
        )
    return Advice(
        f"PyTorch sees no GPU though its CUDA build fits {name}.",
        "Restart the machine if the driver was updated. In a container start it with --gpus all. "
        "Check CUDA_VISIBLE_DEVICES.",
    )


def _install(probe: Probe) -> str:
    """Return the command for PyTorch's CUDA build, or to update a driver that is too old for it."""
    if _major(probe.driver_cuda) < 13 and _major(probe.driver) < CUDA_13_DRIVER:
        return (
            f"Update the driver ({probe.driver or 'unknown'}) to {CUDA_13_DRIVER} or newer, and look again. Or install "
            f"the build for an older CUDA version: {COMMANDS} has the command."
        )
    torch, torchvision = (version.partition("+")[0] for version in (probe.torch, probe.torchvision))
    vision = f" torchvision=={torchvision}" if torchvision else ""
    return (
        f"Install the CUDA build: python -m pip install --force-reinstall torch=={torch}{vision} "
        f"--index-url {CUDA_13_INDEX} (with the Python of .venv)."
    )


def _amd(probe: Probe) -> Advice:
    if probe.hip:
        return Advice(
            "PyTorch's ROCm build sees no GPU.",
            "Check that /dev/kfd may be opened (groups render and video), and that AMD lists the GPU for ROCm "
            f"{probe.hip}.",
        )
    step = (
        f"Install the ROCm build with the Python of .venv: {COMMANDS} has the command."
        if probe.system == "Linux"
        else "Use Linux: the ROCm build is made for it alone. Here everything runs on the processor."
    )
    if probe.cuda:
        return Advice("PyTorch was built for CUDA, and this machine has an AMD GPU.", step)
    return Advice("PyTorch was installed without GPU support, and this machine has an AMD GPU.", step)


def _apple(probe: Probe) -> Advice:
    if probe.translated:
        return Advice(
            "This Python was made for Intel processors, so PyTorch can't use Apple's GPU.",
            "Install Python for Apple silicon from python.org, delete .venv, and run python run.py with it.",
        )
    return Advice(
        "PyTorch can't use Apple's GPU (MPS) here.",
        "Update macOS; then delete .venv and run python run.py, which installs PyTorch anew.",
    )


def _major(version: str) -> int:
    """Return the first number of a version, 0 where there is none."""
    head = version.partition(".")[0]
    return int(head) if head.isdecimal() else 0
