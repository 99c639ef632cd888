"""The command line: options derived from the jobs, sentences instead of tracebacks."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from dreamgui.cli import _parser, main
from dreamgui.config import CompareJob, JobConfig
from dreamgui.events import Event, Note
from dreamgui.jobs.queue import Jobs
from dreamgui.terminal import Terminal
from dreamgui.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent


def test_help_names_every_job_and_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(
        kind in text for kind in ("crop", "convert", "class-images", "train", "compare", "control", "demo")
    )
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "--learning-rate" in capsys.readouterr().out


def test_a_comparisons_preset_is_no_file_of_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """README's "compare --preset usual" was refused: "There is no preset named 'usual'"."""
    asked: list[JobConfig] = []
    monkeypatch.setattr("dreamgui.cli.run", lambda job, home: asked.append(job) or 0)
    assert main(["compare", "--models", "portraits", "--preset", "quick"]) == 0
    [job] = asked
    assert isinstance(job, CompareJob) and job.preset == "quick"


def test_numbers_out_of_range_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--home", str(tmp_path), "train", "--rank", "0"]) == 2
    assert "rank: " in capsys.readouterr().err


def test_a_comma_among_several_numbers_is_asked_about(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Seen before: the sweep trained at 0.00015 without a word, though two rates may have been meant."""
    with pytest.raises(SystemExit):
        main(["--home", str(tmp_path), "sweep", "--learning-rates", "1,5e-4"])
    assert "write 1.5e-4 for one, or 1 5e-4 for several" in capsys.readouterr().err
    one = _parser().parse_args(["train", "--learning-rate", "1,5e-4"])
    assert one.learning_rate == 1.5e-4


def test_an_unknown_base_ends_in_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--home", str(tmp_path), "class-images", "--model", "nobody"]) == 1
    assert "There is no model named 'nobody'" in capsys.readouterr().out


def test_a_missing_checkpoint_ends_in_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--home", str(tmp_path), "convert", str(tmp_path / "gone.safetensors")]) == 1
    out = capsys.readouterr().out
    assert "Failed:" in out and "gone.safetensors" in out and "Traceback" not in out


def test_help_is_quick_without_torch() -> None:
    code = "import sys, dreamgui.cli, dreamgui.services; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_doctor_tells_versions(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    main(["--home", str(tmp_path), "doctor"])
    out = capsys.readouterr().out
    assert "torch" in out and "workspace" in out and "device" in out


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_terminal_that_lacks_the_letters_ends_no_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, encoding: str
) -> None:
    out = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(out, encoding, write_through=True))
    assert main(["--home", str(tmp_path), "convert", str(tmp_path / "\u0436 \udce4.safetensors")]) == 1
    assert b"Failed: " in out.getvalue() and b".safetensors" in out.getvalue()


def test_a_closed_pipe_ends_no_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["--home", str(tmp_path), "convert", str(tmp_path / "gone.safetensors")]) == 1
        monkeypatch.undo()
    (log,) = tmp_path.glob("jobs/*/events.jsonl")
    assert "gone.safetensors" in log.read_text(encoding="utf-8")


def test_a_program_without_a_console_does_its_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Seen before: `>&-` ended in a traceback, as sys.stdout is None then."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main(["--home", str(tmp_path), "convert", str(tmp_path / "gone.safetensors")]) == 1
    assert main(["--home", str(tmp_path), "train", "--steps", "0"]) == 2
    monkeypatch.undo()
    (log,) = tmp_path.glob("jobs/*/events.jsonl")
    assert "gone.safetensors" in log.read_text(encoding="utf-8")


def test_a_log_that_finds_no_room_is_said_and_nothing_hangs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def full(file: object, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dreamgui.jobs.log._write", full)
    assert main(["--home", str(tmp_path), "convert", str(tmp_path / "gone.safetensors")]) == 1
    seen = capsys.readouterr()
    assert "Failed:" in seen.out and "log" in seen.err and "disk" in seen.err


def test_ctrl_c_ends_a_job_whose_log_finds_no_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def full(file: object, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def endless(config: object) -> Iterator[Event]:
        yield Note("working")
        pressed.wait()
        while True:
            yield Note("still working")

    def ctrl_c(terminal: Terminal, event: Event) -> None:
        if not pressed.is_set():
            pressed.set()
            raise KeyboardInterrupt

    pressed, jobs = threading.Event(), Jobs(Workspace(tmp_path), {"convert": endless})
    monkeypatch.setattr("dreamgui.jobs.log._write", full)
    monkeypatch.setattr("dreamgui.services.build", lambda home: SimpleNamespace(jobs=jobs))
    monkeypatch.setattr(Terminal, "show", ctrl_c)
    assert main(["--home", str(tmp_path), "convert", "model.safetensors"]) == 1
    (job,) = jobs.unfinished()
    seen = capsys.readouterr().err
    assert job.state == "cancelled" and "Stopping" in seen and "disk is full" in seen


def test_a_home_that_is_a_file_is_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "home").write_text("x")
    assert main(["--home", str(tmp_path / "home"), "convert", "x"]) == 2
    assert "can't be used" in capsys.readouterr().err


def test_a_report_is_repeated_by_from() -> None:
    options = _parser().parse_args(["compare", "--from", "mine/report.json", "--report", "again"])
    assert (options.from_, options.report) == (Path("mine/report.json"), "again")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["train", "--learning-rate", "abc"], "'abc' is no number: write 0.0001 or 1e-4"),
        (["sweep", "--learning-rates", "1e-4;1e-3"], "'1e-4;1e-3' is no number"),
        (["compare", "--samplers", "ddim", "foo"], "invalid choice: 'foo' (choose from"),
        (["generate", "a cat", "--mask", "m.png"], "A mask needs a start image. Correct"),
        (["generate", "a cat", "--size", "64"], "dreamgui: size: '64' isn't width x height"),
    ],
)
def test_a_value_is_refused_in_the_users_words(
    capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    """Seen before: "invalid _one_of_many value", "Value error," and a dictionary of Python."""
    with suppress(SystemExit):
        assert main(options) == 2
    told = capsys.readouterr().err
    assert said in told and not any(word in told for word in ("Value error", "Literal", "PosixPath", " _"))
