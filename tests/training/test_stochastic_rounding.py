"""Weights in bf16: rounding is right on average, tiny steps count, and chance follows from seed and step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dreamgui.training.steps import stochastic_rounding as rounding
from dreamgui.training.steps.optimizers import BETAS, WEIGHT_DECAY
from dreamgui.training.steps.stochastic_rounding import RoundedAdamW, rounded_by_chance

SPACING = 2.0**-8
"""Between 0.5 and 1 bf16's numbers are 2^-8 apart."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def adamw(weights: list[nn.Parameter], rate: float = 1e-3, seed: int = 0, decay: float = WEIGHT_DECAY) -> Any:
    optimizer = RoundedAdamW([{"params": weights}], BETAS, 1e-8, decay, seed)
    optimizer.param_groups[0]["lr"] = rate
    return optimizer


def trained_on(optimizer: torch.optim.Optimizer, weight: nn.Parameter, gradients: list[Tensor]) -> Tensor:
    for gradient in gradients:
        weight.grad = gradient.to(weight.dtype)
        optimizer.step()
    return weight.detach().clone()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_mean_is_the_number_itself(share: float) -> None:
    exact = torch.full((200_000,), 0.5 + share * SPACING)
    rounded = rounded_by_chance(exact, generator()).double()
    assert set(rounded.tolist()) == {0.5, 0.5 + SPACING}
    # Five standard deviations of the mean.
    tolerance = 5 * SPACING * (share * (1 - share) / len(exact)) ** 0.5
    assert rounded.mean().item() == pytest.approx(exact[0].item(), abs=tolerance)


def test_numbers_that_bf16_has_stay_as_they_are() -> None:
    few = torch.tensor([0.0, -0.0, 1.0, -2.5, 3.0e38, 1e-38, torch.inf, -torch.inf])
    there = few.to(torch.bfloat16)
    assert torch.equal(rounded_by_chance(there.float(), generator()), there)
    assert rounded_by_chance(torch.full((100,), torch.nan), generator()).isnan().all()
    negative = rounded_by_chance(torch.full((100_000,), -0.5 - 0.25 * SPACING), generator())
    assert negative.double().mean().item() == pytest.approx(-0.5 - 0.25 * SPACING, abs=5e-5)


def test_steps_too_small_for_the_nearest_neighbour_still_count() -> None:
    """A hundred steps of a 500th of the spacing: the nearest neighbour would always be the old number."""
    rate, count, steps = SPACING / 500, 20_000, 100
    weight = nn.Parameter(torch.full((count,), 0.75, dtype=torch.bfloat16))
    after = trained_on(adamw([weight], rate, decay=0.0), weight, [torch.ones(count)] * steps).double()
    # With equal gradients each of AdamW's steps has the length of the rate.
    assert after.mean().item() == pytest.approx(0.75 - steps * rate, abs=steps * rate * 0.05)
    nearest = torch.full((count,), 0.75, dtype=torch.bfloat16)
    for _ in range(steps):
        nearest -= rate
    assert torch.equal(nearest, torch.full_like(nearest, 0.75))


def test_a_second_moment_that_fades_slowly_is_followed() -> None:
    """beta2 changes it by a thousandth a step, less than bf16's spacing."""
    weight = nn.Parameter(torch.zeros(50_000, dtype=torch.bfloat16))
    optimizer = adamw([weight], 0.0)
    trained_on(optimizer, weight, [torch.ones(50_000), *[torch.zeros(50_000)] * 200])
    expected = (1 - BETAS[1]) * BETAS[1] ** 200
    assert optimizer.state[weight]["square"].double().mean().item() == pytest.approx(expected, rel=0.01)


def test_it_is_adamw_but_for_the_rounding() -> None:
    start = torch.randn(64, 32, 3, 3, generator=generator(1))
    gradients = [torch.randn(start.shape, generator=generator(2 + n)).to(torch.bfloat16) for n in range(20)]
    exact = nn.Parameter(start.to(torch.bfloat16).float())
    plain = torch.optim.AdamW([exact], lr=1e-2, betas=BETAS, weight_decay=WEIGHT_DECAY)
    expected = trained_on(plain, exact, gradients)
    weight = nn.Parameter(start.to(torch.bfloat16))
    found = trained_on(adamw([weight], 1e-2), weight, gradients).float()
    moved = expected - start
    assert torch.corrcoef(torch.stack([(found - start).flatten(), moved.flatten()]))[0, 1] > 0.97
    assert (found - expected).mean().abs() < 1e-4


def test_pieces_and_memory_formats_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chance is drawn by piece, so the mean is compared; with gradients equal all over, the steps are too."""
    start = torch.full((40, 8, 3, 3), 0.75, dtype=torch.bfloat16)
    weight = nn.Parameter(start.to(memory_format=torch.channels_last))
    monkeypatch.setattr(rounding, "PIECE", 100)
    optimizer = adamw([weight], 1e-3, decay=0.0)
    after = trained_on(optimizer, weight, [torch.ones(start.shape)] * 50)
    assert after.float().mean().item() == pytest.approx(0.75 - 50e-3, abs=2e-3)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert optimizer.state[weight]["mean"].dtype == torch.bfloat16


def test_chance_follows_from_seed_weight_and_step() -> None:
    def run(seed: int) -> tuple[Tensor, Tensor]:
        weights = [nn.Parameter(torch.full((999,), 0.75, dtype=torch.bfloat16)) for _ in range(2)]
        optimizer = adamw(weights, 1e-4, seed)
        for weight in weights if seed % 2 else reversed(weights):
            weight.grad = torch.ones_like(weight)
        optimizer.step()
        return weights[0].detach(), weights[1].detach()

    (one, other), (again, _), (different, _) = run(0), run(0), run(1)
    assert torch.equal(one, again)
    assert not torch.equal(one, other) and not torch.equal(one, different)


def test_what_the_fused_one_understands() -> None:
    weight = nn.Parameter(torch.full((500,), 0.75, dtype=torch.bfloat16))
    optimizer = adamw([weight])
    optimizer.found_inf = torch.ones(())
    before = trained_on(optimizer, weight, [torch.full((500,), torch.nan)])
    assert torch.equal(before, torch.full_like(before, 0.75))
    assert not optimizer.state[weight]["mean"].any()
    optimizer.found_inf, optimizer.grad_scale = torch.zeros(()), torch.tensor(4.0)
    trained_on(optimizer, weight, [torch.full((500,), 8.0)])
    assert optimizer.state[weight]["mean"].double().mean().item() == pytest.approx(0.2, rel=0.01)
