"""Files beside photographs on their way in: captions, and kohya's folders of class pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import NamedTuple

from dreamgui.data.dataset.captions import decode_caption
from dreamgui.data.dataset.takeover import ROWS, read_rows

CAPTION_SUFFIXES = (".txt", ".caption")
REPEATS_FOLDER = re.compile(r"(\d+)_(.+)")
"""kohya's name of a folder of pictures: repeats and class tokens."""
Read = Callable[[PurePosixPath], bytes | None]
_rows = lru_cache(4)(read_rows)


def caption_beside(picture: PurePosixPath, read: Read) -> str:
    """Caption of a picture as trainers keep it: ``a.txt``, ``a.jpg.txt``, ``a.caption``, or a row of
    metadata.jsonl in its folder or the one above, or "" where there is none.

    Args:
        picture: the picture's path, which text files are named after.
        read: gives a file's content, None where there is no such file.
    """
    names = (form for suffix in CAPTION_SUFFIXES for form in (picture.stem + suffix, picture.name + suffix))
    for name in names:
        if (data := read(picture.with_name(name))) is not None:
            return decode_caption(data).text
    for folder in (picture.parent, picture.parent.parent):
        rows = _rows(read(folder / ROWS) or b"")
        if caption := rows.get(str(picture.relative_to(folder))):
            return caption
    return ""


class _Concept(NamedTuple):
    """Folder of kohya's layout: its repeats, class tokens, and whether it lies in a folder named so."""

    repeats: int
    tokens: tuple[str, ...]
    is_regularisation: bool


def class_folders(pictures: Sequence[PurePosixPath]) -> Mapping[PurePosixPath, PurePosixPath]:
    """Folders of class pictures (``1_woman``), each with the subject's folder (``10_sks woman``).

    A folder is of the class where its tokens end those of another folder that is repeated as often or more,
    or where it lies in a folder called ``reg...`` and another doesn't.
    """
    concepts = {folder: found for folder in {path.parent for path in pictures} if (found := _concept(folder))}
    possible = {
        folder: [other for other, subject in concepts.items() if _is_class_of(concept, subject)]
        for folder, concept in concepts.items()
    }
    subjects = {
        folder: [other for other in others if not possible[other]] for folder, others in possible.items()
    }
    return {folder: min(others) for folder, others in subjects.items() if others}


def _concept(folder: PurePosixPath) -> _Concept | None:
    if not (match := REPEATS_FOLDER.fullmatch(folder.name)):
        return None
    tokens = tuple(match[2].lower().replace("_", " ").split())
    return _Concept(int(match[1]), tokens, folder.parent.name.lower().startswith("reg"))


def _is_class_of(concept: _Concept, subject: _Concept) -> bool:
    if concept.is_regularisation != subject.is_regularisation:
        return concept.is_regularisation
    ending = subject.tokens[-len(concept.tokens) :]
    shorter = len(concept.tokens) < len(subject.tokens)
    return shorter and ending == concept.tokens and concept.repeats <= subject.repeats
