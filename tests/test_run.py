"""run.py: help without an installation, uv where it is there, updates by git; all of it without a network."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
QUIET_GIT = {
    "GIT_AUTHOR_NAME": "Anna", "GIT_AUTHOR_EMAIL": "anna@example.org", "GIT_COMMITTER_NAME": "Anna",
    "GIT_COMMITTER_EMAIL": "anna@example.org", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> ModuleType:
    """run.py as a module, in a folder of its own."""
    folder = tmp_path / "copy"
    folder.mkdir()
    shutil.copy(ROOT / "run.py", folder)
    (folder / "requirements.txt").write_text("")
    spec = importlib.util.spec_from_file_location("run_in_a_copy", folder / "run.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def commands(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that would have been run; those that hold the word "fails" fail."""
    ran: list[list[str]] = []

    def record(command: list[str], **_: Any) -> SimpleNamespace:
        ran.append(command)
        return SimpleNamespace(returncode=int("fails" in command), stdout="")

    monkeypatch.setattr(run.subprocess, "run", record)
    return ran


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, env={**os.environ, **QUIET_GIT}
    )


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(folder / "run.py"), *arguments], capture_output=True, text=True, check=False,
        cwd=folder, env={**os.environ, **QUIET_GIT, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_installs_nothing(run: ModuleType, word: str) -> None:
    done = start(run.ROOT, word)
    assert done.returncode == 0 and "python run.py update" in done.stdout
    assert sorted(path.name for path in run.ROOT.iterdir() if path.name != "__pycache__") == [
        "requirements.txt",
        "run.py",
    ]


def test_only_the_standard_library_is_used(run: ModuleType) -> None:
    code = f"import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]; import runpy; runpy.run_path({str(run.ROOT / 'run.py')!r})"
    assert subprocess.run([sys.executable, "-S", "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("given", "command", "rest"),
    [
        ([], "app", []),
        (["--port", "7861"], "app", ["--port", "7861"]),
        (["--share"], "app", ["--share"]),
        (["train", "--rank", "4"], "train", ["--rank", "4"]),
        (["--home", "x", "doctor"], "--home", ["x", "doctor"]),
        (["--home=x", "doctor"], "--home=x", ["doctor"]),
    ],
)
def test_options_alone_are_the_apps(run: ModuleType, given: list[str], command: str, rest: list[str]) -> None:
    assert run.divided(given) == (command, rest)


def found(*names: str) -> Callable[[str], str | None]:
    return lambda name: f"/bin/{name}" if name in names else None


def test_uv_is_used_where_it_is_there(
    run: ModuleType, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run.shutil, "which", found("uv"))
    run.install("-r", "requirements.txt")
    [command] = commands
    assert command[:3] == ["/bin/uv", "pip", "install"] and command[-2:] == ["-r", "requirements.txt"]
    assert str(run.PYTHON) in command


def test_pip_is_used_without_uv(
    run: ModuleType, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run.shutil, "which", found())
    run.install("numpy")
    assert [command[:3] for command in commands] == [[str(run.PYTHON), "-m", "pip"]]


def test_pip_is_tried_when_uv_fails_and_a_failure_ends_in_a_sentence(
    run: ModuleType,
    commands: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(run.shutil, "which", found("uv"))
    with pytest.raises(SystemExit) as ended:
        run.install("fails")
    assert ended.value.code == 1 and [command[0] for command in commands] == ["/bin/uv", str(run.PYTHON)]
    assert "The installation failed" in capsys.readouterr().out


def test_a_python_that_can_make_no_venv_is_told(
    run: ModuleType,
    commands: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise subprocess.CalledProcessError(1, "ensurepip")

    monkeypatch.setattr(run.venv, "create", fails)
    monkeypatch.setattr(run.shutil, "which", found("uv"))
    run.make_venv()
    assert commands[-1][:2] == ["/bin/uv", "venv"]
    monkeypatch.setattr(run.shutil, "which", found())
    with pytest.raises(SystemExit):
        run.make_venv()
    assert "python3-venv" in capsys.readouterr().out


def test_nothing_is_installed_twice(
    run: ModuleType, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "make_venv", lambda: (run.PYTHON.parent.mkdir(parents=True), run.PYTHON.touch()))
    run.set_up("requirements.txt")
    count = len(commands)
    assert count
    run.set_up("requirements.txt")
    assert len(commands) == count
    (run.ROOT / "requirements.txt").write_text("numpy>=2\n")
    run.set_up("requirements.txt")
    assert len(commands) > count


def test_an_old_python_is_told(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "OLDEST", (4, 0))
    assert run.main(["setup"]) == 2
    assert "DreamGUI needs Python" in capsys.readouterr().out
    assert run.main(["--help"]) == 0


@pytest.fixture
def clone(run: ModuleType, tmp_path: Path) -> tuple[Path, Path]:
    """A repository with run.py, and a clone of it."""
    origin, copy = run.ROOT, tmp_path / "clone"
    (origin / "CHANGELOG.md").write_text("# Changelog\n\n- Old.\n")
    (origin / ".gitignore").write_text(".venv/\n__pycache__/\n")
    git(origin, "init", "-q", "-b", "main")
    git(origin, "add", ".")
    git(origin, "commit", "-qm", "First")
    git(tmp_path, "clone", "-q", str(origin), str(copy))
    return origin, copy


def test_an_update_says_what_changed_and_installs(clone: tuple[Path, Path]) -> None:
    origin, copy = clone
    (origin / "CHANGELOG.md").write_text("# Changelog\n\n- Faces are found faster.\n- Old.\n")
    git(origin, "commit", "-qam", "Second")
    done = start(copy, "update")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "- Faces are found faster." in done.stdout and "- Old." not in done.stdout
    assert "Everything is installed." in done.stdout and (copy / ".venv").is_dir()
    again = start(copy, "update")
    assert "This is the newest version." in again.stdout and "Installing" not in again.stdout


def test_an_update_keeps_changed_files(clone: tuple[Path, Path]) -> None:
    origin, copy = clone
    (origin / "CHANGELOG.md").write_text("# Changelog\n\n- Theirs.\n")
    git(origin, "commit", "-qam", "Second")
    (copy / "CHANGELOG.md").write_text("# Changelog\n\n- Mine.\n")
    done = start(copy, "update")
    assert done.returncode == 1 and "git stash" in done.stdout
    assert "- Mine." in (copy / "CHANGELOG.md").read_text()


def test_a_copy_that_is_no_clone_is_told(run: ModuleType) -> None:
    done = start(run.ROOT, "update")
    assert done.returncode == 1 and "git clone" in done.stdout


@pytest.fixture
def locked(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """run.py with a lock beside it, and a .venv that is made by nothing."""
    (run.ROOT / "requirements.lock").write_text("numpy==2.4.6 --hash=sha256:0\n")
    monkeypatch.setattr(run, "make_venv", lambda: (run.PYTHON.parent.mkdir(parents=True), run.PYTHON.touch()))
    monkeypatch.setattr(run.shutil, "which", found())
    return run


def installed(commands: list[list[str]]) -> list[str]:
    return [Path(command[-1]).name for command in commands if "install" in command]


def test_the_lock_is_installed_by_hashes(locked: ModuleType, commands: list[list[str]]) -> None:
    locked.set_up("requirements.txt")
    assert installed(commands) == ["requirements.lock"] and "--require-hashes" in commands[0]
    count = len(commands)
    (locked.ROOT / "requirements.lock").write_text("numpy==2.4.7 --hash=sha256:0\n")
    locked.set_up("requirements.txt")
    assert len(commands) > count


def test_where_the_lock_cannot_be_installed_the_ranges_are(
    locked: ModuleType,
    commands: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = locked.subprocess.run

    def refuse(command: list[str], **options: Any) -> SimpleNamespace:
        return record([*command, "fails"] if "--require-hashes" in command else command, **options)

    monkeypatch.setattr(locked.subprocess, "run", refuse)
    locked.set_up("requirements.txt")
    assert installed(commands) == ["fails", "requirements.txt"]
    assert "can't be installed here" in capsys.readouterr().out


@pytest.mark.parametrize("way", ["asked", "Windows with CUDA"])
def test_the_lock_is_left_out(
    locked: ModuleType, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "asked":
        monkeypatch.setenv("DREAMGUI_UNLOCKED", "1")
    else:
        monkeypatch.setattr(locked, "needs_cuda_index", lambda: True)
    locked.set_up("requirements.txt")
    assert installed(commands) == [*(["cu130"] if way != "asked" else []), "requirements.txt"]


def pins(lock: str) -> dict[str, list[str]]:
    """Lines of a lock by package, in lower case with "-"."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", " "))]
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(line.partition("==")[0].lower(), []).append(line)
    return found


@pytest.mark.parametrize(
    ("lock", "sources"),
    [
        ("requirements.lock", ["requirements.txt"]),
        ("requirements-dev.lock", ["requirements.txt", "requirements-dev.txt"]),
    ],
)
def test_the_locks_hold_every_requirement_at_a_version_that_it_allows(lock: str, sources: list[str]) -> None:
    locked = pins(lock)
    for each in locked.values():
        assert all("==" in line and " --hash=sha256:" in line for line in each)
    wanted = [line for source in sources for line in (ROOT / source).read_text(encoding="utf-8").splitlines()]
    for line in wanted:
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            for pin in locked[canonicalize_name(requirement.name)]:
                version = pin.partition("==")[2].split()[0]
                assert requirement.specifier.contains(version), (
                    f"{pin[:60]} isn't {line}: python scripts/lock.py"
                )


def test_both_locks_agree() -> None:
    tests = pins("requirements-dev.lock")
    assert all(tests[name] == lines for name, lines in pins("requirements.lock").items())


@pytest.mark.parametrize(
    ("failed", "repeated"),
    [
        (["tests/e2e/test_b.py::test_x", "tests/e2e/test_a.py::test_y[1]"], ["tests/e2e/test_a.py", "tests/e2e/test_b.py"]),
        (["tests/e2e/test_a.py::test_y", "tests/test_c.py::test_z"], []),
        ([], []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("alone", [0, 1])
def test_what_asks_a_page_and_failed_beside_others_must_hold_alone(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, failed: list[str], repeated: list[str], alone: int
) -> None:
    calls: list[tuple[str, ...]] = []

    def call(*arguments: str) -> int:
        calls.append(arguments)
        kept = run.ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(dict.fromkeys(failed, True)))
        return 1 if len(calls) == 1 else alone

    monkeypatch.setattr(run, "call", call)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert run.tests() == (alone if repeated else 1)
    assert [list(each[3:]) for each in calls[1:]] == [repeated] * bool(repeated)
