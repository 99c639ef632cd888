"""Layouts in which datasets leave: ours, and those that kohya's and diffusers' training scripts read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from dreamgui.config import DatasetLayout
from dreamgui.data.dataset.captions import one_line
from dreamgui.data.dataset.entry import Entry

REPEATS = 10
_MOST_LETTERS = 80
_OWN_LINE = re.compile(r"^\s*(#.*|image_dir = .*)?$")


def kohya_toml(size_px: int, image_dir: str) -> str:
    """A ``--dataset_config`` for sd-scripts: reads a folder of pictures with the captions beside them."""
    return (
        "# For sd-scripts: --dataset_config kohya.toml. It looks for a relative image_dir in the folder that it is\n"
        "# started in: start it here, or write the whole path, also after this folder was moved.\n"
        "[general]\n"
        'caption_extension = ".txt"\n'
        "\n"
        "[[datasets]]\n"
        f"resolution = {size_px}\n"
        "\n"
        "  [[datasets.subsets]]\n"
        f"  image_dir = {json.dumps(image_dir, ensure_ascii=False)}\n"
        f"  num_repeats = {REPEATS}\n"
    )


def is_untouched(toml: str, size_px: int) -> bool:
    """Return whether a kohya.toml is as :func:`kohya_toml` or an earlier version wrote it, for whatever folder."""

    def settings(text: str) -> list[str]:
        return [line for line in text.splitlines() if not _OWN_LINE.match(line)]

    return settings(toml) == settings(kohya_toml(size_px, ""))


def pictures_folder(layout: DatasetLayout, instance_prompt: str) -> str:
    """Folder of the crops that are trained on. The name of kohya's tells repeats and the prompt."""
    if layout != "kohya":
        return "images"
    words = one_line(re.sub(r'[<>:"/\\|?*\x00-\x1f]', " ", instance_prompt))[:_MOST_LETTERS].strip(" .")
    return f"{REPEATS}_{words or 'subject'}"


def place_of(entry: Entry, pictures: str) -> PurePosixPath:
    """Return where a crop goes whose layout keeps its pictures in a folder of this name."""
    return PurePosixPath(pictures) / entry.file if entry.in_use else entry.place


def layout_files(
    layout: DatasetLayout, size_px: int, pictures: str, entries: Sequence[Entry], home: Path | None
) -> Iterator[tuple[str, bytes]]:
    """Text files that a layout has beside dataset.json, by name. ``home`` is the folder on this disk, or
    None in a zip."""
    if layout != "kohya":
        yield "metadata.jsonl", metadata_rows(entries).encode()
    if layout != "diffusers":
        image_dir = (home / pictures).as_posix() if home else pictures
        yield "kohya.toml", kohya_toml(size_px, image_dir).encode()
        for entry in entries:
            yield str(place_of(entry, pictures).with_suffix(".txt")), entry.caption.encode()


def metadata_rows(entries: Sequence[Entry]) -> str:
    """Content of metadata.jsonl: ``file_name`` and ``text`` of each crop that is trained on."""
    rows = [{"file_name": str(entry.place), "text": entry.caption} for entry in entries if entry.in_use]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def how_to_read(layout: DatasetLayout, target: Path, pictures: str) -> str:
    """A sentence that tells how the layout's scripts are given an export, or "" for our own."""
    if layout == "kohya":
        return (
            f'sd-scripts reads this copy with --train_data_dir "{target}" or --dataset_config '
            f'"{target / "kohya.toml"}"; its pictures are in "{pictures}".'
        )
    if layout == "diffusers":
        return (
            f'diffusers\' scripts read this copy with --instance_data_dir "{target / pictures}" (DreamBooth) or '
            f'--train_data_dir "{target}" (with captions).'
        )
    return ""
