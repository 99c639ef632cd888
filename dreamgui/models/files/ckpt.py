"""A pickled checkpoint (.ckpt, .pt): what it holds and its tensors, without unpickling anything in this process."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from dreamgui.errors import BadModelFile
from dreamgui.models.files.dtypes import ITEM_BYTES
from dreamgui.models.files.header import MAX_DIMENSIONS, MAX_TENSORS, FileHeader, Place

_CHILD = Path(__file__).with_name("ckpt_child.py")
_FIRST_BYTES = 1 << 16
_KINDS = (
    ((b"string_to_param",), "a textual inversion, which DreamGUI doesn't read"),
    ((b"layer_structure", b"activation_func"), "a hypernetwork, which DreamGUI doesn't read"),
)
# The child holds itself to one second of computing; on a busy machine that may take longer on the wall.
_WAIT_SECONDS = 30.0 if os.name == "posix" else 2.0


def read_pickled_header(source: Path) -> FileHeader:
    """Names, shapes, dtypes and places of a pickled checkpoint's tensors.

    A short-lived child process reads the pickle (see :mod:`dreamgui.models.files.ckpt_child`), in about a tenth of a
    second; nothing of it is executed. What it answers is checked again here.

    Raises:
        BadModelFile: it is broken, claims more than it holds, or asks for something that isn't a weight: the
            message names it.
    """
    command = [sys.executable, "-I", "-S", str(_CHILD), str(source.resolve())]
    # An empty environment: the child needs nothing of it, and no secret of ours can reach it.
    kept = {key: value for key, value in os.environ.items() if key.upper() == "SYSTEMROOT"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_WAIT_SECONDS,
            env=kept,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(source, f"reading it took more than {_WAIT_SECONDS:.0f} seconds") from error
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        why = "reading it took more time or memory than any checkpoint needs"
        raise _refused(source, why) from error
    if "reason" in answer:
        raise _refused(source, answer["reason"] + _kind_by_words(source))
    return checked_header(source, answer["tensors"])


def _kind_by_words(source: Path) -> str:
    """Return what a refused pickle says of its kind, by the words near its beginning. Nothing of it is read as a pickle."""
    with source.open("rb") as file:
        start = file.read(_FIRST_BYTES)
    return next((f". It is {kind}" for words, kind in _KINDS if all(word in start for word in words)), "")


def checked_header(source: Path, tensors: dict[str, list[Any]]) -> FileHeader:
    """The child's plan (name to [dtype, shape, strides, byte]) as a header.

    Raises:
        BadModelFile: a tensor would lie outside the file, or all together are larger than it can be.
    """
    size_bytes, total_bytes = source.stat().st_size, 0
    header = FileHeader({}, {})
    for name, (dtype, shape, strides, offset) in tensors.items():
        item_bytes = ITEM_BYTES[dtype]
        span = (
            sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) + 1
            if math.prod(shape)
            else 0
        )
        total_bytes += math.prod(shape) * item_bytes
        if (
            min([0, offset, *shape, *strides]) < 0
            or offset + span * item_bytes > size_bytes
            or len(shape) > MAX_DIMENSIONS
        ):
            raise _refused(source, f"{name[:80]} lies outside the file")
        header.shapes[name], header.dtypes[name] = tuple(shape), dtype
        header.places[name] = Place(offset, tuple(strides))
    if total_bytes > 2 * size_bytes or len(tensors) > MAX_TENSORS:
        raise _refused(source, f"its tensors claim {total_bytes} bytes and the file has {size_bytes}")
    return header


def _refused(source: Path, why: str) -> BadModelFile:
    return BadModelFile(
        f"The checkpoint {source.name} wasn't taken, and nothing in it was executed: {why}.",
        "Look for the model as a .safetensors file.",
    )
