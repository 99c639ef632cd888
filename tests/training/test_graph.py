from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from dreamgui.models.manager import Parts
from dreamgui.training.steps import graph
from dreamgui.training.steps.batches import Batch
from dreamgui.training.steps.graph import FastStep
from dreamgui.training.steps.optimizers import restore_state, state_numbers, state_tensors
from dreamgui.training.steps.step import TrainingStep, recomputed
from tests.training.test_step import batch, training

RATES = (1e-3, 5e-4, 2e-3, 1e-3, 1e-3)


class RecordedGraph:
    """Stands in for a CUDA graph: recording executes nothing, a replay learns from the recorded inputs."""

    fast: FastStep
    broken = False

    def replay(self) -> None:
        inputs = self.fast._inputs
        assert inputs is not None
        self.fast._measured.copy_(self.fast.training.update(inputs))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> type[RecordedGraph]:
    @contextmanager
    def record(made: RecordedGraph, **_: Any) -> Iterator[None]:
        if made.broken:
            raise RuntimeError("operation not permitted when stream is capturing\nsecond line")
        step: Any = made.fast.training
        step.update = lambda inputs: torch.zeros(3)
        yield
        del step.update

    class Graph(RecordedGraph):
        pass

    monkeypatch.setattr(graph, "_impossible", lambda training: "")
    monkeypatch.setattr(graph, "WARM_STEPS", 0)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    return Graph


def batches(count: int) -> list[Batch]:
    chance = torch.Generator().manual_seed(5)
    first = batch()
    return [
        Batch(*torch.randn(2, *first.latents.shape, generator=chance), first.timesteps, first.text, 2)
        for _ in range(count)
    ]


def trained_on(step: TrainingStep | FastStep, given: list[Batch]) -> list[list[float]]:
    return [step.launch(each, rate).tolist() for each, rate in zip(given, RATES, strict=False)]


def test_on_the_processor_it_is_the_plain_step(trained: Parts) -> None:
    plain, fast = training(copy.deepcopy(trained)), FastStep(training(trained))
    assert "no CUDA graphs" in fast.reason
    given = batches(len(RATES))
    assert trained_on(fast, given) == trained_on(plain, given) and not fast.captured
    for name, weight in plain.trained.items():
        assert torch.equal(weight, fast.training.trained[name]), name


def test_what_cannot_be_captured_says_why(trained: Parts) -> None:
    step = training(trained, torch.float16)
    step.device = torch.device("cuda")
    assert "loss scaling" in graph._impossible(step)
    plain = training(trained)
    plain.device = torch.device("cuda")
    assert graph._impossible(plain) == ""


def test_a_replay_learns_from_each_batch_at_its_rate(trained: Parts, recorded: type[RecordedGraph]) -> None:
    with_own_copies = copy.deepcopy(trained)
    plain, step = training(with_own_copies, ema_decay=0.9), training(trained, ema_decay=0.9)
    fast = FastStep(step)
    recorded.fast = fast
    given = batches(5)
    found = trained_on(fast, given)
    assert fast.captured and not fast.reason
    assert torch.allclose(torch.tensor(found), torch.tensor(trained_on(plain, given)), rtol=1e-4)
    for name, weight in plain.trained.items():
        assert torch.allclose(weight, step.trained[name], atol=1e-6), name
    assert step.average is not None and step.average.updates == 5


def test_a_failed_capture_goes_on_without(trained: Parts, recorded: type[RecordedGraph]) -> None:
    recorded.broken = True
    plain = training(copy.deepcopy(trained))
    fast = FastStep(training(trained))
    recorded.fast = fast
    given = batches(3)
    # Equal but for rounding: the optimizer was made ready for a capture, with its rates in a tensor.
    assert torch.allclose(
        torch.tensor(trained_on(fast, given)), torch.tensor(trained_on(plain, given)), rtol=1e-5
    )
    assert fast.reason == ("Steps run without a CUDA graph: operation not permitted when stream is capturing")
    for name, weight in plain.trained.items():
        assert torch.allclose(weight, fast.training.trained[name], atol=1e-6), name


def test_a_graph_that_computes_something_else_is_given_up(
    trained: Parts, recorded: type[RecordedGraph], monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = FastStep(training(trained))
    recorded.fast = fast
    monkeypatch.setattr(fast, "_plain_losses", lambda batch: [5.0, 5.0])
    trained_on(fast, batches(2))
    assert "its losses were" in fast.reason and not fast.captured


def test_a_checkpoint_leaves_the_rate_on_the_device(trained: Parts, recorded: type[RecordedGraph]) -> None:
    step = training(trained)
    step(batch(), 1e-3)
    numbers, tensors = (
        kept(step.optimizer, {w: n for n, w in step.trained.items()})
        for kept in (state_numbers, state_tensors)
    )
    FastStep(step)
    restore_state(step.optimizer, step.trained, tensors, numbers)
    rate = step.optimizer.param_groups[0]["lr"]
    assert isinstance(rate, torch.Tensor)
    step.set_rates(2e-3, 0.0)
    assert rate.item() == pytest.approx(2e-3)


def test_recomputing_changes_no_loss(trained: Parts) -> None:
    before = training(trained).losses(batch())
    trained.unet.enable_gradient_checkpointing(recomputed)
    after = training(trained).losses(batch())
    assert torch.equal(before.total, after.total)
    after.total.backward()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_graph_learns_the_same(trained: Parts) -> None:
    device = torch.device("cuda")
    with_own_copies = copy.deepcopy(trained.unet).to(device)
    trained.unet.to(device)
    given = [
        Batch(*(x.to(device) for x in (b.latents, b.noise, b.timesteps, b.text)), b.instances)
        for b in batches(5)
    ]
    trained.device = device
    fast = FastStep(training(trained))
    found = trained_on(fast, given)
    assert fast.captured, fast.reason
    trained.unet = with_own_copies
    plain = trained_on(training(trained), given)
    assert torch.allclose(torch.tensor(found), torch.tensor(plain), rtol=1e-3)
