"""Trainings on two processes of the CPU: started for real where that matters, else forked, as that is faster."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from dreamgui.config import TrainJob
from dreamgui.errors import (
    BadInput,
    DreamError,
    NotEnoughMemory,
    StopRequested,
    TrainingFailed,
)
from dreamgui.events import Event, Loss, Note, Progress, Sampled, Saved, Validation
from dreamgui.models.manager import Models
from dreamgui.recipes.train import train
from dreamgui.training import loop as recipe
from dreamgui.training.parallel import launch
from dreamgui.workspace import Workspace
from tests.diffusion.made import make_dataset
from tests.forked import ForkedLauncher
from tests.recipes.killing import numbers
from tests.tiny import make_tiny_base

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="fork and kill -9 are POSIX's")
torch.set_num_threads(1)
# The manager collects garbage after each use; in a forked process that would copy all that was imported.
gc.freeze()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "home")
    make_tiny_base(workspace)
    dataset = make_dataset(workspace, count=6)
    dataset.hold_out(dataset.entries[0].file)
    return workspace


@pytest.fixture
def models(workspace: Workspace) -> Models:
    return Models(workspace, torch.device("cpu"))


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "Popen", ForkedLauncher)


def job(**changes: object) -> TrainJob:
    usual = {
        "model": "tiny", "dataset": "anna", "steps": 40, "sample_every": 0, "prior_preservation": False,
        "batch_size": 2, "processes": 2, "checkpoint_every": 10, "sample_steps": 2,
    }  # fmt: skip
    return TrainJob(**{**usual, **changes})


def until(stream: Iterator[Event], kind: type[Event], step: int = 0) -> list[Event]:
    events: list[Event] = []
    for event in stream:
        events.append(event)
        if isinstance(event, kind) and getattr(event, "step", step) >= step:
            return events
    raise AssertionError(f"no {kind.__name__} came")


def same_losses(one: list[Event], two: list[Event]) -> bool:
    pairs = zip(numbers(one), numbers(two), strict=True)
    return all([x or 0 for x in a] == pytest.approx([x or 0 for x in b], rel=1e-4) for a, b in pairs)


def outline(events: list[Event], run: str) -> list[tuple[str, object]]:
    """What came in which order, without the class images, which only the first of two runs draws."""
    kept = [e for e in events if isinstance(e, Loss | Validation | Sampled | Saved)]
    named = [(type(e).__name__, e.name if isinstance(e, Saved) else e.step) for e in kept]
    return [("run", "") if name == run else (kind, name) for kind, name in named]


def descendants() -> list[psutil.Process]:
    """The processes that train."""
    return [
        p
        for p in psutil.Process().children(recursive=True)
        if p.pid not in _OTHERS and "resource_tracker" not in " ".join(p.cmdline())
    ]


_OTHERS: set[int] = set()


@pytest.fixture(autouse=True)
def not_those_of_other_tests() -> None:
    """A browser of another test may still be there."""
    _OTHERS.update(p.pid for p in psutil.Process().children(recursive=True))


def _die_in_training(root: Path, train_job: TrainJob, told: Path) -> None:
    """Be a parent that is killed while its processes train."""
    workspace = Workspace(root)
    until(train(train_job, workspace, Models(workspace, torch.device("cpu"))), Saved)
    told.write_text(json.dumps([process.pid for process in descendants()]))
    os.kill(os.getpid(), signal.SIGKILL)


def test_kill_9_leaves_no_process_and_the_run_goes_on(
    workspace: Workspace,
    models: Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """First the parent is killed, then one of the processes; one process brings the run to its end."""
    train_job = job(method="unet", run="killed")
    told = tmp_path / "processes.json"
    parent = multiprocessing.get_context("fork").Process(
        target=_die_in_training, args=(workspace.root, train_job, told)
    )
    parent.start()
    parent.join(120)
    assert parent.exitcode == -signal.SIGKILL
    left = [psutil.Process(pid) for pid in json.loads(told.read_text()) if psutil.pid_exists(pid)]
    assert psutil.wait_procs(left, 20)[1] == []

    monkeypatch.setattr(launch, "Popen", ForkedLauncher)
    stream = train(train_job.model_copy(update={"resume": True, "steps": 2000}), workspace, models)
    changed, began = until(stream, Note), until(stream, Note)
    assert "steps 40 -> 2000" in changed[-1].text and "goes on after step" in began[-1].text
    until(stream, Saved)
    descendants()[-1].kill()
    with pytest.raises(TrainingFailed, match=r"ended from outside.*resume the run"):
        list(stream)
    assert descendants() == [] and "said by the stand-in" in caplog.text

    done = max(int(path.name[5:]) for path in workspace.place("runs", "killed").glob("checkpoints/step-*"))
    alone = {"processes": 1, "steps": done + 5}
    resumed = list(train(train_job.model_copy(update={"resume": True, **alone}), workspace, models))
    whole = list(train(train_job.model_copy(update={"run": "whole", **alone}), workspace, models))
    assert same_losses(resumed, whole) and models.catalog.run("killed").finished


@pytest.mark.usefixtures("forked")
def test_stop_keeps_what_was_learnt(workspace: Workspace, models: Models) -> None:
    train_job = job(method="lora", run="stopped", steps=2000)
    stream: Any = train(train_job, workspace, models)
    until(stream, Loss, 3)
    rest = [stream.throw(StopRequested()), *stream]
    notes = [event.text for event in rest if isinstance(event, Note)]
    card = models.catalog.run("stopped")
    assert notes == [f"Stopped after {card.steps} of 2000 steps; what was trained so far is kept."]
    assert card.finished and 3 <= card.steps < 500
    assert rest[-1] == Saved("run", "stopped", workspace.place("runs", "stopped"))
    assert descendants() == []

    alone = {"processes": 1, "steps": card.steps + 5}
    resumed = list(train(train_job.model_copy(update={"resume": True, **alone}), workspace, models))
    whole = list(train(train_job.model_copy(update={"run": "whole", **alone}), workspace, models))
    assert same_losses(resumed, whole)


@pytest.mark.usefixtures("forked")
def test_the_events_are_those_of_one_process(workspace: Workspace, models: Models) -> None:
    settings = {
        "steps": 4, "sample_every": 2, "sample_prompts": ("sks woman",), "validate_every": 2,
        "checkpoint_every": 2, "prior_preservation": True, "class_count": 2, "batch_size": 4,
        "accumulate": 2, "train_text_encoder": True, "text_share": 0.5, "finish_with": "best",
        "ema_decay": 0.9, "face_weight": 2.0,
    }  # fmt: skip
    one, two = (list(train(job(processes=n, run=f"of-{n}", **settings), workspace, models)) for n in (1, 2))
    assert same_losses(one, two)
    assert outline(one, "of-1") == outline(two, "of-2")
    looks = [[e.loss for e in events if isinstance(e, Validation)] for events in (one, two)]
    assert looks[1] == pytest.approx(looks[0], rel=1e-3)
    assert all(isinstance(e.image, Image.Image) for e in two if isinstance(e, Sampled))
    assert models.catalog.run("of-2").finished and models.status()["base"] == ""
    assert models.catalog.run("of-1").loss == pytest.approx(models.catalog.run("of-2").loss, rel=1e-4)


@pytest.mark.usefixtures("forked")
def test_the_events_of_split_weights_are_those_of_one_process(workspace: Workspace, models: Models) -> None:
    """All that takes the whole model: pictures, looks at held-out photographs, checkpoints, the best put back."""
    settings = {
        "method": "unet", "steps": 4, "sample_every": 2, "sample_prompts": ("sks woman",), "validate_every": 2,
        "checkpoint_every": 2, "prior_preservation": True, "class_count": 2, "batch_size": 4,
        "accumulate": 2, "finish_with": "best", "learning_rate": 1e-4,
    }  # fmt: skip
    one = list(train(job(processes=1, run="of-1", **settings), workspace, models))
    two = list(train(job(shard=True, run="of-2", **settings), workspace, models))
    assert same_losses(one, two)
    assert outline(one, "of-1") == outline(two, "of-2")
    looks = [[e.loss for e in events if isinstance(e, Validation)] for events in (one, two)]
    assert looks[1] == pytest.approx(looks[0], rel=1e-3)
    pictures = [
        [np.asarray(e.image, dtype=int) for e in events if isinstance(e, Sampled)] for events in (one, two)
    ]
    assert len(pictures[1]) == 3 and np.abs(np.subtract(*pictures)).max() <= 2
    cards = [models.catalog.run(name) for name in ("of-1", "of-2")]
    assert cards[1].finished and cards[0].file_bytes == cards[1].file_bytes
    files = [load_file(models.catalog.run_file(name)) for name in ("of-1", "of-2")]
    assert all(torch.allclose(files[0][name], files[1][name], atol=1e-3) for name in files[0])
    with models.use(models.catalog.spec("of-2")) as parts:
        assert parts.unet.config["_class_name"] == "UNet2DConditionModel"


@pytest.mark.usefixtures("forked")
def test_split_weights_stop_and_go_on_with_any_number_of_processes(
    workspace: Workspace, models: Models
) -> None:
    """Begun split, stopped; resumed by two whole ones, broken off; resumed split, then brought to its end by one."""
    train_job = job(
        method="unet", run="stopped", steps=2000, shard=True, checkpoint_every=3, learning_rate=1e-4
    )
    stream: Any = train(train_job, workspace, models)
    until(stream, Loss, 3)
    rest = [stream.throw(StopRequested()), *stream]
    done = models.catalog.run("stopped").steps
    told = [event.text for event in rest if isinstance(event, Note)]
    assert told == [f"Stopped after {done} of 2000 steps; what was trained so far is kept."]
    for split in (False, True):
        stream = train(train_job.model_copy(update={"resume": True, "shard": split}), workspace, models)
        until(stream, Saved)
        stream.close()
        assert descendants() == []
    alone = {"processes": 1, "shard": False, "steps": done + 9}
    resumed = list(train(train_job.model_copy(update={"resume": True, **alone}), workspace, models))
    whole = list(train(train_job.model_copy(update={"run": "whole", **alone}), workspace, models))
    assert same_losses(resumed, whole)


@pytest.mark.usefixtures("forked")
def test_a_process_without_memory_to_draw_ends_those_that_would_wait_for_it(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object) -> Any:
        if os.environ["RANK"] == "1":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        yield from generated(*_)  # type: ignore[arg-type]

    generated = recipe.generated
    monkeypatch.setattr(recipe, "generated", short)
    settings: dict[str, Any] = {
        "method": "unet",
        "shard": True,
        "sample_every": 1,
        "gradient_checkpointing": True,
    }
    with pytest.raises(NotEnoughMemory):
        list(train(job(**settings), workspace, models))
    assert descendants() == []


@pytest.mark.usefixtures("forked")
def test_what_a_process_raises_arrives(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged base, too little memory in one of two processes, and what nobody has foreseen."""
    train_on = Models.train

    def short(self: Models, *args: Any) -> Any:
        if os.environ["RANK"] == "1":
            raise failure
        return train_on(self, *args)

    failure: Exception = NotEnoughMemory("The device ran out of memory.", "Do something.")
    monkeypatch.setattr(Models, "train", short)
    with pytest.raises(NotEnoughMemory, match=r"ran out of memory.*Set the batch to 2"):
        list(train(job(batch_size=4), workspace, models))
    # One picture can't be shared by two.
    with pytest.raises(NotEnoughMemory, match="gradient checkpointing"):
        list(train(job(), workspace, models))
    with pytest.raises(NotEnoughMemory, match="Split the weights over the 2 GPUs"):
        list(train(job(method="unet", gradient_checkpointing=True), workspace, models))
    failure = ZeroDivisionError("by zero")
    with pytest.raises(RuntimeError, match="ZeroDivisionError: by zero") as caught:
        list(train(job(), workspace, models))
    assert "in short" in caught.value.__notes__[0]
    monkeypatch.undo()
    monkeypatch.setattr(launch, "Popen", ForkedLauncher)
    unet = workspace.find("models", "tiny") / "unet" / "diffusion_pytorch_model.safetensors"
    os.truncate(unet, unet.stat().st_size // 2)
    with pytest.raises(DreamError):
        list(train(job(), workspace, models))
    assert descendants() == []


@pytest.mark.usefixtures("forked")
def test_stop_or_the_end_of_the_stream_before_the_first_step_ends_them(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_PULSE_SECONDS", 0.1)
    stream: Any = train(job(run="early"), workspace, models)
    until(stream, Progress)
    with pytest.raises(StopRequested):
        stream.throw(StopRequested())
    assert descendants() == [] and models.status()["in_use"] == ""
    stream = train(job(run="closed"), workspace, models)
    until(stream, Progress)
    stream.close()
    assert descendants() == [] and models.status()["in_use"] == ""


def test_what_is_refused(workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"3 instance pictures.*2 or 4"):
        list(train(job(batch_size=3), workspace, models))
    monkeypatch.setattr(models, "device", torch.device("mps"))
    with pytest.raises(BadInput, match="Apple"):
        list(train(job(), workspace, models))
    monkeypatch.setattr(models, "device", torch.device("cuda"))
    with pytest.raises(BadInput, match="this machine has 0"):
        list(train(job(), workspace, models))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("method", ["unet", "lora"])
def test_two_gpus_learn_what_one_learns_in_a_graph_of_their_own(workspace: Workspace, method: str) -> None:
    models = Models(workspace)
    one, two = (
        list(train(job(method=method, processes=n, run=f"on-{n}"), workspace, models)) for n in (1, 2)
    )
    assert not [event.text for event in two if isinstance(event, Note) and "CUDA graph" in event.text]
    pairs = zip(numbers(one), numbers(two), strict=True)
    assert all([x or 0 for x in a] == pytest.approx([x or 0 for x in b], rel=0.05) for a, b in pairs)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("recompute", [False, True])
def test_two_gpus_that_split_the_weights_learn_what_one_learns(workspace: Workspace, recompute: bool) -> None:
    """Drawn, looked at and kept on the way; why there is no CUDA graph is said."""
    models = Models(workspace)
    settings = {
        "method": "unet", "gradient_checkpointing": recompute, "sample_every": 20, "memory_tier": "none",
        "finish_with": "best", "validate_every": 10,
    }  # fmt: skip
    one = list(train(job(processes=1, run="on-1", **settings), workspace, models))
    two = list(train(job(shard=True, run="on-2", **settings), workspace, models))
    assert [
        event.text for event in two if isinstance(event, Note) and "come and go with each block" in event.text
    ]
    assert outline(one, "on-1") == outline(two, "on-2") and models.catalog.run("on-2").finished
    pairs = zip(numbers(one), numbers(two), strict=True)
    assert all([x or 0 for x in a] == pytest.approx([x or 0 for x in b], rel=0.05) for a, b in pairs)
