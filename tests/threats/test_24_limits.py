"""24: no visitor fills the disk, floods the line of jobs or keeps the device; whoever asks for too much is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgui.config import GenerateJob, TrainJob
from dreamgui.errors import BadInput, NotEnoughDisk, TooMuch, without_paths
from dreamgui.events import Failed, Note
from dreamgui.jobs.job import Job
from dreamgui.quotas import Limits, Turn, limits_of_environment
from dreamgui.services import VisitorServices
from dreamgui.ui.guard.uploading import refusal_of
from dreamgui.ui.parts.uploads import Files
from dreamgui.visitors import OWNER, of_login, visiting
from dreamgui.workspace import Workspace
from tests.ui.fakes import fake_recipes

ANNA, BEN = of_login("anna"), of_login("ben")
LONG = TrainJob(steps=20_000, sample_every=0)
Make = Callable[..., VisitorServices]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    made: list[VisitorServices] = []
    monkeypatch.setattr("dreamgui.quotas.SPARE_BYTES", 0)
    monkeypatch.setattr("dreamgui.quotas.MEASURED_SECONDS", 0.0)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))

    def services(**limits: float) -> VisitorServices:
        recipes = lambda workspace, _: fake_recipes(workspace, 0.01)  # noqa: E731
        made.append(VisitorServices(Workspace(tmp_path / "work"), recipes, replace(Limits(), **limits)))
        return made[-1]

    yield services
    for each in made:
        for job in each.line.jobs():
            job.stop()
        for job in each.line.jobs():
            job.wait()


def start(services: VisitorServices, visitor: str, config: TrainJob = LONG, behind: bool = True) -> Job:
    with visiting(visitor):
        return services.jobs.submit(config, behind=behind)


def runs(job: Job) -> None:
    """Wait until the worker has taken a job."""
    next(event for event in job.follow() if event is not None)


def test_a_visitor_has_so_many_jobs_and_all_together_have(make: Make) -> None:
    services = make(jobs=2, jobs_in_all=3)
    start(services, ANNA)
    start(services, ANNA, LONG.model_copy(update={"seed": 2}))
    with pytest.raises(TooMuch, match="You have 2 jobs"):
        start(services, ANNA, LONG.model_copy(update={"seed": 3}))
    start(services, BEN)
    with pytest.raises(TooMuch, match="3 jobs wait"):
        start(services, of_login("carl"))
    # The owner of the machine has no limits.
    start(services, OWNER)


def test_nobody_keeps_the_device_while_another_one_waits(make: Make) -> None:
    services = make(turn_seconds=0)
    first = start(services, ANNA)
    runs(first)
    start(services, ANNA, LONG.model_copy(update={"seed": 2}))
    services.look_after()
    assert not first.stopping
    waiting = start(services, BEN)
    services.look_after()
    first.wait()
    assert first.state == "cancelled"
    assert any("Others wait" in note.text for note in first.events() if isinstance(note, Note))
    assert not waiting.ended


def test_a_turn_has_its_time() -> None:
    now = [1000.0]
    turn = Turn(Limits(turn_seconds=60), lambda: now[0])
    assert not turn.is_over(None, True) and not turn.is_over(941, True) and not turn.is_over(0, False)
    assert turn.is_over(940, True) and "1 minutes" in turn.sentence


def test_a_full_disk_of_a_visitor_takes_no_job_and_ends_the_running_one(make: Make) -> None:
    services = make(disk_bytes=100_000)
    job = start(services, ANNA)
    runs(job)
    with visiting(ANNA):
        (services.workspace.root / "runs" / "large").write_bytes(bytes(200_000))
        with pytest.raises(NotEnoughDisk, match="0 kB"):
            services.workspace.require_space(1)
    with pytest.raises(NotEnoughDisk, match="no room"):
        start(services, ANNA, LONG.model_copy(update={"seed": 2}))
    services.look_after()
    job.wait()
    assert job.state == "cancelled"
    assert services.quotas.is_nearly_full(ANNA) and not services.quotas.is_nearly_full(BEN)
    start(services, BEN)


def test_visitors_in_all(make: Make) -> None:
    services = make(visitors=1)
    with visiting(ANNA):
        services.agree()
    with visiting(BEN), pytest.raises(TooMuch, match="as many visitors"):
        _ = services.workspace
    with visiting(ANNA):
        assert services.workspace


def test_uploads_are_counted_and_refused_with_a_reason(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, files = make(upload_bytes=1_000_000, uploads_in_all=1_500_000), Files()
    monkeypatch.setattr("dreamgui.ui.guard.uploading.FILES", files)
    refusal = refusal_of(services)
    assert refusal(OWNER, 10**9) == ""
    for visitor in (ANNA, BEN):
        assert "Before your first upload" in refusal(visitor, 1)
        with visiting(visitor):
            services.agree()
    assert refusal(ANNA, 1_000_000) == "" and "names no size" in refusal(ANNA, None)
    file = tmp_path / "gradio" / "x" / "a.jpg"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(900_000))
    files.grant_uploads(ANNA, [str(file)])
    assert files.sent_bytes(ANNA) == 900_000 and files.sent_bytes(BEN) == 0
    assert "unused uploads have 900 kB" in refusal(ANNA, 200_000) and refusal(ANNA, 100_000) == ""
    assert "space for uploads is full" in refusal(BEN, 700_000) and refusal(BEN, 600_000) == ""
    file.unlink()
    assert refusal(ANNA, 1_000_000) == ""


def test_the_owner_sends_what_the_disk_has_room_for(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = refusal_of(make(upload_bytes=10))
    monkeypatch.setattr("dreamgui.ui.guard.uploading.free_bytes", lambda _: 1000)
    assert refusal(OWNER, 1000) == refusal(OWNER, None) == ""
    assert "nearly full" in refusal(OWNER, 1001)
    monkeypatch.setattr("dreamgui.ui.guard.uploading.free_bytes", lambda _: 0)
    assert "nearly full" in refusal(OWNER, None)


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAMGUI_VISITOR_GB", "2.5")
    monkeypatch.setenv("DREAMGUI_KEPT_DAYS", "")
    limits = limits_of_environment(7)
    assert (limits.disk_bytes, limits.kept_seconds, limits.turn_seconds) == (2_500_000_000, 7 * 86_400, 3600)
    for text in ("many", "-1", "nan", "inf"):
        monkeypatch.setenv("DREAMGUI_TURN_MINUTES", text)
        with pytest.raises(BadInput, match="DREAMGUI_TURN_MINUTES"):
            limits_of_environment(7)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/anna b/work/runs/x can't be read", "runs/x can't be read"),
        ("See /srv/data/error.txt; report it.", "See error.txt; report it."),
        (r"Not found: 'C:\Users\me\x.safetensors'.", "Not found: 'x.safetensors'."),
        ("https://huggingface.co/a/b and anna/model stay, 3/4 too", None),
    ],
)
def test_a_stranger_reads_names_without_folders(text: str, told: str | None) -> None:
    assert without_paths(text, Path("/home/anna b/work")) == (text if told is None else told)


def test_a_visitors_job_tells_no_folder_and_the_log_no_words(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    services = make()

    def fails(_: object) -> Iterator[Note]:
        yield Note(f"in {services.root.root}/here")
        raise RuntimeError("a secret prompt in /srv/secret/file.bin")

    monkeypatch.setattr(services, "_bind", lambda *_: {"generate": fails})
    with visiting(ANNA):
        job = services.jobs.submit(GenerateJob())
    job.wait()
    note, failed = (event for event in job.events() if isinstance(event, Note | Failed))
    texts = f"{note} {failed}"
    assert "file.bin" in texts and "error.txt" in texts
    assert str(services.root.root) not in texts and "/srv" not in texts
    assert "secret" not in caplog.text and "RuntimeError" in caplog.text
    on_the_disk = (job.folder / "events.jsonl").read_text(encoding="utf-8")
    assert str(services.root.root) not in on_the_disk


def test_files_of_a_server_are_its_users_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import app
    from dreamgui.workspace import write_json

    monkeypatch.setattr(app, "prepare_environment", lambda _: None)
    monkeypatch.setattr(
        app, "serve", lambda _: write_json(tmp_path / "x.json", {}) or (tmp_path / "y").touch()
    )
    before = os.umask(0)
    try:
        assert app.main([]) == 0
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("?*") if path.is_file()} == {0o600}
