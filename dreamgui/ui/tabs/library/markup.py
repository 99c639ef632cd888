"""Items, their details and their sizes as HTML, all text escaped."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from typing import Any

from dreamgui import events
from dreamgui.library.cleaning import Sizes
from dreamgui.library.item import Item
from dreamgui.library.trash import Trashed
from dreamgui.sizes import file_size
from dreamgui.ui.parts.markup import facts, table
from dreamgui.ui.parts.pictures import THUMB_PX, file_data
from dreamgui.ui.parts.stream import duration

KIND_WORDS = {
    "dataset": "Dataset",
    "base": "Base model",
    "run": "Run",
    "checkpoint": "Checkpoint",
    "export": "Export",
    "report": "Report",
    "picture": "Picture",
}
STATE_WORDS = {"running": "Running", "stopped": "Stopped", "broken": "Broken", "done": ""}
SIZE_WORDS = {kind: f"{word}s" for kind, word in KIND_WORDS.items()} | {"uploads": "Original photographs"}
LOG_LINES = 12
_TITLE_LETTERS = 48
_AT_ONCE = 4


def key_of(item: Item) -> str:
    """Return an item's kind and name as one text."""
    return f"{item.kind}/{item.name}"


def tiles(items: Sequence[Item], nothing: str) -> dict[str, Any]:
    """Return the items as buttons with numbered places for pictures, and the files for them.

    Args:
        nothing: the text without any items.
    """
    if not items:
        return {"html": f'<div class="dg-card dg-idle">{escape(nothing)}</div>', "files": []}
    files: list[dict[str, Any]] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        faces = list(pool.map(_thumbnail, items))
    html = "".join(
        _day(item, before) + _tile(item, face, files)
        for item, before, face in zip(items, [None, *items[:-1]], faces, strict=True)
    )
    return {"html": f'<div class="dg-items">{html}</div>', "files": files}


def _day(item: Item, before: Item | None) -> str:
    """The heading of a picture's day, where it is the day's first."""
    day, last = (each.name.partition("/")[0] if each else "" for each in (item, before))
    if item.kind != "picture" or (before and before.kind == "picture" and day == last):
        return ""
    return f"<h3>{when(item.made).partition(',')[0]}</h3>"


def _tile(item: Item, face: dict[str, Any] | None, files: list[dict[str, Any]]) -> str:
    word = KIND_WORDS[item.kind]
    picture = f'<span class="dg-blank">{word}</span>'
    if face:
        picture = f'<img loading="lazy" data-file="{len(files)}" alt="">'
        files.append(face)
    state = f'<span class="dg-pill">{STATE_WORDS[item.state]}</span>' if STATE_WORDS[item.state] else ""
    who = f"<span>{escape(item.who)}</span>" if item.who else ""
    return (
        f'<button type="button" class="dg-item dg-{item.state}" data-item="{escape(key_of(item))}">{picture}'
        f"<b>{escape(title_of(item))}</b>{who}<span>{word}, {when(item.made)}, {file_size(item.size_bytes)}</span>"
        f"{state}</button>"
    )


def _thumbnail(item: Item) -> dict[str, Any] | None:
    try:
        return file_data(item.thumbnail, THUMB_PX) if item.thumbnail else None
    except (OSError, ValueError, SyntaxError):
        return None


def title_of(item: Item) -> str:
    """Return an item's name, of a picture the beginning of its prompt."""
    prompt = item.figures.get("Prompt", "") if item.kind == "picture" else ""
    return f"{prompt[:_TITLE_LETTERS]}..." if len(prompt) > _TITLE_LETTERS else prompt or item.name


def when(seconds: float) -> str:
    """Return a time in words: 28 Nov 2026, 06:12."""
    return time.strftime("%d %b %Y, %H:%M", time.localtime(seconds)).lstrip("0")


def details(item: Item) -> str:
    """Return an item's figures, its tags and its note."""
    fault = f'<p class="dg-error" role="alert">{escape(item.fault)}</p>' if item.fault else ""
    state = STATE_WORDS[item.state]
    pairs = [
        *([("State", state)] if state else []),
        *([("Model" if item.kind == "picture" else "Person", item.who)] if item.who else []),
        *item.figures.items(),
        ("Made", when(item.made)),
        ("On the disk", file_size(item.size_bytes)),
        *([("Tags", ", ".join(item.tags))] if item.tags else []),
        *([("Note", item.note)] if item.note else []),
    ]
    head = f'<div class="dg-head"><b>{escape(title_of(item))}</b><span>{KIND_WORDS[item.kind]}</span></div>'
    return f'<div class="dg-card" data-shown="{escape(key_of(item))}">{head}{fault}{facts(pairs)}</div>'


def settings_list(settings: Mapping[str, Any]) -> str:
    """Return settings that aren't empty, folded."""
    pairs = [(name.replace("_", " "), _said(value)) for name, value in settings.items() if _is_given(value)]
    return f"<details><summary>Settings</summary>{facts(pairs)}</details>" if pairs else ""


def _is_given(value: Any) -> bool:
    return value is not None and value not in ("", [], {}, ())


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def log_tail(seen: Iterable[events.Event]) -> str:
    """Return the last notes, saved things and the ending of a run's jobs, folded."""
    lines = [line for event in seen if (line := _line(event))][-LOG_LINES:]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<details><summary>Log</summary><ul class="dg-notes">{items}</ul></details>' if lines else ""


def _line(event: events.Event) -> str:
    match event:
        case events.Note(text):
            return text
        case events.Saved(what, name, _):
            return f"Saved the {what} {name}."
        case events.Failed(what, next_step):
            return f"{what} {next_step}"
        case events.Done(seconds):
            return f"Done after {duration(seconds)}."
        case events.Cancelled(seconds):
            return f"Stopped after {duration(seconds)}."
    return ""


def report_page(html: str) -> str:
    """Return a report's page in a frame of its own, where no script runs."""
    return f'<iframe class="dg-report" title="Report" sandbox="" srcdoc="{escape(html)}"></iframe>'


def sizes_table(sizes: Sizes) -> str:
    """Return bytes by kind, and what can be cleaned."""
    rows = [
        (SIZE_WORDS.get(kind, kind.capitalize()), file_size(size))
        for kind, size in sizes.by_kind.items()
        if size
    ]
    words = {
        "checkpoints": "Older checkpoints",
        "compiled": "Compiler cache",
        "trash": "Trash",
    }
    clean = [(words[what], file_size(size)) for what, size in sizes.cleanable.items()]
    return table(("On the disk", "Size"), rows) + table(("Can be cleaned", "Size"), clean)


def trash_choices(trash: Iterable[Trashed]) -> list[tuple[str, str]]:
    """Return label and id of each deleted item."""
    return [
        (
            f"{KIND_WORDS.get(each.kind, 'Unreadable')} {each.name}, {file_size(each.size_bytes)}, {when(each.deleted)}",
            each.id,
        )
        for each in trash
    ]
