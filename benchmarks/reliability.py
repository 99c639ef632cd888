"""``python -m benchmarks.reliability``: promises of ../shared/design/THREATS.md that this machine can check, as figures.

``--short`` makes few of each. A row that wasn't run here says why and who holds it otherwise.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import platform
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from gradio_client import Client
from PIL import Image

from dreamgui.config import GenerateJob, TrainJob
from dreamgui.errors import AlreadyRunning
from dreamgui.services import Services
from dreamgui.ui.guard import connections
from dreamgui.ui.guard.connections import HEAD_SECONDS, MOST_OPEN
from dreamgui.workspace import Workspace, write_json
from tests.ui.conftest import serve
from tests.ui.fakes import add_base, fake_recipes, fake_services

RESULTS = Path(__file__).parent / "results" / "reliability.json"
CLIENTS = 8
LOOKS = 50
MOST_OF_A_CLIENT_AT_WORK = 6
"""Connections that the asking client itself may keep open."""
NOT_RUN = {
    "kill -9": "python -m benchmarks.kill, results/kill.json: 70 of 70",
    "malformed model files": "tests/models/test_malformed.py holds it; each run of the suite",
    "two visitors and a stranger": "tests/threats/test_23_ownership.py holds it; each run of the suite",
    "2,000 hostile requests": "python -m benchmarks.crowd, results/crowd.json",
    "50 viewers": "python -m benchmarks.crowd, results/crowd.json",
    "out of memory": "tests of the manager and of training hold it where there is a GPU",
    "photographs after a restart": "tests/threats/test_20_served_files.py and the tests of the waiting room hold it",
}
_LOOK = """
import sys, time
from pathlib import Path
from PIL import Image
from dreamgui.data.crop import take_in
from dreamgui.data.faces.detect import detect_faces
from dreamgui.errors import BadPhoto
detect_faces(Image.new("RGB", (64, 64)))
def peak():
    # Not getrusage: that begins with the memory of the program that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
before, began, cpu = peak(), time.monotonic(), time.process_time()
try:
    take_in(Path(sys.argv[1]), Path(sys.argv[2]), 1, 0.5, 50)
    outcome = "cropped"
except BadPhoto as error:
    outcome = error.what
print(time.monotonic() - began, time.process_time() - cpu, peak() - before, outcome, sep="|")
"""


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    found = measured(parser.parse_args().short)
    write_json(RESULTS, found)
    print(found)


def measured(short: bool) -> dict[str, Any]:
    """Return all rows, with the machine and its load, as seconds, MB and counts."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        return {
            "machine": {
                "cores": os.cpu_count(),
                "python": platform.python_version(),
                "load": os.getloadavg()[0],
            },
            "heavy photographs": heavy_photographs(place, short),
            "double start": double_start(place / "races", 5 if short else 200),
            "open connections": open_connections(
                place, *((150, 100, 1.0) if short else (2000, MOST_OPEN, HEAD_SECONDS))
            ),
            "endurance": endurance(place / "batches", 3 if short else 20),
            "not run here": NOT_RUN,
        }


def heavy_photographs(folder: Path, short: bool) -> dict[str, dict[str, Any]]:
    """Look at photographs that ask for much, each in a process of its own.

    Returns:
        Seconds on the clock and of computing, MB of memory beyond the detector's, and the outcome, by photograph.
    """
    makers: dict[str, Callable[[Path], None]] = {
        "JPEG of 400 scans": lambda path: _scans(path, 8000, 6000, 400),
        "PNG of 100 megapixels": lambda path: _png(path, 10_000, 10_000, 8),
        "PNG of 16 bits, 99 megapixels": lambda path: _png(path, 10_000, 9_900, 16),
        "PNG of 29 megapixels without a face": lambda path: _png(path, 5_400, 5_400, 8),
        "JPEG of 72 megapixels without a face": lambda path: Image.new("RGB", (9000, 8000)).save(
            path, "JPEG"
        ),
    }
    rows = {}
    for name, make in list(makers.items())[: 1 if short else None]:
        path = folder / "photograph"
        make(path)
        command = [sys.executable, "-c", _LOOK, str(path), str(folder / "kept")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, computing, peak, outcome = done.stdout.strip().splitlines()[-1].split("|", 3)
        rows[name] = {
            "file_kb": path.stat().st_size // 1000,
            "seconds": round(float(seconds), 2),
            "cpu_seconds": round(float(computing), 2),
            "mb": int(peak) // 1_000_000,
            "outcome": outcome,
        }
    return rows


def open_connections(folder: Path, count: int, limit: int, seconds: float) -> dict[str, float]:
    """Open so many connections to a page and send nothing; ask for the status beside them, and wait until all are ended.

    Args:
        limit: the most that the page lets be open.
        seconds: time that the page gives a connection to bring a request.
    """
    with pytest.MonkeyPatch.context() as patch, ExitStack() as opened:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        patch.setattr(connections, "MOST_OPEN", limit)
        page = opened.enter_context(contextmanager(serve)(fake_services(folder / "page")))
        held = connections.limit(page.app.get_blocks().server, seconds=seconds)
        where, began = urlsplit(page.url), time.monotonic()
        for _ in range(count):
            address = where.hostname or "", where.port or 0
            opened.enter_context(closing(socket.create_connection(address, 60)))
        asked = time.monotonic()
        client = Client(page.url, verbose=False)
        client.predict(api_name="/status")
        answered = time.monotonic()
        while (left := len(held)) > MOST_OF_A_CLIENT_AT_WORK and time.monotonic() - began < 10 * seconds:
            time.sleep(0.1)
        return {
            "silent connections": count,
            "limit": limit,
            "open at most": held.most,
            "page and status beside them, s": round(answered - asked, 2),
            "left": left,
            "all ended after, s": round(time.monotonic() - began, 1),
        }


def double_start(root: Path, races: int) -> dict[str, int]:
    """Let 8 clients start the same training at once, again and again; return races, and those with exactly one run."""
    services = _services(root)
    right = 0
    for number in range(races):
        config = TrainJob(model="portraits", dataset="me", run=f"run-{number}", steps=20_000, sample_every=0)
        begun: list[str] = []
        gate = threading.Barrier(CLIENTS)

        def start(
            config: TrainJob = config, begun: list[str] = begun, gate: threading.Barrier = gate
        ) -> None:
            gate.wait()
            with suppress(AlreadyRunning):
                begun.append(services.jobs.submit(config).id)

        clients = [threading.Thread(target=start) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        right += len(begun) == 1
        for job in services.jobs.active():
            job.stop()
            job.wait()
    return {"races": races, "with one run": right}


def endurance(root: Path, cycles: int) -> dict[str, Any]:
    """Run two equal batches of jobs; return what the second one added, and the growth of memory in MB."""
    services = _services(root)
    before = _batch(services, cycles)
    after = _batch(services, cycles)
    grown = {name: after[name] - before[name] for name in before}
    return {"cycles": cycles, "grown": grown}


def _batch(services: Services, cycles: int) -> dict[str, float]:
    for number in range(cycles):
        for config in (
            GenerateJob(model="portraits", prompt=f"a {number}", count=1),
            TrainJob(model="portraits", dataset="me", run="mine", steps=4, sample_every=2),
        ):
            services.jobs.submit(config).wait()
    return _held()


def _held() -> dict[str, float]:
    """The least that was seen: a job closes its files after it has told its end."""
    process = psutil.Process()
    seen = []
    for _ in range(LOOKS):
        gc.collect()
        seen.append((process.num_threads(), process.num_fds(), process.memory_info().rss))
        time.sleep(0.02)
    threads, handles, mb = (min(row) for row in zip(*seen, strict=True))
    return {"mb": round(mb / 1e6, 1), "threads": threads, "handles": handles}


def _services(root: Path) -> Services:
    services = Services(Workspace(root), lambda workspace, _: fake_recipes(workspace, 0.001))
    add_base(services.workspace, "portraits")
    return services


def _png(path: Path, width: int, height: int, depth: int) -> None:
    """A PNG of one colour, RGB with 8 bits or RGBA with 16."""
    channels, kind = (3, 2) if depth == 8 else (4, 6)
    rows = zlib.compressobj(9)
    row = b"\0" + bytes(width * channels * depth // 8)
    packed = b"".join([*(rows.compress(row) for _ in range(height)), rows.flush()])
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, data in ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")):
        parts.append(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)))
    path.write_bytes(b"".join(parts))


def _scans(path: Path, width: int, height: int, scans: int) -> None:
    """A progressive JPEG whose last scan comes again and again."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (120, 90, 60)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()[:-2]
    last = data[data.rfind(b"\xff\xda") :]
    path.write_bytes(data + last * (scans - data.count(b"\xff\xda")) + b"\xff\xd9")


if __name__ == "__main__":
    main()
