"""Header of a model file: its format, and for safetensors the names and shapes of its tensors.

Only the JSON header is read here, for recognition; tensors are read by the safetensors library, which
checks the header again in full. Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dreamgui.errors import BadModelFile
from dreamgui.models.files.dtypes import ITEM_BYTES

FileFormat = Literal["safetensors", "pickle"]
# The format's own limit. A LoRA's texts hold the captions of all pictures it was trained on.
MAX_HEADER_BYTES = 100_000_000
# Twenty thousand tensors (a checkpoint has two) need 4 MB; larger entries would only cost seconds.
MAX_ENTRIES_BYTES = 6_000_000
MAX_TENSORS = 20_000
MAX_DIMENSIONS = 8
_FOREIGN = {
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"GGUF": "a GGUF model",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"RIFF": "a WebP picture or a sound file",
    b"%PDF": "a PDF document",
    b"\x7fELF": "a program",
    b"MZ": "a Windows program",
    b"\x89HDF": "an HDF5 (Keras) file",
    b"version https://git-lfs": "a Git LFS pointer, not the file it points to",
}


@dataclass(frozen=True)
class Place:
    """Place of a pickled tensor's numbers: from byte ``offset`` of the file on, ``strides`` in numbers."""

    offset: int
    strides: tuple[int, ...]


@dataclass(frozen=True)
class FileHeader:
    """Names, shapes and dtypes ("F16"...) of a file's tensors, its texts, and for a pickled checkpoint
    where each tensor lies. Of a part in several files it holds the file of each tensor."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    metadata: dict[str, str] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def main_format(self) -> str:
        """The dtype of most tensors."""
        kinds = list(self.dtypes.values())
        return max(sorted(set(kinds)), key=kinds.count) if kinds else "none"


def file_format(path: Path) -> FileFormat:
    """Return whether this is a safetensors file or a pickled checkpoint, by its first bytes.

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
    # First of all: the low bytes of a header's length may be any of the marks below.
    if start[8:9] == b"{" and start[5:8] == bytes(3):
        return "safetensors"
    if start.lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"<":
        raise BadModelFile(
            f"{path.name} is a web page, not a model: most likely the site asked for a login.",
            "Log in to the site in your browser and download the file again.",
        )
    for mark, what in _FOREIGN.items():
        if start.startswith(mark):
            raise BadModelFile(f"{path.name} is {what}.", "Choose a .safetensors or .ckpt model file.")
    if start.startswith(b"PK") or start[:1] == b"\x80":
        return "pickle"
    if start[8:9] == b"{":
        return "safetensors"
    raise BadModelFile(
        f"{path.name} ({size_bytes} bytes) is neither a safetensors file nor a checkpoint.",
        "Choose a .safetensors or .ckpt model file.",
    )


def read_header(path: Path) -> FileHeader:
    """The header of a safetensors file.

    Raises:
        BadModelFile: the header is broken, or the file is shorter or longer than the header says.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > size_bytes - 8:
            raise _broken(path, f"its header claims {length} bytes and the file has {size_bytes}")
        if length > MAX_HEADER_BYTES:
            raise _broken(path, f"its header has {length} bytes, more than the format allows")
        text = file.read(length)
    try:
        text, metadata = _without_texts(text)
        if len(text) > MAX_ENTRIES_BYTES:
            raise _broken(path, f"its tensors' entries have {len(text)} bytes, more than any model's")
        entries: dict[str, Any] = json.loads(text)
        metadata = entries.pop("__metadata__", metadata)
        texts = {str(key): str(value) for key, value in metadata.items()}
        if len(entries) > MAX_TENSORS:
            raise _broken(path, f"it holds {len(entries)} tensors, more than any Stable Diffusion model")
        shapes = {str(key): tuple(_count(n) for n in entry["shape"]) for key, entry in entries.items()}
        dtypes = {str(key): str(entry["dtype"]) for key, entry in entries.items()}
        spans = {
            key: (_count(entry["data_offsets"][0]), _count(entry["data_offsets"][1]))
            for key, entry in entries.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise _broken(path, f"its header isn't valid ({type(error).__name__})") from error
    _check_spans(path, shapes, dtypes, spans)
    _check_length(path, size_bytes, 8 + length + max((end for _, end in spans.values()), default=0))
    return FileHeader(shapes, dtypes, texts)


def _without_texts(header: bytes) -> tuple[bytes, dict[str, Any]]:
    """Cut a header that is larger than entries may be into its entries and its texts."""
    key = b'"__metadata__":'
    start = header.find(key)
    if len(header) <= MAX_ENTRIES_BYTES or start < 0:
        return header, {}
    text = header[start + len(key) :].decode().lstrip()
    texts, end = json.JSONDecoder().raw_decode(text)
    rest = text[end:].lstrip().removeprefix(",")
    return header[:start].rstrip().removesuffix(b",") + rest.encode(), texts


def _count(number: Any) -> int:
    """A whole number that is no text, no truth value and not below zero."""
    if type(number) is not int or not 0 <= number < 2**48:
        raise ValueError(f"{str(number)[:20]} is no count")
    return number


def _check_spans(
    path: Path, shapes: dict[str, tuple[int, ...]], dtypes: dict[str, str], spans: dict[str, tuple[int, int]]
) -> None:
    """Each tensor's bytes are as many as its shape needs, and one follows the other without gap or overlap."""
    for key, (begin, end) in spans.items():
        if dtypes[key] not in ITEM_BYTES:
            raise _broken(path, f"{key[:80]!r} has the dtype {dtypes[key][:20]!r}, which nobody knows")
        if len(shapes[key]) > MAX_DIMENSIONS:
            raise _broken(path, f"{key[:80]!r} has {len(shapes[key])} dimensions")
        if math.prod(shapes[key]) * ITEM_BYTES[dtypes[key]] != end - begin:
            raise _broken(
                path, f"{key[:80]!r} of the shape {list(shapes[key])} can't lie in {end - begin} bytes"
            )
    position = 0
    for key, (begin, end) in sorted(spans.items(), key=lambda item: item[1]):
        if begin != position:
            raise _broken(
                path,
                f"{key[:80]!r} {'overlaps' if begin < position else 'leaves a hole behind'} another tensor",
            )
        position = end


def _check_length(path: Path, size_bytes: int, expected_bytes: int) -> None:
    if size_bytes < expected_bytes:
        raise BadModelFile(
            f"{path.name} is cut off: it has {size_bytes} of {expected_bytes} bytes.", "Download it again."
        )
    if size_bytes > expected_bytes:
        raise _broken(path, f"{size_bytes - expected_bytes} bytes follow its last tensor")


def _broken(path: Path, why: str) -> BadModelFile:
    return BadModelFile(f"{path.name} isn't a sound safetensors file: {why}.", "Download it again.")
