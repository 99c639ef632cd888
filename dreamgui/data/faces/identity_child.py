"""The recognition network in a process of its own: faces in on stdin, embeddings out on stdout.

dlib holds Python's lock while it computes, 75 ms a face; in the parent nothing else would run meanwhile. The
child ends with its stdin, so also when its parent is killed. Started by :class:`dreamgui.data.faces.identity.Embedder`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import numpy as np

CHIP_PX = 150
CHIP_BYTES = CHIP_PX * CHIP_PX * 3


def main(weights: str) -> None:
    """Answer each aligned face ([150, 150, 3] bytes) with its embedding ([128] float32)."""
    # Imported only here: the parent reads the numbers above without it.
    dlib: Any = import_module("dlib")
    network = dlib.face_recognition_model_v1(weights)
    while len(data := sys.stdin.buffer.read(CHIP_BYTES)) == CHIP_BYTES:
        chip = np.frombuffer(data, np.uint8).reshape(CHIP_PX, CHIP_PX, 3)
        sys.stdout.buffer.write(np.asarray(network.compute_face_descriptor(chip), np.float32).tobytes())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
