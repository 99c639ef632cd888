"""Runs a program on a workspace of this machine's disk and keeps a copy of it elsewhere, for instance on Google Drive.

    python notebooks/keep.py --home /content/dreamgui-home --keep /content/drive/MyDrive/DreamGUI -- python app.py --share

A mounted drive has no file locks and is slow, so DreamGUI doesn't work on it. Before the start the kept copy is brought
here; while the program runs, and at its end, changed files are copied there and removed ones removed. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

EVERY_SECONDS = 60
HALF = ".half-copied"
LEFT_OUT = ("compiled",)
"""Folders that are of no use on another machine."""


def main(argv: list[str] | None = None) -> int:
    """Run the program until its end and return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, required=True, help="workspace on this machine's disk")
    parser.add_argument("--keep", type=Path, required=True, help="folder that outlives this machine")
    parser.add_argument("program", nargs="+", help="command to run, after --")
    options = parser.parse_args(argv)
    copied = copy_changes(options.keep, options.home, set())
    print(f"{len(copied)} files of earlier sessions are back.", flush=True)
    process = subprocess.Popen(options.program, env={**os.environ, "DREAMGUI_HOME": str(options.home)})
    known: set[str] = copied
    while True:
        try:
            code = process.wait(EVERY_SECONDS)
        except subprocess.TimeoutExpired:
            known = copy_changes(options.home, options.keep, known)
        except KeyboardInterrupt:
            continue
        else:
            copy_changes(options.home, options.keep, known)
            return code


def copy_changes(source: Path, target: Path, known: set[str]) -> set[str]:
    """Copy files that are new or of another size or time, and remove from the target those that are gone.

    Args:
        known: files that both sides had after the last copying; no others are removed.

    Returns:
        The files that both sides have now, as paths relative to the folders.
    """
    found = {path.relative_to(source).as_posix(): path for path in source.rglob("*") if belongs(path, source)}
    there = set()
    for name, path in found.items():
        try:
            copy(path, target / name)
            there.add(name)
        except FileNotFoundError:
            # Moved or removed while it was copied: the next round sees it.
            continue
        except OSError as error:
            print(f"{name} can't be kept: {error}", file=sys.stderr, flush=True)
    for name in known - found.keys():
        (target / name).unlink(missing_ok=True)
    return there


def belongs(path: Path, source: Path) -> bool:
    """Return whether a path is a file to keep: no lock, no link, no half-copied file."""
    if path.is_symlink() or path.name.endswith((".lock", HALF)) or not path.is_file():
        return False
    return path.relative_to(source).parts[0] not in LEFT_OUT


def copy(source: Path, target: Path) -> None:
    """Copy one file with its time, whole or not at all, unless the target has it."""
    status = source.stat()
    if target.is_file():
        old = target.stat()
        # A mounted drive may keep whole seconds only.
        if old.st_size == status.st_size and abs(old.st_mtime - status.st_mtime) < 2:
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(target.name + HALF)
    shutil.copyfile(source, half)
    os.utime(half, (status.st_atime, status.st_mtime))
    half.replace(target)


if __name__ == "__main__":
    sys.exit(main())
