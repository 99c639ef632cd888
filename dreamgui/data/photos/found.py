"""Content of a folder or a zip: pictures, zips, and a count by kind of what is passed over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dreamgui.data.photos.load import MAX_PHOTOS, PICTURE_SUFFIXES
from dreamgui.data.photos.sniff import HEAD_BYTES, sniff
from dreamgui.errors import OutOfRange

_READABLE = ("JPEG", "PNG", "WEBP", "HEIF")
_RAW_SUFFIXES = frozenset(".nef .cr2 .cr3 .crw .dng .arw .orf .raf .rw2 .pef .srw".split())  # noqa: SIM905
# Words beside photographs, and what systems leave in folders: no photograph is lost with them.
_SILENT_SUFFIXES = frozenset(
    ".txt .caption .json .jsonl .toml .yaml .csv .xml .xmp .aae .ini .db .md .html .lock".split()  # noqa: SIM905
)
_WORDS = {
    "zip": "zip",
    "rar": "rar archive",
    "7z": "7z archive",
    "tar": "tar archive",
    "gzip": "tar archive",
    "video": "film",
    "AVI video": "film",
    "TIFF or camera raw": "raw file",
}
_ARCHIVES = ("rar archive", "7z archive", "tar archive")


@dataclass
class Found:
    """Files to be taken in (pictures, zips, and whatever was named itself), each once, and how many of what else
    there was, by its kind in words."""

    files: dict[Path, None] = field(default_factory=dict)
    passed_over: Counter[str] = field(default_factory=Counter)


def look_through(photos: Iterable[Path]) -> Found:
    """The files that these paths mean.

    A file stands for itself, whatever it is; a folder for the pictures and zips in it and below it, by name.
    A picture is told by its ending or, where that is another or none, by its content. Linked folders aren't
    entered. What can't be used is refused later, one by one, by :func:`dreamgui.data.photos.load.load_image`.

    Raises:
        OutOfRange: there are more than 2,000.
    """
    found = Found()
    for path in photos:
        for file, kind in _within(path) if path.is_dir() else [(path, "")]:
            if kind:
                found.passed_over[kind] += 1
            else:
                found.files[file.absolute()] = None
            if len(found.files) > MAX_PHOTOS:
                raise OutOfRange(
                    f"There are more than {MAX_PHOTOS:,} photographs.", "Choose a smaller folder."
                )
    return found


def expand(photos: Iterable[Path]) -> list[Path]:
    """The files of :func:`look_through` alone.

    Raises:
        OutOfRange: there are more than 2,000.
    """
    return list(look_through(photos).files)


def _within(folder: Path) -> Iterator[tuple[Path, str]]:
    """A folder's files by name, each with the kind that it is passed over as, or "" for one to be taken."""
    for file in sorted(folder.rglob("*")):
        if is_hidden(file.relative_to(folder).parts):
            continue
        if file.is_symlink() and not file.is_file():
            yield file, "linked folder" if file.is_dir() else "broken link"
        elif file.is_file() and (kind := _kind_of(file)) != "silent":
            yield file, "" if kind == "zip" else kind


def _kind_of(file: Path) -> str:
    if file.suffix.lower() in PICTURE_SUFFIXES | _SILENT_SUFFIXES:
        return kind_by(file.name, b"")
    try:
        with file.open("rb") as content:
            return kind_by(file.name, content.read(HEAD_BYTES))
    except OSError:
        return "unreadable file"


def is_hidden(parts: tuple[str, ...]) -> bool:
    """Return whether a path's parts, below the folder or zip that was given, are a system's or a program's own."""
    return any((part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in parts)


def kind_by(name: str, head: bytes) -> str:
    """Return what a file in a folder or zip is: "" for a picture, "silent" for words and a system's own files, "zip",
    or another kind in words.

    Args:
        name: the file's own name.
        head: its first bytes; they count where the ending isn't a picture's.
    """
    suffix = Path(name).suffix.lower()
    if suffix in PICTURE_SUFFIXES:
        return ""
    if suffix in _SILENT_SUFFIXES:
        return "silent"
    if suffix in _RAW_SUFFIXES:
        return "raw file"
    content = sniff(head)
    if content in _READABLE:
        return ""
    if content == "zip" and suffix not in ("", ".zip"):
        return "other file"  # a document
    return "silent" if content == "text" else _WORDS.get(content, "other file")


def describe_passed_over(passed_over: Counter[str]) -> str:
    """ "passed over: 2 zips, 1 raw file", with what to do about archives and zips in zips, or "" where nothing was."""
    if not passed_over:
        return ""
    counts = (f"{count} {kind}{'s' if count != 1 else ''}" for kind, count in passed_over.most_common())
    advice = " Pack a zip in place of another archive." if any(map(passed_over.get, _ARCHIVES)) else ""
    advice += " A zip in a zip isn't opened: unpack the outer one." if passed_over["zip"] else ""
    return f"passed over: {', '.join(counts)}.{advice}"
