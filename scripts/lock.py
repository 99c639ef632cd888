"""Writes requirements.lock and requirements-dev.lock: every package, pinned, with its hashes.

    .venv/bin/python scripts/lock.py [--newest]

Needs uv (pip install uv). One lock holds for Python 3.11 to 3.14 on Linux, macOS and Windows, by markers. The versions are
those of this .venv, which the tests ran with; with --newest the newest that requirements.txt allows. Run the tests before you
commit either.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {
    "requirements.lock": ["requirements.txt"],
    "requirements-dev.lock": ["requirements.txt", "requirements-dev.txt"],
}
OLDEST_PYTHON = "3.11"


def main() -> int:
    """Write both locks; return 0, 1 where uv failed, 2 where there is none."""
    uv = shutil.which("uv")
    if uv is None:
        print("There is no uv: pip install uv, and run this again.")
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        installed = Path(scratch) / "installed.txt"
        installed.write_text("" if "--newest" in sys.argv else installed_versions(), encoding="utf-8")
        return max(locked(uv, lock, sources, installed) for lock, sources in LOCKS.items())


def locked(uv: str, lock: str, sources: list[str], installed: Path) -> int:
    """Write one lock from requirements, at the installed versions, and return uv's exit code."""
    command = [uv, "pip", "compile", "--quiet", "--universal", "--python-version", OLDEST_PYTHON, "--upgrade"]
    command += ["--generate-hashes", "--no-annotate", "--no-header", "--constraints", str(installed)]
    return subprocess.run([*command, "--output-file", lock, *sources], cwd=ROOT, check=False).returncode


def installed_versions() -> str:
    """Return the packages of this environment as NAME==VERSION, without PyTorch's local labels (+cpu)."""
    command = [sys.executable, "-m", "pip", "list", "--format=freeze", "--exclude-editable"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "".join(f"{line.partition('+')[0]}\n" for line in listed.splitlines() if "==" in line)


if __name__ == "__main__":
    sys.exit(main())
