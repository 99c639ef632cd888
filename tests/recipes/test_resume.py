"""A run goes on with its own settings; what was changed meanwhile is said before the first step."""

from __future__ import annotations

import gc
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from dreamgui.cli import main
from dreamgui.config import PreflightJob, TrainJob
from dreamgui.errors import AlreadyRunning, BadInput, StopRequested, UnknownName
from dreamgui.events import Event, Loss, Note, Saved
from dreamgui.models.catalog.cards import write_model
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.models.manager import Models
from dreamgui.recipes.preflight import preflight
from dreamgui.recipes.train import train
from dreamgui.training.resumable import LOCK, can_resume, kept_steps, resumable
from dreamgui.training.settings import settled
from dreamgui.workspace import Workspace, read_json, write_json
from tests.diffusion.made import make_dataset, picture
from tests.tiny import make_tiny_base

torch.set_num_threads(1)
gc.freeze()

BEGUN = {
    "model": "tiny", "dataset": "anna", "steps": 6, "sample_every": 0, "prior_preservation": False, "rank": 2,
    "learning_rate": 1e-3, "batch_size": 2, "lr_schedule": "cosine", "checkpoint_every": 1, "keep_checkpoints": 9,
}  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    make_tiny_base(workspace)
    make_dataset(workspace)
    return workspace


@pytest.fixture
def models(workspace: Workspace) -> Models:
    return Models(workspace, torch.device("cpu"))


def rates(events: list[Event]) -> list[float]:
    return [event.learning_rate for event in events if isinstance(event, Loss)]


def notes(events: list[Event]) -> str:
    return " ".join(event.text for event in events if isinstance(event, Note))


def break_off(
    workspace: Workspace, models: Models, run: str = "half", step: int = 3, **changes: object
) -> None:
    stream = train(TrainJob.model_validate({**BEGUN, **changes, "run": run}), workspace, models)
    for event in stream:
        if isinstance(event, Saved) and event.name == f"step-{step:06d}":
            stream.close()  # type: ignore[attr-defined]
            return


def go_on(workspace: Workspace, models: Models, **given: object) -> list[Event]:
    return list(train(TrainJob.model_validate({"resume": True, **given}), workspace, models))


def stop(workspace: Workspace, models: Models, run: str, step: int = 3) -> None:
    stream = train(TrainJob.model_validate({**BEGUN, "run": run}), workspace, models)
    for event in stream:
        if isinstance(event, Loss) and event.step == step:
            assert list((stream.throw(StopRequested()), *stream))  # type: ignore[attr-defined]
            return


def test_a_run_named_and_nothing_else_goes_on_as_it_was(workspace: Workspace, models: Models) -> None:
    whole = list(train(TrainJob.model_validate({**BEGUN, "run": "whole"}), workspace, models))
    for given in ({"run": "half"}, {}):
        break_off(workspace, models)
        resumed = go_on(workspace, models, **given)
        assert rates(resumed) == rates(whole) and "other settings" not in notes(resumed)
        name = models.catalog.runs()[-1].name
        card = models.catalog.run(name)
        assert card.finished and card.steps == 6 and card.rank == 2
        same = {key: value for key, value in card.job.items() if key != "run"}
        assert same == {k: v for k, v in models.catalog.run("whole").job.items() if k != "run"}
        (workspace.place("runs", name)).rename(workspace.root / f"away-{name}-{len(given)}")


def test_a_copied_run_goes_on_in_its_own_folder(workspace: Workspace, models: Models) -> None:
    """A copy made in a file manager names the first run in its card. It went on in that run's folder."""
    break_off(workspace, models)
    half = workspace.place("runs", "half")
    shutil.copytree(half, workspace.root / "runs" / "copy of half")
    before = {file: file.read_bytes() for file in half.rglob("*") if file.is_file()}
    assert {card.name for card in resumable(workspace, models.catalog)} == {"half", "copy of half"}
    saved = [event for event in go_on(workspace, models, run="copy of half") if isinstance(event, Saved)]
    assert saved[-1].name == "copy of half" and models.catalog.run("copy of half").finished
    assert before == {file: file.read_bytes() for file in half.rglob("*") if file.is_file()}


def test_the_command_line_goes_on_with_the_runs_settings(
    workspace: Workspace, models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    break_off(workspace, models)
    home = ["--home", str(workspace.root), "train", "--run", "half", "--resume"]
    assert main([*home, "--learning-rate", "5e-4"]) == 0
    said = capsys.readouterr().out
    assert "learning_rate 0.001 -> 0.0005" in said and said.count("->") == 1
    card = models.catalog.run("half")
    assert card.finished and card.steps == 6 and card.rank == 2 and card.learning_rate == 5e-4
    assert card.job["batch_size"] == 2 and card.job["lr_schedule"] == "cosine"


def test_a_given_0_is_0_and_not_the_runs_setting(workspace: Workspace, models: Models) -> None:
    break_off(workspace, models, step=1, warmup_steps=2)
    for given, steps in (({}, 2), ({"warmup_steps": 0}, 0)):
        resumed = TrainJob.model_validate({"run": "half", "resume": True, **given})
        assert settled(resumed, workspace, models.catalog)[0].warmup_steps == steps


def test_job_json_keeps_what_was_given(workspace: Workspace, models: Models) -> None:
    break_off(workspace, models)
    assert main(["--home", str(workspace.root), "train", "--run", "half", "--resume"]) == 0
    (file,) = (workspace.root / "jobs").glob("*/job.json")
    assert json.loads(file.read_text("utf-8"))["job"] == {"run": "half", "resume": True}


def test_other_steps_say_what_becomes_of_the_schedule(workspace: Workspace, models: Models) -> None:
    break_off(workspace, models)
    resumed = go_on(workspace, models, run="half", steps=8)
    said = notes(resumed)
    assert "steps 6 -> 8" in said and "cosine" in said
    assert f"{rates(resumed)[3]:.3g}" in said and len(rates(resumed)) == 8
    assert rates(resumed)[:3] == pytest.approx(rates(list(break_free(workspace, models)))[:3])


def break_free(workspace: Workspace, models: Models) -> Iterator[Event]:
    return train(TrainJob.model_validate({**BEGUN, "run": "free"}), workspace, models)


def test_fewer_steps_than_are_saved_are_refused(workspace: Workspace, models: Models) -> None:
    break_off(workspace, models, step=4)
    folder = workspace.place("runs", "half")
    with pytest.raises(BadInput, match=r"4 steps.*3"):
        go_on(workspace, models, run="half", steps=3)
    assert kept_steps(folder) == [1, 2, 3, 4]
    assert len(rates(go_on(workspace, models, run="half", steps=4))) == 4


def test_an_empty_prompt_is_refused_and_a_folder_is_named_as_it_is(
    workspace: Workspace, models: Models
) -> None:
    break_off(workspace, models)
    with pytest.raises(BadInput, match="instance prompt is empty"):
        go_on(workspace, models, run="half", instance_prompt=" ")
    named = TrainJob.model_validate({"run": "half", "resume": True, "class_folder": "/photos/women"})
    assert "class_folder None -> '/photos/women'" in " ".join(settled(named, workspace, models.catalog)[1])


def test_a_stopped_run_without_a_whole_checkpoint_is_not_called_finished(
    workspace: Workspace, models: Models
) -> None:
    stop(workspace, models, "half")
    shutil.rmtree(workspace.place("runs", "half") / "checkpoints")
    with pytest.raises(BadInput, match=r"stopped after 3 of 6 steps, and no whole checkpoint"):
        go_on(workspace, models, run="half")


def test_what_changed_is_remembered_when_a_stopped_run_is_killed(
    workspace: Workspace, models: Models
) -> None:
    stop(workspace, models, "half")
    stream = train(TrainJob(run="half", resume=True, learning_rate=5e-4), workspace, models)
    for event in stream:
        if isinstance(event, Loss) and event.step == 4:
            break
    stream.close()  # type: ignore[attr-defined]
    go_on(workspace, models, run="half")
    assert models.catalog.run("half").learning_rate == 5e-4


def test_preflight_tries_the_runs_settings(workspace: Workspace, models: Models) -> None:
    break_off(workspace, models)
    events = list(preflight(PreflightJob(run="half", resume=True), workspace, models))
    assert "It fits. 6 steps" in notes(events) and "rate of 0.001" in notes(events)


def test_a_changed_dataset_is_told(workspace: Workspace, models: Models) -> None:
    dataset = make_dataset(workspace, "berta", count=5)
    break_off(workspace, models, dataset="berta")
    dataset.drop(dataset.entries[0].file)
    dataset.set_caption(dataset.entries[1].file, "a photo of sks woman laughing")
    picture(77).save(dataset.path(dataset.entries[2]))
    resumed = go_on(workspace, models, run="half")
    first = next(number for number, event in enumerate(resumed) if isinstance(event, Loss))
    said = notes(resumed[:first])
    assert "'berta'" in said and "1 picture removed" in said
    assert "1 caption changed" in said and "1 picture changed" in said


def test_a_changed_base_is_told(workspace: Workspace, models: Models) -> None:
    break_off(workspace, models)
    folder = workspace.find("models", "tiny")
    folder.rename(workspace.root / "old")
    make_tiny_base(workspace, seed=5)
    assert "'tiny' is another model" in notes(go_on(workspace, Models(workspace, torch.device("cpu"))))


def test_an_unchanged_or_unknown_state_is_silent(workspace: Workspace, models: Models) -> None:
    for run in ("new", "old"):
        break_off(workspace, models, run)
        if run == "old":
            file = workspace.place("runs", run) / "run.json"
            write_json(file, {k: v for k, v in read_json(file).items() if k != "material"})
        assert "since" not in notes(go_on(workspace, models, run=run))


def test_a_renamed_dataset_is_followed(workspace: Workspace, models: Models) -> None:
    break_off(workspace, models)
    workspace.find("datasets", "anna").rename(workspace.root / "datasets" / "anna-2026")
    make_dataset(workspace, "other", count=3, size_px=32)
    resumed = go_on(workspace, models, run="half")
    assert "'anna' is now called 'anna-2026'" in notes(resumed)
    card = models.catalog.run("half")
    assert card.finished and card.dataset == card.job["dataset"] == "anna-2026"


def test_a_dataset_that_is_gone_is_named(workspace: Workspace, models: Models) -> None:
    break_off(workspace, models)
    workspace.find("datasets", "anna").rename(workspace.root / "gone")
    with pytest.raises(UnknownName, match="anna"):
        go_on(workspace, models, run="half")
    make_dataset(workspace, "other", count=3, size_px=32)
    with pytest.raises(BadInput, match="another dataset"):
        go_on(workspace, models, run="half", dataset="other")


def test_any_kept_checkpoint_can_be_gone_on_from(workspace: Workspace, models: Models) -> None:
    whole = list(train(TrainJob.model_validate({**BEGUN, "run": "whole"}), workspace, models))
    break_off(workspace, models, step=4)
    with pytest.raises(BadInput, match=r"no whole checkpoint of step 7.*1, 2, 3, 4"):
        go_on(workspace, models, run="half", resume_from=7)
    stream = train(TrainJob(run="half", resume_from=2, checkpoint_every=3), workspace, models)
    seen: list[Event] = []
    for event in stream:
        seen.append(event)
        if isinstance(event, Saved) and event.name == "step-000003":
            break
    stream.close()  # type: ignore[attr-defined]
    assert "after step 2" in notes(seen)
    # Checkpoint 4 belonged to the course that was left.
    assert kept_steps(workspace.place("runs", "half")) == [1, 2, 3]
    assert rates(go_on(workspace, models, run="half")) == rates(whole)


def test_what_can_be_resumed(workspace: Workspace, models: Models) -> None:
    def offered() -> list[str]:
        return [card.name for card in resumable(workspace, Catalog(workspace))]

    stop(workspace, models, "stopped")
    break_off(workspace, models, "killed")
    break_off(workspace, models, "bare", step=1)
    for checkpoint in (workspace.place("runs", "bare") / "checkpoints").iterdir():
        (checkpoint / "training.safetensors").write_bytes(b"half")
    list(train(TrainJob.model_validate({**BEGUN, "run": "done", "steps": 1}), workspace, models))
    assert offered() == ["stopped", "killed"]
    stream = train(TrainJob(run="stopped", resume=True), workspace, models)
    assert any(isinstance(event, Loss) for event in stream)
    assert offered() == ["killed"] and not can_resume(workspace, "stopped")
    with pytest.raises(AlreadyRunning, match="'stopped'"):
        go_on(workspace, models, run="stopped")
    stream.close()  # type: ignore[attr-defined]
    assert offered() == ["stopped", "killed"]


def test_a_run_of_another_process_is_left_alone(workspace: Workspace, models: Models) -> None:
    break_off(workspace, models)
    with FileLock(workspace.place("runs", "half") / LOCK):
        assert not can_resume(workspace, "half")
        with pytest.raises(UnknownName, match="can be resumed"):
            go_on(workspace, models)
    assert can_resume(workspace, "half")


def test_a_training_that_never_began_leaves_no_folder(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(Exception, match="on the disk"):
        list(train(TrainJob.model_validate({**BEGUN, "run": "none"}), workspace, models))
    assert workspace.names("runs") == []


PROMPT = "a photo of ohwx man face"


def prompted(workspace: Workspace, prompt: str = PROMPT) -> None:
    sheet = workspace.find("datasets", "anna") / "dataset.json"
    text = sheet.read_text("utf-8").replace("a photo of sks woman face", prompt)
    sheet.write_text(text, "utf-8")


@pytest.mark.parametrize("way", ["command line", "recipe"])
def test_the_datasets_prompt_is_the_trainings(
    workspace: Workspace, models: Models, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    prompted(workspace)
    given = {
        "model": "tiny",
        "dataset": "anna",
        "steps": 1,
        "sample_every": 0,
        "class_count": 2,
        "class_steps": 2,
    }
    if way == "recipe":
        said = notes(list(train(TrainJob.model_validate({**given, "run": "r"}), workspace, models)))
    else:
        options = [
            part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))
        ]
        assert main(["--home", str(workspace.root), "train", "--run", "r", *options]) == 0
        said = capsys.readouterr().out
    job = models.catalog.run("r").job
    assert job["instance_prompt"] == PROMPT and job["class_prompt"] == "a photo of man face"
    assert job["sample_prompts"] == [f"{PROMPT} in the forest", f"{PROMPT} on the beach"]
    assert re.search(r"'a photo of ohwx man face'.*'a photo of man face'", said)


def test_what_is_given_wins_over_the_datasets_prompt(workspace: Workspace, models: Models) -> None:
    prompted(workspace)
    wanted = TrainJob.model_validate(
        {
            **BEGUN,
            "steps": 1,
            "instance_prompt": "a photo of zwx dog",
            "sample_prompts": ["a dog"],
            "run": "r",
        }
    )
    list(train(wanted, workspace, models))
    job = models.catalog.run("r").job
    assert job["instance_prompt"] == "a photo of zwx dog" and job["class_prompt"] == "a photo of dog"
    assert job["sample_prompts"] == ["a dog"]


def test_prompts_without_a_token_or_a_difference(workspace: Workspace, models: Models) -> None:
    prompted(workspace, "portrait of the boss")
    wanted = {**BEGUN, "steps": 1, "prior_preservation": True, "class_count": 2, "class_steps": 2}
    said = notes(list(train(TrainJob.model_validate(wanted), workspace, models)))
    assert "'a photo of woman face'" in said and "doesn't follow" in said
    same = TrainJob.model_validate({**wanted, "instance_prompt": "a woman", "class_prompt": "a woman "})
    assert "are both" in notes(list(train(same, workspace, models)))
    for field in ("instance_prompt", "class_prompt"):
        with pytest.raises(BadInput, match=f"{field.replace('_', ' ')} is empty"):
            list(train(TrainJob.model_validate({**wanted, field: " "}), workspace, models))


def test_a_class_prompt_of_another_class_is_said(workspace: Workspace, models: Models) -> None:
    prompted(workspace)
    wanted = {**BEGUN, "prior_preservation": True, "class_prompt": "a photo of woman face"}
    stream = train(TrainJob.model_validate(wanted), workspace, models)
    first = next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert isinstance(first, Note) and "another class (woman)" in first.text and "(man)" in first.text


def test_what_is_not_given_is_what_the_model_recommends(workspace: Workspace, models: Models) -> None:
    """As in the page, whose form is filled in with it."""
    folder = workspace.find("models", "tiny")
    advice = {"lora": {"steps": 2, "learning_rate": 5e-3, "rank": 3}, "class_images": {"class_count": 2}}
    write_model(folder, models.catalog.card("tiny").model_copy(update={"recommended": advice}))
    given = {"model": "tiny", "dataset": "anna", "prior_preservation": False, "sample_every": 0, "run": "r"}
    said = notes(list(train(TrainJob.model_validate({**given, "rank": 4}), workspace, models)))
    card = models.catalog.run("r")
    assert (card.steps, card.learning_rate, card.rank) == (2, 5e-3, 4)
    assert "recommends: class_count 2, steps 2, learning_rate 0.005." in said
    prodigy, _ = settled(
        TrainJob.model_validate({**given, "optimizer": "prodigy"}), workspace, models.catalog
    )
    assert prodigy.steps == 2 and prodigy.effective_learning_rate == 1
