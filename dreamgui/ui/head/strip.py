"""Strip below the tabs: what was made last, each a link to its place in the library."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from dreamgui.library.item import SHELF_OF, Item
from dreamgui.library.latest import latest
from dreamgui.services import Services
from dreamgui.ui.parts.pictures import file_data
from dreamgui.ui.results.grid import TEMPLATE
from dreamgui.ui.tabs.library.markup import KIND_WORDS, key_of, title_of

SHOWN, SIDE_PX = 12, 128
_SHELVES = ("dataset", "run", "report")


class Strip:
    """Strip of one page. It looks at the workspace again only where a folder or a job has changed."""

    def __init__(self, services: Services) -> None:
        """Place the strip."""
        self._services = services
        self._known: dict[Path, tuple[Any, dict[str, Any]]] = {}
        self.line = gr.HTML({"html": "", "files": []}, html_template=TEMPLATE, elem_id="made-last")

    def value(self) -> dict[str, Any]:
        """Return the strip as HTML with numbered places, and the files for them."""
        root, version = self._services.workspace.root, self._version()
        if root not in self._known or self._known[root][0] != version:
            self._known[root] = (version, strip(latest(self._services.workspace, SHOWN)))
        return self._known[root][1]

    def _version(self) -> tuple[Any, ...]:
        root = self._services.workspace.root
        days = sorted((root / "pictures").glob("[0-9]*"))[-1:]
        folders = [root / SHELF_OF[kind] for kind in _SHELVES] + [root / "pictures", *days]
        last = self._services.jobs.last_ended()
        return (last.id if last else "", *(_changed_ns(folder) for folder in folders))


def strip(items: Sequence[Item]) -> dict[str, Any]:
    """Return links to the items with numbered places for their pictures, and the files. Items without one are left out."""
    links, files = "", []
    for item in items:
        try:
            file = file_data(item.thumbnail, SIDE_PX) if item.thumbnail else None
        except (OSError, ValueError, SyntaxError):
            file = None
        if file:
            links += _link(item, len(files))
            files.append(file)
    html = f'<nav class="dg-strip" aria-label="Latest results">{links}</nav>' if links else ""
    return {"html": html, "files": files}


def _link(item: Item, place: int) -> str:
    word, title = KIND_WORDS[item.kind], escape(title_of(item))
    return (
        f'<a href="#library/{quote(key_of(item))}" title="{word}: {title}">'
        f'<img data-file="{place}" alt="{word}: {title}" width="72" height="72"><span>{title}</span></a>'
    )


def _changed_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
