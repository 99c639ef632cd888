"""Small pieces of HTML, all text escaped. Gradio's own templates would run a ``${...}`` in a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from dreamgui import events
from dreamgui.jobs.queue import Jobs
from dreamgui.ui.parts.stream import JobView, duration, fraction_done, seconds_left, waiting_text

NOTES_SHOWN = 3
RESULTS = {"dataset": "dataset", "model": "model", "run": "run", "report": "report", "export": "export"}
PILLS = {
    "waiting": "Waiting",
    "running": "Running",
    "done": "Done",
    "failed": "Failed",
    "cancelled": "Stopped",
}


def progress_card(view: JobView, jobs: Jobs, idle: str, advice: str = "") -> str:
    """Return the card of a job: state, bar, notes, and its end.

    Args:
        view: the job's view.
        jobs: the queue, which names the job ahead of a waiting one.
        idle: text before any job was started.
        advice: next step after a good end (plain text).
    """
    if view.job is None or view.state is None:
        return f'<div class="dg-card dg-idle">{escape(idle)}</div>'
    parts = [_head(view, jobs), _bar(view), _notes(view), _end(view, advice)]
    name = escape(view.job.id)
    return f'<div class="dg-card dg-{view.state}" role="status" data-job="{name}">{"".join(parts)}</div>'


def _head(view: JobView, jobs: Jobs) -> str:
    assert view.job is not None and view.state is not None
    if view.state == "waiting":
        waits = waiting_text(jobs.ahead(view.job), jobs.comes_between(view.job))
        text = "Cancelled before it started" if view.stopping else waits
    elif view.state == "running" and view.stopping:
        text = "Stopping. Results so far are kept"
    else:
        text = _activity(view)
    pill = f'<span class="dg-pill">{PILLS[view.state]}</span>'
    return f'<div class="dg-head">{pill}<span>{escape(text)}</span></div>'


def _activity(view: JobView) -> str:
    progress, ending = view.last(events.Progress), view.ending
    if isinstance(ending, events.Done | events.Cancelled):
        return f"after {duration(ending.seconds)}"
    if ending is not None or progress is None:
        return "" if ending else "Getting ready"
    left = seconds_left(view)
    rest = f", {duration(left)} left" if left else ""
    return f"{progress.label}: {progress.done} of {progress.total}{rest}"


def _bar(view: JobView) -> str:
    if view.state != "running":
        return ""
    share = fraction_done(view)
    if share is None:
        return '<div class="dg-bar dg-unknown"><i></i></div>'
    return f'<div class="dg-bar"><i style="width:{100 * share:.1f}%"></i></div>'


def _notes(view: JobView) -> str:
    texts = [note.text for note in view.all(events.Note)]
    if len(texts) <= NOTES_SHOWN:
        return _list(texts)
    rest = f"<summary>{len(texts)} notes in all</summary>{_list(texts[NOTES_SHOWN:])}"
    return f"{_list(texts[:NOTES_SHOWN])}<details>{rest}</details>"


def _list(texts: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="dg-notes">{items}</ul>' if items else ""


def _end(view: JobView, advice: str) -> str:
    if isinstance(view.ending, events.Failed):
        what, then = escape(view.ending.what), escape(view.ending.next_step)
        return f'<p class="dg-error" role="alert"><b>{what}</b> {then}</p>'
    kept = {(one.what, one.name): one for one in view.all(events.Saved) if one.what in RESULTS}
    text = "".join(f"<p>Saved the {RESULTS[one.what]} {_place_of(one)}.</p>" for one in kept.values())
    if isinstance(view.ending, events.Done) and advice:
        text += f'<p class="dg-next">{escape(advice)}</p>'
    return text if view.ending else ""


def _place_of(saved: events.Saved) -> str:
    """The name of something saved, as a link to its place in the library."""
    kind = "base" if saved.what == "model" else saved.what
    name = saved.path.name if saved.what == "export" else saved.name
    return f'<a href="#library/{kind}/{quote(name)}"><b>{escape(saved.name)}</b></a>'


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """Return a plain table, empty without rows."""
    if not rows:
        return ""
    head = "".join(f"<th>{escape(item)}</th>" for item in headers)
    body = "".join("<tr>" + "".join(f"<td>{escape(item)}</td>" for item in row) + "</tr>" for row in rows)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<table class="dg-table">{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Return names and values as a list, one pair per line."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
    return f'<dl class="dg-facts">{rows}</dl>'
