"""A model of the catalog exported whole: as one file in LDM's layout, or as a diffusers folder.

Every tensor is read from its own file, changed where a LoRA is merged, cast and written, one at a time.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dreamgui.config import Dtype
from dreamgui.errors import BadModelFile, Damaged
from dreamgui.models.catalog.cards import ModelSpec
from dreamgui.models.catalog.catalog import UNET_FILE, Catalog
from dreamgui.models.files.dtypes import ITEM_BYTES, torch_dtype
from dreamgui.models.files.header import FileHeader, read_header
from dreamgui.models.files.layout import PARTS, POSITION_IDS, TEXT_MODEL, Part, empty_unet, read_layout
from dreamgui.models.files.writing import (
    Span,
    TensorEntry,
    cast,
    file_bytes,
    require_room,
    write_safetensors,
)
from dreamgui.models.lora.adapters import LoraFile, read_lora
from dreamgui.models.lora.kinds import Change
from dreamgui.models.lora.merge import added, require_layers
from dreamgui.models.recognition.components import WEIGHTS

_CONFIGS = ("unet", "vae", "text_encoder", "scheduler", "tokenizer")


@dataclass(frozen=True)
class ModelFiles:
    """Places of a whole model's weights.

    Attributes:
        base: the diffusers folder with configs, tokenizer, VAE and text encoder.
        unet: the UNet's file, the base's own or a run's.
        text_encoder: a run's own, where it trained one.
        layers: what a LoRA does to the UNet, by layer, at ``strength``; ``text_layers`` to the text encoder.
    """

    base: Path
    unet: Path
    text_encoder: Path | None = None
    layers: Mapping[str, Change] = field(default_factory=dict)
    text_layers: Mapping[str, Change] = field(default_factory=dict)
    strength: float = 1.0

    @classmethod
    def of(cls, catalog: Catalog, spec: ModelSpec) -> ModelFiles:
        """The files that a picture would be generated with.

        Raises:
            UnknownName, Damaged: the base or run isn't there or can't be read.
            BadModelFile: its LoRA doesn't belong to this base.
        """
        catalog.card(spec.base)
        base = catalog.folder(spec.base)
        if spec.lora_run:
            lora = read_lora(catalog.run_file(spec.lora_run), empty_unet(base))
            return cls(base, base / UNET_FILE).with_lora(lora, spec.lora_scale)
        if not spec.unet_run:
            return cls(base, base / UNET_FILE)
        unet = catalog.run_file(spec.unet_run)
        own = unet.parent.parent / WEIGHTS["text_encoder"]
        return cls(base, unet, own if own.is_file() else None)

    def with_lora(self, lora: LoraFile, strength: float) -> ModelFiles:
        """The same with a LoRA added, whichever parts and kinds it has.

        Raises:
            BadModelFile: it adapts layers that this model doesn't have.
        """
        require_layers(lora.layers, self.file("unet"))
        require_layers(lora.text_layers, self.file("text_encoder"))
        return replace(self, layers=lora.layers, text_layers=lora.text_layers, strength=strength)

    def file(self, part: Part) -> Path:
        """The safetensors file of a part."""
        if part == "text_encoder" and self.text_encoder:
            return self.text_encoder
        return self.unet if part == "unet" else self.base / WEIGHTS[part]


def write_checkpoint(
    source: Path | ModelFiles,
    target: Path,
    dtype: Dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a whole model as one file with exactly the keys and shapes of a Stable Diffusion 1.5 checkpoint.

    Args:
        source: a diffusers folder, or the files of a model with another UNet or a LoRA.
        dtype: dtype of the weights; as they are when None.
        metadata: texts for the file's header.

    Raises:
        BadModelFile: a tensor is missing, has another shape or doesn't fit the dtype.
        NotEnoughDisk: the file doesn't fit.
    """
    with checkpoint_entries(_files(source), dtype) as entries:
        require_room(target, file_bytes(entries))
        write_safetensors(target, entries, metadata)


def write_folder(source: Path | ModelFiles, target: Path, dtype: Dtype | None = None) -> None:
    """Write a whole model as a diffusers folder with its configs and tokenizer. It raises as :func:`write_checkpoint` does."""
    files = _files(source)
    target.mkdir(parents=True, exist_ok=True)
    for name in _CONFIGS:
        shutil.copytree(
            files.base / name, target / name, ignore=shutil.ignore_patterns("*.safetensors", ".*")
        )
    shutil.copy(files.base / "model_index.json", target)
    for part in PARTS:
        with part_entries(files, part, dtype) as entries:
            require_room(target / WEIGHTS[part], file_bytes(entries))
            write_safetensors(target / WEIGHTS[part], entries)


@contextmanager
def checkpoint_entries(files: ModelFiles, dtype: Dtype | None) -> Iterator[list[TensorEntry]]:
    """The tensors of a single file, readable while the block lasts."""
    layout = read_layout(files.base)
    with ExitStack() as stack:
        readers = {part: _Reader(stack, files, part, dtype) for part in PARTS}
        entries = [
            readers[slot.part].entry(key, slot.key, slot.shape, slot.ldm_shape)
            for key, slot in layout.items()
        ]
        length = _positions(files.base)
        entries.append(
            TensorEntry(POSITION_IDS, (1, length), torch.int64, lambda: torch.arange(length)[None])
        )
        yield entries


@contextmanager
def part_entries(files: ModelFiles, part: Part, dtype: Dtype | None) -> Iterator[list[TensorEntry]]:
    """The tensors of one part of a diffusers folder, readable while the block lasts.

    The text encoder's keys have ``text_model.`` in front, which every version of transformers reads.
    """
    slots = [slot for slot in read_layout(files.base).values() if slot.part == part]
    with ExitStack() as stack:
        reader = _Reader(stack, files, part, dtype)
        yield [reader.entry(slot.key, slot.key, slot.shape, slot.shape) for slot in slots]


class _Reader:
    """One part's file, opened. Text-encoder keys are found with and without ``text_model.``."""

    def __init__(self, stack: ExitStack, files: ModelFiles, part: Part, dtype: Dtype | None) -> None:
        self._path = files.file(part)
        self._header = read_header(self._path)
        try:
            self._file = stack.enter_context(safe_open(self._path, "pt"))
        except (OSError, SafetensorError) as error:
            raise Damaged(f"{self._path} can't be read: {error}.", "Convert the model again.") from error
        self._dtype = torch_dtype(dtype) if dtype else None
        self._starts = _starts(self._path, self._file, self._header)
        layers = {"unet": files.layers, "text_encoder": files.text_layers}
        self._layers: Mapping[str, Change] = layers.get(part, {})
        self._strength = files.strength

    def entry(
        self, key: str, slot: str, shape: tuple[int, ...], target_shape: tuple[int, ...]
    ) -> TensorEntry:
        own = slot if slot in self._header.shapes else slot.removeprefix(TEXT_MODEL)
        if self._header.shapes.get(own) != shape:
            found = self._header.shapes.get(own)
            raise BadModelFile(
                f"{self._path}: {slot} {f'has the shape {list(found)}' if found else 'is missing'}; "
                f"the model's config asks for {list(shape)}.",
                "Convert the model or train the run again.",
            )
        kept = torch_dtype(self._header.dtypes[own])
        dtype = self._dtype or kept
        read = partial(self._read, own, slot, dtype, target_shape)
        changed = dtype != kept or slot.removesuffix(".weight") in self._layers
        return TensorEntry(
            key, target_shape, dtype, read, None if changed else Span(self._path, self._starts[own])
        )

    def _read(self, own: str, slot: str, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
        tensor = added(slot, self._file.get_tensor(own), self._layers, self._strength)
        return cast(own, tensor, dtype).reshape(shape)


def _starts(path: Path, file: Any, header: FileHeader) -> dict[str, int]:
    """The byte of the file at which each tensor begins. There are no holes, as ``read_header`` checked."""
    with path.open("rb") as opened:
        position = 8 + int.from_bytes(opened.read(8), "little")
    starts = {}
    for key in file.offset_keys():
        starts[key] = position
        position += math.prod(header.shapes[key]) * ITEM_BYTES[header.dtypes[key]]
    return starts


def _files(source: Path | ModelFiles) -> ModelFiles:
    return source if isinstance(source, ModelFiles) else ModelFiles(source, source / UNET_FILE)


def _positions(base: Path) -> int:
    config = json.loads((base / "text_encoder" / "config.json").read_text(encoding="utf-8"))
    return config["max_position_embeddings"]
