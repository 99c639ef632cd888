"""Line in the page's head: the running job as a link to its tab, the device, and what the browser's script reads."""

from __future__ import annotations

from html import escape

from dreamgui.events import Progress
from dreamgui.jobs.job import Job
from dreamgui.services import Services
from dreamgui.ui.parts.session import Device
from dreamgui.workspace import Shelf

STEPS: dict[str, Shelf] = {
    "dataset": "datasets",
    "convert": "models",
    "train": "runs",
    "generate": "pictures",
    "compare": "reports",
}
"""Tabs in the order of the work, each with the shelf that its results lie on."""
_ENDINGS = {"done": "is done", "failed": "failed", "cancelled": "was stopped"}


def percent(job: Job) -> int | None:
    """Return the finished percentage of the job's current part, 0 to 100, or None before any is known."""
    last = job.last(Progress)
    return min(100, 100 * last.done // last.total) if last and last.total > 0 else None


def steps_done(services: Services) -> tuple[list[str], str]:
    """Return the tabs whose results are there, and the first one without any, "" if all have some."""
    there = {tab for tab, shelf in STEPS.items() if services.workspace.has_any(shelf)}
    return [tab for tab in STEPS if tab in there], next((tab for tab in STEPS if tab not in there), "")


def status_line(services: Services, device: Device) -> str:
    """Return the device, the running job as a link, and the state for the script (title, marks, notification)."""
    active = services.jobs.active()
    name = escape(str(device.status()["device"]))
    on = ' class="dg-dot dg-on"' if active else ' class="dg-dot"'
    text, bell, share = "Ready", "", None
    if active:
        share = percent(active[0])
        done = f" {share} %" if share is not None else ""
        waiting = f", {len(active) - 1} waiting" if len(active) > 1 else ""
        job = active[0].config
        words = escape(f"{job.doing[:1].upper()}{job.doing[1:]}{done}{waiting}")
        text = f'<a class="dg-job" href="#{job.tab}">{words}</a>'
        bell = '<button type="button" class="dg-bell" aria-pressed="false">Notify me</button>'
    return f'<span{on}></span>{text}{bell}<span class="dg-device">{name}</span>{_unused_gpu(device)}{_state(services, active, share)}'


def _unused_gpu(device: Device) -> str:
    """Return what to do about a GPU that PyTorch can't use, folded, or "" where nothing is wrong."""
    if device.advice is None:
        return ""
    text = f"{escape(device.advice.what)} {escape(device.advice.next_step)}"
    return f'<details class="dg-gpu"><summary>GPU unused</summary>{text}</details>'


def _state(services: Services, active: list[Job], share: int | None) -> str:
    """Return a hidden element with what the page's script reads."""
    done, following = steps_done(services)
    noun = active[0].config.noun if active else ""
    title = f"{share} % {noun}" if share is not None else noun
    last = services.jobs.last_ended()
    ended = f"{last.config.noun} {_ENDINGS.get(last.state, 'has ended')}." if last else ""
    values = {
        "done": " ".join(done),
        "next": following,
        "title": title,
        "running": active[0].id if active else "",
        "ended": ended,
    }
    told = " ".join(f'data-{key}="{escape(value)}"' for key, value in values.items())
    return f"<span hidden {told}></span>"
