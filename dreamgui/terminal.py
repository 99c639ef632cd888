"""Events as lines in a terminal, and a terminal that ends no work."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import singledispatchmethod
from io import TextIOBase
from pathlib import Path
from typing import TextIO

from dreamgui import events as ev


class Unfailing(TextIOBase):
    """A stream that never raises: letters it can't encode become question marks, and a closed pipe stays silent."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        text = text.encode(encoding, "replace").decode(encoding)
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            self._silence()
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._silence()

    def isatty(self) -> bool:
        """Return whether it is a screen."""
        return self._stream.isatty()

    def _silence(self) -> None:
        # What lies in the stream's buffer would fail again when Python ends.
        with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())


@contextmanager
def unfailing() -> Generator[None, None, None]:
    """Print without errors inside the block, to standard output and standard error."""
    with ExitStack() as stack:
        # A program without a console (pythonw, a service, `>&-`) has None in place of a stream.
        nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        stack.enter_context(redirect_stdout(Unfailing(sys.stdout or nowhere)))
        stack.enter_context(redirect_stderr(Unfailing(sys.stderr or nowhere)))
        yield


class Terminal:
    """Prints events: progress in place on a screen, and every tenth of it into a file or pipe."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._screen = out.isatty()
        self._bar = ""
        self._next_tenth: dict[str, float] = {}
        self._next_loss = 0.0

    def show(self, event: ev.Event) -> None:
        """Print one event."""
        text = self._text(event)
        if text:
            self._print(text)

    def _print(self, text: str) -> None:
        clear = "\r" + " " * len(self._bar) + "\r" if self._bar else ""
        self._bar = ""
        print(clear + text, file=self._out, flush=True)

    def _progress(self, label: str, done: int, total: int) -> None:
        share = done / max(total, 1)
        if self._screen:
            bar = f"{label} [{'=' * int(30 * share):30}] {done}/{total}"
            print("\r" + bar.ljust(len(self._bar)), end="", file=self._out, flush=True)
            self._bar = bar
        elif share >= self._next_tenth.get(label, 0) or done == total:
            self._next_tenth[label] = share + 0.1
            self._print(f"{label}: {done}/{total}")

    @singledispatchmethod
    def _text(self, event: ev.Event) -> str:
        return ""

    @_text.register
    def _(self, event: ev.Progress) -> str:
        self._progress(event.label, event.done, event.total)
        return ""

    @_text.register
    def _(self, event: ev.Loss) -> str:
        if time.monotonic() < self._next_loss:
            return ""
        self._next_loss = time.monotonic() + 5
        prior = "" if event.prior is None else f", prior {event.prior:.4f}"
        return f"step {event.step}: loss {event.instance:.4f}{prior}, {event.seconds:.2f} s a step"

    @_text.register
    def _(self, event: ev.Note) -> str:
        return event.text

    @_text.register
    def _(self, event: ev.Cropped) -> str:
        return f"{event.source}: {event.framing} {event.box}, score {event.score:.2f} -> {event.saved.name}"

    @_text.register
    def _(self, event: ev.Skipped) -> str:
        return f"{event.source}: skipped: {event.reason}"

    @_text.register
    def _(self, event: ev.Sampled) -> str:
        return f"step {event.step}: sample of {event.prompt!r} (seed {event.seed}): {event.image}"

    @_text.register
    def _(self, event: ev.Cell) -> str:
        scores = ", ".join(f"{name} {value:.2f}" for name, value in event.scores.items() if value is not None)
        told = scores or ("no face found" if event.scores else "drawn")
        return f"{event.model} | {event.prompt} | {told}"

    @_text.register
    def _(self, event: ev.Score) -> str:
        values = ", ".join(f"{key} {value:.3g}" for key, value in event.values.items() if value is not None)
        return f"{event.model}: {values}"

    @_text.register
    def _(self, event: ev.Saved) -> str:
        return f"saved {event.what} {event.name}: {event.path}"

    @_text.register
    def _(self, event: ev.Done) -> str:
        return f"Done in {event.seconds:.0f} s."

    @_text.register
    def _(self, event: ev.Cancelled) -> str:
        return f"Stopped after {event.seconds:.0f} s; what was saved is kept."

    @_text.register
    def _(self, event: ev.Failed) -> str:
        return f"Failed: {event.what} {event.next_step}"
