"""Names that are one harmless folder name on Linux, macOS and Windows, each its own."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable

from dreamgui.errors import BadInput

MAX_LETTERS, MAX_BYTES = 80, 120
"""Temporary marks and endings around a name must fit into the 143 bytes of an encrypted disk."""
_RESERVED = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), *(f"lpt{n}" for n in range(10))}
_DIGEST_LETTERS = 8


def safe_name(wanted: str, ending: str = "") -> str:
    """Return a name of letters, marks, digits, ``.``, ``_`` and ``-``. A safe name comes back as it is.

    Letters of all scripts stay, composed (NFC). A name that is too long is cut and gets a digest of the whole, so
    that two long names with one beginning stay apart.

    Args:
        wanted: any text.
        ending: stays whole behind the name, for instance ``-2``.

    Raises:
        BadInput: nothing usable is left.
    """
    kept = "".join(letter if _is_kept(letter) else " " for letter in unicodedata.normalize("NFC", wanted))
    name = "-".join(kept.replace("\u200d", "").split()).strip("-._")
    if not name or name.split(".")[0].casefold() in _RESERVED:
        why = ": Windows keeps it for a device" if name else ""
        raise BadInput(
            f"'{wanted[:80]}' can't be a name{why}.",
            "Use letters, digits, '-' and '_', for instance 'anna-1'.",
        )
    return _shortened(name, ending)


def composed(name: str) -> str:
    """Return the name in composed letters (NFC), as names are listed and compared. Keyboards and macOS decompose
    them."""
    return unicodedata.normalize("NFC", name)


def numbered_names(name: str) -> Iterable[str]:
    """Yield the safe name, then the same with -2, -3... behind it."""
    yield name
    number = 2
    while True:
        yield safe_name(name, f"-{number}")
        number += 1


def same_folder(name: str) -> str:
    """Return what two names have in common that some file system would keep in one folder."""
    return composed(composed(name).casefold())


def ascii_name(name: str) -> str:
    """Return the safe name's ASCII letters, for file systems that take no others, or a digest where none is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().strip("-._")
    return safe_name(plain or _digest(name))


def name_notes(wanted: str, name: str) -> list[str]:
    """Return the sentence that tells a user of another name than the wanted one, or nothing where it is the same."""
    if not wanted or composed(wanted) == name:
        return []
    safe = safe_name(wanted)
    reasons = ["can't be a folder's name"] if composed(wanted) != safe else []
    reasons += ["is taken"] if name != safe else []
    if len(reasons) > 1:
        reasons[1] = f"{safe} {reasons[1]}"
    return [f"It is called {name}: '{wanted[:80]}' {', and '.join(reasons)}."]


def _is_kept(letter: str) -> bool:
    return letter.isalnum() or letter in "._-" or unicodedata.category(letter).startswith("M")


def _shortened(name: str, ending: str) -> str:
    if _fits(name + ending):
        return name + ending
    tail = f"-{_digest(name)}{ending}"
    while not _fits(name + tail):
        name = name[:-1]
    return name.rstrip("-._") + tail


def _fits(name: str) -> bool:
    return len(name) <= MAX_LETTERS and len(name.encode()) <= MAX_BYTES


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LETTERS]
