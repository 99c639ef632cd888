"""The benchmark of reliability in its short form: its rows are made, and hold."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import reliability


def test_the_short_form_holds(tmp_path: Path) -> None:
    rows = reliability.heavy_photographs(tmp_path, short=True)
    (row,) = rows.values()
    assert "too long to read" in row["outcome"] and row["mb"] < 300
    assert reliability.double_start(tmp_path / "races", 5) == {"races": 5, "with one run": 5}
    row = reliability.open_connections(tmp_path, 150, 100, 1.0)
    assert row["open at most"] == 100 and row["left"] <= reliability.MOST_OF_A_CLIENT_AT_WORK
    grown = reliability.endurance(tmp_path / "batches", 3)["grown"]
    assert grown["threads"] <= 0 and grown["handles"] <= 0 and grown["mb"] < 20


def test_the_stored_figures_keep_the_promises() -> None:
    found = json.loads(reliability.RESULTS.read_text(encoding="utf-8"))
    races = found["double start"]
    assert races["races"] == races["with one run"] == 200
    for row in found["heavy photographs"].values():
        # Seconds are those of computing: the machine was busy with other work.
        assert row["mb"] <= 300 and row["cpu_seconds"] <= 5, row
    assert found["endurance"]["cycles"] == 20
    assert set(found["not run here"]) == set(reliability.NOT_RUN)
