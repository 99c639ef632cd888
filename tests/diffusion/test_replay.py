"""A forward pass as a CUDA graph: only where it can be, and with the results of the plain one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dreamgui.diffusion.replay import WARM_CALLS, Replay
from dreamgui.diffusion.sample import Draw, draw
from dreamgui.models.manager import Models, ModelSpec

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


def test_only_a_model_that_stays_as_it_is_is_replayed(models: Models) -> None:
    with models.use(ModelSpec("tiny")) as parts:
        assert parts.steady
        draw(parts, [Draw("a", steps=2)])
        kept = parts.replay
        assert isinstance(kept, Replay)
        draw(parts, [Draw("b", steps=2)])
        assert parts.replay is kept
    with models.use(ModelSpec("tiny")) as parts:
        assert parts.replay is None
    with models.train("tiny") as parts:
        draw(parts, [Draw("a", steps=2)])
        assert not parts.steady
        assert parts.replay is None


@GPU
def test_gpu_replays_give_what_the_function_gives() -> None:
    weight = torch.randn(8, 8, device="cuda")
    replay = Replay(lambda x, y: (x @ weight).relu() + y, weight.device)
    given = [(torch.randn(4, 8, device="cuda"), torch.randn(8, device="cuda")) for _ in range(5)]
    found = [replay(*each) for each in given]
    assert replay.captured
    for (x, y), out in zip(given, found, strict=True):
        torch.testing.assert_close(out, (x @ weight).relu() + y)
    wider = torch.randn(6, 8, device="cuda")
    torch.testing.assert_close(replay(wider, given[0][1]), (wider @ weight).relu() + given[0][1])
    assert not replay.captured


@GPU
def test_gpu_a_function_that_waits_is_called_as_it_is() -> None:
    replay = Replay(lambda x: x * x.sum().item(), torch.device("cuda"))
    ones = torch.ones(3, device="cuda")
    assert all(replay(ones).tolist() == [3.0] * 3 for _ in range(5))
    assert not replay.captured
