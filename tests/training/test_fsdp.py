"""A UNet split among two or three processes of the CPU learns what a whole one learns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed as dist

from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.errors import TrainingFailed
from dreamgui.models.files.unet_folder import save_unet
from dreamgui.models.manager import Models
from dreamgui.training.checkpoints import Checkpoints, MovementGuard, gathered
from dreamgui.training.parallel.fsdp import FullyShardedDataParallel
from dreamgui.training.steps.graph import FastStep, _impossible
from dreamgui.training.steps.peers import Peers
from dreamgui.training.steps.settings import StepSettings
from dreamgui.training.steps.step import TrainingStep, recomputed
from tests.forked import run_together
from tests.training.test_data_parallel import batch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the processes are forked")
STEPS = 3
COUNT = 6


def made(kind: type[Peers], parts: Any, dtype: torch.dtype, **settings: Any) -> TrainingStep:
    schedule = NoiseSchedule(parts.scheduler_config, parts.device)
    return TrainingStep(parts.unet, schedule, dtype, StepSettings(**settings), peers=kind())


def trained_on(step: TrainingStep, first: int = 0, rate: float = 1e-4) -> list[list[float]]:
    """Losses and gradient norms of a few steps, and the loss of validation."""
    fast = FastStep(step)
    # A processor is slow in fp16.
    count = 2 if step.scaler.is_enabled() else COUNT
    seen = [fast.launch(batch(first + number, count), rate).tolist() for number in range(STEPS)]
    return [*seen, [step.validate([batch(100), batch(101)])]]


def same(one: list[list[float]], two: list[list[float]], tolerance: float = 1e-4) -> None:
    for a, b in zip(one, two, strict=True):
        assert b == pytest.approx(a, rel=tolerance)


@pytest.mark.parametrize(
    ("count", "dtype", "recompute", "settings"),
    [
        (2, torch.float32, False, {}),
        # Three can't have equal parts, and one has nothing of the last layer.
        (3, torch.float32, True, {"accumulate": 2, "min_snr_gamma": 5.0, "max_grad_norm": 0.1}),
        (2, torch.bfloat16, False, {}),
        (2, torch.bfloat16, True, {}),
        (2, torch.float16, False, {}),
    ],
    ids=["fp32", "uneven-accumulated-recomputed", "bf16", "bf16-recomputed", "fp16"],
)
def test_split_weights_learn_what_whole_ones_learn(
    models: Models, tmp_path: Path, count: int, dtype: torch.dtype, recompute: bool, settings: dict[str, Any]
) -> None:
    def trained(kind: type[Peers]) -> tuple[list[list[float]], dict[str, torch.Tensor], int]:
        with models.train("tiny") as parts:
            if recompute:
                parts.unet.enable_gradient_checkpointing(recomputed)
            step = made(kind, parts, dtype, **settings)
            seen = trained_on(step)
            held = sum(weight.numel() for weight in step.trained.values())
            held += sum(s.numel() for state in step.optimizer.state.values() for s in state.values())
            return seen, gathered(step), held

    def work(rank: int) -> None:
        dist.init_process_group("gloo")
        torch.save(trained(FullyShardedDataParallel), tmp_path / f"{rank}.pt")

    alone, whole, numbers = trained(Peers)
    assert run_together(work, count) == 0
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(count)]
    assert all(seen == found[0][0] for seen, _, _ in found)
    same(alone, found[0][0], 1e-4 if dtype == torch.float32 else 2e-2)
    # Weights and moments: each process holds its share of them.
    assert all(held == pytest.approx(numbers / count, rel=0.1) for _, _, held in found)
    tensors = found[0][1]
    assert {name: value.shape for name, value in tensors.items()} == {n: v.shape for n, v in whole.items()}
    assert all(value.numel() <= 1 for _, others, _ in found[1:] for value in others.values())
    apart = torch.cat([(tensors[name] - value).abs().flatten() for name, value in whole.items()]).mean()
    assert float(apart) < (2e-6 if dtype == torch.float32 else 2e-4)


@pytest.mark.parametrize("begun", ["split", "whole"])
def test_a_checkpoint_goes_on_the_other_way(models: Models, tmp_path: Path, begun: str) -> None:
    """Begun by two and resumed by one, and begun by one and resumed by two; the files are of one kind."""

    def work(rank: int) -> None:
        dist.init_process_group("gloo")
        part(FullyShardedDataParallel, rank)

    def part(kind: type[Peers], rank: int = 0) -> None:
        checkpoints = Checkpoints(tmp_path / "checkpoints")
        with models.train("tiny") as parts:
            step = made(kind, parts, torch.float32)
            split = kind is FullyShardedDataParallel
            if split == (begun == "split"):
                trained_on(step)
                if rank == 0:
                    checkpoints.save(STEPS, step, [], {})
                    save_unet(tmp_path / "unet", step.peers.whole_unet(step.unet))
                else:
                    gathered(step)
                    step.peers.whole_unet(step.unet)
                return
            checkpoint, _ = checkpoints.newest()
            assert checkpoint is not None
            checkpoint.restore(step)
            guard = MovementGuard(step)
            seen = trained_on(step, STEPS)
            guard.look(last=True)
            if rank == 0:
                torch.save(seen, tmp_path / "seen.pt")

    if begun == "split":
        assert run_together(work) == 0
        part(Peers)
    else:
        part(Peers)
        assert run_together(work) == 0
    with models.train("tiny") as parts:
        step = made(Peers, parts, torch.float32)
        trained_on(step)
        save_unet(tmp_path / "expected", step.peers.whole_unet(step.unet))
        same(trained_on(step, STEPS), torch.load(tmp_path / "seen.pt"))
    one, two = ((tmp_path / name / "config.json").read_text() for name in ("unet", "expected"))
    assert one == two


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_is_no_number_in_one_part_moves_no_part(models: Models, dtype: torch.dtype) -> None:
    """One process's gradient alone is broken; and weights that don't move are noticed in each."""

    def work(rank: int) -> None:
        dist.init_process_group("gloo")
        with models.train("tiny") as parts:
            step = made(FullyShardedDataParallel, parts, dtype)
            guard = MovementGuard(step)
            update = step._optimizer_step

            def broken() -> torch.Tensor:
                if rank == 1:
                    step._gradients()[0].fill_(float("inf"))
                return update()

            step._optimizer_step = broken  # type: ignore[method-assign]
            scale = step.scaler.get_scale()
            if dtype == torch.float16:
                assert step(batch(0), 1e-3).grad_norm == 0 and step.scaler.get_scale() == scale / 2
            else:
                with pytest.raises(TrainingFailed, match="gradient norm inf"):
                    step(batch(0), 1e-3)
            with pytest.raises(TrainingFailed, match="No weight has changed"):
                guard.look(last=True)
            step._optimizer_step = update  # type: ignore[method-assign]
            assert step(batch(0), 1e-3).grad_norm > 0
            guard.look(last=True)

    assert run_together(work) == 0


def test_why_there_is_no_graph() -> None:
    split: Any = type(
        "",
        (),
        {"peers": FullyShardedDataParallel(), "device": torch.device("cuda"), "settings": StepSettings()},
    )()
    assert "come and go with each block" in _impossible(split)
