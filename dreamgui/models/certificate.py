"""The proof that an export is what it claims: read back, and drawn through by diffusers' own loaders.

Three checks, all recorded: every tensor on the disk is bitwise the one that should be there; each file's
SHA-256; and one fixed picture, drawn through the export as diffusers itself loads it, against the same
picture drawn by the live model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image
from pydantic import Field
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dreamgui import __version__
from dreamgui.config import Dtype
from dreamgui.diffusion.sample import Draw
from dreamgui.errors import Damaged
from dreamgui.models.cards import Card, ModelCard
from dreamgui.models.export_stream import Entry
from dreamgui.models.hashing import BackgroundHash

PROMPT = "a photo of a woman in the forest"
SEED, STEPS, LARGEST_PX = 20, 8, 256
# Differences of 8-bit channels. The same numbers through the same kernels give the same picture; rounded
# weights move edges a little: maximum far off at single pixels, mean small.
SAME_MAX, SAME_MEAN = 2.0, 0.02
ROUNDED_MAX: dict[Dtype, float] = {"fp32": 48.0, "fp16": 48.0, "bf16": 128.0}
ROUNDED_MEAN: dict[Dtype, float] = {"fp32": 1.0, "fp16": 1.0, "bf16": 5.0}


class FileProof(Card):
    """One file of an export, as it was read back from the disk."""

    sha256: str
    size_bytes: int
    tensors: int


class Certificate(Card):
    """What is kept beside an export.

    Attributes:
        files: by name inside the export; every tensor in them was compared bitwise.
        reader: what loaded the export for the picture.
        rounded: whether the export's numbers differ from the live model's by rounding.
        max_difference, mean_difference: of the two pictures' 8-bit channels, 0 to 255.
        tolerance_max, tolerance_mean: the largest that pass.
        effect_mean: mean difference between the base's picture and the live one's, where a LoRA or another
            UNet is exported: an export that silently does nothing would be as far off as this.
    """

    program: str = f"DreamGUI {__version__}"
    name: str
    format: str
    dtype: Dtype
    files: dict[str, FileProof]
    reader: str
    device: str
    prompt: str = PROMPT
    seed: int = SEED
    steps: int = STEPS
    size_px: int
    rounded: bool
    max_difference: float = Field(ge=0, le=255)
    mean_difference: float = Field(ge=0, le=255)
    tolerance_max: float
    tolerance_mean: float
    effect_mean: float | None = None
    passed: bool

    def require_passed(self) -> None:
        """Raise Damaged unless the picture is the live model's."""
        if not self.passed:
            raise Damaged(
                f"The export of {self.name!r} draws another picture than the model: its channels differ by "
                f"{self.mean_difference:.2f} on average (at most {self.tolerance_mean:.2f} may) and "
                f"{self.max_difference:.0f} at most (at most {self.tolerance_max:.0f} may).",
                "Nothing was saved. Export with the number format fp32; if that fails too, report it.",
            )

    @property
    def sentence(self) -> str:
        """The certificate in one sentence."""
        tensors = sum(proof.tensors for proof in self.files.values())
        return (
            f"Certified: {tensors} tensors read back bitwise; loaded by {self.reader}, it draws the live "
            f"model's picture (channels differ by {self.mean_difference:.3f} on average, "
            f"{self.max_difference:.0f} at most; {self.tolerance_mean:g} and {self.tolerance_max:g} pass)."
        )


def certificate_draw(card: ModelCard) -> Draw:
    """The fixed picture: small enough for a CPU, large enough for the whole UNet to matter."""
    size_px = min(card.size_px, LARGEST_PX)
    return Draw(PROMPT, seed=SEED, steps=STEPS, width_px=size_px, height_px=size_px)


def certify(
    name: str,
    form: str,
    dtype: Dtype,
    files: dict[str, FileProof],
    rounded: bool,
    live: Image.Image,
    export: Image.Image,
    base: Image.Image | None,
    device: str,
    loader: str,
) -> Certificate:
    """Compare the pictures and write down all that was checked; see :class:`Certificate` for the fields.

    Args:
        form: "single-file", "diffusers"...
        base: the base model's picture, where the export is of something trained on it.
        loader: the function of diffusers that loaded the export.
    """
    largest, mean = difference(live, export)
    effect = difference(live, base)[1] if base else None
    most = ROUNDED_MAX[dtype] if rounded else SAME_MAX
    mean_most = ROUNDED_MEAN[dtype] if rounded else SAME_MEAN
    if effect:
        # Never so lax that the base's own picture would pass.
        mean_most = min(mean_most, max(effect / 4, SAME_MEAN))
    return Certificate(
        name=name,
        format=form,
        dtype=dtype,
        files=files,
        reader=f"diffusers {diffusers.__version__} {loader}",
        device=device,
        size_px=live.width,
        rounded=rounded,
        max_difference=largest,
        mean_difference=mean,
        tolerance_max=most,
        tolerance_mean=mean_most,
        effect_mean=effect,
        passed=largest <= most and mean <= mean_most,
    )


def difference(first: Image.Image, second: Image.Image) -> tuple[float, float]:
    """Largest and mean absolute difference of two pictures' channels, 0 to 255; 255 where sizes differ."""
    if first.size != second.size:
        return 255.0, 255.0
    gap = np.abs(np.asarray(first, np.float32) - np.asarray(second, np.float32))
    return float(gap.max()), round(float(gap.mean()), 6)


def read_back(path: Path, expected: Sequence[Entry] | Mapping[str, Tensor]) -> FileProof:
    """Open a written file again: exactly these keys, shapes and numbers must be in it, bit by bit.

    Raises:
        Damaged: something differs; the message names the first tensor.
    """
    entries = _entries(expected)
    try:
        with BackgroundHash(path) as digest, safe_open(path, "pt") as file:
            found = set(file.keys())
            if different := sorted(found ^ entries.keys()):
                raise _wrong(path, f"{len(different)} keys differ, the first is {different[0]}")
            for key, entry in entries.items():
                _require_equal(path, key, entry, file.get_tensor(key))
            sha256 = digest.result()
    except (OSError, SafetensorError) as error:
        raise _wrong(path, str(error)) from error
    return FileProof(sha256=sha256, size_bytes=path.stat().st_size, tensors=len(entries))


def _require_equal(path: Path, key: str, entry: Entry, found: Tensor) -> None:
    if found.dtype != entry.dtype or tuple(found.shape) != entry.shape:
        raise _wrong(
            path, f"{key} is {list(found.shape)} in {found.dtype}, not {list(entry.shape)} in {entry.dtype}"
        )
    if not torch.equal(_bits(found), _bits(entry.read())):
        raise _wrong(path, f"the numbers of {key} differ")


def _bits(tensor: Tensor) -> Tensor:
    """As whole numbers, so that NaN equals itself and -0 isn't 0."""
    kinds: dict[int, Any] = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return tensor.contiguous().view(kinds[tensor.dtype.itemsize])


def _entries(expected: Sequence[Entry] | Mapping[str, Tensor]) -> dict[str, Entry]:
    if not isinstance(expected, Mapping):
        return {entry.key: entry for entry in expected}
    return {
        key: Entry(key, tuple(value.shape), value.dtype, lambda value=value: value)
        for key, value in expected.items()
    }


def _wrong(path: Path, why: str) -> Damaged:
    return Damaged(
        f"{path.name} reads back differently from what was written: {why}.",
        "Check the disk and export again.",
    )
