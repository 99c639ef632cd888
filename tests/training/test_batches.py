from __future__ import annotations

from collections import Counter

import torch

from dreamgui.diffusion.latents import EncodedPictures
from dreamgui.training.steps.batches import Batch, make_batch, validation_batches

STEPS = 1000


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
    one, two = (make_batch(3, instance, prior, 2, seed=1, timestep_count=STEPS) for _ in range(2))
    for field in ("latents", "noise", "timesteps", "text"):
        assert torch.equal(getattr(one, field), getattr(two, field))
    other = make_batch(3, instance, prior, 2, seed=2, timestep_count=STEPS)
    assert not torch.equal(one.noise, other.noise)
    assert not torch.equal(one.noise, make_batch(4, instance, prior, 2, seed=1, timestep_count=STEPS).noise)


def test_instances_come_first_and_each_once_an_epoch() -> None:
    instance, prior = pictures(6), pictures(9, 100)
    batches = [make_batch(step, instance, prior, 2, seed=0, timestep_count=STEPS) for step in range(1, 10)]
    assert all(batch.instances == 2 and len(batch.latents) == 4 for batch in batches)
    seen = Counter(number for batch in batches for number in numbers(batch)[:2])
    assert seen == {number: 3 for number in range(6)}
    seen = Counter(number for batch in batches for number in numbers(batch)[2:])
    assert seen == {number: 2 for number in range(100, 109)}


def test_a_batch_may_be_larger_than_the_data_set() -> None:
    batch = make_batch(1, pictures(3), None, 8, seed=0, timestep_count=STEPS)
    assert len(batch.latents) == 8 and batch.text.shape == (8, 77, 8)
    assert Counter(numbers(batch)[:6]) == {0: 2, 1: 2, 2: 2}


def test_timesteps_cover_the_schedule() -> None:
    timesteps = torch.cat(
        [
            make_batch(step, pictures(4), None, 8, seed=0, timestep_count=STEPS).timesteps
            for step in range(1, 200)
        ]
    )
    assert timesteps.min() < 10 and timesteps.max() > 990 and abs(timesteps.float().mean() - 500) < 30


def test_timesteps_stay_within_a_short_schedule() -> None:
    short = [
        make_batch(step, pictures(4), None, 8, seed=0, timestep_count=10).timesteps for step in range(1, 20)
    ]
    assert set(torch.cat(short).tolist()) == set(range(10))
    looks = validation_batches(pictures(3), 10, times=5)
    assert set(torch.cat([batch.timesteps for batch in looks]).tolist()) == {1, 3, 5, 7, 9}


def test_parts_of_a_batch_have_their_share_of_each() -> None:
    whole = make_batch(3, pictures(6), pictures(9, 100), 4, seed=0, timestep_count=STEPS)
    parts = whole.split(2)
    assert [part.instances for part in parts] == [2, 2]
    assert [number < 100 for part in parts for number in numbers(part)] == [True, True, False, False] * 2
    assert sorted(n for part in parts for n in numbers(part)) == sorted(numbers(whole))
    assert whole.split(1) == [whole]


def test_offset_noise_moves_whole_channels_and_nothing_else() -> None:
    plain, moved = (
        make_batch(1, pictures(4), None, 2, seed=0, timestep_count=STEPS, offset_noise=by)
        for by in (0.0, 0.1)
    )
    difference = moved.noise - plain.noise
    torch.testing.assert_close(difference, difference[:, :, :1, :1].expand_as(difference))
    assert difference.abs().max() > 0.01 and torch.equal(plain.timesteps, moved.timesteps)
    assert torch.equal(plain.latents, moved.latents)


def test_validation_never_changes() -> None:
    one, two = (validation_batches(pictures(3), STEPS, times=4, size=5) for _ in range(2))
    assert [batch.instances for batch in one] == [5, 5, 2]
    assert all(torch.equal(a.noise, b.noise) for a, b in zip(one, two, strict=True))
    assert sorted(torch.cat([batch.timesteps for batch in one]).tolist()) == sorted([125, 375, 625, 875] * 3)
    assert numbers(one[0]) == [0, 0, 0, 0, 1]
