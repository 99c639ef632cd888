"""Requests of a user to a running recipe: small files beside its work, so that any process can ask."""

from __future__ import annotations

from pathlib import Path

from dreamgui.names import safe_name

SAMPLE, SAVE, SKIP = "sample", "save", "skip"


class RunRequests:
    """The requests to one run or sweep, in ``FOLDER/.requests``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / ".requests"

    def ask(self, what: str) -> None:
        """Request something. Twice is once."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / safe_name(what)).touch()

    def take(self, what: str) -> bool:
        """Return whether this is requested, and withdraw the request."""
        try:
            (self._folder / safe_name(what)).unlink()
        except FileNotFoundError:
            return False
        return True

    def forget(self) -> None:
        """Withdraw what was requested and not done."""
        if self._folder.is_dir():
            for request in self._folder.iterdir():
                request.unlink(missing_ok=True)
