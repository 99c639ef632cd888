"""The checks that need no run of the app: format, lint, types. The same at home and in CI."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
FIX = "--fix" in sys.argv
CHECKS = (
    [str(BIN / "ruff"), "format", *([] if FIX else ["--check"]), "."],
    [str(BIN / "ruff"), "check", *(["--fix"] if FIX else []), "."],
    [str(BIN / "ty"), "check", "--python", sys.prefix, "dreamgui", "app.py", "run.py"],
)


def main() -> int:
    """Run all checks, even after one failed, so that one run shows everything."""
    failed = [check for check in CHECKS if subprocess.run(check, cwd=ROOT, check=False).returncode]
    for check in failed:
        print("failed:", " ".join(check))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
