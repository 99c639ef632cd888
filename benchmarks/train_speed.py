"""Steps a second of the app's own recipe and of the plain loop, and whether both have the same losses."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.plain import PlainLoop
from benchmarks.train_place import Place, until_loss
from benchmarks.train_rows import Row
from dreamgui.config import TrainJob
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.diffusion.latents import Picture
from dreamgui.events import Note
from dreamgui.models import loading
from dreamgui.models.lora import adapters
from dreamgui.models.manager import Models, Parts
from dreamgui.training.steps.graph import FastStep
from dreamgui.training.steps.make_step import lora_settings, make_step
from dreamgui.training.training_data import TrainingData, TrainingImages, encode, photographs

PROMPTS = ("a photo of sks woman face", "a photo of woman face")
LEAST_STEPS, WARM_STEPS, PARITY_STEPS = 3, 2, 50


class Live:
    """A training by the recipe that is halted between its rounds.

    Attributes:
        ready_s: from Start to the first loss that was told.
        notes: what it said meanwhile.
    """

    def __init__(self, place: Place, settings: dict[str, Any], models: Models) -> None:
        self._cuda = models.device.type == "cuda"
        # Losses are read from a GPU in parcels of ten, so a round is a whole number of parcels.
        self._parcel = 10 if self._cuda else 1
        self.notes: list[str] = []
        began = time.perf_counter()
        self._events: Any = place.training(settings, models)
        self._until(1)
        self.ready_s = time.perf_counter() - began
        self._step = until_loss(self._events, 3 * self._parcel + 1).step

    def speed(self, seconds: float) -> float:
        """Steps a second, measured at whole parcels; what was under way before the round doesn't count."""
        first = self._until(self._step + 2 * self._parcel)
        began = now = time.perf_counter()
        while now - began < seconds or self._step - first < LEAST_STEPS:
            self._until(self._step + self._parcel)
            now = time.perf_counter()
        if self._cuda:
            torch.cuda.synchronize()
        return (self._step - first) / (now - began)

    def close(self) -> None:
        """End it; nothing is kept."""
        self._events.close()

    def _until(self, step: int) -> int:
        for event in self._events:
            if isinstance(event, Note):
                self.notes.append(event.text)
            elif getattr(event, "grad_norm", None) is not None and event.step >= step:
                self._step = event.step
                return event.step
        raise RuntimeError(f"the training ended before step {step}")


class Plain:
    """The plain loop over the same pictures, with a model of its own."""

    def __init__(self, place: Place, job: TrainJob, models: Models) -> None:
        self._parts: Parts | None = _own_parts(job, models)
        self._loop: PlainLoop | None = PlainLoop(self._parts, self._parts.card.size_px)
        self._batch = job.batch_size
        folder = place.workspace.find("datasets", job.dataset)
        self._files = [
            [path for path, _ in Dataset.load(folder).images()],
            sorted(place.class_folder.glob("*.png")),
        ]

    def speed(self, seconds: float) -> float:
        """Steps a second, after a few to warm up."""
        return steps_a_second(self._step, seconds)

    def close(self) -> None:
        """Give its memory back."""
        self._loop = self._parts = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _step(self, number: int) -> None:
        assert self._loop is not None
        chosen = [self._chosen(files, number) for files in self._files]
        self._loop.step(chosen[0], chosen[1], PROMPTS)

    def _chosen(self, files: list[Path], number: int) -> list[Path]:
        return [files[(number * self._batch + each) % len(files)] for each in range(self._batch)]


def steps_a_second(step: Callable[[int], None], seconds: float) -> float:
    """Call ``step(number)``, which waits for the device, for so long; calls a second."""
    for number in range(WARM_STEPS):
        step(number)
    began, number = time.perf_counter(), 0
    while time.perf_counter() - began < seconds or number < LEAST_STEPS:
        step(number)
        number += 1
    return number / (time.perf_counter() - began)


def speed(row: Row, place: Place) -> dict[str, Any]:
    """Both loops, in turns where both fit on the device: then other load hits both."""
    models = Models(place.workspace)
    plain: list[float] = []
    ours: list[float] = []
    loop = Plain(place, place.job(row.settings), models) if row.plain else None
    in_turns = models.device.type == "cpu" or row.pictures < 8
    if loop and not in_turns:
        plain = [loop.speed(place.seconds) for _ in range(place.rounds)]
        loop.close()
    live = Live(place, row.settings, models)
    for _ in range(place.rounds):
        if loop and in_turns:
            plain.append(loop.speed(place.seconds))
        ours.append(live.speed(place.seconds))
    live.close()
    models.release()
    if loop:
        loop.close()
    scale = row.pictures if row.unit == "images/s" else 1
    return {
        "value": scale * statistics.median(ours),
        "plain": scale * statistics.median(plain) if plain else None,
        "ours_steps_s": ours,
        "plain_steps_s": plain,
        "ready_s": live.ready_s,
        "notes": live.notes,
    }


def parity(row: Row, place: Place) -> dict[str, Any]:
    """The fast step and the plain loop train on the same batches: how far their losses come apart.

    ``value`` is the largest difference of an instance loss in terms of the loss.
    """
    models = Models(place.workspace)
    job = place.job(row.settings)
    rate = job.effective_learning_rate
    with models.train(job.model, lora_settings(job)) as parts:
        training_data = _training_data(place, job, parts)
        # A model of its own, as diffusers has it: the one that is lent may compute with less (ops/lora_modules.py).
        plain = PlainLoop(_own_parts(job, models), parts.card.size_px, rate)
        training = make_step(job, parts)
        schedule = training.schedule
        fast, pairs = FastStep(training), []
        for step in range(1, (5 if place.short else PARITY_STEPS) + 1):
            one = training_data.batch(step, schedule.steps)
            _, expected, _ = plain.train_on(one.latents, one.noise, one.timesteps, one.text, one.instances)
            pairs.append((fast.launch(one, rate).tolist()[1], expected))
    return {
        "value": max(abs(found - expected) / expected for found, expected in pairs),
        "losses": pairs,
        "graph": fast.captured,
        "notes": [fast.reason] if fast.reason else [],
    }


def _own_parts(job: TrainJob, models: Models) -> Parts:
    """A model as the manager lends it for training, but beside the one that it lends."""
    folder, lora = models.catalog.folder(job.model), lora_settings(job)
    dtype = models.train_dtype if lora else torch.float32
    unet = loading.load_unet(folder, models.device, dtype)
    if lora:
        adapters.add_lora(unet, lora)
    else:
        unet.requires_grad_(True)
    return Parts(
        unet=unet,
        vae=loading.load_vae(folder, models.device, models.dtype),
        text_encoder=loading.load_text_encoder(folder, models.device, models.dtype),
        tokenizer=loading.load_tokenizer(folder),
        scheduler_config=loading.load_scheduler_config(folder),
        controlnet=None,
        device=models.device,
        dtype=models.train_dtype,
        card=models.catalog.card(job.model),
    )


def _training_data(place: Place, job: TrainJob, parts: Parts) -> TrainingData:
    instance = photographs(Dataset.load(place.workspace.find("datasets", job.dataset)), job).instance
    prior = [Picture(path, job.class_prompt) for path in sorted(place.class_folder.glob("*.png"))]
    encoding = encode(parts, job, TrainingImages(instance, prior[: len(instance)], []))
    while True:
        try:
            next(encoding)
        except StopIteration as end:
            return end.value
