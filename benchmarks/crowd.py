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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from gradio_client import Client

from benchmarks.bare import MOST_NICE, News, bare_server, recorded
from benchmarks.hostile import KINDS
from dreamgui.workspace import Workspace, write_json
from tests.diffusion.made import make_dataset
from tests.e2e import conftest
from tests.e2e.conftest import running_app
from tests.threats.strangers import API

RESULTS = Path(__file__).parent / "results" / "crowd.json"
ASKED_EVERY_SECONDS = 0.2
BARE = ", at a bare server"
conftest.START_SECONDS = 900  # a loaded machine imports torch for minutes


@dataclass(frozen=True)
class Crowd:
    """Clients in a process of their own.

    Attributes:
        work: done by that process with a crowd, and an event that says that it has begun.
        url: the server that they ask.
        page: the page, whose listeners they know.
        count: viewers, or requests.
        seconds: time over which requests are spread; 0 for as fast as they are answered.
    """

    work: Callable[[Crowd, Any], None]
    url: str
    page: str
    count: int
    seconds: float = 0.0


def main() -> None:
    """Measure alone, with viewers, and under hostile requests, and store it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_dataset(Workspace(home), size_px=512)
        subprocess.run([sys.executable, "-m", "dreamgui", "--home", folder, "convert", "demo"], check=True)
        with running_app(home, threads=os.cpu_count() or 1) as server, training(server.url, home):
            found = rows(server.url, home, options.viewers, options.requests, options.seconds)
    facts = {"cores": os.cpu_count(), "python": sys.version.split()[0]}
    write_json(options.out, facts | found)
    print(json.dumps(facts | found, indent=1))


def rows(url: str, home: Path, viewers: int, requests: int, seconds: float) -> dict[str, Any]:
    """Measure the page alone, before each crowd, and while the crowd asks another server."""
    watching, sending = f"{viewers} viewers", f"{requests} hostile requests"
    found = {"alone": measured(url, home, seconds)}
    with bare_server(news_of(url, seconds)) as bare:
        found[watching] = measured(url, home, seconds, Crowd(view, url, url, viewers))
        found[watching + BARE] = measured(url, home, seconds, Crowd(view, bare, url, viewers))
        found["alone between"] = measured(url, home, seconds)
        found[sending] = measured(url, home, seconds, Crowd(attack, url, url, requests))
        pace = found[sending]["seconds"]
        found[sending + BARE] = measured(url, home, seconds, Crowd(attack, bare, url, requests, pace))
    found["alone again"] = measured(url, home, seconds)
    return found | {"training_slower_percent": {name: slower(found, name) for name in (watching, sending)}}


def slower(found: dict[str, dict[str, float]], name: str) -> dict[str, float]:
    """Return by how many percent a crowd slows the training down: against none, and against one at another server."""
    speeds = {row: figures["steps_per_second"] for row, figures in found.items()}
    alone = statistics.mean(speed for row, speed in speeds.items() if row.startswith("alone"))
    against = {"than_alone": alone, "than_beside_a_bare_server": speeds[name + BARE]}
    return {row: round(100 * (1 - speeds[name] / max(speed, 1e-3)), 1) for row, speed in against.items()}


def measured(url: str, home: Path, seconds: float, crowd: Crowd | None = None) -> dict[str, float]:
    """Return the bystander's times for a status, the training's speed, and the crowd's processor seconds from its beginning on.

    Viewers watch for so many seconds. Requests are sent until all are answered.
    """
    spent = crowd_seconds()
    process = begun(crowd) if crowd else None
    if process:
        # Before it begins it has imported torch.
        times = psutil.Process(process.pid).cpu_times()
        spent += times.user + times.system
    asked: list[float] = []
    over = threading.Event()
    bystander = threading.Thread(target=ask, args=(url, asked, over))
    bystander.start()
    steps, began = steps_of(home), time.monotonic()
    if process and crowd and crowd.work is attack:
        process.join()
    else:
        time.sleep(seconds)
    took = time.monotonic() - began
    found = {"seconds": round(took, 1), "steps_per_second": round((steps_of(home) - steps) / took, 3)}
    over.set()
    bystander.join()
    if process:
        process.kill()
        process.join()
    asked.sort()
    return {
        "status_median_s": round(statistics.median(asked), 3),
        "status_95th_s": round(asked[int(0.95 * (len(asked) - 1))], 3),
        "statuses": len(asked),
        **found,
        "crowds_share_of_a_core": round((crowd_seconds() - spent) / took, 2),
        "clients_cpu_seconds": round(crowd_seconds() - spent, 2),
        "load_average": round(os.getloadavg()[0], 1),
    }


def ask(url: str, seconds: list[float], over: threading.Event) -> None:
    """Ask for the status again and again until it is over."""
    app = Client(url, verbose=False)
    while not over.wait(ASKED_EVERY_SECONDS):
        began = time.monotonic()
        app.predict(api_name="/status")
        seconds.append(time.monotonic() - began)


def begun(crowd: Crowd) -> Any:
    """Start a crowd in a process of its own. It has begun when this returns."""
    context = multiprocessing.get_context("spawn")
    event = context.Event()
    process = context.Process(target=crowd.work, args=(crowd, event))
    process.start()
    event.wait(300)
    return process


def view(crowd: Crowd, begun: Any) -> None:
    """Watch the page as so many browsers do, until this process is killed."""
    os.nice(MOST_NICE)
    asyncio.run(_view(crowd, begun))


async def _view(crowd: Crowd, begun: Any) -> None:
    limits = httpx.Limits(max_connections=None)
    config = httpx.get(f"{crowd.page}config", timeout=None).json()
    async with httpx.AsyncClient(base_url=crowd.url, timeout=None, limits=limits) as client:
        loaded = asyncio.Semaphore(0)
        viewers = [
            asyncio.create_task(_viewer(client, config, f"viewer-{n}", loaded)) for n in range(crowd.count)
        ]
        for _ in viewers:
            await loaded.acquire()
        begun.set()
        await asyncio.gather(*viewers)


async def _viewer(client: httpx.AsyncClient, config: dict[str, Any], name: str, loaded: Any) -> None:
    """Load the page, ask what a browser asks as it opens, and read all answers."""
    await client.get("/")
    for body in opening(config, name):
        await client.post(f"/{API}/queue/join", json=body)
    loaded.release()
    async with client.stream("GET", f"/{API}/queue/data", params={"session_hash": name}) as stream:
        async for _ in stream.aiter_lines():
            pass


def opening(config: dict[str, Any], session: str) -> Iterator[dict[str, Any]]:
    """Yield the bodies by which a browser asks as the page opens."""
    components = {one["id"]: one for one in config["components"]}
    for listener in config["dependencies"]:
        if listener["backend_fn"] and any(event == "load" for _, event in listener["targets"]):
            data = [components[one]["props"].get("value") for one in listener["inputs"]]
            yield {"fn_index": listener["id"], "data": data, "session_hash": session}


def news_of(url: str, seconds: float) -> News:
    """Return what one viewer is sent in this time."""
    with httpx.Client(base_url=url, timeout=60) as client:
        for body in opening(client.get("/config").json(), "recorded"):
            client.post(f"/{API}/queue/join", json=body)
        asked = {"session_hash": "recorded"}
        with client.stream("GET", f"/{API}/queue/data", params=asked, timeout=seconds) as stream:
            return recorded(stream.iter_raw(), seconds)


def attack(crowd: Crowd, begun: Any) -> None:
    """Send so many hostile requests of all kinds, eight at a time."""
    os.nice(MOST_NICE)
    asyncio.run(_attack(crowd, begun))


async def _attack(crowd: Crowd, begun: Any) -> None:
    async with httpx.AsyncClient(base_url=crowd.url, timeout=30) as client:
        begun.set()
        places, began = asyncio.Semaphore(8), time.monotonic()

        async def send(number: int) -> None:
            async with places:
                turn = began + number * crowd.seconds / crowd.count
                await asyncio.sleep(max(0.0, turn - time.monotonic()))
                with suppress(httpx.HTTPError):
                    await KINDS[number % len(KINDS)](client, number)

        await asyncio.gather(*(send(number) for number in range(crowd.count)))


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
