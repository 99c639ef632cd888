"""The drawn pictures that make_pictures.py wrote, held whole in the device's memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Ranks
from torch import Tensor

READ_AT_ONCE = 4096


def read_records(folder: Path) -> list[dict[str, Any]]:
    """One dictionary a picture, in the order of images.npy."""
    with (folder / "records.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_images(folder: Path) -> np.ndarray:
    """uint8 ``[n, size, size, 3]``, mapped from the disk."""
    return np.load(folder / "images.npy", mmap_mode="r")


def share(count: int, ranks: Ranks) -> slice:
    """This process's contiguous share of ``count`` pictures; all shares are equally long."""
    each = count // ranks.world
    return slice(ranks.rank * each, (ranks.rank + 1) * each)


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """Copies a mapped array piece by piece, so that little of it lies in the host's memory."""
    whole = torch.empty(array.shape, dtype=torch.from_numpy(array[:1].copy()).dtype, device=device)
    for start in range(0, len(array), READ_AT_ONCE):
        piece = torch.from_numpy(np.array(array[start : start + READ_AT_ONCE]))
        whole[start : start + READ_AT_ONCE].copy_(piece)
    return whole


@dataclass
class Pictures:
    """``images`` uint8 ``[n, size, size, 3]``; ``boxes`` ``[n, 4]``, left, top, right, bottom of the face."""

    images: Tensor
    boxes: Tensor
    records: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.records)

    @property
    def face_px(self) -> Tensor:
        """``[n]`` the faces' heights in pixels."""
        return self.boxes[:, 3] - self.boxes[:, 1]

    def labels(self, field: str, names: list[str]) -> Tensor:
        """``[n]`` the position in ``names`` of each record's ``field``."""
        position = {name: index for index, name in enumerate(names)}
        return torch.tensor([position[record[field]] for record in self.records], device=self.images.device)

    def groups(self, field: str) -> Tensor:
        """``[n]`` a number for each value of ``field``, equal for equal values."""
        numbers: dict[Any, int] = {}
        found = [numbers.setdefault(record[field], len(numbers)) for record in self.records]
        return torch.tensor(found, device=self.images.device)


def load_pictures(folder: Path, ranks: Ranks, whole: bool = False, most: int | None = None) -> Pictures:
    """This process's share of a folder of pictures, or all of it, or its first ``most``."""
    images, records = read_images(folder), read_records(folder)
    part = slice(0, len(records)) if whole else share(len(records), ranks)
    if most is not None:
        part = slice(part.start, min(part.stop, part.start + most))
    records = records[part]
    boxes = torch.tensor([record["face_box"] for record in records], dtype=torch.float32, device=ranks.device)
    return Pictures(to_device(images[part], ranks.device), boxes, records)
