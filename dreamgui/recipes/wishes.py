"""What a user asks of a recipe that is running: small files beside its work, so that any process can ask."""

from __future__ import annotations

from pathlib import Path

from dreamgui.workspace import safe_name

SAMPLE, SAVE, SKIP = "sample", "save", "skip"


class Wishes:
    """The wishes for one run or sweep, in ``FOLDER/.wishes``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / ".wishes"

    def ask(self, what: str) -> None:
        """Wish for something; twice is once."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / safe_name(what)).touch()

    def take(self, what: str) -> bool:
        """Whether this is wished for; then it no longer is."""
        try:
            (self._folder / safe_name(what)).unlink()
        except FileNotFoundError:
            return False
        return True

    def forget(self) -> None:
        """Leave out what was wished for and not granted."""
        if self._folder.is_dir():
            for wish in self._folder.iterdir():
                wish.unlink(missing_ok=True)
