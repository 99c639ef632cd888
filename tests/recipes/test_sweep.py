from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dreamgui.config import SweepJob, TrainJob
from dreamgui.errors import BadInput, NotEnoughMemory, OutOfRange, StopRequested, UnknownName
from dreamgui.events import Begun, Event, Loss, Note, Saved, Score
from dreamgui.models.catalog.cards import write_model
from dreamgui.models.manager import Models
from dreamgui.recipes import sweep as module
from dreamgui.recipes.sweep import points_of, sweep
from dreamgui.training.settings import advised_sweep
from dreamgui.training.sweep_queue import SweepQueue
from dreamgui.ui.parts.form import make_config
from dreamgui.workspace import Workspace, read_json
from tests.diffusion.made import make_dataset, picture
from tests.tiny import make_tiny_base

torch.set_num_threads(1)
# The manager collects garbage after each use; what was imported needn't be looked at again and again.
gc.freeze()


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PICTURE_STEPS", 2)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    make_tiny_base(workspace)
    dataset = make_dataset(workspace, count=5)
    dataset.hold_out(dataset.entries[0].file)
    return workspace


@pytest.fixture
def models(workspace: Workspace) -> Models:
    return Models(workspace, torch.device("cpu"))


def job(**changes: object) -> SweepJob:
    usual = {
        "model": "tiny", "dataset": "anna", "steps": 3, "sample_every": 0, "prior_preservation": False,
        "ranks": (2, 4), "learning_rates": (1e-3, 1e-2), "prompts": ("a", "b"), "report": "grid",
    }  # fmt: skip
    return SweepJob.model_validate({**usual, **changes})


def scores(events: list[Event]) -> dict[str, dict[str, float | None]]:
    return {event.model: event.values for event in events if isinstance(event, Score)}


def test_the_grid_varies_rank_and_rate_apart() -> None:
    points = points_of(job(with_unet=True), "grid")
    grid = [(point.method, point.rank, point.effective_learning_rate) for point in points[:-1]]
    assert grid == [("lora", rank, rate) for rank in (2, 4) for rate in (1e-3, 1e-2)]
    assert points[-1].method == "unet" and points[-1].effective_learning_rate == 2e-6
    apart = {"method", "rank", "learning_rate", "run"}
    assert len({point.model_dump_json(exclude=apart) for point in points}) == 1
    assert len({point.run for point in points}) == 5
    split = points_of(job(with_unet=True, processes=2, shard=True), "grid")
    assert [point.method for point in split if point.shard] == ["unet"]


def test_what_was_not_given_is_as_the_base_model_recommends(workspace: Workspace, models: Models) -> None:
    folder = workspace.place("models", "tiny")
    advice = {"lora": {"learning_rate": 4e-3, "steps": 2}, "unet": {"learning_rate": 4e-4}}
    write_model(folder, models.catalog.card("tiny").model_copy(update={"recommended": advice}))
    wanted = SweepJob(model="tiny", dataset="anna", sample_every=0, prior_preservation=False, ranks=(2,), with_unet=True, prompts=("a",), report="grid")  # fmt: skip
    events = list(sweep(wanted, workspace, models))
    runs = {card.name: (card.learning_rate, card.steps) for card in models.catalog.runs()}
    assert runs == {"grid-r2-lr0.004": (4e-3, 2), "grid-unet": (4e-4, 2)}
    [said] = [event.text for event in events if isinstance(event, Note) and "recommends" in event.text]
    assert "learning_rates 0.004" in said and "steps 2" in said
    given = advised_sweep(job(), models.catalog.card("tiny"))[0]
    assert (given.learning_rates, given.steps) == ((1e-3, 1e-2), 3)


def test_a_text_box_holds_numbers() -> None:
    read = make_config(SweepJob, {"ranks": "4, 8\n16", "learning_rates": "1e-4 5e-5", "dataset": "anna"})
    assert isinstance(read, SweepJob) and read.ranks == (4, 8, 16) and read.learning_rates == (1e-4, 5e-5)
    for wrong in ({"ranks": "0"}, {"ranks": ""}, {"learning_rates": "many"}, {"learning_rates": "nan"}):
        with pytest.raises(OutOfRange):
            make_config(SweepJob, wrong)


def test_a_prompt_that_is_read_otherwise_is_noted_once(workspace: Workspace, models: Models) -> None:
    wanted = job(learning_rates=(1e-3,), prompts=("a <lora:b:1> c",))
    notes = [event.text for event in sweep(wanted, workspace, models) if isinstance(event, Note)]
    assert sum("loads no LoRA" in text for text in notes) == 1


def test_a_whole_sweep_and_the_same_again(workspace: Workspace, models: Models) -> None:
    wanted = job(with_unet=True)
    events = list(sweep(wanted, workspace, models))
    found = scores(events)
    assert list(found) == [
        "grid-r2-lr0.001",
        "grid-r2-lr0.01",
        "grid-r4-lr0.001",
        "grid-r4-lr0.01",
        "grid-unet",
    ]
    for name, values in found.items():
        card = models.catalog.run(name)
        assert card.finished and values["file_bytes"] == card.file_bytes and values["seconds"] == card.seconds
        assert values["loss"] and values["validation"] and values["likeness"] is None
        assert (values["rank"], values["learning_rate"]) == (card.rank, card.learning_rate)
    first = [event.instance for event in events if isinstance(event, Loss) and event.step == 1]
    assert len(first) == 5 and max(first) - min(first) < 1e-6
    folder = workspace.place("reports", "grid")
    assert events[-1] == Saved("report", "grid", folder)
    table = (folder / "README.md").read_text(encoding="utf-8")
    assert all(name in table for name in found) and "5 of 5" in table
    report = read_json(folder / "report.json")
    assert len(report["rows"]) == 5 and report["reference"] == {"photographs": 0, "held_out": False}
    assert len(list((folder / "images").iterdir())) == 10

    again = list(sweep(wanted, workspace, models))
    assert scores(again) == found and not any(isinstance(event, Loss) for event in again)
    assert len(models.catalog.runs()) == 5
    more = list(sweep(job(ranks=(2,), steps=4), workspace, models))
    assert [*scores(more)] == ["grid-2-r2-lr0.001", "grid-2-r2-lr0.01"], "other settings are another sweep"
    assert len(read_json(folder / "report.json")["rows"]) == 5


def test_a_failing_point_is_named_and_the_rest_goes_on(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = module.train

    def failing(point: TrainJob, *rest: object) -> Iterator[Event]:
        if point.rank == 2:
            raise NotEnoughMemory("The GPU ran out of memory.", "Use a smaller batch.")
        yield from train(point, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "train", failing)
    wanted = job(learning_rates=(1e-3,))
    events = list(sweep(wanted, workspace, models))
    assert any(isinstance(event, Note) and "grid-r2-lr0.001 failed" in event.text for event in events)
    found = scores(events)
    assert found["grid-r2-lr0.001"]["loss"] is None and found["grid-r4-lr0.001"]["loss"]
    assert "ran out of memory" in (workspace.place("reports", "grid") / "README.md").read_text(
        encoding="utf-8"
    )
    monkeypatch.undo()
    monkeypatch.setattr(module, "PICTURE_STEPS", 2)
    retried = scores(list(sweep(wanted, workspace, models)))
    assert retried["grid-r2-lr0.001"]["loss"] and retried["grid-r4-lr0.001"] == found["grid-r4-lr0.001"]


def test_all_points_failing_is_a_failure(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamgui.training.memory.tiers._eight_bit", lambda device: "It isn't installed.")
    with pytest.raises(BadInput, match="adamw-8bit"):
        list(sweep(job(optimizer="adamw-8bit"), workspace, models))
    with pytest.raises(UnknownName):
        list(sweep(job(dataset="nobody"), workspace, models))


def test_a_stopped_sweep_goes_on_where_it_was(workspace: Workspace, models: Models) -> None:
    wanted = job(learning_rates=(1e-3,))
    whole = list(sweep(job(learning_rates=(1e-3,), report="whole"), workspace, models))
    stream, events = sweep(wanted, workspace, models), []
    for event in stream:
        events.append(event)
        if isinstance(event, Loss) and event.step == 2 and len(scores(events)) == 1:
            break
    events += [stream.throw(StopRequested()), *stream]
    assert events[-1] == Saved("report", "grid", workspace.place("reports", "grid"))
    assert any(isinstance(event, Note) and "1 of 2 trainings" in event.text for event in events)
    rest = list(sweep(wanted, workspace, models))
    assert list(scores(rest)) == [name.replace("whole", "grid") for name in scores(whole)]
    assert any(isinstance(event, Note) and "goes on after step 2" in event.text for event in rest)
    for name in scores(rest):
        first, second = (load_file(models.catalog.run_file(n)) for n in (name, name.replace("grid", "whole")))
        assert all(torch.equal(first[key], second[key]) for key in first)


def states(workspace: Workspace) -> dict[str, str]:
    return dict(SweepQueue(workspace.place("reports", "grid")).points())


def test_the_queue_is_changed_while_it_runs(workspace: Workspace, models: Models) -> None:
    """Two trainings change places, one is left out, and the report has the rest."""
    order, queue = [], SweepQueue(workspace.place("reports", "grid"))
    for event in sweep(job(), workspace, models):
        if isinstance(event, Begun) and event.what == "sweep":
            first, second, third, fourth = states(workspace)
            queue.move(fourth, -1)
            queue.move(first, -1)
            queue.skip(second)
        if isinstance(event, Score):
            order.append(event.model)
    assert order == [first, fourth, third]
    assert states(workspace) == {first: "done", second: "skipped", fourth: "done", third: "done"}
    rows = read_json(workspace.place("reports", "grid") / "report.json")["rows"]
    assert [row["run"] for row in rows] == order


def test_the_one_that_runs_is_skipped_and_tried_again(workspace: Workspace, models: Models) -> None:
    queue, skipped, found = SweepQueue(workspace.place("reports", "grid")), "", []
    for event in sweep(job(ranks=(2,), steps=30), workspace, models):
        if isinstance(event, Loss) and not skipped:
            skipped = next(run for run, state in states(workspace).items() if state == "running")
            queue.skip(skipped)
        if isinstance(event, Note) and event.text.endswith("was skipped."):
            queue.retry(skipped)
            assert models.catalog.run(skipped).steps < 30
        if isinstance(event, Score):
            found.append(event.model)
    assert found[-1] == skipped and set(states(workspace).values()) == {"done"}
    assert models.catalog.run(skipped).steps == 30


def test_what_was_skipped_stays_so_when_the_sweep_goes_on(workspace: Workspace, models: Models) -> None:
    queue = SweepQueue(workspace.place("reports", "grid"))
    names = [point.run for point in points_of(job(), "grid")]
    queue.plan(names)
    queue.skip(names[1])
    list(sweep(job(), workspace, models))
    assert states(workspace)[names[1]] == "skipped"
    assert list(states(workspace).values()).count("done") == 3


def test_prompts_follow_the_dataset_and_an_open_class_count_is_found_again(
    workspace: Workspace, models: Models, tmp_path: Path
) -> None:
    sheet = workspace.find("datasets", "anna") / "dataset.json"
    sheet.write_text(sheet.read_text("utf-8").replace("sks woman", "ohwx man"), "utf-8")
    own = tmp_path / "own"
    own.mkdir()
    for number in range(2):
        picture(number).save(own / f"{number}.png")
    settings = job(
        ranks=(2,), learning_rates=(1e-3,), steps=1, prior_preservation=True, class_folder=own
    ).model_dump(exclude_unset=True, exclude={"prompts"})
    wanted = SweepJob.model_validate(settings)
    events = list(sweep(wanted, workspace, models))
    begun = models.catalog.run("grid-r2-lr0.001").job
    assert begun["instance_prompt"] == "a photo of ohwx man face"
    assert begun["class_prompt"] == "a photo of man face" and begun["class_count"] == 2
    report = read_json(workspace.place("reports", "grid") / "report.json")
    assert report["job"]["prompts"][0] == "a photo of ohwx man face in the forest"
    again = list(sweep(wanted, workspace, models))
    assert scores(again) == scores(events) and not any(isinstance(event, Loss) for event in again)
