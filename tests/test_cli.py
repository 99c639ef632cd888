"""The command line: options derived from the jobs, sentences instead of tracebacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dreamgui.cli import main

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


def test_numbers_out_of_range_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--home", str(tmp_path), "train", "--rank", "0"]) == 2
    assert "rank: " in capsys.readouterr().err


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
