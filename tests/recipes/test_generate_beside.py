"""Pictures generated between two steps of a training: the training learns bitwise what it learns alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from dreamgui import recipes
from dreamgui.config import GenerateJob, JobConfig, TrainJob
from dreamgui.errors import NotEnoughMemory
from dreamgui.events import Cell, Done, Event, Failed, Loss
from dreamgui.jobs.job import Job
from dreamgui.models import loading
from dreamgui.models.catalog.cards import ModelSpec
from dreamgui.models.manager import Models
from dreamgui.services import Services
from dreamgui.workspace import Workspace
from tests.diffusion.made import make_dataset
from tests.recipes import killing
from tests.tiny import make_tiny_base

torch.set_num_threads(1)


@pytest.fixture
def services(tmp_path: Path) -> Services:
    workspace = Workspace(tmp_path)
    make_tiny_base(workspace, levels=1)
    make_tiny_base(workspace, "other", seed=7, levels=1)
    make_dataset(workspace)
    services = Services(workspace)
    services._models = Models(workspace, torch.device("cpu"))
    return services


def trained(services: Services, run: str, at_step: Callable[[int], object], **changes: Any) -> list[Event]:
    """The events of a training of four steps, each of which is told as soon as it is known."""
    job = TrainJob.model_validate(
        {"model": "tiny", "dataset": "anna", "run": run, "steps": 4, "prior_preservation": False, **changes}
        | {"sample_every": 0, "sample_steps": 2}
    )
    bound = recipes.bind(services.workspace, lambda: services.models)["train"]

    def watched(config: JobConfig) -> Any:
        for event in bound(config):
            if isinstance(event, Loss):
                at_step(event.step)
            yield event

    services.jobs._recipes = {**services.jobs._recipes, "train": watched}
    training = services.jobs.submit(job)
    assert isinstance(training.wait(), Done), training.events()[-1]
    return training.events()


@pytest.mark.parametrize("model", ["tiny", "other"])
@pytest.mark.parametrize("changes", [{"method": "unet"}, {"method": "lora", "train_text_encoder": True}])
def test_the_losses_are_those_of_a_training_alone(
    services: Services, model: str, changes: dict[str, Any]
) -> None:
    alone = trained(services, "alone", lambda step: None, **changes)
    pictures: list[Job] = []
    states: list[str] = []

    def look(step: int) -> None:
        if step == 2:
            wanted = GenerateJob(model=model, prompt="a cat", steps=2, seed=3)
            pictures.append(services.jobs.submit(wanted))
        states.extend(job.state for job in pictures)

    beside = trained(services, "beside", look, **changes)
    assert states == ["waiting", "done", "done"]
    assert any(isinstance(event, Cell) for event in pictures[0].events())
    assert killing.numbers(beside) == killing.numbers(alone)
    assert not services.models.trains


def test_without_memory_for_pictures_the_training_goes_on(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = trained(services, "alone", lambda step: None)
    asked: list[Job] = []

    def short(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    def ask(step: int) -> None:
        if step != 2:
            return
        monkeypatch.setattr("dreamgui.recipes.generate.Passes", short)
        asked.append(services.jobs.submit(GenerateJob(model="tiny", steps=2)))

    beside = trained(services, "beside", ask)
    failed = asked[0].events()[-1]
    assert (
        isinstance(failed, Failed)
        and failed.next_step == "Wait for the end of the training, which needs that memory."
    )
    assert killing.numbers(beside) == killing.numbers(alone)


def test_afterwards_the_device_holds_what_the_training_had(services: Services) -> None:
    models = services.models
    with models.train("tiny") as parts:
        assert models.trains
        with models.use(ModelSpec("other")) as lent:
            assert models.status()["in_use"] == "other" and not models.trains
            with pytest.raises(RuntimeError, match="already uses"), models.use(ModelSpec("tiny")):
                pass
            assert lent.card.name == "other"
        assert models.status()["in_use"] == "tiny (training)" and models.status()["base"] == "tiny"
        with pytest.raises(NotEnoughMemory, match="ran out"), models.use(ModelSpec("tiny")):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        assert models.trains and parts.unet.device.type == "cpu"
    assert not models.trains and models.status()["in_use"] == ""


@pytest.mark.parametrize(("room_bytes", "loads"), [(0, 2), (2**62, 3)])
def test_the_base_stays_for_the_next_picture_where_there_is_room(
    services: Services, monkeypatch: pytest.MonkeyPatch, room_bytes: int, loads: int
) -> None:
    models, loaded = services.models, loading.load_unet
    monkeypatch.setattr("dreamgui.models.beside.ROOM_BYTES", room_bytes)
    loading_unet = Mock(side_effect=loaded)
    monkeypatch.setattr(loading, "load_unet", loading_unet)
    with models.train("tiny") as parts:
        trained_bits = parts.unet.conv_in.weight.clone()
        for _ in range(2):
            with models.use(ModelSpec("tiny")) as lent:
                assert lent.unet is not parts.unet
        assert torch.equal(parts.unet.conv_in.weight, trained_bits)
    assert loading_unet.call_count == loads


def test_a_base_beside_a_trained_text_encoder_leaves(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That training moves the autoencoder by itself, and the base's graphs would read where it was."""
    monkeypatch.setattr("dreamgui.models.beside.ROOM_BYTES", 0)
    models = services.models
    with models.train("tiny", text_encoder=True):
        with models.use(ModelSpec("tiny")) as lent:
            assert lent.unet.device.type == "cpu"
        assert lent.unet.device.type == "meta"
