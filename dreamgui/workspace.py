"""Where things live: the only place where names become paths and where files that matter are written.

datasets/NAME   crops, captions, dataset.json        runs/NAME     trained weights, checkpoints, run.json
models/NAME     diffusers folders                    reports/NAME  comparisons, control drawings
classes/KEY     class images, kept for the next run  jobs/ID       job.json, events.jsonl, images
uploads/ID      photographs as they came              exports/NAME  what was given out, made when first needed
compiled/       what torch.compile made, for the next training
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_data_path

from dreamgui.errors import BadInput, NotEnoughDisk, UnknownName

Shelf = Literal["datasets", "models", "runs", "reports", "classes", "jobs", "uploads"]
SHELVES: tuple[Shelf, ...] = ("datasets", "models", "runs", "reports", "classes", "jobs", "uploads")
EXPORTS = "exports"
_COMPILED = "compiled"
_RESERVED = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), *(f"lpt{n}" for n in range(10))}
_SPACE_DISK = Path("/data")


def default_root() -> Path:
    """DREAMGUI_HOME, else /data/dreamgui on a Space with a persistent disk, else the user's data folder."""
    if home := os.environ.get("DREAMGUI_HOME"):
        return Path(home).expanduser()
    if os.environ.get("SPACE_ID") and os.access(_SPACE_DISK, os.W_OK):
        return _SPACE_DISK / "dreamgui"
    return user_data_path("dreamgui", appauthor=False)


def safe_name(wish: str) -> str:
    """A name that is one harmless folder name on Linux, macOS and Windows.

    Raises:
        BadInput: nothing usable is left of the wish.
    """
    plain = unicodedata.normalize("NFKD", wish).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:80].rstrip("-._")
    if not name or name.split(".")[0].lower() in _RESERVED:
        raise BadInput(
            f"{wish[:80]!r} can't be a name.", "Use letters, digits, '-' and '_', for instance 'anna-1'."
        )
    return name


class Workspace:
    """The folder that holds a user's work."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or default_root()).resolve()
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for shelf in SHELVES:
            (self.root / shelf).mkdir(parents=True, exist_ok=True)

    @property
    def compiled(self) -> Path:
        """Where the compiler keeps what it makes. Code is loaded from there: the workspace is its user's alone."""
        return self.root / _COMPILED

    def place(self, shelf: Shelf, name: str) -> Path:
        """The folder of this name on this shelf, whether or not it exists yet."""
        return self.root / shelf / safe_name(name)

    def find(self, shelf: Shelf, name: str) -> Path:
        """The existing folder of this name.

        Raises:
            UnknownName: there is none; the message lists those that exist.
        """
        folder = self.place(shelf, name) if name else self.root / shelf / "?"
        if not folder.is_dir():
            known = ", ".join(self.names(shelf)) or "none yet"
            raise UnknownName(f"There is no {shelf.rstrip('s')} named {name!r}.", f"Known: {known}.")
        return folder

    def names(self, shelf: Shelf) -> list[str]:
        """Names on this shelf, oldest first; half-written folders don't count."""
        folders = [
            path for path in (self.root / shelf).iterdir() if path.is_dir() and not path.name.startswith(".")
        ]
        return [path.name for path in sorted(folders, key=lambda path: (path.stat().st_ctime_ns, path.name))]

    def fresh(self, shelf: Shelf, wish: str) -> str:
        """The wished name made safe, with -2, -3... behind it when taken: nothing is overwritten silently."""
        name = safe_name(wish)
        number, taken = 2, set(self.names(shelf))
        fresh = name
        while fresh in taken:
            fresh, number = f"{name}-{number}", number + 1
        return fresh

    def require_space(self, need_bytes: int) -> None:
        """Raise NotEnoughDisk unless this many bytes (and 100 MB to spare) fit on the workspace's disk."""
        free = shutil.disk_usage(self.root).free
        if free < need_bytes + 100_000_000:
            raise NotEnoughDisk(
                f"This needs {need_bytes / 1e9:.1f} GB on the disk; {self.root} has {free / 1e9:.1f} GB.",
                "Delete runs you no longer need, or set DREAMGUI_HOME to a larger disk.",
            )


def write_atomic(path: Path, data: bytes) -> None:
    """Write to a temporary name beside the target, flush, then rename: a reader sees the old or the new, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp's 0600 would follow a report to whoever it is handed to; the workspace itself is private.
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, data: Any) -> None:
    """JSON, written atomically, readable for people."""
    write_atomic(path, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """What :func:`write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def new_folder(target: Path) -> Generator[Path, None, None]:
    """Fill a temporary folder beside the target; it takes the target's place only when the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with file.open("rb+") as handle:
                    os.fsync(handle.fileno())
        if target.exists():
            old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
            os.replace(target, old / "was")
            os.replace(temporary, target)
            shutil.rmtree(old)
        else:
            os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
