"""Draws several pictures each of many persons, for the judges: to learn from, and to be tested on.

    python make_people.py --persons 5000 --each 6 --first-seed 2000000 --out DIR --workers 16

The folder is as make_pictures.py's. The seeds from 2,000,000 on are in no other set; those from 9,000,000
on are the persons that no training sees.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from pathlib import Path

import cv2
import numpy as np
from world import PLACES, SIZE_PX, captions, draw, identity, scene


def draw_person(task: tuple[Path, int, int, int]) -> list[str]:
    """Draws one person's pictures into the mapped file and returns their records as lines."""
    path, number, each, seed = task
    cv2.setNumThreads(1)
    images, person, lines = np.load(path, mmap_mode="r+"), identity(seed), []
    for index in range(number * each, (number + 1) * each):
        rng = np.random.default_rng([seed, index])
        view = scene(rng, person, place=PLACES[int(rng.integers(len(PLACES)))])
        drawing = draw(person, view)
        images[index] = drawing.image
        record = {
            "index": index,
            "identity": seed,
            "name": None,
            "gender": person.gender,
            "place": view.place,
        }
        record |= {"framing": view.framing, "captions": captions(person, view, rng)}
        record |= {
            "points": drawing.points.round(2).tolist(),
            "face_box": [round(v, 2) for v in drawing.face_box],
        }
        lines.append(json.dumps(record) + "\n")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--persons", type=int, required=True)
    parser.add_argument("--each", type=int, required=True)
    parser.add_argument("--first-seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path, shape = options.out / "images.npy", (options.persons * options.each, SIZE_PX, SIZE_PX, 3)
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape).flush()
    tasks = [(path, number, options.each, options.first_seed + number) for number in range(options.persons)]
    with (
        multiprocessing.get_context("spawn").Pool(options.workers) as pool,
        (options.out / "records.jsonl").open("w", encoding="utf-8") as file,
    ):
        for lines in pool.imap(draw_person, tasks, chunksize=4):
            file.writelines(lines)
    print(f"{shape[0]} pictures of {options.persons} persons in {options.out}", flush=True)


if __name__ == "__main__":
    main()
