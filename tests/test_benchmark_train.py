"""The training benchmark where it can go wrong without a GPU: its table, its caps, what it needs installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import train_whole
from benchmarks.train import usual_rows
from benchmarks.train_child import SIGN, measured
from benchmarks.train_place import Place
from benchmarks.train_rows import BY_NAME, ROWS, Row
from benchmarks.train_table import Table, line
from dreamgui.config import TrainJob
from dreamgui.errors import BadInput, NotEnoughMemory
from dreamgui.training.memory.estimate import SD15_WEIGHTS, Sizes
from dreamgui.training.memory.tiers import Machine, choose

H100 = "NVIDIA H100 80GB HBM3"
LACKING = {"gradio", "mediapipe", "dlib", "cv2", "controlnet_aux", "face_recognition_models", "pandas"}
AS_WITHOUT_THEM = f"""
import sys
from importlib.machinery import PathFinder
class Without:
    find_distributions, invalidate_caches = PathFinder.find_distributions, PathFinder.invalidate_caches
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.split(".")[0] in {LACKING!r} else PathFinder.find_spec(name, path, target)
sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "home", "tiny", seconds=0.1, rounds=1, short=True)


def test_a_row_says_what_it_reached() -> None:
    speed, memory = BY_NAME["unet"], BY_NAME["memory-unet"]
    assert [speed.reached(value) for value in (45, 30, 10)] == ["aim", "must", "no"]
    assert [memory.reached(value) for value in (9, 12, 14)] == ["aim", "must", "no"]
    assert len(BY_NAME) == len(ROWS) and not {row.kind for row in ROWS} - train_whole.MEASURES.keys()
    asked = {row.name for row in ROWS if row.must is not None and not row.extra}
    assert {"unet", "lora", "lora-compiled", "unet-8", "ready", "cold", "gpus-2", "gpus-4"} <= asked
    assert {row.kind for row in usual_rows(cuda=False)} == {"speed", "parity", "ready", "cold", "gpus"}


def test_each_row_is_kept_at_once_beside_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.train_table.RESULTS", tmp_path / "none")
    table = Table(H100, "sd15", tmp_path)
    table.add({"name": "unet", "value": 30.0, "plain": 6.0, "notes": ["Something | said."]})
    again = Table(H100, "sd15", tmp_path)
    again.add({"name": "memory-unet", "value": 9.5, "within_cap": False, "cap_gb": 13})
    again.add({"name": "lora", "value": None, "failed": "The process ended with -9."})
    kept = json.loads((tmp_path / "train-nvidia-h100-80gb-hbm3-sd15.json").read_text())
    assert list(kept["rows"]) == ["unet", "memory-unet", "lora"]
    text = (tmp_path / "train-nvidia-h100-80gb-hbm3-sd15.md").read_text()
    assert "| 30 steps/s | must | 6 | 5.00 | Something / said. |" in text
    assert "| 9.5 GB | no |" in text and "| - |  |  |  | The process ended with -9. |" in text
    assert "| 30 steps/s |  | 6 |" in line(BY_NAME["unet"], kept["rows"]["unet"], judged=False)


def test_a_setting_of_another_version_is_said(place: Place) -> None:
    row = Row("new", "Something new", "memory", "GB", settings={"no_such_setting": 1}, cap_gb=1)
    assert measured(row, place)["failed"] == "This version has no such setting: no_such_setting."


def test_a_tier_is_tried_within_its_cap(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card of 80 GB whose first training is short of memory, simulated."""
    caps: list[float] = []
    tried: list[int] = []

    def steps(*_: Any) -> list[str]:
        tried.append(1)
        if len(tried) == 1:
            raise NotEnoughMemory("The GPU ran out of memory.", "Use less.")
        return ["What the tier turned on."]

    class OnACard:
        device = torch.device("cuda")

    card = type("Card", (), {"total_memory": 80e9})
    for name, stand_in in {
        "get_device_properties": lambda device: card,
        "set_per_process_memory_fraction": caps.append,
        "empty_cache": lambda: None,
        "reset_peak_memory_stats": lambda: None,
        "max_memory_allocated": lambda: 9e9,
        "max_memory_reserved": lambda: 10e9,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(train_whole, "Models", lambda workspace: OnACard)
    monkeypatch.setattr(train_whole, "_steps", steps)
    found = train_whole.memory(replace(BY_NAME["memory-unet-least"], settings={}), place)
    assert caps == [pytest.approx(6 / 80), 1.0] and len(tried) == 2
    assert found["value"] == 9 and found["within_cap"] is False
    assert "Not within 6 GB" in found["notes"][0] and "turned on" in found["notes"][1]
    again = train_whole.memory(BY_NAME["memory-unet"], place)
    assert again["within_cap"] is True and len(again["notes"]) == 1


def test_rows_turn_on_what_they_are_named_for() -> None:
    """On an H100, by the estimate: what is exact stays so, and each tier is within its cap."""
    card = Machine("cuda", int(80e9), "bfloat16", "")
    for row in ROWS:
        capped = replace(card, free_bytes=int((row.cap_gb or 80) * 1e9))
        choice = choose(
            TrainJob.model_validate({**row.settings, "processes": row.gpus}), capped, Sizes(SD15_WEIGHTS, 512)
        )
        tier = row.settings["memory_tier"]
        if tier == "none":
            assert choice.job.optimizer == "adamw" and not choice.job.bf16_weights and not choice.sentence
        assert (row.kind == "memory") == (row.cap_gb is not None)
        if row.cap_gb and tier != "least":
            assert choice.need_bytes < row.cap_gb * 1e9, row.name
    without = replace(card, eight_bit="There is no bitsandbytes (pip install bitsandbytes).")
    with pytest.raises(BadInput, match="pip install bitsandbytes"):
        choose(TrainJob.model_validate(BY_NAME["memory-unet-8bit"].settings), without, Sizes(1, 512))


def test_rows_are_measured_where_only_what_a_training_needs_is_installed(
    place: Place, tmp_path: Path
) -> None:
    """As on a lent GPU machine: no gradio, mediapipe, dlib, OpenCV or pandas."""
    place.prepare()
    (tmp_path / "sitecustomize.py").write_text(AS_WITHOUT_THEM)
    rows = ("parity-lora", "cold", "memory-unet")
    command = [sys.executable, "-m", "benchmarks.train_child", *rows, "--home", str(place.home)]
    command += ["--size", "tiny", "--seconds", "0.1", "--rounds", "1", "--short"]
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), root])}
    ended = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    lines = [line for line in ended.stdout.splitlines() if line.startswith(SIGN)]
    found = {row["name"]: row for row in (json.loads(line.removeprefix(SIGN)) for line in lines)}
    assert list(found) == list(rows), ended.stderr
    assert found["parity-lora"]["value"] < 1e-5
    assert found["cold"]["steps"] == 5 and found["cold"]["saved_bytes"] > 1_000_000
    assert "as they came" in found["cold"]["notes"][0]
    assert "failed" not in found["memory-unet"], ended.stdout
