"""Finished work on a mount: copied whole or not at all, restored at the start, deleted with the original."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from dreamgui import workspace
from dreamgui.errors import BadInput
from dreamgui.services import keeping
from dreamgui.services.keeping import FOLDER, Keeper, keeper_of, place_to_keep
from dreamgui.services.store import Store
from dreamgui.visitors import Cookies, absent, note_seen, of_login
from dreamgui.workspace import default_root

ANNA = f"visitors/{of_login('anna')}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "work"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "bucket" / FOLDER


def write(root: Path, place: str, text: str = "content") -> Path:
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def settle(keeper: Keeper) -> list[str]:
    """What was kept once nothing changes any more."""
    keeper.keep()
    return sorted(keeper.keep())


def everything(root: Path) -> dict[str, tuple[str, int]]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): (path.read_text(), path.stat().st_mtime_ns) for path in files}


def test_what_is_finished_comes_back_after_the_disk_is_lost(root: Path, store: Path) -> None:
    write(root, "runs/anna/run.json", '{"finished": true}')
    write(root, "runs/anna/pytorch_lora_weights.safetensors")
    write(root, "datasets/anna/dataset.json")
    write(root, "datasets/anna/.held-out/0001.png")
    write(root, f"{ANNA}/exports/face.safetensors")
    write(root, f"{ANNA}/exports/folder/unet/model.safetensors")
    keeper = Keeper(root, store)
    assert settle(keeper) == sorted(
        ["runs/anna", "datasets/anna", f"{ANNA}/exports/face.safetensors", f"{ANNA}/exports/folder"]
    )
    assert keeper.keep() == []
    before = everything(root)
    shutil.rmtree(root)
    again = Keeper(root, store)
    assert len(again.restore()) == 4 and everything(root) == before
    assert settle(again) == [] and again.restore() == []


def test_what_isnt_finished_or_is_nobodys_for_long_isnt_kept(root: Path, store: Path) -> None:
    """Originals of photographs, jobs, checkpoints, running trainings, and visitors whom only a cookie tells."""
    cookie = Cookies(b"k" * 32)
    for place in (
        "runs/half/checkpoints/step-000001/training.safetensors", "uploads/anna/0001.jpg", "jobs/1/job.json", "trash/1/x",
        f"visitors/{cookie.visitor(cookie.issue())}/reports/r/report.md", "visitors/.key", "datasets/.anna.half/dataset.json",
    ):  # fmt: skip
        write(root, place)
    write(root, "runs/half/run.json", '{"finished": false}')
    write(root, "runs/done/run.json", '{"finished": true}')
    write(root, "runs/done/checkpoints/step-000001/training.safetensors")
    assert settle(Keeper(root, store)) == ["runs/done"]
    (manifest,) = (json.loads(path.read_text()) for path in (store / "items").iterdir())
    assert list(manifest["files"]) == ["run.json"]


def test_what_is_being_written_waits_and_a_change_is_kept_anew(root: Path, store: Path) -> None:
    keeper = Keeper(root, store)
    write(root, "reports/r/report.md", "one")
    assert keeper.keep() == []
    write(root, "reports/r/report.md", "two, longer")
    assert keeper.keep() == [] and keeper.keep() == ["reports/r"]
    write(root, "reports/r/page.html")
    assert settle(keeper) == ["reports/r"]
    assert len(list((store / "store").iterdir())) == 1


def test_what_is_deleted_is_deleted_there_too(root: Path, store: Path) -> None:
    keeper = Keeper(root, store)
    write(root, "reports/r/report.md")
    write(root, f"{ANNA}/reports/r/report.md")
    settle(keeper)
    shutil.rmtree(root / "reports" / "r")
    assert keeper.keep() == ["reports/r"]
    keeper.forget(of_login("anna"))
    assert not list((store / "items").iterdir()) and not list((store / "store").iterdir())


@pytest.mark.parametrize("dies_at", range(5))
def test_a_kill_in_the_middle_leaves_the_item_as_it_was(
    root: Path, store: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    for number in range(3):
        write(root, f"reports/r/{number}.md", "old")
    settle(Keeper(root, store))
    for number in range(3):
        write(root, f"reports/r/{number}.md", "newer")
    calls = []

    class Killed(BaseException):
        pass

    def dies(real: object) -> object:
        def call(*args: object, **more: object) -> object:
            calls.append(args)
            if len(calls) > dies_at:
                raise Killed
            return real(*args, **more)  # type: ignore[operator]

        return call

    with monkeypatch.context() as patch:
        patch.setattr(keeping.shutil, "copyfile", dies(shutil.copyfile))
        patch.setattr(Path, "write_text", dies(Path.write_text))
        keeper = Keeper(root, store)
        keeper.keep()
        if dies_at < 4:
            with pytest.raises(Killed):
                keeper.keep()
        else:
            keeper.keep()
    shutil.rmtree(root)
    again = Keeper(root, store)
    assert again.restore() == ["reports/r"]
    texts = {text for text, _ in everything(root).values()}
    assert texts == ({"newer"} if dies_at >= 4 else {"old"})
    assert len(list((store / "store").iterdir())) == 1


def test_a_copy_that_isnt_whole_or_a_forged_manifest_restores_nothing_and_is_kept(
    root: Path, store: Path
) -> None:
    write(root, "reports/r/report.md")
    settle(Keeper(root, store))
    (manifest,) = (store / "items").iterdir()
    data = json.loads(manifest.read_text())
    (store / "store" / data["folder"] / "report.md").write_text("cut")
    (store / "items" / "bad.json").write_text("{")
    (store / "items" / "out.json").write_text(json.dumps({**data, "place": "../../outside"}))
    shutil.rmtree(root)
    keeper = Keeper(root, store)
    assert keeper.restore() == [] and not (root.parent.parent / "outside").exists()
    # It may be whole again at the next start: it isn't taken for deleted.
    assert settle(keeper) == [] and manifest.exists()


def test_where_work_lies_and_where_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Space the mount is object storage: the workspace is on the local disk, unless an earlier version made it there."""
    monkeypatch.setattr(workspace, "_SPACE_DISK", tmp_path)
    monkeypatch.setattr(keeping, "_SPACE_MOUNT", tmp_path)
    for name in ("DREAMGUI_HOME", "DREAMGUI_KEEP", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    assert place_to_keep(default_root()) is None
    monkeypatch.setenv("SPACE_ID", "anna/dreamgui")
    assert not default_root().is_relative_to(tmp_path) and place_to_keep(default_root()) == tmp_path / FOLDER
    (tmp_path / "dreamgui" / "jobs").mkdir(parents=True)
    assert default_root() == tmp_path / "dreamgui" and place_to_keep(default_root()) is None
    monkeypatch.setenv("DREAMGUI_KEEP", str(tmp_path / "mount"))
    assert place_to_keep(default_root()) == tmp_path / "mount" / FOLDER
    monkeypatch.setenv("DREAMGUI_KEEP", "")
    assert place_to_keep(default_root()) is None


def test_a_mount_that_cant_be_written_is_an_error_and_a_good_one_is_told(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DREAMGUI_KEEP", str(tmp_path / "file"))
    with pytest.raises(BadInput, match="can't be kept"):
        keeper_of(root)
    monkeypatch.setenv("DREAMGUI_KEEP", str(tmp_path))
    assert isinstance(keeper_of(root), Keeper)
    assert "Finished work is kept at" in capsys.readouterr().out


def test_what_cant_be_read_for_now_or_trains_again_isnt_taken_for_deleted(root: Path, store: Path) -> None:
    card = write(root, "runs/anna/run.json", '{"finished": true}')
    keeper = Keeper(root, store)
    settle(keeper)
    for text in ('{"finished": false}', "[]", "{"):
        card.write_text(text)
        assert settle(keeper) == []
    shutil.rmtree(root)
    assert Keeper(root, store).restore() == ["runs/anna"]


def test_what_another_server_keeps_there_meanwhile_stays(root: Path, store: Path, tmp_path: Path) -> None:
    """A Space that is built anew runs beside the old one for a while."""
    newer = Keeper(tmp_path / "newer", store)
    newer.restore()
    write(root, "reports/r/report.md")
    settle(Keeper(root, store))
    assert settle(newer) == []
    assert Keeper(tmp_path / "newest", store).restore() == ["reports/r"]


def test_a_manifest_that_cant_be_read_at_the_start_loses_nothing(
    root: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, "reports/r/report.md")
    settle(Keeper(root, store))
    shutil.rmtree(root)

    def fails(*args: object, **more: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fails)
        assert Keeper(root, store).restore() == []
    assert Keeper(root, store).restore() == ["reports/r"]


def test_a_kill_within_the_manifest_leaves_the_item_as_it_was(
    root: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, "reports/r/report.md", "old")
    settle(Keeper(root, store))
    write(root, "reports/r/report.md", "newer")

    class Killed(BaseException):
        pass

    def cut(path: Path, text: str, **more: object) -> int:
        path.write_bytes(text.encode()[:20])
        raise Killed

    keeper = Keeper(root, store)
    keeper.keep()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "write_text", cut)
        keeper.keep()
    shutil.rmtree(root)
    keeper = Keeper(root, store)
    assert keeper.restore() == ["reports/r"] and (root / "reports/r/report.md").read_text() == "old"
    write(root, "reports/r/report.md", "newest")
    assert settle(keeper) == ["reports/r"]
    assert len(list((store / "items").iterdir())) == len(list((store / "store").iterdir())) == 1


def test_of_two_copies_of_an_item_the_later_one_counts_and_the_other_goes(
    root: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the new manifest and the removal of the old one leaves both."""
    write(root, "reports/r/report.md", "old")
    settle(Keeper(root, store))
    write(root, "reports/r/report.md", "newer")
    keeper = Keeper(root, store)
    keeper.keep()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "remove", lambda *_: None)
        keeper.keep()
    shutil.rmtree(root)
    again = Keeper(root, store)
    assert again.restore() == ["reports/r"] and (root / "reports/r/report.md").read_text() == "newer"
    assert settle(again) == []
    assert len(list((store / "items").iterdir())) == len(list((store / "store").iterdir())) == 1


def test_one_item_that_the_mount_refuses_holds_up_no_other_and_leaves_nothing(
    root: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        write(root, f"reports/{name}/report.md")
        write(root, f"reports/{name}/z.md")

    def refuses(source: Path, target: Path) -> object:
        if Path(source) == root / "reports/b/z.md":
            raise OSError(28, "No space left on device")
        return copy(source, target)

    copy = shutil.copyfile
    monkeypatch.setattr(keeping.shutil, "copyfile", refuses)
    keeper = Keeper(root, store)
    keeper.keep()
    for _ in range(3):
        with pytest.raises(OSError, match="No space"):
            keeper.keep()
    assert len(list((store / "items").iterdir())) == len(list((store / "store").iterdir())) == 2


def test_a_restart_is_no_visit(root: Path, store: Path) -> None:
    """Else the data of somebody who stays away would never expire on a Space that restarts now and then."""
    write(root, f"{ANNA}/reports/r/report.md")
    long_ago = time.time() - 30 * 24 * 3600
    note_seen(root / ANNA, long_ago)
    settle(Keeper(root, store))
    shutil.rmtree(root)
    Keeper(root, store).restore()
    assert absent(root / "visitors", 7 * 24 * 3600) == [of_login("anna")]


def test_a_start_beside_a_server_that_copies_leaves_a_whole_copy(
    root: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, "reports/r/a.md")
    write(root, "reports/r/b.md")
    keeper, copy = Keeper(root, store), shutil.copyfile
    keeper.keep()

    def disturbed(source: Path, target: Path) -> object:
        if Path(source).name == "b.md":
            Keeper(tmp_path / "newer", store).restore()
        return copy(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(keeping.shutil, "copyfile", disturbed)
        assert keeper.keep() == []
    assert keeper.keep() == ["reports/r"]
    assert Keeper(tmp_path / "newest", store).restore() == ["reports/r"]
