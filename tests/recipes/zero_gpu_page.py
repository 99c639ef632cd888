"""A page's process on a made-up ZeroGPU: it runs jobs one after the other and tells what came of them.

python -m tests.recipes.zero_gpu_page WORKSPACE < orders.json > answers.json
An order is {"kind", "job", and optionally "steps_a_slice", "seconds", "minutes", "kill_after", "stop_after"}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dreamgui import bootstrap
from dreamgui.config import JOBS
from dreamgui.events import Loss, to_json
from dreamgui.models import zero_gpu
from dreamgui.services import Services
from dreamgui.workspace import Workspace

SAVING_SECONDS = zero_gpu.SAVING_SECONDS


def run(services: Services, order: dict[str, Any]) -> dict[str, Any]:
    """Run one job as the page does. Return its events, and what was asked of ZeroGPU."""
    import spaces
    from gradio.context import LocalContext

    # A child has what stands here when it is forked.
    for process, _ in spaces.workers:
        process.kill()
        process.join()
    spaces.workers.clear()
    zero_gpu.SAVING_SECONDS = order.get("saving", SAVING_SECONDS)
    zero_gpu.GRACE_SECONDS = order.get("grace", 10_000)
    spaces.minutes[:] = [order.get("minutes", 10_000)]
    spaces.kill_after[:] = [order.get("kill_after", 10**9)]
    spaces.asked.clear()
    spaces.tokens.clear()
    LocalContext.request.set(order.get("request"))
    job = services.jobs.submit(JOBS[order["kind"]].model_validate(order["job"]))
    events = []
    for event in job.follow(heartbeat_seconds=None):
        events.append(to_json(event))
        if isinstance(event, Loss) and event.step == order.get("stop_after"):
            job.stop()
    return {"events": events, "state": job.state, "asked": list(spaces.asked), "tokens": list(spaces.tokens)}


def main() -> None:
    services = Services(Workspace(Path(sys.argv[1])))
    if bootstrap.on_zero_gpu():
        zero_gpu.lent_slice()
    answers = [run(services, order) for order in json.load(sys.stdin)]
    from dreamgui.models.device import choose_device

    json.dump(
        {"answers": answers, "device": services.models.status()["device"], "page": choose_device().type},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
