"""Random sequences of what users and machines do: nothing is lost, no job is stuck, no traceback.

DREAMGUI_SEQUENCES=200 runs as many sequences, others at each run; without it a few, always the same.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings

from dreamgui.config import CropJob, TrainJob
from dreamgui.data import crop as data_crop
from dreamgui.data.faces.detect import Face
from dreamgui.events import Cancelled, Done
from dreamgui.jobs import line as queue
from dreamgui.recipes import crop as recipe_crop
from tests.diffusion.made import picture
from tests.sequences.dataset_rules import DatasetRules
from tests.sequences.disk import Disk
from tests.sequences.program import Program
from tests.sequences.run_rules import QUICK, RunRules
from tests.tiny import make_tiny_bundle

torch.set_num_threads(1)
COUNT = int(os.environ.get("DREAMGUI_SEQUENCES", "0"))
STEPS = 12
_LANDMARKS = ((24, 26), (40, 26), (32, 34), (32, 42), (16, 28), (48, 28))


class Sequences(DatasetRules, RunRules):
    """All rules."""


class NoEmbedder:
    """Stands for dlib, whose start takes seconds."""

    def __enter__(self) -> NoEmbedder:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __call__(self, image: object, face: object) -> None:
        return None


@pytest.fixture
def machine(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine on a tiny base; each picture shows one upright face in its middle."""
    face = Face((16.0, 16.0, 48.0, 48.0), 0.9, _LANDMARKS)
    monkeypatch.setattr(data_crop, "detect_faces", lambda *_: [face])
    monkeypatch.setattr(data_crop, "turn_upright", lambda *_: None)
    monkeypatch.setattr(recipe_crop, "Embedder", NoEmbedder)
    monkeypatch.setattr(queue, "RETRY_SECONDS", 0.01)
    make_tiny_bundle(tiny_folder, tmp_path / "assets")
    monkeypatch.setattr("dreamgui.assets.ASSETS", tmp_path / "assets")
    (tmp_path / "photos").mkdir()
    for number in range(5):
        picture(number).save(tmp_path / "photos" / f"{number}.png")
    Sequences.photos = sorted((tmp_path / "photos").iterdir())
    Sequences.base = tmp_path / "home"
    shutil.copytree(tiny_folder, Sequences.base / "models" / "tiny")
    begun = Program(Sequences.base)
    job = CropJob(photos=tuple(Sequences.photos), dataset="anna", size_px=64, take_as_is=True, hold_out=False)
    assert isinstance(begun.run(job).ending, Done)
    whole = TrainJob(**QUICK, dataset="anna", steps=2, run="whole", method="unet")
    assert isinstance(begun.run(whole).ending, Done)
    stopped = TrainJob(**QUICK, dataset="anna", steps=6, run="stopped", checkpoint_every=1)
    assert isinstance(begun.run(stopped, stop_after=3).ending, Cancelled)
    begun.close()
    shutil.rmtree(Sequences.base / "jobs")
    Sequences.disk = Disk()
    Sequences.disk.attach(monkeypatch)
    Sequences.count.clear()
    gc.freeze()
    yield
    print(json.dumps(dict(sorted(Sequences.count.items()))))


# The worker's thread is left by SystemExit, which Python passes over.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.timeout(0 if COUNT else 300)
@pytest.mark.usefixtures("machine")
class TestSequences(Sequences.TestCase):  # type: ignore[misc]
    settings = settings(
        max_examples=COUNT or 8,
        stateful_step_count=STEPS,
        derandomize=not COUNT,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, *([Phase.shrink] if "DREAMGUI_SHRINK" in os.environ else [])],
        suppress_health_check=list(HealthCheck),
    )
