"""The one owner of device memory: models are borrowed in a ``with`` block and given back as they were."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from dreamgui.errors import NotEnoughMemory
from dreamgui.models import loading, lora_files
from dreamgui.models.cards import ModelCard, ModelSpec
from dreamgui.models.catalog import UNET_FILE, Catalog
from dreamgui.models.companions import Companions
from dreamgui.models.device import (
    choose_device,
    current,
    device_name,
    give_back_memory,
    is_out_of_memory,
    leave_libraries_alone,
    memory_bytes,
    train_dtype,
)
from dreamgui.models.fetch import sweep
from dreamgui.models.lean import keep_less
from dreamgui.models.loading import Parts
from dreamgui.models.lora_files import LoraSettings
from dreamgui.models.text_encoders import TEXT_FOLDER, add_text_lora, attach_text_lora
from dreamgui.workspace import Workspace

__all__ = ["LoraSettings", "Models", "Parts", "choose_device"]


@dataclass
class _Base:
    """The base model that is kept loaded; without its UNet while a training has that memory."""

    folder: Path
    stamp: tuple[int, int]
    parts: Parts
    has_unet: bool


class Models:
    """Keeps one base model on the device and lends it, changed as asked, to one user at a time.

    Attributes:
        catalog: which models and runs exist.
        device: where models live.
        dtype: number format for drawing: fp16 on a GPU, fp32 on the CPU.
        train_dtype: compute format for training: bf16 where the GPU has it, fp16 on other CUDA GPUs, else
            fp32.
    """

    def __init__(self, workspace: Workspace, device: torch.device | None = None) -> None:
        self.catalog = Catalog(workspace)
        sweep(workspace)
        self.device = device or choose_device()
        self.dtype = torch.float32 if self.device.type == "cpu" else torch.float16
        self.train_dtype = train_dtype(self.device)
        self._turn = threading.Lock()
        self._owner: int | None = None
        self._in_use = ""
        self._base: _Base | None = None
        self._controlnet: tuple[str, str, Any] | None = None

    @contextmanager
    def use(self, spec: ModelSpec) -> Iterator[Parts]:
        """Lend a model for drawing. On leaving, the base's UNet is bitwise what it was.

        Raises:
            UnknownName, Damaged: the base or run isn't there or can't be read.
            NotEnoughMemory: the device ran out of memory, here or in the block.
        """
        with self._my_turn(spec.unet_run or spec.lora_run or spec.base):
            base = self._ready(spec.base)
            unet_file = self.catalog.run_file(spec.unet_run) if spec.unet_run else None
            lora_file = self.catalog.run_file(spec.lora_run) if spec.lora_run else None
            controlnet = self._control(base, spec.controlnet) if spec.controlnet else None
            text_encoder = self._trained_text_encoder(base, spec)
            parts = replace(base.parts, controlnet=controlnet, text_encoder=text_encoder, steady=True)
            try:
                if unet_file:
                    loading.swap_weights(parts.unet, unet_file)
                if lora_file:
                    lora_files.attach_lora(parts.unet, lora_file, spec.lora_scale)
                yield parts
            finally:
                parts.replay = None
                self._restore(base, swapped=unet_file is not None, adapted=lora_file is not None)

    @contextmanager
    def train(
        self,
        base: str,
        lora: LoraSettings | None = None,
        text_encoder: bool = False,
        bf16_weights: bool = False,
    ) -> Iterator[Parts]:
        """Lend a model for training; the trained UNet is a copy and is gone after the block.

        Without ``lora`` the whole UNet is fp32 and requires a gradient. With it the UNet is frozen in
        ``train_dtype`` and only the adapter's fp32 weights require a gradient. With ``text_encoder`` the same
        goes for the text encoder, which is then a copy as well, while the base's rests. ``bf16_weights``: the
        whole UNet is bf16 in place of fp32, and computes in it.

        Raises:
            UnknownName, Damaged: the base isn't there or can't be read.
            NotEnoughMemory: the device ran out of memory, here or in the block.
        """
        with self._my_turn(f"{base} (training)"):
            loaded = self._ready(base, with_unet=False)
            self._drop_unet(loaded)
            compute = torch.bfloat16 if bf16_weights else self.train_dtype
            dtype = compute if lora or bf16_weights else torch.float32
            unet = loading.load_unet(loaded.folder, self.device, dtype)
            if lora:
                lora_files.add_lora(unet, lora)
                if not lora.dora:
                    keep_less(unet)
            else:
                unet.requires_grad_(True)
            unet.train()
            parts = replace(loaded.parts, unet=unet, dtype=compute)
            if text_encoder:
                Companions([parts.text_encoder], self.device).rest()
                parts.text_encoder = self._learning_text_encoder(loaded.folder, lora)
                parts.companions = Companions([parts.vae], self.device)
            try:
                yield parts
            finally:
                # The borrower may still hold these parts; without the reference the memory comes back at
                # once.
                del unet, parts
                give_back_memory()

    @contextmanager
    def elsewhere(self, what: str) -> Iterator[None]:
        """Give all device memory to other processes; inside the block nobody here is lent a model."""
        with self._my_turn(what):
            self._forget()
            yield

    def release(self) -> None:
        """Give all device memory back; the next use loads again."""
        with self._my_turn(""):
            self._forget()

    def status(self) -> dict[str, Any]:
        """For the page: device, loaded base and ControlNet, who uses it, memory in bytes. Never waits."""
        base, controlnet = self._base, self._controlnet
        used, total = memory_bytes(self.device)
        return {
            "device": device_name(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
            "base": base.parts.card.name if base else "",
            "controlnet": controlnet[1] if controlnet else "",
            "in_use": self._in_use,
            "memory_used_bytes": used,
            "memory_total_bytes": total,
        }

    @contextmanager
    def _my_turn(self, what: str) -> Iterator[None]:
        if self._owner == threading.get_ident():
            raise RuntimeError("This thread already uses a model: leave that block first.")
        with self._turn, current(self.device):
            self._owner, self._in_use = threading.get_ident(), what
            try:
                yield
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._forget()
                # Its traceback would keep the borrower's tensors alive.
                raise NotEnoughMemory(
                    f"{device_name(self.device)} ran out of memory: {str(error).splitlines()[0]}",
                    "Use a smaller batch, a LoRA in place of the full UNet, or smaller pictures.",
                ) from error.with_traceback(None)
            finally:
                self._owner, self._in_use = None, ""

    def _ready(self, name: str, with_unet: bool = True) -> _Base:
        """The base on the device: the one kept if it is this one and its files haven't changed.

        For a training it is loaded ``with_unet=False``: that takes another copy of it.
        """
        card = self.catalog.card(name)
        folder = self.catalog.folder(name)
        stamp = _stamp(folder)
        base = self._base
        if base is None or base.folder != folder or base.stamp != stamp:
            leave_libraries_alone()
            self._forget()
            base = self._base = _Base(folder, stamp, self._load(folder, card), has_unet=False)
        base.parts.companions.wake()
        if with_unet and not base.has_unet:
            base.parts.unet = loading.load_unet(folder, self.device, self.dtype)
            base.has_unet = True
        return base

    def _load(self, folder: Path, card: ModelCard) -> Parts:
        """All but the UNet."""
        vae = loading.load_vae(folder, self.device, self.dtype)
        text_encoder = loading.load_text_encoder(folder, self.device, self.dtype)
        absent: Any = None
        return Parts(
            unet=absent,
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=loading.load_tokenizer(folder),
            scheduler_config=loading.load_scheduler_config(folder),
            controlnet=None,
            device=self.device,
            dtype=self.dtype,
            card=card,
            companions=Companions([vae, text_encoder], self.device),
        )

    def _trained_text_encoder(self, base: _Base, spec: ModelSpec) -> Any:
        """A copy of its own where the run has trained it, else the base's."""
        if spec.unet_run:
            folder = self.catalog.run_file(spec.unet_run).parent.parent
            if (folder / TEXT_FOLDER).is_dir():
                return loading.load_text_encoder(folder, self.device, self.dtype)
        if spec.lora_run:
            file = lora_files.read_lora(self.catalog.run_file(spec.lora_run), base.parts.unet)
            if file.text:
                text_encoder = loading.load_text_encoder(base.folder, self.device, self.dtype)
                attach_text_lora(text_encoder, file.text, file.text_alpha, spec.lora_scale)
                return text_encoder
        return base.parts.text_encoder

    def _learning_text_encoder(self, folder: Path, lora: LoraSettings | None) -> Any:
        text_encoder = loading.load_text_encoder(folder, self.device, torch.float32)
        if lora:
            add_text_lora(text_encoder, lora.rank, lora.alpha, lora.seed)
        else:
            text_encoder.requires_grad_(True)
        return text_encoder

    def _control(self, base: _Base, kind: str) -> Any:
        name = base.parts.card.name
        if self._controlnet is None or self._controlnet[:2] != (name, kind):
            self._controlnet = None
            model = loading.load_controlnet(base.folder, kind, base.parts.card, self.device, self.dtype)
            self._controlnet = (name, kind, model)
        return self._controlnet[2]

    def _restore(self, base: _Base, swapped: bool, adapted: bool) -> None:
        if adapted:
            lora_files.detach_lora(base.parts.unet)
        if _stamp(base.folder) != base.stamp:
            self._forget()
        elif swapped:
            loading.swap_weights(base.parts.unet, base.folder / UNET_FILE)

    def _drop_unet(self, base: _Base) -> None:
        if base.has_unet:
            unet: Any = base.parts.unet
            unet.to("meta")
        base.has_unet = False
        self._controlnet = None
        give_back_memory()

    def _forget(self) -> None:
        self._base = self._controlnet = None
        give_back_memory()


def _stamp(folder: Path) -> tuple[int, int]:
    """Tells a model that was converted anew under its old name."""
    path = folder / UNET_FILE
    return (path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else (0, 0)
