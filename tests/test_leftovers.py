"""What a killed program left half-written is taken away after a day, and what was moved aside is put back."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dreamgui import workspace as workspace_module
from dreamgui.leftovers import STALE_SECONDS, WRITTEN, clean_up
from dreamgui.workspace import EXPORTS, Workspace, new_folder


def age(folder: Path, seconds: float) -> Path:
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (time.time() - seconds,) * 2)
    return folder


def half(workspace: Workspace, shelf: str, seconds: float) -> Path:
    folder = workspace.root / shelf / ".anna.x7"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "half.safetensors").write_bytes(b"half")
    return age(folder, seconds)


@pytest.mark.parametrize("shelf", [*WRITTEN, EXPORTS])
def test_half_written_folders_are_gone_after_a_day(tmp_path: Path, shelf: str) -> None:
    """A merge that was killed left a UNet of gigabytes among the runs for good."""
    workspace = Workspace(tmp_path)
    folder, whole = half(workspace, shelf, 60), workspace.root / shelf / "anna"
    whole.mkdir()
    assert clean_up(workspace) == [] and folder.is_dir()
    for each in (folder, whole):
        age(each, STALE_SECONDS + 60)
    assert clean_up(workspace) == [folder] and not folder.exists() and whole.is_dir()


def test_what_made_room_for_a_successor_that_never_came_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path)
    run = workspace.root / "runs" / "anna"
    run.mkdir()
    (run / "run.json").write_text("the only copy")
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        if Path(target) == run:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(workspace_module.os, "replace", killed)
    monkeypatch.setattr(workspace_module.shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt), new_folder(run) as folder:
        (folder / "run.json").write_text("the next one")
    monkeypatch.undo()
    assert not run.exists()
    for hidden in (tmp_path / "runs").glob(".*"):
        age(hidden, STALE_SECONDS + 60)
    assert len(clean_up(workspace)) == 2
    assert (run / "run.json").read_text() == "the only copy"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["anna"]


def test_where_the_successor_came_the_old_one_goes(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    old = tmp_path / "runs" / ".anna.old.x7"
    (old / "was").mkdir(parents=True)
    (tmp_path / "runs" / "anna").mkdir()
    (tmp_path / "runs" / "anna" / "run.json").write_text("the next one")
    age(old, STALE_SECONDS + 60)
    assert clean_up(workspace) == [old]
    assert (tmp_path / "runs" / "anna" / "run.json").read_text() == "the next one"
