"""26: "Delete my data" leaves nothing of a visitor on the disk; so does absence; nothing is uploaded before a yes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgui.config import CropJob, GenerateJob, TrainJob
from dreamgui.errors import BadInput
from dreamgui.quotas import DAY_SECONDS, Limits
from dreamgui.services import VISITORS, VisitorServices
from dreamgui.services.keeping import Keeper
from dreamgui.ui.guard.uploading import refusal_of
from dreamgui.ui.head.your_data import about_photographs, usage
from dreamgui.ui.parts.uploads import FILES
from dreamgui.visitors import OWNER, Cookies, absent, finish_deletions, note_seen, of_login, visiting
from dreamgui.workspace import Workspace
from tests.threats.strangers import API, Visitor
from tests.ui.conftest import Page, serve
from tests.ui.fakes import add_base, fake_recipes, picture

ANNA, BEN = of_login("anna"), of_login("ben")


def services_at(root: Path, **limits: float) -> VisitorServices:
    bind = lambda workspace, _: fake_recipes(workspace, 0.01)  # noqa: E731
    return VisitorServices(Workspace(root), bind, replace(Limits(), **limits))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("deletion")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        services = services_at(folder / "work", kept_seconds=7 * DAY_SECONDS)
        add_base(services.root, "portraits")
        yield from serve(services, refuse_upload=refusal_of(services))


def call(visitor: Visitor, name: str) -> None:
    listeners = visitor.config()["dependencies"]
    number = next(one["id"] for one in listeners if one["api_name"] == name)
    visitor.ask([{"fn_index": number, "data": []}])


def test_before_a_yes_nothing_is_taken_and_deletion_leaves_nothing(page: Page, tmp_path: Path) -> None:
    services = page.services
    assert isinstance(services, VisitorServices)
    visitor = Visitor(page.url)
    name = Cookies(b"key").visitor(visitor.cookie)
    picture("a", 20, 200).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    refused = visitor.client.post(f"/{API}/upload", files={"files": ("a.png", data)})
    assert refused.status_code == 413 and "Before your first upload" in refused.json()["detail"]
    call(visitor, "agree")
    photo = visitor.upload("a.png", data)
    assert visitor.get(photo).status_code == 200
    with visiting(name):
        for job in (
            CropJob(photos=(Path(photo),), dataset="me"),
            GenerateJob(model="portraits", prompt="x", count=1),
            TrainJob(model="portraits", dataset="me", run="mine", steps=4, sample_every=2),
        ):
            assert services.jobs.submit(job).wait().__class__.__name__ == "Done"
        live = services.jobs.submit(TrainJob(model="portraits", dataset="me", run="live", steps=20_000))
    folder = services.root.root / VISITORS / name
    assert folder.is_dir()
    other = Visitor(page.url)
    call(other, "delete_my_data")
    assert folder.is_dir() and not live.ended
    call(visitor, "delete_my_data")
    assert live.ended and not folder.exists() and not Path(photo).exists()
    assert visitor.get(photo).status_code == 404
    assert not list((services.root.root / VISITORS).glob(".gone-*"))
    # Asked anew, as whoever comes next at this browser has said nothing.
    again = visitor.client.post(f"/{API}/upload", files={"files": ("a.png", data)})
    assert again.status_code == 413


def test_a_job_that_does_not_end_at_once_is_waited_for_and_all_is_deleted_then(tmp_path: Path) -> None:
    services = services_at(tmp_path)
    with visiting(ANNA):
        job = services.jobs.submit(TrainJob(steps=20_000, sample_every=0))
        next(event for event in job.follow() if event is not None)
        # As one in the middle of a long step: it doesn't hear.
        job.stop = lambda: None  # ty: ignore[invalid-assignment]
        assert not services.delete_everything(patience_seconds=0)
    services.look_after()
    folder = tmp_path / VISITORS / ANNA
    assert folder.is_dir()
    type(job).stop(job)
    job.wait()
    services.look_after()
    assert not folder.exists()
    with visiting(OWNER), pytest.raises(BadInput, match="owner"):
        services.delete_everything()
    assert (tmp_path / "datasets").is_dir()


def test_whoever_was_away_too_long_is_deleted_and_others_are_not(tmp_path: Path) -> None:
    services = services_at(tmp_path, kept_seconds=7 * DAY_SECONDS)
    for visitor in (ANNA, BEN):
        with visiting(visitor):
            assert services.workspace.root.is_dir()
    folder, now = tmp_path / VISITORS, time.time()
    note_seen(folder / ANNA, now - 8 * DAY_SECONDS)
    assert absent(folder, 7 * DAY_SECONDS) == [ANNA]
    services.look_after()
    assert not (folder / ANNA).exists() and (folder / BEN).is_dir()
    services.look_after(now + 6 * DAY_SECONDS)
    assert (folder / BEN).is_dir()
    with visiting(BEN):
        job = services.jobs.submit(TrainJob(steps=20_000, sample_every=0))
    services.look_after(now + 8 * DAY_SECONDS)
    assert (folder / BEN).is_dir()
    job.stop()
    job.wait()
    services.look_after(now + 8 * DAY_SECONDS)
    assert not (folder / BEN).exists()


def test_without_expiry_nobody_is_deleted(tmp_path: Path) -> None:
    services = services_at(tmp_path)
    with visiting(ANNA):
        assert services.workspace.root.is_dir()
    services.look_after(time.time() + 10_000 * DAY_SECONDS)
    assert (tmp_path / VISITORS / ANNA).is_dir()


def test_a_kill_in_the_middle_of_a_deletion_is_finished_at_the_next_start(tmp_path: Path) -> None:
    left = tmp_path / VISITORS / ".gone-0123" / "uploads"
    left.mkdir(parents=True)
    (left / "face.jpg").write_bytes(b"x")
    services_at(tmp_path)
    assert not left.parent.exists()
    finish_deletions(tmp_path / VISITORS)


def test_what_a_killed_program_left_half_written_with_a_visitor_goes_after_a_day(tmp_path: Path) -> None:
    left = tmp_path / VISITORS / ANNA / "runs" / ".mine.x7"
    left.mkdir(parents=True)
    (left / "half.safetensors").write_bytes(b"half")
    for path in (left / "half.safetensors", left):
        os.utime(path, (time.time() - 2 * DAY_SECONDS,) * 2)
    services = services_at(tmp_path)
    with visiting(ANNA):
        assert services.workspace.root.is_dir()
    assert not left.exists()


def test_a_file_that_two_visitors_have_stays_for_the_other_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    for name in ("mine", "shared"):
        (tmp_path / name).write_bytes(b"x")
        FILES.grant_uploads(ANNA, [str(tmp_path / name)])
    FILES.grant(BEN, {"path": str(tmp_path / "shared")})
    FILES.forget(ANNA)
    assert not (tmp_path / "mine").exists() and (tmp_path / "shared").exists()
    assert not FILES.holds(ANNA, tmp_path / "shared") and FILES.holds(BEN, tmp_path / "shared")
    FILES.forget(BEN)


def test_the_page_says_what_happens_and_how_much_is_used(tmp_path: Path) -> None:
    services = services_at(tmp_path, kept_seconds=7 * DAY_SECONDS, disk_bytes=1_000_000)
    assert "deleted after 7 days" in about_photographs(services)
    assert "until you delete them" in about_photographs(services_at(tmp_path / "other"))
    with visiting(ANNA):
        assert "of 1.0 MB" in usage(services) and "Nearly full" not in usage(services)
        (services.workspace.root / "runs" / "large").write_bytes(bytes(900_000))
        services.quotas.forget(ANNA)
        assert "Nearly full" in usage(services)


def test_what_is_kept_on_a_mount_is_deleted_too_and_the_page_says_what_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACE_ID", "anna/dreamgui")
    services = services_at(tmp_path / "work")
    with visiting(ANNA):
        assert "A restart of this Space deletes your work" in usage(services)
        report = services.workspace.place("reports", "r")
        report.mkdir()
        (report / "report.md").write_text("a face")
        services.keeper = Keeper(services.root.root, tmp_path / "mount")
        assert services.keeper.keep() == []
        assert services.keeper.keep() == [f"visitors/{ANNA}/{each}" for each in ("reports/r", ".seen")]
        assert "outlast a restart" in usage(services) and "A restart of" not in usage(services)
        assert services.delete_everything(0)
        assert not [path for path in (tmp_path / "mount").rglob("*") if path.is_file()]
    with visiting(Cookies(b"key").visitor(Cookies(b"key").issue())):
        assert "A restart of this Space deletes your work" in usage(services)


def test_a_mount_that_cant_be_reached_holds_up_no_other_part_of_a_deletion(tmp_path: Path) -> None:
    services = services_at(tmp_path / "work")
    with visiting(ANNA):
        report = services.workspace.place("reports", "r")
    report.mkdir()
    (report / "report.md").write_text("x")
    keeper = services.keeper = Keeper(tmp_path / "work", tmp_path / "bucket")
    keeper.keep()
    keeper.keep()
    forgotten: list[str] = []
    services.forgets = forgotten.append
    with pytest.MonkeyPatch.context() as patch, visiting(ANNA), pytest.raises(OSError, match="reached"):
        patch.setattr(keeper, "forget", unreachable)
        services.delete_everything()
    assert forgotten == [ANNA] and not (tmp_path / "work" / VISITORS / ANNA).exists()
    # It goes as soon as the mount is there again.
    assert keeper.keep() and not list((tmp_path / "bucket" / "items").iterdir())


def unreachable(_: str) -> None:
    raise OSError("the mount can't be reached")
