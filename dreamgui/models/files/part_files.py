"""Files of a diffusers folder that hold the weights of its three parts. Nothing here imports torch."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path, PurePath
from typing import Literal

from dreamgui.errors import BadModelFile
from dreamgui.models.files.header import FileHeader, read_header

Part = Literal["unet", "text_encoder", "vae"]
PARTS: tuple[Part, ...] = ("unet", "text_encoder", "vae")
WEIGHTS: dict[Part, str] = {
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
}
_INDEX = ".index.json"
_MOST_SHARDS = 100


def part_files(part: Part) -> tuple[str, ...]:
    """Return what a diffusers folder may call a part's weights, or the index of split weights, the best first.

    fp16 comes first as it is half the size. Pickled weights come last.
    """
    stem = WEIGHTS[part].removesuffix(".safetensors")
    old = "text_encoder/pytorch_model" if part == "text_encoder" else stem
    return (
        f"{stem}.fp16.safetensors",
        f"{stem}.fp16.safetensors{_INDEX}",
        f"{stem}.safetensors.index.fp16.json",
        f"{stem}.safetensors",
        f"{stem}.safetensors{_INDEX}",
        f"{stem}.non_ema.safetensors",
        f"{old}.fp16.bin",
        f"{old}.bin",
        f"{old}.non_ema.bin",
    )


def part_file(part: Part, names: Collection[str]) -> str:
    """The best of a folder's files for a part, or nothing. It may be the index of split weights."""
    return next((name for name in part_files(part) if name in names), "")


def folder_files(folder: Path) -> dict[Part, Path]:
    """The parts that a diffusers folder holds, each with its file of weights, or with the index of several."""
    there = [name for part in PARTS for name in part_files(part) if (folder / name).is_file()]
    return {part: folder / name for part in PARTS if (name := part_file(part, there))}


def is_index(path: PurePath) -> bool:
    """Return whether a file, by its name, is the index of weights that lie in several files."""
    return path.suffix == ".json" and ".safetensors.index" in path.name


def shard_names(index: Path) -> list[str]:
    """Return the names of the files beside an index that hold its weights, sorted, 100 at most.

    Raises:
        BadModelFile: the index is broken, or it names files that lie elsewhere.
    """
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        strange = any(Path(name).name != name for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadModelFile(
            f"{index.name} is a broken index of weights.", "Download the folder again."
        ) from error
    if len(names) > _MOST_SHARDS or strange:
        raise BadModelFile(f"{index.name} names files that can't be its own.", "Download the folder again.")
    return names


def read_split_header(index: Path) -> FileHeader:
    """All tensors of the files that an index names, each with the file that it lies in.

    Raises:
        BadModelFile: the index is broken, or a file that it names is missing, broken or elsewhere.
    """
    whole = FileHeader({}, {})
    for name in shard_names(index):
        if not (index.parent / name).is_file():
            raise BadModelFile(f"{index.name} names {name}, which isn't there.", "Download the folder again.")
        one = read_header(index.parent / name)
        whole.shapes.update(one.shapes)
        whole.dtypes.update(one.dtypes)
        whole.files.update(dict.fromkeys(one.shapes, index.parent / name))
    return whole


def size_bytes(path: Path, header: FileHeader) -> int:
    """Bytes of a part's file, or of its several files together."""
    return sum(file.stat().st_size for file in set(header.files.values()) or {path})
