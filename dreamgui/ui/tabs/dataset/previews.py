"""Thumbnails of the photographs that were chosen, before anything is cropped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from dreamgui.data.photos.load import load_view, shown_name
from dreamgui.errors import BadPhoto
from dreamgui.ui.parts.pictures import thumbnail_data

MOST = 24
THUMB_PX = 160


def previews(files: Sequence[Any] | None) -> dict[str, Any]:
    """Return thumbnails of at most 24 chosen files as HTML with numbered places, and the files for them.

    Captions, zip files and photographs that can't be read have none; cropping tells the reasons.
    """
    found: list[dict[str, Any]] = []
    figures = []
    for path in [Path(str(file)) for file in files or []][:MOST]:
        try:
            view = load_view(path, THUMB_PX).image
        except BadPhoto:
            continue
        view.thumbnail((THUMB_PX, THUMB_PX))
        name = escape(shown_name(path))
        figures.append(f'<img data-file="{len(found)}" alt="{name}" title="{name}">')
        found.append(thumbnail_data(view, f"{path}|{path.stat().st_mtime_ns}"))
    more = len(files or []) - MOST
    rest = f"<span>and {more} more</span>" if more > 0 else ""
    return {
        "html": f'<div class="dg-previews">{"".join(figures)}{rest}</div>' if figures else "",
        "files": found,
    }
