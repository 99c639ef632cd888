"""Names never leave the workspace; files are whole or absent."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dreamgui.errors import BadInput, NotEnoughDisk, UnknownName
from dreamgui.workspace import (
    Workspace,
    default_root,
    new_folder,
    read_json,
    write_atomic,
    write_json,
)
from tests.forked import FORK


def test_taken_names_count_on(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for expected in ("a", "a-2", "a-3"):
        name = workspace.fresh("runs", "a")
        assert name == expected
        (workspace.place("runs", name) / "run.json").touch()
    assert workspace.names("runs") == ["a", "a-2", "a-3"]


def test_long_names_are_shortened_before_they_are_numbered(tmp_path: Path) -> None:
    """Numbered first and cut afterwards, the second run of a name replaced the first."""
    workspace = Workspace(tmp_path)
    wanted = ["x" * 90, "x" * 90, "x" * 90 + "y", "x" * 80, "x" * 80, "я" * 300, "я" * 300]
    names = [workspace.fresh("runs", name) for name in wanted]
    folders = {workspace.place("runs", name) for name in names}
    assert len(folders) == len(wanted) == len(list((tmp_path / "runs").iterdir()))
    assert [folder.name for folder in map(lambda name: workspace.place("runs", name), names)] == names
    assert all(len(name.encode()) <= 120 for name in names)


def test_one_name_is_one_folder_composed_or_not_and_in_any_case(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    composed, decomposed = "Zo\u00eb", "Zoe\u0308"
    assert workspace.fresh("runs", decomposed) == composed
    assert workspace.place("runs", decomposed) == workspace.place("runs", composed)
    assert workspace.fresh("runs", composed) == f"{composed}-2"
    assert workspace.fresh("runs", composed.upper()) == f"{composed.upper()}-3"


def test_a_folder_that_came_with_decomposed_letters_is_found(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    folder = tmp_path / "runs" / "Zoe\u0308"
    folder.mkdir(parents=True)
    (folder / "run.json").touch()
    assert workspace.names("runs") == ["Zo\u00eb"]
    assert workspace.find("runs", "Zo\u00eb") == folder


def test_unused_claims_are_given_back_and_used_ones_stay(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    used, unused = workspace.fresh("runs", "a"), workspace.fresh("runs", "a")
    (workspace.place("runs", used) / "run.json").touch()
    assert workspace.names("runs") == [used]
    workspace.release_unused()
    assert not workspace.place("runs", unused).exists() and workspace.place("runs", used).exists()
    assert workspace.fresh("runs", "a") == unused


def test_a_claim_that_was_abandoned_long_ago_is_taken_over(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    folder = workspace.place("runs", workspace.fresh("runs", "a"))
    os.utime(folder, (0, 0))
    assert Workspace(tmp_path).fresh("runs", "a") == "a-2"
    # An earlier version made no claims.
    shutil.rmtree(tmp_path / ".claims")
    assert Workspace(tmp_path).fresh("runs", "a") == "a"


def test_a_killed_programs_empty_folder_takes_no_name(tmp_path: Path) -> None:
    """A crop killed while it looked for faces left "anna" empty, and the next one became "anna-2"."""
    workspace = Workspace(tmp_path)
    killed = FORK.Process(target=_claim_and_die, args=(tmp_path, ("empty", "used")))
    killed.start()
    killed.join()
    assert (tmp_path / "datasets" / "empty").is_dir()
    assert [workspace.fresh("datasets", name) for name in ("empty", "used")] == ["empty", "used-2"]
    assert (tmp_path / "datasets" / "used" / "dataset.json").exists()


def _claim_and_die(root: Path, names: tuple[str, ...]) -> None:
    workspace = Workspace(root)
    for name in names:
        workspace.place("datasets", workspace.fresh("datasets", name))
    (root / "datasets" / "used" / "dataset.json").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_living_programs_empty_folder_keeps_its_name(tmp_path: Path) -> None:
    claiming = Workspace(tmp_path)
    assert claiming.fresh("datasets", "anna") == "anna"
    assert Workspace(tmp_path).fresh("datasets", "anna") == "anna-2"
    pickle.loads(pickle.dumps(claiming)).release_unused()
    assert (tmp_path / "datasets" / "anna").is_dir()


def test_a_threads_end_takes_no_folder_of_another_threads(tmp_path: Path) -> None:
    """A page's import ends while a crop still looks for faces."""
    workspace = Workspace(tmp_path)
    job = workspace.place("datasets", workspace.fresh("datasets", "anna"))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(workspace.fresh, "datasets", "page").result()
        pool.submit(workspace.release_unused).result()
    assert job.is_dir() and not (tmp_path / "datasets" / "page").exists()


def test_a_used_folder_that_is_deleted_leaves_its_name(tmp_path: Path) -> None:
    """A name that the page claims, outside any job, isn't released by it."""
    workspace = Workspace(tmp_path)
    for _ in range(2):
        folder = workspace.place("datasets", workspace.fresh("datasets", "anna"))
        assert folder.name == "anna"
        (folder / "dataset.json").touch()
        shutil.rmtree(folder)


def test_one_name_is_never_given_twice(tmp_path: Path) -> None:
    workspaces = [Workspace(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        names = list(
            pool.map(lambda workspace: [workspace.fresh("runs", "a") for _ in range(20)], workspaces)
        )
    assert len({name for several in names for name in several}) == 160


def test_stray_files_on_a_shelf_are_passed_over(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    (tmp_path / "runs" / ".DS_Store").touch()
    (tmp_path / "runs" / "a").write_text("a file")
    assert workspace.names("runs") == []
    assert workspace.fresh("runs", "a") == "a-2"


def test_where_only_ascii_is_taken_a_name_becomes_ascii(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.mkdir

    def mkdir(path: Path, *given: Any, **named: Any) -> None:
        if not path.name.isascii():
            raise OSError(errno.EILSEQ, "no such letter")
        real(path, *given, **named)

    workspace = Workspace(tmp_path)
    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert workspace.fresh("runs", "Zo\u00eb") == "Zoe"
    assert workspace.fresh("runs", "\u674e").isascii()


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.place("runs", "here").mkdir(parents=True)
    (workspace.place("runs", "here") / "run.json").touch()
    with pytest.raises(UnknownName, match="Known: here"):
        workspace.find("runs", "gone")
    with pytest.raises(UnknownName):
        workspace.find("runs", "")


def test_home_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DREAMGUI_HOME", str(tmp_path / "h"))
    assert default_root() == tmp_path / "h"
    monkeypatch.delenv("DREAMGUI_HOME")
    assert default_root().name == "dreamgui"


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    path, done = tmp_path / "x.json", threading.Event()
    write_json(path, [0] * 5000)

    def write() -> None:
        for number in range(40):
            write_json(path, [number] * 5000)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set():
        assert len(set(read_json(path))) == 1
    thread.join()
    assert [item.name for item in tmp_path.iterdir()] == ["x.json"]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with new_folder(target) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError), new_folder(target) as folder:
        (folder / "a").write_text("new")
        raise RuntimeError
    assert (target / "a").read_text() == "old"
    with new_folder(target) as folder:
        (folder / "a").write_text("new")
    assert (target / "a").read_text() == "new" and len(list(tmp_path.iterdir())) == 1


def test_disk_space_is_asked_for_before(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.require_space(1)
    with pytest.raises(
        NotEnoughDisk, match=r"^The model needs 1000000000\.1 GB on the disk; .* has .* [GM]B"
    ):
        workspace.require_space(10**18, "The model")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_the_file_and_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(code, "full")

    write_atomic(tmp_path / "card.json", b"old")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(NotEnoughDisk, match=r"card\.json needs 2\.0 MB; .* free"):
        write_atomic(tmp_path / "card.json", b"x" * 2_000_000)
    with (
        pytest.raises(NotEnoughDisk, match="model can't be written"),
        new_folder(tmp_path / "model") as folder,
    ):
        (folder / "weights").write_bytes(b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]
    assert (tmp_path / "card.json").read_bytes() == b"old"


def test_a_home_that_cannot_be_used_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="file can't be used: .* DREAMGUI_HOME"):
        Workspace(tmp_path / "file")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(BadInput, match="can't be written"):
        Workspace(tmp_path / "home")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_atomic(tmp_path / "folder", b"x")
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]


def test_a_folder_that_was_renamed_by_hand_is_found_by_the_name_that_is_listed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for name in ("Moved 2", "Zoe\u0308 (old)", "!!!"):
        (tmp_path / "runs" / name).mkdir()
        (tmp_path / "runs" / name / "run.json").write_text("{}")
    assert [workspace.find("runs", name).name for name in sorted(workspace.names("runs"))] == [
        "!!!",
        "Moved 2",
        "Zoe\u0308 (old)",
    ]
    assert workspace.place("runs", "Moved 3").name == "Moved-3"


def test_what_a_job_leaves_that_was_killed_at_its_beginning_is_not_listed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    (tmp_path / "datasets" / "anna" / "images").mkdir(parents=True)
    (tmp_path / "runs" / "anna").mkdir()
    (tmp_path / "runs" / "anna" / ".lock").touch()
    assert not workspace.names("datasets") and not workspace.names("runs")


def test_a_shelf_has_any_name_once_a_folder_on_it_holds_a_file(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    folder = workspace.place("runs", workspace.fresh("runs", "anna"))
    assert not workspace.has_any("runs") and not workspace.names("runs")
    (folder / "run.json").write_text("{}")
    assert workspace.has_any("runs") and workspace.names("runs") == ["anna"]
