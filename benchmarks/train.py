"""``python benchmarks/train.py``, or ``python -m benchmarks.train``: what a training must reach, measured; the plain loop beside it.

    python -m benchmarks.train                      the whole table on this machine
    python -m benchmarks.train --only unet cold     some rows of it (--list names them)
    python -m benchmarks.train --short --size tiny  a rehearsal: every row runs, a moment each

Stable Diffusion 1.5's own sizes on a GPU, the bundled model's on a CPU, random weights; ours is the app's own
recipe. Each row is stored in ``benchmarks/results`` (or ``--out``) as soon as it is measured. Rows whose times
don't count run first and side by side, all others alone. ``train_lent.sh`` is for a machine lent by the minute.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

# So that it runs as a script too: python benchmarks/train.py.
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch

from benchmarks.bases import SIZES_PX
from benchmarks.train_child import SIGN
from benchmarks.train_place import Place
from benchmarks.train_rows import BY_NAME, ROWS, Row
from benchmarks.train_table import RESULTS, Table, line

QUIET_LIBRARIES = {
    "HF_HUB_OFFLINE": "1",
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}
SIDE_BY_SIDE = 3
SHOWN_LINES = 25


def main() -> None:
    """Measure, print, store."""
    options = _options()
    os.environ |= QUIET_LIBRARIES
    cuda = torch.cuda.is_available()
    size = options.size or ("sd15" if cuda else "demo")
    device = torch.cuda.get_device_name() if cuda else f"CPU, {os.cpu_count()} cores"
    rows = [BY_NAME[name] for name in options.only] if options.only else usual_rows(cuda, options.short)
    seconds, rounds = (0.3, 1) if options.short else (options.seconds, 3)
    table = Table(device, size, options.out)
    with tempfile.TemporaryDirectory(prefix="dreamgui-bench-") as folder:
        place = Place((options.home or Path(folder)).resolve(), size, seconds, rounds, options.short)
        began = time.monotonic()
        place.prepare()
        print(f"prepared in {time.monotonic() - began:.0f} s", flush=True)
        measure(rows, place, table, options.row_limit_s)
    print(f"{len(rows)} rows in {time.monotonic() - began:.0f} s", *table.lines(), sep="\n")


def usual_rows(cuda: bool, short: bool = False) -> list[Row]:
    """All that this machine can measure: memory is told by CUDA alone, and each process takes a GPU.

    A processor's compiler takes longer than a whole training there, so that is only rehearsed, as is memory.
    """
    gpus = torch.cuda.device_count() if cuda else 2
    usual = [row for row in ROWS if not row.extra and row.gpus <= gpus]
    if cuda or short:
        return usual
    return [row for row in usual if row.kind != "memory" and not row.settings.get("compile")]


def measure(rows: Sequence[Row], place: Place, table: Table, limit_s: float) -> None:
    """First what may run side by side, then what must be alone; each process takes the rows it can share."""
    beside = SIDE_BY_SIDE if torch.cuda.is_available() else 1
    with ThreadPoolExecutor(beside) as pool:
        for done in [
            pool.submit(_in_a_process, [row], place, table, limit_s) for row in rows if not row.quiet
        ]:
            done.result()
    for _, together in groupby((row for row in rows if row.quiet), key=lambda row: row.process):
        _in_a_process(list(together), place, table, limit_s)


def _in_a_process(rows: list[Row], place: Place, table: Table, limit_s: float) -> None:
    """Measure rows in one fresh process; what it doesn't measure is told with its last words."""
    process = subprocess.Popen(
        _command(rows, place),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    timer = threading.Timer(limit_s * len(rows), process.kill)
    timer.start()
    said: collections.deque[str] = collections.deque(maxlen=SHOWN_LINES)
    missing = {row.name for row in rows}
    for text in process.stdout:
        if not text.startswith(SIGN):
            said.append(text.rstrip())
            continue
        found = json.loads(text.removeprefix(SIGN))
        row = BY_NAME[found["name"]]
        missing.discard(row.name)
        print(f"{line(row, found, judged=False)} took {found['took_s']} s", flush=True)
        if found.get("failed"):
            print(*said, sep="\n", flush=True)
        said.clear()
        table.add(found)
    timer.cancel()
    if process.wait() or missing:
        print(f"{sorted(missing)} ended with {process.returncode}:", *said, sep="\n", flush=True)
    for name in sorted(missing):
        table.add({"name": name, "value": None, "failed": f"The process ended with {process.returncode}."})


def _command(rows: list[Row], place: Place) -> list[str]:
    return [
        *(sys.executable, "-m", "benchmarks.train_child", *(row.name for row in rows)),
        *("--home", str(place.home), "--size", place.size),
        *("--seconds", str(place.seconds), "--rounds", str(place.rounds)),
        *(["--short"] if place.short else []),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=BY_NAME, metavar="ROW", help="rows to measure")
    parser.add_argument("--list", action="store_true", help="name the rows and end")
    parser.add_argument("--size", choices=SIZES_PX, help="of the model (default: by the device)")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long one round of one loop lasts")
    parser.add_argument("--short", action="store_true", help="a rehearsal: figures mean nothing")
    parser.add_argument("--home", type=Path, help="where to work; kept, and found again (default: temporary)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the table goes")
    parser.add_argument(
        "--row-limit-s", type=float, default=280.0, help="a row that takes longer is given up"
    )
    options = parser.parse_args()
    if options.list:
        print(*(f"{row.name:20} {row.title}" for row in ROWS), sep="\n")
        sys.exit()
    options.out.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    main()
