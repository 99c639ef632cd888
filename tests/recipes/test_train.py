from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file

from dreamgui.config import TrainJob
from dreamgui.diffusion import checkpoints
from dreamgui.diffusion.sample import Draw, draw
from dreamgui.diffusion.step import TrainingStep
from dreamgui.errors import (
    BadInput,
    NotEnoughDisk,
    NotEnoughPhotos,
    StopRequested,
    TrainingFailed,
    UnknownName,
)
from dreamgui.events import ClassImage, Event, Loss, Note, Progress, Sampled, Saved
from dreamgui.models.catalog import ModelSpec
from dreamgui.models.manager import Models
from dreamgui.recipes import train as module
from dreamgui.recipes.train import train
from dreamgui.workspace import Workspace
from tests.diffusion.made import make_dataset
from tests.tiny import make_tiny_base

torch.set_num_threads(1)
# The manager collects garbage after each use; what was imported needn't be looked at again and again.
gc.freeze()

QUICK = {
    "model": "tiny",
    "dataset": "anna",
    "steps": 6,
    "sample_every": 0,
    "class_count": 2,
    "learning_rate": 1e-3,
}


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE_STEPS", 2)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    make_tiny_base(workspace)
    return workspace


@pytest.fixture
def models(workspace: Workspace) -> Models:
    make_dataset(workspace)
    return Models(workspace, torch.device("cpu"))


def job(**changes: object) -> TrainJob:
    return TrainJob(**{**QUICK, "prior_preservation": False, **changes})


def run(job: TrainJob, workspace: Workspace, models: Models) -> list[Event]:
    return list(train(job, workspace, models))


def numbers(events: list[Event]) -> list[tuple[int, float, float | None, float]]:
    """What must be equal in equal runs: all of a loss but its seconds."""
    return [(e.step, e.instance, e.prior, e.grad_norm) for e in events if isinstance(e, Loss)]


def until(stream: object, what: Callable[[Event], bool]) -> list[Event]:
    events: list[Event] = []
    for event in stream:  # type: ignore[attr-defined]
        events.append(event)
        if what(event):
            return events
    raise AssertionError("the event didn't come")


def pictures(models: Models, spec: ModelSpec) -> bytes:
    with models.use(spec) as parts:
        return draw(parts, [Draw("a photo of sks woman face", steps=2)])[0].tobytes()


@pytest.mark.parametrize("method", ["unet", "lora"])
def test_a_whole_run(workspace: Workspace, models: Models, method: str) -> None:
    before = pictures(models, ModelSpec("tiny"))
    files = {path: path.read_bytes() for path in workspace.find("models", "tiny").rglob("*.safetensors")}
    wish = job(
        method=method, prior_preservation=True, sample_every=4, checkpoint_every=2, rank=4, batch_size=2
    )
    events = run(wish, workspace, models)

    losses = [event for event in events if isinstance(event, Loss)]
    assert [loss.step for loss in losses] == [1, 2, 3, 4, 5, 6]
    assert all(
        loss.prior is not None and loss.grad_norm > 0 and loss.learning_rate == 1e-3 for loss in losses
    )
    assert sum(isinstance(event, ClassImage) for event in events) == 2
    samples = [(event.step, event.prompt, event.seed) for event in events if isinstance(event, Sampled)]
    assert samples == [(step, p, n) for step in (0, 4, 6) for n, p in enumerate(wish.sample_prompts)]
    assert [event.name for event in events if isinstance(event, Saved) and event.what == "checkpoint"] == [
        "step-000002",
        "step-000004",
    ]
    assert Progress("Training", 6, 6) in events
    name = "unet" if method == "unet" else "lora-r4"
    assert events[-1] == Saved("run", name, workspace.place("runs", name))

    card = models.catalog.run(name)
    assert (
        card.finished and card.steps == 6 and card.kind == method and card.base == "tiny" and card.seconds > 0
    )
    assert card.rank == (None if method == "unet" else 4) and card.learning_rate == 1e-3
    assert TrainJob.model_validate(card.job).run == name
    assert card.file_bytes == models.catalog.run_file(name).stat().st_size
    assert not (workspace.place("runs", name) / "checkpoints").exists()
    assert all(tensor.dtype == torch.float16 for tensor in load_file(models.catalog.run_file(name)).values())

    assert pictures(models, models.catalog.spec(name)) != before
    assert pictures(models, ModelSpec("tiny")) == before
    assert all(path.read_bytes() == data for path, data in files.items())


def test_diffusers_reads_what_was_trained(workspace: Workspace, models: Models) -> None:
    for method in ("unet", "lora"):
        run(job(method=method, steps=2), workspace, models)
    unet = UNet2DConditionModel.from_pretrained(workspace.place("runs", "unet") / "unet")
    pipe = StableDiffusionPipeline.from_pretrained(
        workspace.find("models", "tiny"), unet=unet, safety_checker=None, feature_extractor=None
    )
    pipe.load_lora_weights(str(workspace.place("runs", "lora-r8")))
    assert pipe.get_active_adapters()


def test_equal_seeds_give_equal_runs(workspace: Workspace, models: Models) -> None:
    one, two, other = (run(job(seed=seed), workspace, models) for seed in (1, 1, 2))
    assert numbers(one) == numbers(two) != numbers(other)
    first, second = (load_file(models.catalog.run_file(name)) for name in ("lora-r8", "lora-r8-2"))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_captions_of_their_own_are_used(workspace: Workspace, models: Models) -> None:
    plain = numbers(run(job(), workspace, models))
    assert numbers(run(job(instance_prompt="a drawing of xyz"), workspace, models)) != plain
    dataset = make_dataset(workspace, "berta")
    for entry in dataset.entries:
        dataset.set_caption(entry.file, "a drawing of xyz")
    assert numbers(run(job(dataset="berta"), workspace, models)) != plain
    told = run(job(instance_prompt="a very " * 60 + "long prompt"), workspace, models)
    assert any(isinstance(event, Note) and "long prompt" in event.text for event in told)


@pytest.mark.parametrize("method", ["unet", "lora"])
def test_stop_keeps_and_resume_goes_on(workspace: Workspace, models: Models, method: str) -> None:
    whole = run(job(method=method, run="whole"), workspace, models)
    stream = train(job(method=method, run="half"), workspace, models)
    until(stream, lambda event: isinstance(event, Loss) and event.step == 3)
    rest = [stream.throw(StopRequested()), *stream]  # type: ignore[attr-defined]
    assert isinstance(rest[0], Note) and "3 of 6" in rest[0].text
    assert rest[-1] == Saved("run", "half", workspace.place("runs", "half"))
    stopped = models.catalog.run("half")
    assert stopped.finished and stopped.steps == 3
    assert pictures(models, models.catalog.spec("half")) != pictures(models, ModelSpec("tiny"))

    resumed = run(job(method=method, run="half", resume=True), workspace, models)
    assert numbers(resumed) == numbers(whole)
    first, second = (load_file(models.catalog.run_file(name)) for name in ("whole", "half"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert models.catalog.run("half").seconds > stopped.seconds / 2


def test_stop_before_the_first_step_keeps_nothing(workspace: Workspace, models: Models) -> None:
    stream = train(job(sample_every=1), workspace, models)
    until(stream, lambda event: isinstance(event, Sampled))
    with pytest.raises(StopRequested):
        stream.throw(StopRequested())  # type: ignore[attr-defined]
    assert models.catalog.names() == ["tiny"]


def test_a_truncated_checkpoint_is_said(workspace: Workspace, models: Models) -> None:
    whole = run(job(run="whole"), workspace, models)
    stream = train(job(run="broken", checkpoint_every=2), workspace, models)
    until(stream, lambda event: isinstance(event, Saved) and event.name == "step-000004")
    stream.close()  # type: ignore[attr-defined]
    file = workspace.place("runs", "broken") / "checkpoints" / "step-000004" / "training.safetensors"
    os.truncate(file, file.stat().st_size // 2)
    resumed = run(job(run="", checkpoint_every=2, resume=True), workspace, models)
    notes = [event.text for event in resumed if isinstance(event, Note)]
    assert "step-000004" in notes[0] and "after step 2" in notes[1]
    assert numbers(resumed) == numbers(whole)
    assert models.catalog.run("broken").finished


def _train_and_die(root: Path, wish: TrainJob, death: int, in_a_save: bool) -> None:
    """In a child process: killed by the system after an event, or with half a checkpoint written."""
    torch.set_num_threads(1)
    if in_a_save:
        save = checkpoints.save_file

        def half(tensors: dict[str, torch.Tensor], path: Path) -> None:
            save(tensors, path)
            if path.parent.name.startswith(f".step-{death:06d}"):
                os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)

        checkpoints.save_file = half
    workspace = Workspace(root)
    for event in train(wish, workspace, Models(workspace, torch.device("cpu"))):
        if isinstance(event, Loss) and event.step == death:
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_minute_is_never_lost(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0)
    events = run(job(steps=4), workspace, models)
    assert sum(isinstance(event, Saved) and event.what == "checkpoint" for event in events) == 3


def test_leftovers_of_a_killed_save_are_swept(workspace: Workspace, models: Models) -> None:
    stream = train(job(run="killed", checkpoint_every=1), workspace, models)
    until(stream, lambda event: isinstance(event, Saved))
    stream.close()  # type: ignore[attr-defined]
    folder = workspace.place("runs", "killed")
    (folder / ".unet.half").mkdir()
    (folder / ".pytorch_lora_weights.safetensors.half").touch()
    run(job(run="killed", resume=True), workspace, models)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX's")
def test_kill_9_loses_at_most_one_interval(workspace: Workspace, models: Models) -> None:
    whole = run(job(run="whole", checkpoint_every=2), workspace, models)
    fork = multiprocessing.get_context("fork")
    for number, (death, in_a_save) in enumerate([(1, False), (4, True), (5, False), (2, True)]):
        wish = job(run=f"killed-{number}", checkpoint_every=2)
        child = fork.Process(target=_train_and_die, args=(workspace.root, wish, death, in_a_save))
        child.start()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
        last = {1: 0, 4: 2, 5: 4, 2: 0}[death]
        resumed = run(wish.model_copy(update={"resume": True}), workspace, models)
        said = [event.text for event in resumed if isinstance(event, Note)]
        assert said and (f"after step {last}" if last else "from the beginning") in said[0]
        assert numbers(resumed) == numbers(whole)
        assert [
            path.name for path in workspace.place("runs", wish.run).iterdir() if path.name.startswith(".")
        ] == []


def test_a_loss_that_is_no_number(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = TrainingStep.__call__

    def poisoned(self: TrainingStep, batch: object, learning_rate: float) -> object:
        steps = len(self.optimizer.state) and int(next(iter(self.optimizer.state.values()))["step"])
        if steps == 4:
            next(iter(self.unet.conv_in.parameters())).data.fill_(float("nan"))
        return call(self, batch, learning_rate)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainingStep, "__call__", poisoned)
    with pytest.raises(TrainingFailed, match="nan"):
        run(job(run="sick", checkpoint_every=2), workspace, models)
    assert not models.catalog.run("sick").finished and models.catalog.names() == ["tiny"]
    folder = workspace.place("runs", "sick") / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["step-000002", "step-000004"]
    monkeypatch.undo()
    assert len(numbers(run(job(run="sick", resume=True), workspace, models))) == 6


def test_what_is_refused(workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(workspace, "few", count=2)
    with pytest.raises(NotEnoughPhotos, match="2 pictures"):
        run(job(dataset="few"), workspace, models)
    for wish in (
        job(dataset="nobody"),
        job(model="nothing"),
        job(run="nowhere", resume=True),
        job(resume=True),
    ):
        with pytest.raises(UnknownName):
            run(wish, workspace, models)
    run(job(run="done", steps=1), workspace, models)
    with pytest.raises(BadInput, match="finished"):
        run(job(run="done", resume=True), workspace, models)
    stream = train(job(run="open"), workspace, models)
    until(stream, lambda event: isinstance(event, Loss))
    stream.close()  # type: ignore[attr-defined]
    with pytest.raises(BadInput, match="rank, alpha"):
        run(job(run="open", rank=16, resume=True), workspace, models)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(NotEnoughDisk):
        run(job(), workspace, models)


def test_a_taken_name_is_not_overwritten(workspace: Workspace, models: Models) -> None:
    names = [run(job(run="x/y", steps=1), workspace, models)[-1] for _ in range(2)]
    assert [event.name for event in names if isinstance(event, Saved)] == ["x-y", "x-y-2"]


def test_samples_come_from_the_trained_weights(workspace: Workspace, models: Models) -> None:
    events = run(job(sample_every=6, learning_rate=1e-2, method="unet"), workspace, models)
    drawn = {(e.step, e.seed): e.image for e in events if isinstance(e, Sampled)}
    first, last = drawn[0, 0], drawn[6, 0]
    assert isinstance(first, Image.Image) and isinstance(last, Image.Image)
    assert first.tobytes() != last.tobytes()
