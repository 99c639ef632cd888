"""ZeroGPU: jobs on a GPU that is lent for a minute, in forked processes, by a stand-in for the package ``spaces``."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dreamgui.config import CompareJob, GenerateJob, SweepJob, TrainJob
from dreamgui.models.zero_gpu import MOST_SECONDS, SLICE_SECONDS, seconds_of
from dreamgui.training.resumable import kept_steps
from dreamgui.workspace import Workspace, read_json
from tests.diffusion.made import make_dataset
from tests.tiny import make_tiny_base

ROOT = Path(__file__).parents[2]
TRAINING = {
    "model": "tiny", "dataset": "anna", "steps": 5, "sample_every": 2, "sample_prompts": ["a face"], "sample_steps": 1,
    "rank": 2, "learning_rate": 1e-3, "lr_schedule": "cosine", "checkpoint_every": 2, "validate_every": 2,
    "class_count": 4, "class_steps": 1, "compile": True,
}  # fmt: skip
ONE_STEP = {"saving": SLICE_SECONDS}
"""A slice's time is over at once: it takes one step."""


def page(root: Path, *orders: dict[str, Any], zero: bool = True) -> Any:
    """Run jobs in a page's process, on ZeroGPU or not."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'tests' / 'recipes' / 'fake_spaces'}:{ROOT}",
        "OMP_NUM_THREADS": "1",
    }
    environment["SPACES_ZERO_GPU"] = "true" if zero else ""
    done = subprocess.run(
        [sys.executable, "-m", "tests.recipes.zero_gpu_page", str(root)], input=json.dumps(orders), text=True,
        capture_output=True, env=environment, cwd=ROOT, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


PICTURE = {"model": "tiny", "prompt": "a face", "steps": 1, "size": "64 x 64", "count": 2}
SWEEP = {
    **{name: value for name, value in TRAINING.items() if name not in ("rank", "learning_rate", "compile")},
    "ranks": [2], "learning_rates": [1e-3], "steps": 2, "prompts": ["a face"],
}  # fmt: skip


def order(kind: str, job: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"kind": kind, "job": {**TRAINING, **job} if kind == "train" else job, **more}


ORDERS = {
    "sliced": order("train", {"run": "sliced"}, **ONE_STEP),
    "text": order("train", {"run": "text", "train_text_encoder": True}, **ONE_STEP),
    "stopped": order("train", {"run": "stopped", "steps": 4000}, stop_after=3),
    "poor": order("train", {"run": "poor"}, minutes=2 * SLICE_SECONDS + 1, **ONE_STEP),
    "killed": order("train", {"run": "poor", "resume": True, "checkpoint_every": 1}, kill_after=12),
    "resumed": order("train", {"run": "poor", "resume": True}),
    "pictures": order("generate", PICTURE, request="anna's request"),
    "refused": order("generate", {**PICTURE, "model": "nobody"}),
    "sweep": order("sweep", SWEEP),
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = Workspace(tmp_path_factory.mktemp("zero") / "work")
    make_tiny_base(workspace)
    make_dataset(workspace)
    return workspace.root


@pytest.fixture(scope="module")
def told(home: Path) -> dict[str, Any]:
    """What one page on ZeroGPU has told of all orders."""
    told = page(home, *ORDERS.values())
    return {**dict(zip(ORDERS, told["answers"], strict=True)), "page": (told["page"], told["device"])}


def of(answer: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event for event in answer["events"] if event["event"] == kind]


def numbers(answer: dict[str, Any]) -> list[Any]:
    losses = [
        (e["step"], e["instance"], e["prior"], e["learning_rate"], e["grad_norm"]) for e in of(answer, "Loss")
    ]
    return [
        losses,
        [(e["step"], e["loss"]) for e in of(answer, "Validation")],
        [e["step"] for e in of(answer, "Sampled")],
    ]


def test_a_training_in_slices_is_bitwise_the_one_without(home: Path, told: dict[str, Any]) -> None:
    """Each slice is a process's work of one step; the curve is told once, without gap or repetition."""
    whole = page(
        home,
        order("train", {"run": "whole", "compile": False}),
        order("train", {"run": "text-whole", "compile": False, "train_text_encoder": True}),
        zero=False,
    )
    assert told["page"] == ("cpu", "ZeroGPU, lent for each job") and whole["device"] != told["page"][1]
    for sliced, plain in zip((told["sliced"], told["text"]), whole["answers"], strict=True):
        assert sliced["state"] == plain["state"] == "done", sliced["events"][-1]
        assert numbers(sliced) == numbers(plain)
        assert sliced["asked"] == [SLICE_SECONDS] * 5 and plain["asked"] == []
        assert len(of(sliced, "Begun")) == 1 and len({e["index"] for e in of(sliced, "ClassImage")}) == 4
    run = home / "runs" / "sliced"
    assert (run / "pytorch_lora_weights.safetensors").is_file() and read_json(run / "run.json")["finished"]


def test_stop_ends_the_slice_and_keeps_the_run(home: Path, told: dict[str, Any]) -> None:
    assert told["stopped"]["state"] == "cancelled"
    assert read_json(home / "runs" / "stopped" / "run.json")["finished"]
    assert kept_steps(home / "runs" / "stopped")


def test_what_a_slice_without_minutes_or_a_killed_one_leaves_is_resumed(told: dict[str, Any]) -> None:
    """The account's minutes end after two slices; then a slice is killed; the run goes on each time."""
    poor, killed, resumed = (told[name] for name in ("poor", "killed", "resumed"))
    assert [each["state"] for each in (poor, killed, resumed)] == ["failed", "failed", "done"]
    assert "exceeded your free ZeroGPU quota" in poor["events"][-1]["what"]
    assert poor["events"][-1]["next_step"].startswith("Resume the run 'poor'")
    assert "GPU task aborted" in killed["events"][-1]["what"]
    assert [e["step"] for e in of(resumed, "Loss")] == [1, 2, 3, 4, 5]


def test_other_jobs_ask_for_what_they_take_and_errors_come_through(told: dict[str, Any]) -> None:
    made, refused, swept = (told[name] for name in ("pictures", "refused", "sweep"))
    assert (
        made["state"] == "done" and made["tokens"] == ["anna's request"] and made["asked"][0] < SLICE_SECONDS
    )
    assert len(of(made, "Saved")) == 2
    assert refused["state"] == "failed" and "nobody" in refused["events"][-1]["what"]
    # The sweep itself stays on the page's processor: its training and its pictures are lent a GPU each.
    assert swept["state"] == "done" and len(swept["asked"]) == 2, swept["events"][-1]


def test_each_recipe_that_borrows_a_model_is_lent_a_gpu() -> None:
    """A recipe that is added and forgets it would run on the Space's processor."""
    forgotten = []
    for path in (ROOT / "dreamgui" / "recipes").rglob("*.py"):
        source = ast.parse(path.read_text())
        functions = [node for node in source.body if isinstance(node, ast.FunctionDef)]
        lent = any(
            isinstance(mark, ast.Name) and mark.id == "uses_device"
            for each in functions
            for mark in each.decorator_list
        )
        borrows = any(
            isinstance(node, ast.Attribute)
            and node.attr in ("use", "train", "device")
            and ast.unparse(node.value) == "models"
            for node in ast.walk(source)
        )
        if borrows and not lent:
            forgotten.append(path.name)
    assert not forgotten


def test_seconds_follow_the_job_up_to_what_a_free_account_may_ask() -> None:
    def seconds(job: Any) -> int:
        return seconds_of("", job)

    few, many = TrainJob(steps=5, sample_every=0), TrainJob(steps=20000)
    assert seconds(few) < seconds(many) == SLICE_SECONDS
    assert (
        seconds(GenerateJob(prompt="a", count=1)) < seconds(GenerateJob(prompt="a", count=16)) <= MOST_SECONDS
    )
    assert seconds(CompareJob(models=tuple("abcdef"), seeds=4)) <= MOST_SECONDS
    assert seconds(SweepJob()) <= MOST_SECONDS
