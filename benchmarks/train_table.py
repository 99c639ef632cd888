"""The table of ``benchmarks.train``: kept as JSON and Markdown, written anew after each row."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import torch

from benchmarks.bases import Size
from benchmarks.train_rows import ROWS, Row
from dreamgui.evaluate.reports.report import versions
from dreamgui.names import safe_name
from dreamgui.workspace import write_atomic, write_json

HEADER = (
    "| what | must | aim | measured | reached | plain loop | times | what else |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)
RESULTS = Path(__file__).parent / "results"
_OF_NO_USE = ("pictures of your own", "are there already", "being compiled")
_LEFT_OUT = {"name", "value", "plain", "failed", "notes", "losses", "took_s", "day", "torch", "ours_steps_s"}
_MOST = 300


class Table:
    """Rows by name; those of an earlier run on such a device stay until they are measured again."""

    def __init__(self, device: str, size: Size, out: Path) -> None:
        name = safe_name(f"train-{device}-{size}").lower()
        self._file = out / f"{name}.json"
        self._device, self._size = device, size
        self._lock = threading.Lock()
        self.rows: dict[str, dict[str, Any]] = {}
        for earlier in (self._file, RESULTS / self._file.name):
            if earlier.exists():
                rows = json.loads(earlier.read_text(encoding="utf-8"))["rows"]
                self.rows = rows if isinstance(rows, dict) else {}
                break

    def add(self, found: dict[str, Any]) -> None:
        """Take a row and write everything."""
        with self._lock:
            self.rows[found.pop("name")] = found
            self._write()

    def lines(self) -> list[str]:
        """The table in the order of ROWS."""
        judged = self._size == "sd15" and "H100" in self._device
        known = [(row, self.rows[row.name]) for row in ROWS if row.name in self.rows]
        return [HEADER, *(line(row, found, judged) for row, found in known)]

    def _write(self) -> None:
        made = {"device": self._device, "size": self._size, "threads": torch.get_num_threads()}
        write_json(self._file, {**made, "versions": versions(), "rows": self.rows})
        told = ", ".join(f"{key} {value}" for key, value in versions().items())
        what = f"Model of {self._size} sizes, random weights, medians of three. {told}."
        text = "\n".join([f"# Training, {self._device}\n\n{what}\n", *self.lines()])
        write_atomic(self._file.with_suffix(".md"), f"{text}\n".encode())


def line(row: Row, found: dict[str, Any], judged: bool = True) -> str:
    """A row as Markdown; ``judged``: on the card that the musts are said for."""
    value, plain = found.get("value"), found.get("plain")
    reached = row.reached(value) if judged and value is not None else ""
    if found.get("within_cap") is False:
        reached = "no"
    cells = [
        row.title,
        _number(row.must if judged else None),
        _number(row.aim if judged else None),
        f"{_number(value)} {row.unit}" if value is not None else "-",
        reached,
        _number(plain),
        f"{value / plain:.2f}" if value and plain else "",
        _else(found),
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _else(found: dict[str, Any]) -> str:
    """Why there is no figure, or further figures and what was said."""
    if failed := found.get("failed"):
        return str(failed).replace("\n", " ").replace("|", "/")[:_MOST]
    shown = [
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in found.items()
        if name not in _LEFT_OUT and not isinstance(value, list)
    ]
    notes = [text for text in found.get("notes", []) if not any(words in text for words in _OF_NO_USE)]
    return "; ".join([*shown, *notes]).replace("|", "/")[:_MOST]
