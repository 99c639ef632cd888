"""Doctor names a GPU that PyTorch can't use, on machines that are made up."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import dreamgui.doctor as doctor
from dreamgui.doctor.advice import CUDA_13_INDEX, Probe, advice_on
from dreamgui.doctor.probe import pci_makers, probe, read_smi, runs_on
from dreamgui.services import Services
from dreamgui.ui.build import status_line
from dreamgui.ui.parts.session import Device
from dreamgui.workspace import Workspace

WORKING = Probe(
    "Linux", ("NVIDIA RTX 4090",), True, "580.95", "13.0", torch="2.14.1+cu130", torchvision="0.29.1+cu130",
    cuda="13.0", sees="NVIDIA RTX 4090",
)  # fmt: skip
UNSEEN = replace(WORKING, sees="")
AMD = Probe("Linux", amd=True, torch="2.14.1", cuda="13.0")
MAC = Probe("Darwin", apple=True, torch="2.14.1")
FAULTS = [
    (replace(UNSEEN, cuda="", torch="2.14.1+cpu"), "installed without GPU support.*RTX 4090", CUDA_13_INDEX),
    (
        replace(UNSEEN, cuda="", driver="550.54", driver_cuda="12.4"),
        "without GPU support",
        "Update the driver",
    ),
    (
        replace(UNSEEN, driver="550.54", driver_cuda="12.4"),
        r"550.54: CUDA 12.4 at most.*13.0",
        "Update the driver",
    ),
    (replace(UNSEEN, cuda="", hip="7.0"), "built for ROCm.*RTX 4090", CUDA_13_INDEX),
    (replace(UNSEEN, hidden=""), "CUDA_VISIBLE_DEVICES is ''", "Unset it"),
    (replace(UNSEEN, hidden="-1"), "CUDA_VISIBLE_DEVICES is '-1'", "Unset it"),
    (replace(UNSEEN, hidden="0"), "sees no GPU though", "--gpus all"),
    (UNSEEN, "sees no GPU though", "Restart"),
    (replace(UNSEEN, nvidia=(), driver="", driver_cuda=""), "driver doesn't answer", "nvidia-smi"),
    (replace(WORKING, missing_kernels="6.1"), r"no kernels for NVIDIA RTX 4090 .*6\.1", "older CUDA"),
    (AMD, "built for CUDA.*AMD", "ROCm build"),
    (replace(AMD, cuda=""), "without GPU support.*AMD", "ROCm build"),
    (replace(AMD, system="Windows"), "AMD", "Use Linux"),
    (replace(AMD, cuda="", hip="7.0"), "ROCm build sees no GPU", "/dev/kfd"),
    (MAC, r"Apple's GPU \(MPS\)", "Update macOS"),
    (replace(MAC, translated=True), "Intel", "Apple silicon"),
]


@pytest.mark.parametrize(("machine", "what", "step"), FAULTS)
def test_a_gpu_that_cannot_be_used_is_named(machine: Probe, what: str, step: str) -> None:
    advice = advice_on(machine)
    assert advice and re.search(what, advice.what) and step in advice.next_step
    assert advice.what.endswith(".") and advice.next_step.endswith(".")


@pytest.mark.parametrize(
    "machine",
    [
        WORKING,
        Probe("Linux", torch="2.14.1", cuda="13.0"),
        Probe("Linux", torch=""),
        replace(AMD, cuda="", hip="7.0", sees="AMD Radeon RX 7900"),
        replace(MAC, sees="Apple GPU (mps)"),
        Probe("Darwin", torch="2.2.2"),
    ],
)
def test_nothing_is_said_where_nothing_is_wrong(machine: Probe) -> None:
    assert advice_on(machine) is None


def test_the_same_versions_are_installed_again() -> None:
    advice = advice_on(replace(UNSEEN, cuda="", torch="2.12.0+cpu", torchvision="0.27.0+cpu"))
    assert advice and " torch==2.12.0 torchvision==0.27.0 " in advice.next_step


def test_what_nvidia_smi_prints_is_read() -> None:
    table = "| NVIDIA-SMI 550.54.15    Driver Version: 550.54.15    CUDA Version: 12.4     |\n"
    listed = "NVIDIA H100 80GB HBM3, 550.54.15\nNVIDIA H100 80GB HBM3, 550.54.15\n"
    assert read_smi(listed, table) == (("NVIDIA H100 80GB HBM3",) * 2, "550.54.15", "12.4")
    assert read_smi("", "NVIDIA-SMI has failed because it couldn't communicate with the driver") == (
        (),
        "",
        "",
    )


def test_the_bus_is_read(tmp_path: Path) -> None:
    devices = {
        "small-amd": {"class": "0x030000", "vendor": "0x1002", "mem_info_vram_total": "536870912"},
        "network": {"class": "0x020000", "vendor": "0x10de"},
        "unreadable": {},
    }
    write(tmp_path, devices)
    assert pci_makers(tmp_path) == set()
    large = {"class": "0x038000", "vendor": "0x1002", "mem_info_vram_total": "25753026560"}
    write(tmp_path, {"large-amd": large, "nvidia": {"class": "0x030200", "vendor": "0x10de"}})
    assert pci_makers(tmp_path) == {"amd", "nvidia"}


def write(bus: Path, devices: dict[str, dict[str, str]]) -> None:
    for name, files in devices.items():
        (bus / name).mkdir()
        for file, text in files.items():
            (bus / name / file).write_text(f"{text}\n")


@pytest.mark.parametrize(
    ("built", "capability", "runs"),
    [
        (["sm_75", "sm_80", "sm_90"], (8, 6), True),
        (["sm_75", "sm_80", "sm_90"], (6, 1), False),
        (["sm_75", "sm_80", "sm_90"], (12, 0), False),
        (["sm_75", "compute_90"], (12, 0), True),
        (["sm_90a", "sm_120"], (12, 0), True),
        (["gfx1100"], (11, 0), True),
    ],
)
def test_kernels_fit_a_gpu(built: list[str], capability: tuple[int, int], runs: bool) -> None:
    assert runs_on(built, *capability) is runs


def test_this_machine_can_be_looked_at() -> None:
    found = probe()
    assert found.system and found.torch and found.torchvision


def test_doctor_prints_the_advice(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "probe", lambda: replace(UNSEEN, cuda=""))
    doctor.report(tmp_path)
    assert "PyTorch was installed without GPU support" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "probe", lambda: WORKING)
    doctor.report(tmp_path)
    assert "PyTorch was" not in capsys.readouterr().out


def test_the_page_says_what_to_do(tmp_path: Path) -> None:
    services = Services(Workspace(tmp_path))
    device = Device(services)
    assert "GPU unused" not in status_line(services, device)
    device.advice = advice_on(replace(UNSEEN, hidden="<-1>"))
    assert "GPU unused" in status_line(services, device)
    assert "Restart the machine" in status_line(services, device)
