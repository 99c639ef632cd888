"""The page's tests run on fake recipes: these yield what the real ones yield, in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from PIL import Image

from dreamgui.assets import asset
from dreamgui.config import (
    JOBS,
    ClassImagesJob,
    CompareJob,
    ControlJob,
    ConvertJob,
    CropJob,
    ExportJob,
    ExtractJob,
    GenerateJob,
    ImportJob,
    JobConfig,
    KeepJob,
    MergeJob,
    MixJob,
    PreflightJob,
    PushJob,
    ResizeJob,
    SweepJob,
    TokensJob,
    TrainJob,
)
from dreamgui.events import Event, Note, Preview, Progress, SampleLikeness, Saved, Skipped
from dreamgui.models.catalog.catalog import LORA_FILE
from dreamgui.models.manager import Models
from dreamgui.recipes import recipe
from dreamgui.workspace import Workspace
from tests.data.conftest import packaged
from tests.models.hub_server import TOKEN, HubServer
from tests.recipes.runs import make_run
from tests.tiny import make_tiny_base, make_tiny_bundle, make_tiny_controlnet
from tests.ui.fakes import fake_recipes

torch.set_num_threads(1)
PERSON = packaged("skimage", "data/astronaut.png")
Run = Callable[[JobConfig], list[Event]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the real recipes' workspace and assets."""
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module")
def real(root: Path) -> Iterator[Run]:
    """The real recipes, on tiny models, two runs and three photographs of one person."""
    workspace, models = Workspace(root / "home"), Models(Workspace(root / "home"), torch.device("cpu"))
    base = make_tiny_base(workspace)
    make_tiny_controlnet(base, "canny")
    make_run(workspace, "tiny", "moved", "unet")
    make_run(workspace, "tiny", "adapted", "lora")
    make_tiny_bundle(base, root / "assets")
    (root / "assets" / "models").symlink_to(asset("models"))
    with pytest.MonkeyPatch.context() as patch, HubServer() as hub:
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr("dreamgui.assets.ASSETS", root / "assets")
        yield lambda job: list(recipe(job.kind)(job, workspace, models))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Three of one person, and a file that is none."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(3):
        Image.open(PERSON).rotate(3 * number).save(folder / f"{number}.png")
    (folder / "text.txt").write_text("no photograph")
    return tuple(sorted(folder.iterdir()))


@pytest.fixture(scope="module")
def jobs(photographs: tuple[Path, ...], root: Path) -> dict[str, JobConfig]:
    generation = {"models": ("tiny",), "steps": 1}
    training = {
        "model": "tiny",
        "dataset": "anna",
        "steps": 2,
        "prior_preservation": False,
        "sample_steps": 1,
    }
    return {
        "crop": CropJob(photos=photographs, dataset="anna", size_px=64, hold_out=False),
        "convert": ConvertJob(source="demo", model="converted"),
        "class_images": ClassImagesJob(model="tiny", class_count=2, class_steps=1),
        "train": TrainJob.model_validate({**training, "run": "anna", "sample_every": 1, "checkpoint_every": 1}),
        "compare": CompareJob(**generation, dataset="anna", prompts=("a", "b")),
        "control": ControlJob(**generation, image=PERSON),
        "generate": GenerateJob(model="tiny", steps=1, count=2),
        "preflight": PreflightJob.model_validate(training),
        "sweep": SweepJob.model_validate({**training, "ranks": "2", "sample_every": 1, "checkpoint_every": 1}),
        "import": ImportJob(file=root / "home" / "runs" / "adapted" / LORA_FILE, base="tiny", run="added"),
        "export": ExportJob(model="adapted", format="lora-kohya"),
        "push": PushJob(model="adapted", token=TOKEN),
        "merge": MergeJob(lora="adapted"),
        "extract": ExtractJob(trained="moved", rank=2),
        "resize": ResizeJob(lora="adapted", rank=2),
        "mix": MixJob(first="tiny", second="moved"),
        "keep": KeepJob(model="adapted", strength=0.5),
        "tokens": TokensJob(model="tiny", steps=1, count=2),
    }  # fmt: skip


@pytest.fixture(scope="module")
def cropped(real: Run, jobs: dict[str, JobConfig]) -> list[Event]:
    """What the real cropping tells; its dataset is there from then on."""
    return real(jobs["crop"])


def told(event: Event) -> str:
    return f"Saved {event.what}" if isinstance(event, Saved) else type(event).__name__


def order(events: list[Event]) -> tuple[list[str], list[str]]:
    """What comes in which order: by when it comes first, and by when it comes last; likeness comes when it is measured."""
    names = [
        told(event)
        for event in events
        if not isinstance(event, Note | Skipped | Progress | Preview | SampleLikeness)
    ]
    last = list(dict.fromkeys(reversed(names)))[::-1]
    return list(dict.fromkeys(names)), last


def shape(value: Any) -> Any:
    """The kind of a field's value: of a dict its keys, of a tuple its items."""
    if isinstance(value, dict):
        return frozenset(value)
    if isinstance(value, tuple):
        return tuple(type(item) for item in value)
    if isinstance(value, Image.Image):
        return Image.Image
    return Path if isinstance(value, Path) else type(value)


def fields(events: list[Event]) -> dict[tuple[str, str], set[Any]]:
    found: dict[tuple[str, str], set[Any]] = {}
    for event in events:
        for name, value in vars(event).items():
            found.setdefault((told(event), name), set()).add(shape(value))
    return found


def within(fake: Any, real: set[Any]) -> bool:
    """A fake may leave figures out, never add one."""
    if isinstance(fake, frozenset):
        return any(isinstance(kind, frozenset) and fake <= kind for kind in real)
    return fake in real


@pytest.mark.parametrize("kind", [kind for kind in JOBS if kind != "demo"])
def test_a_fake_tells_what_the_recipe_tells(
    real: Run, cropped: list[Event], jobs: dict[str, JobConfig], kind: str, tmp_path: Path
) -> None:
    theirs = cropped if kind == "crop" else real(jobs[kind])
    fakes = fake_recipes(Workspace(tmp_path), step_seconds=0.0)
    ours = list(fakes[kind](jobs[kind]))
    assert order(ours) == order(theirs)
    assert any(isinstance(event, Progress) for event in ours)
    # A preview is shown now and then, by the clock; a tiny model generates no face.
    known = fields(theirs) | {("Preview", "image"): {Image.Image}, ("SampleLikeness", "value"): {float}}
    for (event, field), kinds in fields(ours).items():
        assert all(within(each, known[event, field]) for each in kinds), f"{event}.{field}: {kinds}"
