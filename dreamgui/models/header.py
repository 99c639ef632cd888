"""What a model file's first bytes say: its format, and for safetensors the names and shapes of its tensors.

Only the JSON header is read here, for recognition; tensors are read by the safetensors library, which
checks the header again in full. Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dreamgui.errors import BadModelFile

FileFormat = Literal["safetensors", "pickle"]
MAX_HEADER_BYTES = 100_000_000
MAX_TENSORS = 50_000
ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
_FOREIGN = {
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x1f\x8b": "a gzip archive",
    b"GGUF": "a GGUF model",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"version https://git-lfs": "a Git LFS pointer, not the file it points to",
}


@dataclass(frozen=True)
class Header:
    """Names, shapes and number formats ("F16"...) of a file's tensors, and its texts."""

    shapes: dict[str, tuple[int, ...]]
    formats: dict[str, str]
    metadata: dict[str, str]

    @property
    def main_format(self) -> str:
        """The number format of most tensors."""
        kinds = list(self.formats.values())
        return max(set(kinds), key=kinds.count) if kinds else "none"


def file_format(path: Path) -> FileFormat:
    """Whether this is a safetensors file or a pickled checkpoint, by its first bytes.

    Raises:
        BadModelFile: it is neither; the message says what it is.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4096)
        size_bytes = path.stat().st_size
    except OSError as error:
        raise BadModelFile(f"{path} can't be opened: {error.strerror}.", "Check the path.") from error
    if not start:
        raise BadModelFile(f"{path.name} is empty.", "Download it again.")
    if start.lstrip()[:1] == b"<":
        raise BadModelFile(
            f"{path.name} is a web page, not a model: most likely the site asked for a login.",
            "Log in to the site in your browser and download the file again.",
        )
    for mark, what in _FOREIGN.items():
        if start.startswith(mark):
            raise BadModelFile(f"{path.name} is {what}.", "Choose a .safetensors or .ckpt model file.")
    if start.startswith(b"PK\x03\x04") or start[:1] == b"\x80":
        return "pickle"
    if start[8:9] == b"{":
        return "safetensors"
    raise BadModelFile(
        f"{path.name} ({size_bytes} bytes) is neither a safetensors file nor a checkpoint.",
        "Choose a .safetensors or .ckpt model file.",
    )


def read_header(path: Path) -> Header:
    """The header of a safetensors file.

    Raises:
        BadModelFile: the header is broken, or the file is shorter or longer than the header says.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(MAX_HEADER_BYTES, size_bytes - 8):
            raise _broken(path, f"its header claims {length} bytes and the file has {size_bytes}")
        text = file.read(length)
    try:
        entries: dict[str, Any] = json.loads(text)
        metadata = entries.pop("__metadata__", {})
        shapes = {str(key): tuple(int(n) for n in entry["shape"]) for key, entry in entries.items()}
        formats = {str(key): str(entry["dtype"]) for key, entry in entries.items()}
        ends = [int(entry["data_offsets"][1]) for entry in entries.values()]
        texts = {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise _broken(path, f"its header isn't valid ({type(error).__name__})") from error
    if len(shapes) > MAX_TENSORS:
        raise _broken(path, f"it holds {len(shapes)} tensors, more than any Stable Diffusion model")
    _check_length(path, size_bytes, 8 + length + max(ends, default=0))
    header = Header(shapes, formats, texts)
    if _data_bytes(header) > size_bytes:
        raise _broken(path, "its tensors overlap or are larger than the file")
    return header


def _check_length(path: Path, size_bytes: int, expected_bytes: int) -> None:
    if size_bytes < expected_bytes:
        raise BadModelFile(
            f"{path.name} is cut off: it has {size_bytes} of {expected_bytes} bytes.", "Download it again."
        )
    if size_bytes > expected_bytes:
        raise _broken(path, f"{size_bytes - expected_bytes} bytes follow its last tensor")


def _data_bytes(header: Header) -> int:
    return sum(
        math.prod(shape) * ITEM_BYTES.get(header.formats[key], 1) for key, shape in header.shapes.items()
    )


def _broken(path: Path, why: str) -> BadModelFile:
    return BadModelFile(f"{path.name} isn't a sound safetensors file: {why}.", "Download it again.")
