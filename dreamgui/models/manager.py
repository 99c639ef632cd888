"""The one owner of device memory: models are borrowed in a ``with`` block and given back as they were."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dreamgui.errors import NotEnoughMemory
from dreamgui.leftovers import clean_up
from dreamgui.models import loading
from dreamgui.models.beside import beside_training
from dreamgui.models.catalog.cards import ModelSpec
from dreamgui.models.catalog.catalog import UNET_FILE, Catalog
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
from dreamgui.models.loading import Parts
from dreamgui.models.lora.adapters import LoraSettings, add_lora
from dreamgui.models.lora.attach import attached
from dreamgui.models.lora.text_encoders import TEXT_FOLDER, add_text_lora
from dreamgui.models.offload import Offloadable
from dreamgui.models.state import Base, Now, stamp_of
from dreamgui.ops.changes import Stage, inject
from dreamgui.workspace import Workspace

__all__ = ["LoraSettings", "Models", "Parts", "choose_device"]


class Models:
    """Keeps one base model on the device and lends it, changed as asked, to one user at a time.

    Attributes:
        catalog: which models and runs exist.
        device: where models live.
        dtype: dtype for generation: fp16 on a GPU, fp32 on the CPU.
        train_dtype: compute format for training: bf16 where the GPU has it, fp16 on other CUDA GPUs, else
            fp32.
    """

    def __init__(self, workspace: Workspace, device: torch.device | None = None) -> None:
        self.catalog = Catalog(workspace)
        clean_up(workspace)
        self.device = device or choose_device()
        self.dtype = torch.float32 if self.device.type == "cpu" else torch.float16
        self.train_dtype = train_dtype(self.device)
        self._turn = threading.Lock()
        self._now = Now()

    def seen_from(self, workspace: Workspace) -> Models:
        """Return this manager with the names of another workspace. The device and its one user stay the same."""
        view = copy(self)
        view.catalog = Catalog(workspace)
        return view

    @contextmanager
    def use(self, spec: ModelSpec) -> Iterator[Parts]:
        """Lend a model for generation. On leaving, the base's UNet is bitwise what it was.

        The thread that trains may borrow it too, between two steps of its training: see :attr:`trains`.

        Raises:
            UnknownName, Damaged: the base or run isn't there or can't be read.
            NotEnoughMemory: the device ran out of memory, here or in the block.
        """
        what = spec.unet_run or spec.lora_run or spec.base
        beside = self._now.trains and self._now.owner == threading.get_ident()
        with self._beside_training(what) if beside else self._my_turn(what):
            base = self._ready(spec.base)
            unet_file = self.catalog.run_file(spec.unet_run) if spec.unet_run else None
            loras = self._loras(spec)
            controlnet, *more = self._controls(base, spec) or [None]
            text_encoder = self._trained_text_encoder(base, spec)
            parts = replace(
                base.parts,
                controlnet=controlnet,
                more_controlnets=tuple(more),
                text_encoder=text_encoder,
                replays=base.replays,
            )
            try:
                if unet_file:
                    base.unets.keep(parts.unet, base.folder / UNET_FILE)
                    base.unets.put(parts.unet, unet_file)
                with attached(parts.unet, parts.text_encoder, *loras, read=base.loras.read):
                    yield parts
            finally:
                if text_encoder is not base.parts.text_encoder:
                    base.replays.drop(text_encoder)
                self._restore(base, swapped=unet_file is not None)

    @contextmanager
    def train(
        self,
        base: str,
        lora: LoraSettings | None = None,
        text_encoder: bool = False,
        bf16_weights: bool = False,
    ) -> Iterator[Parts]:
        """Lend a model for training. The trained UNet is a copy and is gone after the block.

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
            self._now.drop_unet(loaded)
            compute = torch.bfloat16 if bf16_weights else self.train_dtype
            dtype = compute if lora or bf16_weights else torch.float32
            unet = loading.load_unet(loaded.folder, self.device, dtype)
            if lora:
                add_lora(unet, lora)
                if not lora.dora:
                    inject(unet, Stage.LORA_ADDED, self.device)
            else:
                unet.requires_grad_(True)
            unet.train()
            parts = replace(loaded.parts, unet=unet, dtype=compute)
            if text_encoder:
                Offloadable([parts.text_encoder], self.device).offload()
                parts.text_encoder = self._trainable_text_encoder(loaded.folder, lora)
                parts.offloadable = Offloadable([parts.vae], self.device)
            self._now.trains, self._now.trains_text = True, text_encoder
            try:
                yield parts
            finally:
                self._now.trains = False
                # The borrower may still hold these parts; without the reference the memory comes back at
                # once.
                del unet, parts
                give_back_memory()

    @property
    def trains(self) -> bool:
        """Return whether a training has the device in this process. Its thread may :meth:`use` a model between two steps."""
        return self._now.trains

    @contextmanager
    def elsewhere(self, what: str) -> Iterator[None]:
        """Give all device memory to other processes. Inside the block nobody here is lent a model."""
        with self._my_turn(what):
            self._now.forget()
            yield

    def release(self) -> None:
        """Give all device memory back. The next use loads again."""
        with self._my_turn(""):
            self._now.forget()

    def status(self) -> dict[str, Any]:
        """Return what the page shows: device, loaded base and ControlNet, who uses it, memory in bytes. Never waits.

        Names of another workspace's models aren't told.
        """
        now = self._now if self._now.root == self.catalog.workspace.root else Now()
        base, controlnets = now.base, now.controlnets
        used, total = memory_bytes(self.device)
        return {
            "device": device_name(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
            "base": base.parts.card.name if base else "",
            "controlnet": ", ".join(kind for _, kind in list(controlnets)),
            "in_use": now.in_use,
            "memory_used_bytes": used,
            "memory_total_bytes": total,
        }

    @contextmanager
    def _my_turn(self, what: str) -> Iterator[None]:
        if self._now.owner == threading.get_ident():
            raise RuntimeError("This thread already uses a model: leave that block first.")
        with self._turn, current(self.device):
            self._now.owner, self._now.root = threading.get_ident(), self.catalog.workspace.root
            try:
                with self._told(what):
                    yield
            finally:
                self._now.owner = None

    @contextmanager
    def _beside_training(self, what: str) -> Iterator[None]:
        """Lend to the training's own thread."""
        root = self.catalog.workspace.root
        with beside_training(self._now, root, self.device), self._told(what):
            yield

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Name what is in use, and turn the device's error for full memory into NotEnoughMemory."""
        before, self._now.in_use = self._now.in_use, what
        try:
            yield
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self._now.forget()
            # Its traceback would keep the borrower's tensors alive.
            raise NotEnoughMemory(
                f"{device_name(self.device)} ran out of memory: {str(error).splitlines()[0]}",
                "Use a smaller batch, a LoRA in place of the full UNet, or smaller pictures."
                if not before
                else "Wait for the end of the training, which needs that memory.",
            ) from error.with_traceback(None)
        finally:
            self._now.in_use = before

    def _ready(self, name: str, with_unet: bool = True) -> Base:
        """The base on the device: the one kept if it is this one and its files haven't changed.

        For a training it is loaded ``with_unet=False``: that takes another copy of it.
        """
        card = self.catalog.card(name)
        folder = self.catalog.folder(name)
        stamp = stamp_of(folder)
        base = self._now.base
        if base is None or base.folder != folder or base.stamp != stamp:
            leave_libraries_alone()
            self._now.forget()
            base = self._now.base = Base.of(
                folder, stamp, loading.load_without_unet(folder, card, self.device, self.dtype)
            )
        base.parts.offloadable.reload()
        if with_unet and not base.has_unet:
            base.parts.unet = loading.load_unet(folder, self.device, self.dtype)
            inject(base.parts.unet, Stage.LENT, self.device)
            base.has_unet = True
        return base

    def _loras(self, spec: ModelSpec) -> list[tuple[Path, float]]:
        own = [(spec.lora_run, spec.lora_scale)] if spec.lora_run else []
        return [(self.catalog.run_file(name), scale) for name, scale in (*own, *spec.more_loras)]

    def _trained_text_encoder(self, base: Base, spec: ModelSpec) -> Any:
        """A copy of its own where the run has trained it whole, else the base's."""
        if spec.unet_run:
            folder = self.catalog.run_file(spec.unet_run).parent.parent
            if (folder / TEXT_FOLDER).is_dir():
                return loading.load_text_encoder(folder, self.device, self.dtype)
        return base.parts.text_encoder

    def _trainable_text_encoder(self, folder: Path, lora: LoraSettings | None) -> Any:
        text_encoder = loading.load_text_encoder(folder, self.device, torch.float32)
        if lora:
            add_text_lora(text_encoder, lora.rank, lora.alpha, lora.seed)
        else:
            text_encoder.requires_grad_(True)
        return text_encoder

    def _controls(self, base: Base, spec: ModelSpec) -> list[Any]:
        """The ControlNets of a spec in its order. Those of the spec before that it doesn't want are dropped."""
        name = base.parts.card.name
        wanted = [kind for kind in (spec.controlnet, *spec.more_controlnets) if kind]
        if not wanted:
            return []
        kept = self._now.controlnets
        found = {key: kept[key] for kind in wanted if (key := (name, kind)) in kept}
        if gone := [each for key, each in kept.items() if key not in found]:
            base.replays.drop(*gone)
        self._now.controlnets = found
        for kind in wanted:
            if (name, kind) not in found:
                found[name, kind] = loading.load_controlnet(
                    base.folder, kind, base.parts.card, self.device, self.dtype, base.parts.unet
                )
        return [found[name, kind] for kind in wanted]

    def _restore(self, base: Base, swapped: bool) -> None:
        if stamp_of(base.folder) != base.stamp:
            self._now.forget()
        elif swapped:
            base.unets.put(base.parts.unet, base.folder / UNET_FILE)
