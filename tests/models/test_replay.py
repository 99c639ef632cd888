"""A forward pass as a CUDA graph: only where it can be, and with the results of the plain one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dreamgui.diffusion.sample import ImageRequest, generate
from dreamgui.models.manager import Models, ModelSpec
from dreamgui.models.replay import WARM_CALLS, Replay, Replays

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_without_a_gpu_it_is_the_function() -> None:
    calls = []

    def function(x: Tensor) -> Tensor:
        calls.append(x)
        return x + 1

    replay = Replay(function, torch.device("cpu"))
    for number in range(WARM_CALLS + 2):
        assert replay(torch.full((2,), float(number))).tolist() == [number + 1.0] * 2
    assert len(calls) == WARM_CALLS + 2
    assert not replay.captured


def test_graphs_are_for_a_model_that_stays_in_place(models: Models) -> None:
    with models.use(ModelSpec("tiny")) as parts:
        kept = parts.replays
        assert isinstance(kept, Replays)
    with models.use(ModelSpec("tiny")) as parts:
        assert parts.replays is kept
    with models.train("tiny") as parts:
        generate(parts, [ImageRequest("a", steps=2)])
        assert parts.replays is None


@GPU
def test_gpu_graphs_of_many_shapes_share_their_memory_and_outlive_a_change_of_weights() -> None:
    weight = torch.randn(8, 8, device="cuda")
    replays = Replays(weight.device)

    def function(x: Tensor) -> Tensor:
        return (x @ weight).relu().exp()

    given = [torch.randn(count, 8, device="cuda") for count in (2, 3, 4) for _ in range(5)]
    for x in given:
        replays.call(("a", weight), function, x)
    assert replays.captured == 3
    weight.copy_(torch.randn(8, 8, device="cuda"))
    for x in reversed(given):
        torch.testing.assert_close(replays.call(("a", weight), function, x), function(x))
    replays.drop(weight)
    assert replays.captured == 0


@GPU
def test_gpu_graphs_are_made_again_after_all_were_dropped() -> None:
    """As after a training: pictures that follow it are as fast as those before."""
    weight = torch.randn(8, 8, device="cuda")
    replays = Replays(weight.device)
    x = torch.randn(2, 8, device="cuda")
    for _ in range(2):
        for _ in range(4):
            torch.testing.assert_close(replays.call(("a", weight), lambda x: x @ weight, x), x @ weight)
        assert replays.captured == 1
        replays.drop()


@GPU
def test_gpu_an_input_changed_in_place_is_seen() -> None:
    replay = Replay(lambda x, y: x + y, torch.device("cuda"))
    x, y = torch.ones(3, device="cuda"), torch.ones(3, device="cuda")
    for number in range(6):
        assert replay(x, y).tolist() == [2.0 + number] * 3
        y.add_(1)


@GPU
def test_gpu_replays_give_what_the_function_gives() -> None:
    weight = torch.randn(8, 8, device="cuda")
    replay = Replay(lambda x, y: (x @ weight).relu() + y, weight.device)
    given = [(torch.randn(4, 8, device="cuda"), torch.randn(8, device="cuda")) for _ in range(5)]
    found = [replay(*each) for each in given]
    assert replay.captured
    for (x, y), out in zip(given, found, strict=True):
        torch.testing.assert_close(out, (x @ weight).relu() + y)


@GPU
def test_gpu_a_function_that_waits_is_called_as_it_is() -> None:
    replay = Replay(lambda x: x * x.sum().item(), torch.device("cuda"))
    ones = torch.ones(3, device="cuda")
    assert all(replay(ones).tolist() == [3.0] * 3 for _ in range(5))
    assert not replay.captured
