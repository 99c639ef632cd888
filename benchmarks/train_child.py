"""A process of its own that measures rows of ``benchmarks.train``: it prints ``ROW {...}``, a line a row."""

from __future__ import annotations

import argparse
import json
import time
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dreamgui.ops.kernels import begin

if __name__ == "__main__":
    # As the app does, see dreamgui/services.py.
    begin()

from pydantic import ValidationError

from benchmarks.bases import SIZES_PX
from benchmarks.train_place import Place
from benchmarks.train_rows import BY_NAME, Row
from benchmarks.train_whole import MEASURES
from dreamgui.errors import DreamError

SIGN = "ROW "


def main() -> None:
    """Measure the named rows, one after the other; one that fails doesn't keep the next from being measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="+", choices=BY_NAME)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--size", choices=SIZES_PX, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    place = Place(options.home, options.size, options.seconds, options.rounds, options.short)
    for name in options.rows:
        print(SIGN + json.dumps(measured(BY_NAME[name], place)), flush=True)


def measured(row: Row, place: Place) -> dict[str, Any]:
    """What the table keeps of a row; ``failed`` says why there is no figure."""
    began = time.perf_counter()
    found: dict[str, Any] = {"value": None}
    try:
        found = MEASURES[row.kind](row, place)
    except ValidationError as error:
        found["failed"] = f"This version has no such setting: {error.errors()[0]['loc'][0]}."
    except DreamError as error:
        found["failed"] = str(error)
    except Exception as error:  # noqa: BLE001 - the other rows are still to be measured
        traceback.print_exc()
        found["failed"] = f"{type(error).__name__}: {error}"
    took = round(time.perf_counter() - began, 1)
    return {
        "name": row.name,
        **found,
        "took_s": took,
        "day": time.strftime("%Y-%m-%d"),
        "torch": version("torch"),
    }


if __name__ == "__main__":
    main()
