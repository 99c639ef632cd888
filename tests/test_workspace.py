"""Names never leave the workspace; files are whole or absent."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dreamgui.errors import BadInput, NotEnoughDisk, UnknownName
from dreamgui.workspace import (
    Workspace,
    default_root,
    new_folder,
    read_json,
    safe_name,
    write_atomic,
    write_json,
)


@pytest.mark.parametrize(
    "wish, name",
    [
        ("anna", "anna"),
        ("../../x", "x"),
        ("Zoë & Ann", "Zoe-Ann"),
        ("a\0b", "a-b"),
        ("x" * 300, "x" * 80),
        (" . a", "a"),
    ],
)
def test_wishes_become_safe(wish: str, name: str) -> None:
    assert safe_name(wish) == name


@pytest.mark.parametrize("wish", ["", "..", "CON", "nul.txt", "\U0001f600", "///"])
def test_hopeless_wishes_are_refused(wish: str) -> None:
    with pytest.raises(BadInput):
        safe_name(wish)


def test_taken_names_count_on(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for expected in ("a", "a-2", "a-3"):
        name = workspace.fresh("runs", "a")
        assert name == expected
        workspace.place("runs", name).mkdir()
    assert workspace.names("runs") == ["a", "a-2", "a-3"]


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.place("runs", "here").mkdir()
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
    with pytest.raises(NotEnoughDisk, match="GB"):
        workspace.require_space(10**18)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_atomic(tmp_path / "folder", b"x")
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]
