"""``python -m benchmarks.crowd``: what 50 viewers and 2,000 hostile requests cost a bystander and a training.

The page runs as ``python app.py`` on this machine and trains the bundled model. A bystander asks for the status all
the while. The crowd is a process of its own that would sit at other machines: it gets the processor last (nice 19), and
its share is stored beside the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from gradio_client import Client

from benchmarks.hostile import KINDS
from dreamgui.workspace import Workspace, write_json
from tests.diffusion.made import make_dataset
from tests.e2e import conftest
from tests.e2e.conftest import running_app
from tests.threats.strangers import API

RESULTS = Path(__file__).parent / "results" / "crowd.json"
Crowd = tuple[Callable[[str, int, Any], None], int]
ASKED_EVERY_SECONDS = 0.2
MOST_NICE = 19
conftest.START_SECONDS = 900  # a loaded machine imports torch for minutes


def main() -> None:
    """Measure alone, with viewers, and under hostile requests, and store it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_dataset(Workspace(home), size_px=512)
        subprocess.run([sys.executable, "-m", "dreamgui", "--home", folder, "convert", "demo"], check=True)
        with running_app(home, threads=os.cpu_count() or 1) as server, training(server.url, home):
            crowds: dict[str, Crowd | None] = {
                "alone": None,
                f"{options.viewers} viewers": (view, options.viewers),
                f"{options.requests} hostile requests": (attack, options.requests),
                "alone again": None,
            }
            found = {name: measured(server.url, home, options.seconds, of) for name, of in crowds.items()}
    facts = {"cores": os.cpu_count(), "python": sys.version.split()[0]}
    write_json(RESULTS, facts | found)
    print(json.dumps(facts | found, indent=1))


def measured(url: str, home: Path, seconds: float, of: Crowd | None) -> dict[str, float]:
    """Return the bystander's times for a status, the training's speed, and the crowd's share of a core.

    Viewers watch for so many seconds. Requests are sent as fast as they are answered, until all are.
    """
    spent = crowd_seconds()
    crowd = begun(url, *of) if of else None
    asked: list[float] = []
    over = threading.Event()
    bystander = threading.Thread(target=ask, args=(url, asked, over))
    bystander.start()
    steps, began = steps_of(home), time.monotonic()
    if crowd and of and of[0] is attack:
        crowd.join()
    else:
        time.sleep(seconds)
    took = time.monotonic() - began
    found = {"seconds": round(took, 1), "steps_per_second": round((steps_of(home) - steps) / took, 3)}
    over.set()
    bystander.join()
    if crowd:
        crowd.kill()
        crowd.join()
    asked.sort()
    return {
        "status_median_s": round(statistics.median(asked), 3),
        "status_95th_s": round(asked[int(0.95 * (len(asked) - 1))], 3),
        "statuses": len(asked),
        **found,
        "crowds_share_of_a_core": round((crowd_seconds() - spent) / took, 2),
        "load_average": round(os.getloadavg()[0], 1),
    }


def ask(url: str, seconds: list[float], over: threading.Event) -> None:
    """Ask for the status again and again until it is over."""
    app = Client(url, verbose=False)
    while not over.wait(ASKED_EVERY_SECONDS):
        began = time.monotonic()
        app.predict(api_name="/status")
        seconds.append(time.monotonic() - began)


def begun(url: str, work: Callable[[str, int, Any], None], count: int) -> Any:
    """Start a crowd in a process of its own. It has begun when this returns."""
    context = multiprocessing.get_context("spawn")
    event = context.Event()
    process = context.Process(target=work, args=(url, count, event))
    process.start()
    event.wait(300)
    return process


def view(url: str, count: int, begun: Any) -> None:
    """Watch the page as so many browsers do, until this process is killed."""
    os.nice(MOST_NICE)
    asyncio.run(_view(url, count, begun))


async def _view(url: str, count: int, begun: Any) -> None:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=None, limits=limits) as client:
        config = (await client.get("/config")).json()
        loaded = asyncio.Semaphore(0)
        viewers = [asyncio.create_task(_viewer(client, config, f"viewer-{n}", loaded)) for n in range(count)]
        for _ in viewers:
            await loaded.acquire()
        begun.set()
        await asyncio.gather(*viewers)


async def _viewer(client: httpx.AsyncClient, config: dict[str, Any], name: str, loaded: Any) -> None:
    """Load the page, ask what a browser asks as it opens, and read all answers."""
    await client.get("/")
    components = {one["id"]: one for one in config["components"]}
    for listener in config["dependencies"]:
        if listener["backend_fn"] and any(event == "load" for _, event in listener["targets"]):
            data = [components[one]["props"].get("value") for one in listener["inputs"]]
            body = {"fn_index": listener["id"], "data": data, "session_hash": name}
            await client.post(f"/{API}/queue/join", json=body)
    loaded.release()
    async with client.stream("GET", f"/{API}/queue/data", params={"session_hash": name}) as stream:
        async for _ in stream.aiter_lines():
            pass


def attack(url: str, count: int, begun: Any) -> None:
    """Send so many hostile requests of all kinds, eight at a time."""
    os.nice(MOST_NICE)
    asyncio.run(_attack(url, count, begun))


async def _attack(url: str, count: int, begun: Any) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        begun.set()
        places = asyncio.Semaphore(8)

        async def send(number: int) -> None:
            async with places:
                with suppress(httpx.HTTPError):
                    await KINDS[number % len(KINDS)](client, number)

        await asyncio.gather(*(send(number) for number in range(count)))


def steps_of(home: Path) -> int:
    """Return the number of steps that the training has told."""
    logs = home.glob("jobs/*-train-*/events.jsonl")
    return sum(log.read_bytes().count(b'"Loss"') for log in logs)


def crowd_seconds() -> float:
    """Return the processor time of all crowds that have ended."""
    times = os.times()
    return times.children_user + times.children_system


@contextmanager
def training(url: str, home: Path) -> Iterator[None]:
    """Train the bundled model meanwhile. Two steps have been made when the block begins."""
    app = Client(url, verbose=False)
    wanted = {"dataset": "anna", "steps": 20000, "sample_every": 0, "prior_preservation": False}
    running = app.submit(**wanted, api_name="/train")
    while steps_of(home) < 2 and not running.done():
        time.sleep(0.5)
    yield
    app.predict(kind="train", api_name="/stop")
    running.result()


if __name__ == "__main__":
    main()
