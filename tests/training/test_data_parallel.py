from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import distributed as dist

from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.errors import StopRequested, TrainingFailed
from dreamgui.models.manager import LoraSettings, Models
from dreamgui.training.parallel.data_parallel import DataParallel
from dreamgui.training.parallel.mean_gradients import MeanGradients
from dreamgui.training.steps import graph
from dreamgui.training.steps.batches import Batch
from dreamgui.training.steps.graph import FastStep
from dreamgui.training.steps.peers import Peers
from dreamgui.training.steps.settings import StepSettings
from dreamgui.training.steps.step import TrainingStep
from tests.forked import run_together

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the processes are forked")
STEPS = 3
LORA = LoraSettings(4, 4.0)


def batch(number: int, count: int = 4) -> Batch:
    """As many instance as class pictures, with tokens and weights."""
    chance = torch.Generator().manual_seed(number)
    latents, noise = torch.randn(2, 2 * count, 4, 8, 8, generator=chance)
    return Batch(
        latents,
        noise,
        torch.randint(0, 1000, (2 * count,), generator=chance),
        torch.randn(2 * count, 77, 32, generator=chance),
        count,
        torch.randint(0, 49408, (2 * count, 77), generator=chance),
        torch.rand(2 * count, 1, 8, 8, generator=chance) + 0.5,
    )


def trained_on(
    models: Models,
    peers: Peers,
    lora: LoraSettings | None,
    text: bool,
    dtype: torch.dtype,
    settings: StepSettings,
) -> tuple[list[list[float]], torch.Tensor]:
    """Losses and gradient norms of a few steps, and every weight after them."""
    with models.train("tiny", lora, text_encoder=text) as parts:
        schedule = NoiseSchedule(parts.scheduler_config, parts.device)
        text_encoder = parts.text_encoder if text else None
        step = TrainingStep(parts.unet, schedule, dtype, settings, text_encoder, peers)
        seen = []
        for number in range(STEPS):
            if text and number == STEPS // 2:
                step.freeze_text()
            # A processor is slow in fp16.
            given = batch(number, 2 if dtype == torch.float16 else 4)
            seen.append(step.launch(given, 1e-4, 1e-4).tolist())
        return seen, torch.cat([weight.detach().flatten() for weight in step.trained.values()])


@pytest.mark.parametrize(
    ("lora", "text", "dtype", "settings"),
    [
        (None, False, torch.float32, StepSettings()),
        (LORA, False, torch.float32, StepSettings(accumulate=2, min_snr_gamma=5.0, ema_decay=0.9)),
        (LORA, True, torch.float32, StepSettings(prior_weight=0.5)),
        (None, False, torch.float16, StepSettings()),
    ],
    ids=["unet", "lora-accumulated", "with-text-encoder", "fp16"],
)
def test_two_processes_learn_what_one_learns(
    models: Models,
    tmp_path: Path,
    lora: LoraSettings | None,
    text: bool,
    dtype: torch.dtype,
    settings: StepSettings,
) -> None:
    def work(rank: int) -> None:
        dist.init_process_group("gloo")
        result = trained_on(models, DataParallel(), lora, text, dtype, settings)
        torch.save(result, tmp_path / f"{rank}.pt")

    alone, weights = trained_on(models, Peers(), lora, text, dtype, settings)
    assert run_together(work) == 0
    (first, mine), (second, others) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert first == second and torch.equal(mine, others)
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2
    for one, two in zip(alone, first, strict=True):
        assert two == pytest.approx(one, rel=tolerance)
    # Adam's first steps are as long for tiny gradients as for large ones, so single numbers may differ.
    assert float((mine - weights).abs().mean()) < 2e-6 / (1e-4 / tolerance)


def test_what_one_process_meets_all_meet(models: Models, tmp_path: Path) -> None:
    """A loss that is no number in one part, a wish to stop, weights that have come apart."""

    def work(rank: int) -> None:
        dist.init_process_group("gloo")
        with models.train("tiny", LORA) as parts:
            schedule = NoiseSchedule(parts.scheduler_config, parts.device)
            requests = iter([False, False, rank == 1])
            peers = DataParallel(lambda: next(requests, False))
            step = TrainingStep(parts.unet, schedule, torch.float32, peers=peers)
            before = step.fingerprint()
            good = batch(0)
            sick = replace(good, latents=good.latents.clone())
            sick.latents[-1] *= float("nan")
            with pytest.raises(TrainingFailed, match="nan"):
                step(sick, 1e-3)
            assert torch.equal(step.fingerprint(), before)
            assert step(good, 1e-3).grad_norm > 0
            now = step.fingerprint()
            with pytest.raises(StopRequested):
                step(good, 1e-3)
            assert torch.equal(step.fingerprint(), now)
            next(iter(step.trained.values())).data += rank
            peers._steps = 100
            with pytest.raises(TrainingFailed, match=r"come apart: 1 of"):
                step(good, 1e-3)

    assert run_together(work) == 0


def test_a_replayed_step_asks_the_others_too(models: Models, tmp_path: Path) -> None:
    """As a CUDA graph would: what was recorded is learnt again; votes and comparisons stay outside of it."""

    class Recording:
        def __init__(self, fast: FastStep) -> None:
            self.fast = fast

        def replay(self) -> None:
            assert self.fast._inputs is not None
            self.fast._measured = self.fast.training.update(self.fast._inputs)

    def captures(fast: FastStep, first: Batch) -> bool:
        fast._inputs, fast._graph = graph._copy(first), Recording(fast)
        return True

    def work(rank: int) -> None:
        dist.init_process_group("gloo")
        graph._impossible = lambda training: ""  # type: ignore[assignment]
        graph.WARM_STEPS = 0
        FastStep._captures = captures  # type: ignore[method-assign]
        with models.train("tiny", LORA) as parts:
            schedule = NoiseSchedule(parts.scheduler_config, parts.device)
            requests = iter([False] * STEPS + [rank == 1])
            peers = DataParallel(lambda: next(requests))
            step = TrainingStep(parts.unet, schedule, torch.float32, peers=peers)
            fast = FastStep(step)
            seen = [fast.launch(batch(number), 1e-4, 1e-4).tolist() for number in range(STEPS)]
            assert fast.captured
            with pytest.raises(StopRequested):
                fast.launch(batch(0), 1e-4)
            torch.save(seen, tmp_path / f"{rank}.pt")

    alone, _ = trained_on(models, Peers(), LORA, False, torch.float32, StepSettings())
    assert run_together(work) == 0
    for rank in range(2):
        for one, two in zip(alone, torch.load(tmp_path / f"{rank}.pt"), strict=True):
            assert two == pytest.approx(one, rel=1e-4)


def test_a_graph_that_one_process_cannot_make_none_uses(models: Models) -> None:
    """Capturing is simulated: it fails in the second process alone."""

    def work(rank: int) -> None:
        dist.init_process_group("gloo")
        graph._impossible = lambda training: ""  # type: ignore[assignment]
        graph.WARM_STEPS = 0
        torch.cuda.CUDAGraph = object  # type: ignore[assignment,misc]
        torch.cuda.synchronize = lambda: None  # type: ignore[assignment]

        @contextmanager
        def capture(*_: object, **__: object) -> Iterator[None]:
            if rank == 1:
                raise RuntimeError("operation not permitted when stream is capturing")
            yield

        torch.cuda.graph = capture  # type: ignore[assignment,misc]
        with models.train("tiny", LORA) as parts:
            schedule = NoiseSchedule(parts.scheduler_config, parts.device)
            step = TrainingStep(parts.unet, schedule, torch.float32, peers=DataParallel())
            update, step.update = step.update, lambda inputs: torch.zeros(3)  # type: ignore[method-assign]
            fast = FastStep(step)
            assert not fast._captures(batch(0))
            step.update = update  # type: ignore[method-assign]
            assert ("another process" if rank == 0 else "not permitted") in fast.reason
            assert fast.launch(batch(0), 1e-4)[0] > 0 and not fast.captured

    assert run_together(work) == 0


def test_gradients_lie_in_their_buckets_and_a_missing_one_is_told(tmp_path: Path) -> None:
    """Small buckets, weights of two formats, one in channels_last, and passes that are added up."""

    def work(rank: int) -> None:
        dist.init_process_group("gloo")
        image = torch.randn(3, 5, 2, 2, generator=torch.Generator().manual_seed(0))
        weights = [
            torch.nn.Parameter(image.to(memory_format=torch.channels_last)),
            torch.nn.Parameter(torch.ones(7)),
            torch.nn.Parameter(torch.ones(40, dtype=torch.float64)),
        ]
        mean = MeanGradients(weights, passes=2, limit=100)
        for _ in range(3):
            with mean.taken():
                for _ in range(2):
                    sum(((rank + 1) * each**2).sum() for each in weights).backward()
            for each in weights:
                # Mean of 1 and 2, twice, times the slope of the square.
                assert torch.allclose(each.grad, 6 * each.detach()) and each.grad.stride() == each.stride()
                each.grad = None
        with pytest.raises(RuntimeError, match="2 gradients"), mean.taken():
            sum((each**2).sum() for each in weights[:2]).backward()
            sum((each**2).sum() for each in weights[:2]).backward()
        mean.close()
        (weights[0] ** 2).sum().backward()

    assert run_together(work) == 0
