"""What only a whole training in a fresh process can tell: time to the first step, memory, from cold, several GPUs."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import psutil
import torch

from benchmarks.train_place import Place, until_loss
from benchmarks.train_rows import Row
from benchmarks.train_speed import Live, parity, speed
from dreamgui.diffusion import class_images
from dreamgui.errors import BadInput, NotEnoughMemory
from dreamgui.events import ClassImage, Event, Loss, Note, Saved
from dreamgui.models.manager import Models

MEMORY_STEPS = 25
SHORT_COLD = {"class_count": 4, "class_steps": 2, "steps": 5}
_alone: dict[int, float] = {}


def ready(row: Row, place: Place) -> dict[str, Any]:
    """Seconds from Start to the first loss that is told: with a GPU that is some 20 steps after the first.

    Samples are drawn before the first step, as by default.
    """
    if not row.again:
        (place.forget_compiled if row.settings.get("compile") else place.forget_encoded)()
    models = Models(place.workspace)
    began = time.perf_counter()
    events: Any = place.training({"sample_every": 100, **row.settings}, models)
    notes = []
    for event in events:
        if isinstance(event, Note):
            notes.append(event.text)
        if isinstance(event, Loss):
            break
    seconds = time.perf_counter() - began
    # A compiled step's cache is written in the background; closing at once would lose none of it.
    events.close()
    return {"value": seconds, "from_the_process_s": since_start(), "notes": notes}


def memory(row: Row, place: Place) -> dict[str, Any]:
    """Peak of device memory in a training that may have ``cap_gb``; where that is too little, without a cap.

    The cap is on what PyTorch takes from the card (``reserved``); CUDA's own context comes on top.
    """
    models = Models(place.workspace)
    if models.device.type != "cuda":
        told = _steps(row, place, models)
        return {"value": None, "notes": ["Only CUDA tells how much memory was taken.", *told]}
    assert row.cap_gb is not None
    total = torch.cuda.get_device_properties(models.device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, row.cap_gb * 1e9 / total))
    notes = []
    try:
        told = _steps(row, place, models)
    except NotEnoughMemory as error:
        notes.append(f"Not within {row.cap_gb:g} GB: {error.what}")
    if notes:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        told = _steps(row, place, models)
    return {
        "value": torch.cuda.max_memory_allocated() / 1e9,
        "reserved_gb": torch.cuda.max_memory_reserved() / 1e9,
        "within_cap": not notes,
        "cap_gb": row.cap_gb,
        "notes": [*notes, *told],
    }


def cold(row: Row, place: Place) -> dict[str, Any]:
    """Seconds from the start of this process to a saved run: imports, class images, steps, saving."""
    notes = []
    if find_spec("mediapipe") is None:
        setattr(class_images, "look_at", lambda image, framing: class_images.Look(0.5, 0.0))  # noqa: B010
        notes.append("Without mediapipe, class images were kept as they came.")
    for folder in (place.home / "classes").iterdir():
        if not folder.name.startswith("own-"):
            shutil.rmtree(folder)
    models = Models(place.workspace)
    settings = {**row.settings, **(SHORT_COLD if place.short else {})}
    marks = {"imports_s": since_start()}
    steps, told = 0, 0
    for event in place.training(settings, models):
        if isinstance(event, ClassImage):
            marks.setdefault("first_class_image_s", since_start())
            marks["class_images_s"] = since_start()
        elif isinstance(event, Loss):
            marks.setdefault("first_loss_s", since_start())
            marks["last_loss_s"] = since_start()
            steps += 1
        elif isinstance(event, Saved) and event.what == "run":
            saved = event.path
        if len(marks) > told:
            # Said at once, for whoever looks at a row that took too long.
            told = len(marks)
            print({name: round(seconds, 1) for name, seconds in marks.items()}, file=sys.stderr, flush=True)
    seconds = since_start()
    print({name: round(when, 1) for name, when in marks.items()}, seconds, file=sys.stderr, flush=True)
    size = sum(file.stat().st_size for file in saved.rglob("*.safetensors"))
    shutil.rmtree(saved)
    return {"value": seconds, **marks, "steps": steps, "saved_bytes": size, "notes": notes}


def gpus(row: Row, place: Place) -> dict[str, Any]:
    """Images a second of so many processes, in terms of one's; each has ``batch_size`` instance pictures."""
    models = Models(place.workspace)
    if models.device.type == "cuda" and torch.cuda.device_count() < row.gpus:
        raise BadInput(f"This machine has {torch.cuda.device_count()} GPU.", f"It takes {row.gpus}.")
    size, seconds = row.settings["batch_size"], max(place.seconds, 1.0)
    if size not in _alone:
        alone = {name: value for name, value in row.settings.items() if name != "shard"}
        _alone[size] = 2 * size * _speed(place, alone, models, seconds)
    shared = {**row.settings, "batch_size": row.gpus * size, "processes": row.gpus}
    together = 2 * size * row.gpus * _speed(place, shared, models, seconds)
    return {"value": together / _alone[size], "images_s": together, "images_s_of_one": _alone[size]}


def _speed(place: Place, settings: dict[str, Any], models: Models, seconds: float) -> float:
    live = Live(place, settings, models)
    found = live.speed(place.rounds * seconds)
    live.close()
    models.release()
    return found


def _steps(row: Row, place: Place, models: Models) -> list[str]:
    """Some steps of a training; what it said, among that what its memory tier has turned on."""
    told: list[str] = []
    events: Any = place.training(row.settings, models)
    until_loss(_listened(events, told), 3 if place.short else MEMORY_STEPS)
    events.close()
    models.release()
    return told


def _listened(events: Iterator[Event], told: list[str]) -> Iterator[Event]:
    for event in events:
        if isinstance(event, Note):
            told.append(event.text)
        yield event


def since_start() -> float:
    """Seconds since this process was started."""
    return time.time() - psutil.Process().create_time()


MEASURES: dict[str, Callable[[Row, Place], dict[str, Any]]] = {
    "speed": speed, "parity": parity, "ready": ready, "memory": memory, "cold": cold, "gpus": gpus,
}  # fmt: skip
