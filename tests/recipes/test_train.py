from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPTextModel

from dreamgui.config import TrainJob
from dreamgui.diffusion.sample import ImageRequest, generate
from dreamgui.diffusion.text import encode_prompts
from dreamgui.errors import (
    BadInput,
    NotEnoughDisk,
    NotEnoughMemory,
    NotEnoughPhotos,
    StopRequested,
    TrainingFailed,
    UnknownName,
)
from dreamgui.events import (
    ClassImage,
    Event,
    Loss,
    Note,
    Progress,
    Sampled,
    SampleLikeness,
    Saved,
    Validation,
)
from dreamgui.models.catalog.catalog import ModelSpec
from dreamgui.models.manager import Models
from dreamgui.recipes.train import train
from dreamgui.training import checkpoints
from dreamgui.training.likeness import LikenessWatch
from dreamgui.training.memory import advice as module
from dreamgui.training.resumable import LOCK
from dreamgui.training.steps.step import TrainingStep
from dreamgui.workspace import Workspace
from tests.diffusion.made import make_dataset
from tests.recipes.killing import Death, kill, leftovers, numbers, resume
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
    "sample_steps": 2,
}


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


def until(stream: object, what: Callable[[Event], bool]) -> list[Event]:
    events: list[Event] = []
    for event in stream:  # type: ignore[attr-defined]
        events.append(event)
        if what(event):
            return events
    raise AssertionError("the event didn't come")


def pictures(models: Models, spec: ModelSpec) -> bytes:
    with models.use(spec) as parts:
        return generate(parts, [ImageRequest("a photo of sks woman face", steps=2)])[0].tobytes()


@pytest.mark.parametrize("method", ["unet", "lora"])
def test_a_whole_run(workspace: Workspace, models: Models, method: str) -> None:
    before = pictures(models, ModelSpec("tiny"))
    files = {path: path.read_bytes() for path in workspace.find("models", "tiny").rglob("*.safetensors")}
    wanted = job(
        method=method, prior_preservation=True, sample_every=4, checkpoint_every=2, rank=4, batch_size=2
    )
    events = run(wanted, workspace, models)

    losses = [event for event in events if isinstance(event, Loss)]
    assert [loss.step for loss in losses] == [1, 2, 3, 4, 5, 6]
    assert all(
        loss.prior is not None and loss.grad_norm > 0 and loss.learning_rate == 1e-3 for loss in losses
    )
    assert sum(isinstance(event, ClassImage) for event in events) == 2
    samples = [(event.step, event.prompt, event.seed) for event in events if isinstance(event, Sampled)]
    assert samples == [(step, p, n) for step in (0, 4, 6) for n, p in enumerate(wanted.sample_prompts)]
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


def test_every_option_at_once_and_resumed(workspace: Workspace, models: Models) -> None:
    dataset = make_dataset(workspace, "berta", count=6)
    dataset.hold_out(dataset.entries[0].file)
    options = {
        "dataset": "berta",
        "accumulate": 2,
        "random_flips": True,
        "face_weight": 2.0,
        "offset_noise": 0.1,
        "ema_decay": 0.9,
        "train_text_encoder": True,
        "text_share": 0.5,
        "min_snr_gamma": 5.0,
        "lora_targets": "attention+conv",
        "dora": True,
        "lr_schedule": "cosine",
        "warmup_steps": 2,
        "validate_every": 2,
        "checkpoint_every": 1,
    }
    whole = run(job(run="whole", **options), workspace, models)
    looks = [event for event in whole if isinstance(event, Validation)]
    assert [look.step for look in looks] == [2, 4, 6] and len({look.loss for look in looks}) == 3
    for death in (2, 4):
        stream = train(job(run=f"half-{death}", **options), workspace, models)
        until(
            stream, lambda event, death=death: isinstance(event, Saved) and event.name == f"step-{death:06d}"
        )
        stream.close()  # type: ignore[attr-defined]
        resumed = run(job(run=f"half-{death}", resume=True, **options), workspace, models)
        assert numbers(resumed) == numbers(whole)
        assert [event for event in resumed if isinstance(event, Validation)] == looks
        first, second = (load_file(models.catalog.run_file(name)) for name in ("whole", f"half-{death}"))
        assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    base, spec = pictures(models, ModelSpec("tiny")), models.catalog.spec("whole")
    assert pictures(models, spec) != base == pictures(models, ModelSpec("tiny"))
    assert pictures(models, replace(spec, lora_scale=0.0)) != pictures(models, spec)


@pytest.mark.parametrize("method", ["unet", "lora"])
def test_a_trained_text_encoder_is_drawn_with(workspace: Workspace, models: Models, method: str) -> None:
    before = pictures(models, ModelSpec("tiny"))
    wanted = job(method=method, train_text_encoder=True, text_share=1.0, text_learning_rate=1e-2, run="told")
    run(wanted, workspace, models)
    spec = models.catalog.spec("told")
    with models.use(ModelSpec("tiny")) as parts:
        plain = encode_prompts(parts.text_encoder, parts.tokenizer, ["sks"])["sks"]
    with models.use(spec) as parts:
        told = encode_prompts(parts.text_encoder, parts.tokenizer, ["sks"])["sks"]
    assert (told - plain).abs().max() > 0.05 and pictures(models, spec) != before
    assert pictures(models, ModelSpec("tiny")) == before
    folder = workspace.place("runs", "told")
    base = workspace.find("models", "tiny")
    if method == "unet":
        theirs = CLIPTextModel.from_pretrained(folder / "text_encoder")
        pipe = StableDiffusionPipeline.from_pretrained(base, text_encoder=theirs, safety_checker=None)
    else:
        with models.use(replace(spec, lora_scale=0.0)) as parts:
            off = encode_prompts(parts.text_encoder, parts.tokenizer, ["sks"])["sks"]
        torch.testing.assert_close(off, plain)
        pipe = StableDiffusionPipeline.from_pretrained(base, safety_checker=None)
        pipe.load_lora_weights(str(folder))
    own = encode_prompts(pipe.text_encoder.float(), pipe.tokenizer, ["sks"])["sks"]
    torch.testing.assert_close(own, told, atol=2e-3, rtol=1e-2)


def test_the_best_weights_can_be_kept(workspace: Workspace, models: Models) -> None:
    dataset = make_dataset(workspace, "berta", count=6)
    dataset.hold_out(dataset.entries[0].file)
    wanted = job(
        dataset="berta", method="unet", learning_rate=0.05, steps=8, validate_every=1, checkpoint_every=1,
        keep_checkpoints=1, finish_with="best",
    )  # fmt: skip
    events = run(wanted, workspace, models)
    looks = {event.step: event.loss for event in events if isinstance(event, Validation)}
    best = min(looks, key=lambda step: looks[step])
    assert best < 8
    assert any(isinstance(event, Note) and f"after step {best}," in event.text for event in events)


def test_the_most_alike_weights_can_be_kept(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The samples' likeness is made up, highest at step 2; it is measured at each checkpoint and kept in it."""
    make_dataset(workspace, "carla", count=3)
    values = {1: 0.2, 2: 0.6, 3: 0.4, 4: 0.3}
    monkeypatch.setattr(
        LikenessWatch, "measured", lambda self, step, pictures: SampleLikeness(step, values[step], 1, 1)
    )
    wanted = job(
        dataset="carla", method="lora", steps=4, sample_every=0, sample_steps=1, sample_prompts=("a",), checkpoint_every=1,
        keep_checkpoints=1, finish_with="best", best_by="likeness",
    )  # fmt: skip
    events = run(wanted, workspace, models)
    looks = [(event.step, event.value) for event in events if isinstance(event, SampleLikeness)]
    assert looks == list(values.items())
    assert any(
        isinstance(e, Note) and "after step 2, where its likeness was highest" in e.text for e in events
    )


OUT_OF_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: not enough memory: you tried 2 GB"
    ),
)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "cpu"])
@pytest.mark.parametrize("at_step", [1, 3])
def test_out_of_memory_is_named_and_the_next_run_starts(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch, error: RuntimeError, at_step: int
) -> None:
    """At step 1 and in the middle; samples that have no room are left out, see test_train_beside.py."""
    calls = []

    def short(*_: object) -> object:
        calls.append(0)
        if len(calls) == at_step:
            raise error
        return launch(*_)  # type: ignore[arg-type]

    launch = TrainingStep.launch
    monkeypatch.setattr(TrainingStep, "launch", short)
    wanted = job(batch_size=2, checkpoint_every=1, sample_every=0)
    with pytest.raises(NotEnoughMemory, match=r"memory.*add up 2 batches") as caught:
        run(wanted, workspace, models)
    assert caught.value.__cause__ is None
    assert models.status()["in_use"] == "" and models.status()["base"] == ""
    monkeypatch.undo()
    assert len(numbers(run(wanted.model_copy(update={"resume": at_step > 1}), workspace, models))) == 6


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"gradient_checkpointing": False}, "gradient checkpointing"),
        ({"train_text_encoder": True}, "text encoder"),
        ({"ema_decay": 0.9}, "average"),
        ({"method": "unet"}, "LoRA"),
        ({}, "rank"),
    ],
)
def test_what_to_change_when_memory_is_short(changes: dict[str, object], advice: str) -> None:
    assert advice in module.smaller(job(**{"gradient_checkpointing": True, **changes}))


@pytest.mark.parametrize("method", ["unet", "lora"])
def test_gradient_checkpointing_learns_the_same(workspace: Workspace, models: Models, method: str) -> None:
    plain, saving = (
        numbers(run(job(method=method, gradient_checkpointing=on), workspace, models)) for on in (False, True)
    )
    for one, two in zip(plain, saving, strict=True):
        assert two[1] == pytest.approx(one[1], rel=1e-5) and two[3] == pytest.approx(one[3], rel=1e-4)


def test_a_full_disk_at_a_save_keeps_the_earlier_checkpoints(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(job(run="whole"), workspace, models)
    save = checkpoints.save_file

    def full(tensors: dict[str, torch.Tensor], path: Path) -> None:
        save(tensors, path)
        if path.parent.name.startswith(".step-000004"):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(NotEnoughDisk, match="resume"):
        run(job(run="full", checkpoint_every=2), workspace, models)
    folder = workspace.place("runs", "full") / "checkpoints"
    assert [path.name for path in folder.iterdir()] == ["step-000002"]
    monkeypatch.undo()
    resumed = run(job(run="full", checkpoint_every=2, resume=True), workspace, models)
    assert numbers(resumed) == numbers(whole)


def test_weights_that_stand_still_after_a_resume_are_an_error(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = train(job(run="still", checkpoint_every=2), workspace, models)
    until(stream, lambda event: isinstance(event, Saved))
    stream.close()  # type: ignore[attr-defined]
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: None)
    with pytest.raises(TrainingFailed, match="No weight has changed"):
        run(job(run="still", resume=True), workspace, models)


def test_tensorboard_files_or_a_sentence(workspace: Workspace, models: Models) -> None:
    if find_spec("tensorboard") is None:
        with pytest.raises(BadInput, match="pip install tensorboard"):
            run(job(tensorboard=True), workspace, models)
        return
    run(job(tensorboard=True, run="board"), workspace, models)
    assert list((workspace.place("runs", "board") / "tensorboard").glob("events.*"))


def test_no_more_than_the_given_time_is_lost(workspace: Workspace, models: Models) -> None:
    events = run(job(steps=4, checkpoint_seconds=0), workspace, models)
    assert sum(isinstance(event, Saved) and event.what == "checkpoint" for event in events) == 3


def test_leftovers_of_a_killed_save_are_swept(workspace: Workspace, models: Models) -> None:
    stream = train(job(run="killed", checkpoint_every=1), workspace, models)
    until(stream, lambda event: isinstance(event, Saved))
    stream.close()  # type: ignore[attr-defined]
    folder = workspace.place("runs", "killed")
    (folder / ".unet.half").mkdir()
    (folder / ".pytorch_lora_weights.safetensors.half").touch()
    run(job(run="killed", resume=True), workspace, models)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == [LOCK]


DEATHS = {
    Death(1): 0, Death(2): 0, Death(3): 2, Death(4): 2, Death(5): 4, Death(6): 4, Death(2, in_a_save=True): 0,
    Death(4, in_a_save=True): 2, Death(after_seconds=0.2): None, Death(after_seconds=0.3): None,
}  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX's")
def test_kill_9_loses_at_most_one_interval(workspace: Workspace, models: Models) -> None:
    """benchmarks/kill.py does the same 70 times."""
    whole = run(job(run="whole", checkpoint_every=2), workspace, models)
    for number, (death, last) in enumerate(DEATHS.items()):
        wanted = job(run=f"killed-{number}", checkpoint_every=2)
        if not kill(workspace, wanted, death):
            continue
        resumed = resume(workspace, models, wanted)
        if last is not None:
            said = [event.text for event in resumed if isinstance(event, Note)]
            assert said and (f"after step {last}" if last else "from the beginning") in said[0]
        assert numbers(resumed) == numbers(whole) and leftovers(workspace, wanted) == []


def test_a_loss_that_is_no_number(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = TrainingStep.launch

    def poisoned(self: TrainingStep, batch: object, *rates: float) -> object:
        steps = len(self.optimizer.state) and int(next(iter(self.optimizer.state.values()))["step"])
        if steps == 4:
            next(iter(self.unet.conv_in.parameters())).data.fill_(float("nan"))
        return launch(self, batch, *rates)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainingStep, "launch", poisoned)
    with pytest.raises(TrainingFailed, match=r"nan.*step-000004 is kept"):
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
    for wanted in (
        job(dataset="nobody"),
        job(model="nothing"),
        job(run="nowhere", resume=True),
        job(resume=True),
    ):
        with pytest.raises(UnknownName):
            run(wanted, workspace, models)
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
    told = [run(job(run="x/y", steps=1), workspace, models) for _ in range(2)]
    names = [events[-1] for events in told]
    assert [event.name for event in names if isinstance(event, Saved)] == ["x-y", "x-y-2"]
    assert all(
        f"It is called {name}: 'x/y'" in str(events)
        for name, events in zip(("x-y", "x-y-2"), told, strict=True)
    )


def test_samples_come_from_the_trained_weights(workspace: Workspace, models: Models) -> None:
    events = run(job(sample_every=6, learning_rate=1e-2, method="unet"), workspace, models)
    generated = {(e.step, e.seed): e.image for e in events if isinstance(e, Sampled)}
    first, last = generated[0, 0], generated[6, 0]
    assert isinstance(first, Image.Image) and isinstance(last, Image.Image)
    assert first.tobytes() != last.tobytes()


def test_two_runs_of_one_long_name_both_stay(workspace: Workspace, models: Models) -> None:
    """The second one's name was cut to the first one's, and its weights replaced the first one's."""
    wanted = "anna-" + "x" * 90
    for seed in (0, 1):
        run(job(run=wanted, steps=1, seed=seed), workspace, models)
    cards = models.catalog.runs()
    assert [card.job["seed"] for card in cards] == [0, 1]
    assert all(models.catalog.run_file(card.name).is_file() for card in cards)


def test_a_breakdown_before_the_first_checkpoint_promises_none(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = TrainingStep.launch

    def poisoned(self: TrainingStep, batch: object, *rates: float) -> object:
        next(iter(self.unet.conv_in.parameters())).data.fill_(float("nan"))
        return launch(self, batch, *rates)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainingStep, "launch", poisoned)
    with pytest.raises(TrainingFailed) as caught:
        run(job(run="sick"), workspace, models)
    assert "No checkpoint was saved" in str(caught.value) and "weights from before" not in str(caught.value)


def test_a_learning_rate_far_above_the_usual_is_said_before_the_first_step(
    workspace: Workspace, models: Models
) -> None:
    events = run(job(method="lora", learning_rate=1.0), workspace, models)
    kinds = [type(event) for event in events]
    said = [n for n, event in enumerate(events) if isinstance(event, Note) and "10,000 times" in event.text]
    assert len(said) == 1 and said[0] < kinds.index(Loss)
