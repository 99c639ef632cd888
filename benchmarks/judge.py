"""Whether the measures of Compare measure, and how long they take on two cores.

    python -m benchmarks.judge --home DIR --out benchmarks/results/judge.json      all rows; the training comes first
    python -m benchmarks.judge --only drawn real copies                            some of them; others are kept

Drawn persons are those of tools/demo_model/world. Real photographs are ../shared/photos (two persons), scikit-image's and
matplotlib's; without that folder the row says what was left out. ``train`` makes one run of the bundled model on seven drawn
photographs, 400 steps without prior preservation, and keeps ten models on its way; ``memorising``, ``times`` and ``plane``
read them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools" / "demo_model")]

from benchmarks.judge_faces import copies, drawn, fidelity, real
from benchmarks.judge_runs import memorising, plane, times, train
from benchmarks.judge_statistics import coverage
from dreamgui.doctor import versions


@dataclass(frozen=True)
class Row:
    """One measurement against what must be reached.

    Attributes:
        what: it is.
        must: be reached, in words.
        measured: numbers by name.
        reached: whether; None where it couldn't be measured.
        note: cause of a miss, and what it was measured on.
    """

    what: str
    must: str
    measured: Mapping[str, Any]
    reached: bool | None
    note: str


PARTS: dict[str, Callable[[Path], Mapping[str, Any]]] = {
    "drawn": drawn,
    "real": real,
    "fidelity": fidelity,
    "copies": copies,
    "coverage": coverage,
    "train": train,
    "memorising": memorising,
    "times": times,
    "plane": plane,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", type=Path, help="workspace of the run; a temporary one if left out")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "judge.json")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    rows = json.loads(options.out.read_text(encoding="utf-8"))["rows"] if options.out.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        home = options.home or Path(folder)
        for name in options.only:
            began, cpu = time.monotonic(), time.process_time()
            row = Row(**PARTS[name](home))
            spent = {
                "seconds": round(time.monotonic() - began, 1),
                "cpu_seconds": round(time.process_time() - cpu, 1),
            }
            load = round(os.getloadavg()[0], 1)
            rows[name] = {**asdict(row), **spent, "load_average": load, "cores": os.cpu_count()}
            print(f"{name}: {row.measured} {'reached' if row.reached else 'NOT reached'}", flush=True)
            found = {"machine": platform.machine(), "versions": versions(), "rows": rows}
            options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
