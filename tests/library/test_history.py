"""The events of a run, whatever its name was: curve and samples from all of its jobs, and from no other's."""

from __future__ import annotations

from dreamgui.events import Begun, Loss
from dreamgui.library.history import jobs_of, run_events
from dreamgui.library.items import find
from dreamgui.library.labels import rename
from dreamgui.library.trash import delete, restore
from dreamgui.workspace import Workspace
from tests.library.folders import add_events, add_job, add_run


def losses(workspace: Workspace, name: str) -> list[tuple[int, float]]:
    events = run_events(workspace, workspace.root / "runs" / name)
    return [(event.step, event.instance) for event in events if isinstance(event, Loss)]


def test_a_resumed_run_has_one_curve(bare: Workspace) -> None:
    add_run(bare, "a")
    add_job(bare, 1, "a", range(1, 4))
    add_job(bare, 2, "a", range(3, 5), resume=True)
    add_job(bare, 3, "b", range(1, 9))
    assert losses(bare, "a") == [(1, 1.1), (2, 2.1), (3, 3.2), (4, 4.2)]


def test_a_run_that_was_begun_anew_has_none_of_the_deleted_ones(bare: Workspace) -> None:
    add_run(bare, "a")
    add_job(bare, 1, "a", range(1, 4))
    add_job(bare, 2, "a", range(1, 3))
    assert losses(bare, "a") == [(1, 1.2), (2, 2.2)]


def test_a_sweeps_losses_belong_to_their_runs(bare: Workspace) -> None:
    add_run(bare, "a")
    add_run(bare, "b")
    job = add_job(bare, 1, "a", range(1, 3), kind="sweep")
    add_events(job, [Begun("run", "b"), Loss(1, 9.0, None, 1e-4, 1.0, 0.1)])
    assert losses(bare, "a") == [(1, 1.1), (2, 2.1)]
    assert losses(bare, "b") == [(1, 9.0)]


def test_the_curve_follows_a_renamed_run_and_not_its_name(bare: Workspace) -> None:
    add_run(bare, "a")
    add_job(bare, 1, "a", range(1, 3))
    rename(bare, find(bare, "run", "a"), "anna")
    add_run(bare, "a")
    add_job(bare, 2, "a", range(1, 2))
    add_job(bare, 3, "anna", range(3, 4), resume=True)
    assert losses(bare, "anna") == [(1, 1.1), (2, 2.1), (3, 3.3)]
    assert losses(bare, "a") == [(1, 1.2)]
    assert list(jobs_of(bare, bare.root / "runs/anna").values()) == ["a", "anna"]


def test_the_curve_comes_back_with_a_restored_run(bare: Workspace) -> None:
    add_run(bare, "a")
    add_job(bare, 1, "a", range(1, 3))
    gone = delete(bare, find(bare, "run", "a"))
    add_run(bare, "a")
    add_job(bare, 2, "a", range(1, 2))
    assert restore(bare, gone.id)[1] == "a-2"
    assert losses(bare, "a-2") == [(1, 1.1), (2, 2.1)]
    assert losses(bare, "a") == [(1, 1.2)]


def test_a_broken_log_has_no_events(bare: Workspace) -> None:
    add_run(bare, "a")
    job = add_job(bare, 1, "a", range(1, 3))
    with (job / "events.jsonl").open("a") as file:
        file.write('{"event": "Nothing"}\n')
    assert losses(bare, "a") == []
