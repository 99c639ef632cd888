"""Draws the training pictures of the demo model.

    python tools/demo_model/make_pictures.py --count 100000 --out DIR --workers 16 --seed 0

writes DIR/images.npy (uint8 RGB [count, 160, 160, 3]) and DIR/records.jsonl,
    a line a picture. Picture i depends on
the seed and i alone, not on the number of workers. Needs numpy and OpenCV only.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from world import NAME_SEED0, NAMES, PLACES, SIZE_PX, captions, draw, identity, scene

ANONYMOUS_SEEDS = (200_000, 1_000_000)
HELD_OUT_SEEDS = (9_000_000, 10_000_000)
CHUNK = 64
WHO = ("mixed", "named", "any", "held-out")


def _person(rng: np.random.Generator, index: int, who: str, names: int) -> tuple[int, str | None]:
    """Seed and name of the person on picture `index`: named people take turns, so that each is drawn
    equally often."""
    if who == "named" or (who == "mixed" and index % 2 == 0):
        turn = index // 2 if who == "mixed" else index
        number = turn % names
        return NAME_SEED0 + number, NAMES[number]
    low, high = HELD_OUT_SEEDS if who == "held-out" else ANONYMOUS_SEEDS
    return int(rng.integers(low, high)), None


def make_picture(
    seed: int, index: int, who: str, names: int = len(NAMES)
) -> tuple[np.ndarray, dict[str, object]]:
    """One picture uint8 [160, 160, 3] and its record."""
    rng = np.random.default_rng([seed, index])
    person_seed, name = _person(rng, index, who, names)
    person = identity(person_seed)
    view = scene(rng, person, place=PLACES[int(rng.integers(len(PLACES)))])
    drawing = draw(person, view)
    record = {
        "index": index,
        "identity": person_seed,
        "name": name,
        "gender": person.gender,
        "place": view.place,
        "framing": view.framing,
        "captions": captions(person, view, rng, name),
        "points": [[round(float(value), 2) for value in point] for point in drawing.points],
        "face_box": [round(value, 2) for value in drawing.face_box],
    }
    return drawing.image, record


def _make_chunk(task: tuple[Path, int, int, int, str, int]) -> list[str]:
    images_path, first, last, seed, who, names = task
    images = np.load(images_path, mmap_mode="r+")
    lines: list[str] = []
    for index in range(first, last):
        images[index], record = make_picture(seed, index, who, names)
        lines.append(json.dumps(record))
    images.flush()
    return lines


def _one_thread() -> None:
    cv2.setNumThreads(1)


def make_pictures(
    out: Path, count: int, workers: int, seed: int, who: str, names: int = len(NAMES)
) -> Iterator[int]:
    """Draws into the folder and yields the number of pictures done after each chunk of 64."""
    out.mkdir(parents=True, exist_ok=True)
    images_path = out / "images.npy"
    images = np.lib.format.open_memmap(
        images_path, mode="w+", dtype=np.uint8, shape=(count, SIZE_PX, SIZE_PX, 3)
    )
    images.flush()
    del images
    tasks = [
        (images_path, first, min(first + CHUNK, count), seed, who, names) for first in range(0, count, CHUNK)
    ]
    done = 0
    context = multiprocessing.get_context("spawn")
    with (
        context.Pool(workers, initializer=_one_thread) as pool,
        (out / "records.jsonl").open("w", encoding="utf-8") as file,
    ):
        for lines in pool.imap(_make_chunk, tasks):
            file.writelines(line + "\n" for line in lines)
            done += len(lines)
            yield done


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws training pictures with captions and body points.")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--identities", choices=WHO, default="mixed", help="mixed: half named, half anonymous people"
    )
    parser.add_argument("--names", type=int, default=len(NAMES), help="how many of the named people")
    options = parser.parse_args()
    if options.count < 1 or options.workers < 1:
        parser.error(f"--count and --workers must be at least 1, got {options.count} and {options.workers}")
    start = told = time.monotonic()
    for done in make_pictures(
        options.out, options.count, options.workers, options.seed, options.identities, options.names
    ):
        now = time.monotonic()
        if now - told > 2 or done == options.count:
            told = now
            speed = done / (now - start)
            left = (options.count - done) / speed
            print(f"{done}/{options.count} pictures, {speed:.0f} a second, {left:.0f} s to go", flush=True)


if __name__ == "__main__":
    main()
