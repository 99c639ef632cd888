"""Captions that another program changed: found by what this one last wrote, never by clocks.

A text on the disk is our own where it is the entry's caption, or one that our last change superseded (a killed
program may have left it). Any other was written elsewhere since, so it is the newest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from pydantic import TypeAdapter

from dreamgui.data.dataset.captions import Caption, decode, one_line
from dreamgui.data.dataset.entry import Entry, Sheet, Step

SHELVES = ("images", ".held-out", ".dropped")
ROWS = "metadata.jsonl"
_NAMED = 5
_SUPERSEDED = TypeAdapter(dict[str, list[str]])


class Texts(NamedTuple):
    """Captions as the disk holds them.

    ``beside`` gives those of the text files that belong to an entry, ``rows`` those of metadata.jsonl by the
    crop's name, ``superseded`` those that this program's last change replaced, by the crop's name.
    """

    beside: Callable[[Entry], Sequence[Caption]]
    rows: Mapping[str, str]
    superseded: Mapping[str, Sequence[str]]


class Takeover(NamedTuple):
    """The sheet with what other programs wrote, and sentences that tell it. There are none where nothing was."""

    sheet: Sheet
    remarks: tuple[str, ...]


def take_over(sheet: Sheet, texts: Texts) -> Takeover:
    """Give each entry the caption that another program wrote for it, as one change that can be undone.

    A text file wins over metadata.jsonl; an emptied text file stands for the dataset's prompt.
    """
    by_file, by_row, both, emptied = dict[str, Caption](), dict[str, str](), list[str](), list[str]()
    for entry in sheet.entries:
        known = {one_line(entry.caption), *texts.superseded.get(entry.file, ())}
        foreign = [caption for caption in texts.beside(entry) if caption.text not in known]
        row = texts.rows.get(entry.file, "")
        row = "" if row in known else row
        if foreign:
            by_file[entry.file] = foreign[0]
            emptied += [] if foreign[0].text else [entry.file]
            both += [entry.file] if row and row != foreign[0].text else []
        elif row:
            by_row[entry.file] = row
    remarks = _remarks(by_file, by_row, both, emptied)
    taken = {file: caption.text or sheet.instance_prompt for file, caption in by_file.items()}
    return Takeover(_changed(sheet, taken | by_row), remarks)


def _changed(sheet: Sheet, captions: Mapping[str, str]) -> Sheet:
    old = {entry.file: entry.caption for entry in sheet.entries}
    before = {file: {"caption": old[file]} for file, text in captions.items() if text != old[file]}
    if not before:
        return sheet
    entries = tuple(
        entry.model_copy(update={"caption": captions.get(entry.file, entry.caption)})
        for entry in sheet.entries
    )
    step = Step(what=f"captions of another program ({listed(before)})", before=before)
    return sheet.with_entries(entries, history=sheet.history_with(step))


def _remarks(
    by_file: Mapping[str, Caption], by_row: Mapping[str, str], both: Sequence[str], emptied: Sequence[str]
) -> tuple[str, ...]:
    filled = [_told(file, caption) for file, caption in by_file.items() if file not in emptied]
    told = {
        f"Captions that another program changed were taken over from {listed(filled)}.": filled,
        f"Captions that another program changed in metadata.jsonl were taken over: {listed(by_row)}.": by_row,
        f"Both metadata.jsonl and {listed(_text_files(both))} were changed by another program: the text "
        "file was taken.": both,
        f"Another program left {listed(_text_files(emptied))} empty: the dataset's prompt is the caption "
        "now.": emptied,
    }
    return tuple(sentence for sentence, files in told.items() if files)


def _told(file: str, caption: Caption) -> str:
    """A text file's name, with the encoding if that was guessed."""
    [name] = _text_files([file])
    return f"{name} (read as {caption.guessed})" if caption.guessed else name


def _text_files(files: Iterable[str]) -> list[str]:
    return [str(PurePosixPath(file).with_suffix(".txt")) for file in files]


def listed(files: Iterable[str]) -> str:
    """Names for a sentence, the first five and how many more there are."""
    names = list(files)
    further = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + further


def read_rows(data: bytes) -> dict[str, str]:
    """Captions by picture, as a metadata.jsonl of any program names it. Lines of other kinds are passed
    over."""
    captions: dict[str, str] = {}
    for line in decode(data).splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        name, text = (row.get("file_name"), row.get("text")) if isinstance(row, dict) else (None, None)
        if isinstance(name, str) and isinstance(text, str):
            captions[str(PurePosixPath(name.replace("\\", "/")))] = one_line(text)
    return captions


def rows_by_crop(data: bytes) -> dict[str, str]:
    """Return the rows of :func:`read_rows` by a crop's name, whatever shelf it was on."""
    return {PurePosixPath(name).name: text for name, text in read_rows(data).items()}


def write_superseded(superseded: Mapping[str, Sequence[str]]) -> bytes:
    """Captions that a change is about to replace, as a file that :func:`read_superseded` reads."""
    return _SUPERSEDED.dump_json({file: list(texts) for file, texts in superseded.items() if texts})


def read_superseded(data: bytes) -> Mapping[str, Sequence[str]]:
    """Captions by crop that a cut-off change was about to replace.

    Raises:
        ValidationError: it is something else.
    """
    return _SUPERSEDED.validate_json(data)
