from __future__ import annotations

from collections import Counter

import torch

from dreamgui.diffusion.batches import Batch, make_batch
from dreamgui.diffusion.latents import EncodedPictures


def pictures(count: int, first: float = 0.0) -> EncodedPictures:
    """Pictures whose latents are their own number, without spread."""
    mean = torch.arange(count).float().add(first).view(-1, 1, 1, 1).expand(-1, 4, 8, 8).contiguous()
    return EncodedPictures(
        mean, torch.zeros_like(mean), torch.randn(1, 77, 8), torch.zeros(count, dtype=torch.long)
    )


def numbers(batch: Batch) -> list[int]:
    return batch.latents[:, 0, 0, 0].int().tolist()


def test_a_step_is_a_pure_function_of_seed_and_number() -> None:
    instance, prior = pictures(5), pictures(7, 100)
    one, two = (make_batch(3, instance, prior, 2, seed=1) for _ in range(2))
    for field in ("latents", "noise", "timesteps", "text"):
        assert torch.equal(getattr(one, field), getattr(two, field))
    other = make_batch(3, instance, prior, 2, seed=2)
    assert not torch.equal(one.noise, other.noise)
    assert not torch.equal(one.noise, make_batch(4, instance, prior, 2, seed=1).noise)


def test_instances_come_first_and_each_once_an_epoch() -> None:
    instance, prior = pictures(6), pictures(9, 100)
    batches = [make_batch(step, instance, prior, 2, seed=0) for step in range(1, 10)]
    assert all(batch.instances == 2 and len(batch.latents) == 4 for batch in batches)
    seen = Counter(number for batch in batches for number in numbers(batch)[:2])
    assert seen == {number: 3 for number in range(6)}
    seen = Counter(number for batch in batches for number in numbers(batch)[2:])
    assert seen == {number: 2 for number in range(100, 109)}


def test_a_batch_may_be_larger_than_the_data_set() -> None:
    batch = make_batch(1, pictures(3), None, 8, seed=0)
    assert len(batch.latents) == 8 and batch.text.shape == (8, 77, 8)
    assert Counter(numbers(batch)[:6]) == {0: 2, 1: 2, 2: 2}


def test_timesteps_cover_the_schedule() -> None:
    timesteps = torch.cat(
        [make_batch(step, pictures(4), None, 8, seed=0).timesteps for step in range(1, 200)]
    )
    assert timesteps.min() < 10 and timesteps.max() > 990 and abs(timesteps.float().mean() - 500) < 30
