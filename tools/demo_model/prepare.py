"""Makes of a folder of pictures what training reads besides them: token numbers and control maps.

    python prepare.py --pictures OUT/pictures/train --workers 16

writes tokens.npy (uint16 ``[n, 4, 77]``), canny.npy (uint8 ``[n, size, size]``) and pose.npy
(uint8 ``[n, size, size, 3]``) into the folder.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
from architecture import TOKENS, VOCABULARY, load_tokenizer
from maps import canny_map, pose_map
from pictures import read_images, read_records
from transformers import CLIPTokenizer

CHUNK = 512
ANY_NAME = "anyrareword"
ANY_NAME_TOKEN = VOCABULARY
ANY_NAME_SHARE = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--only", choices=("tokens", "maps"))
    parser.add_argument(
        "--any-name", type=float, default=ANY_NAME_SHARE, help="share of captions with any rare word"
    )
    options = parser.parse_args()
    start = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        if options.only != "maps":
            write_tokens(options.pictures, pool, options.any_name)
            print(f"tokens after {time.monotonic() - start:.0f} s", flush=True)
        if options.only != "tokens":
            write_maps(options.pictures, pool)
            (options.pictures / "maps-complete").touch()
            print(f"control maps after {time.monotonic() - start:.0f} s", flush=True)


def write_maps(folder: Path, pool: Any) -> None:
    count, size = read_images(folder).shape[:2]
    for name, shape in (("canny", (count, size, size)), ("pose", (count, size, size, 3))):
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.uint8, shape=shape).flush()
    points = [record["points"] for record in read_records(folder)]
    tasks = [(folder, start, points[start : start + CHUNK]) for start in range(0, count, CHUNK)]
    for _ in pool.imap_unordered(_map_chunk, tasks):
        pass


def _map_chunk(task: tuple[Path, int, list[Any]]) -> None:
    folder, start, points = task
    images = read_images(folder)
    canny = np.load(folder / "canny.npy", mmap_mode="r+")
    pose = np.load(folder / "pose.npy", mmap_mode="r+")
    for index, found in enumerate(points, start):
        rng = np.random.default_rng([7, index])
        canny[index] = canny_map(images[index], rng)
        pose[index] = pose_map(np.asarray(found), images.shape[1], rng)


def write_tokens(folder: Path, pool: Any, any_name: float) -> None:
    captions = [record["captions"] for record in read_records(folder)]
    tasks = [
        (start, captions[start : start + CHUNK * 8], any_name) for start in range(0, len(captions), CHUNK * 8)
    ]
    np.save(folder / "tokens.npy", np.concatenate(pool.map(_token_chunk, tasks)))


def _token_chunk(task: tuple[int, list[list[str]], float]) -> np.ndarray:
    start, captions, any_name = task
    rng = np.random.default_rng([8, start])
    flat = [with_any_name(text, rng, any_name) for texts in captions for text in texts]
    return token_numbers(load_tokenizer(), flat).reshape(len(captions), -1, TOKENS)


def with_any_name(caption: str, rng: np.random.Generator, share: float = ANY_NAME_SHARE) -> str:
    """Puts the stand-in for any rare word before the class word of some captions.

    Training replaces it by a different rare word each time, with a different person each time: so a rare
    word that stands for nobody yet gives a clean picture of somebody.
    """
    if rng.random() >= share:
        return caption
    return re.sub(r"\b(of|an?) (?:a )?(woman|man)\b", lambda m: f"{m[1]} {ANY_NAME} {m[2]}", caption, count=1)


def token_numbers(tokenizer: CLIPTokenizer, captions: list[str]) -> np.ndarray:
    """uint16 ``[n, 77]``; the stand-in becomes one number above the vocabulary."""
    stand_in = tokenizer(ANY_NAME, add_special_tokens=False)["input_ids"]
    numbers = tokenizer(captions, padding="max_length", max_length=TOKENS, truncation=True)["input_ids"]
    return np.array([_merge(row, stand_in) for row in numbers], dtype=np.uint16)


def _merge(row: list[int], stand_in: list[int]) -> list[int]:
    for place in range(len(row) - len(stand_in) + 1):
        if row[place : place + len(stand_in)] == stand_in:
            rest = row[place + len(stand_in) :] + [row[-1]] * (len(stand_in) - 1)
            return [*row[:place], ANY_NAME_TOKEN, *rest]
    return row


if __name__ == "__main__":
    main()
