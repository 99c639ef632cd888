"""7: the child process that reads a pickled checkpoint starts nothing, sends nothing, and opens no other file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dreamgui.models.files import ckpt_walls

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="these walls are Linux's")
CODE = """
import runpy, os, socket, sys, ctypes, signal, pathlib
standing = runpy.run_path({walls!r})["raise_walls"](pathlib.Path({allowed!r}))
if {wall!r} not in standing:
    print("the system has no such wall")
    sys.exit()
try:
    {deed}
    print("done")
except OSError as error:
    print(type(error).__name__)
"""


def outcome(tmp_path: Path, wall: str, deed: str) -> str:
    (tmp_path / "allowed").write_text("content")
    code = CODE.format(walls=ckpt_walls.__file__, allowed=str(tmp_path / "allowed"), wall=wall, deed=deed)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    said = done.stdout.strip()
    assert done.returncode == 0, done.stderr
    if "no such wall" in said:
        pytest.skip(f"{wall}: {said}")
    return said


@pytest.mark.parametrize(
    ("wall", "deed"),
    [
        ("calls", "os.fork()"),
        ("calls", "os.execv(sys.executable, [sys.executable, '-c', 'print(1)'])"),
        ("calls", "os.posix_spawn(sys.executable, [sys.executable], dict())"),
        ("calls", "socket.socket()"),
        ("calls", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"),
        ("calls", "socket.socketpair()"),
        ("calls", "os.kill(os.getppid(), 0)"),
        ("files", "open('/etc/passwd').read()"),
        ("files", "open('/proc/self/environ').read()"),
        ("files", "os.listdir('/')"),
        ("files", "open('new', 'w')"),
        ("files", "open('allowed', 'a')"),
        ("files", "os.mkdir('new')"),
        ("files", "os.symlink('a', 'b')"),
        ("files", "os.unlink('allowed')"),
    ],
)
def test_a_deed_is_refused(tmp_path: Path, wall: str, deed: str) -> None:
    assert outcome(tmp_path, wall, deed) == "PermissionError"
    assert [path.name for path in tmp_path.iterdir()] == ["allowed"]


def test_the_one_file_is_read_and_no_rights_can_be_gained(tmp_path: Path) -> None:
    assert outcome(tmp_path, "files", "open('allowed').read()") == "done"
    asked = "print(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))"
    assert outcome(tmp_path, "privileges", asked).split() == ["1", "done"]
    limits = "import resource; print(resource.getrlimit(resource.RLIMIT_NPROC)[1])"
    assert outcome(tmp_path, "processes", limits).split() == ["0", "done"]


def test_the_child_raises_its_walls() -> None:
    source = Path(ckpt_walls.__file__).with_name("ckpt_child.py").read_text(encoding="utf-8")
    last = source[source.index('if __name__ == "__main__"') :]
    assert last.index("limit(") < last.index("raise_walls") < last.index("answer(")
