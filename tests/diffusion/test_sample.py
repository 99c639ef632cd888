from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from dreamgui.diffusion import sample
from dreamgui.diffusion.sample import Draw, decode, draw, draw_steps, seeded_noise
from dreamgui.diffusion.text import cut_off, cut_off_notes, encode_prompts
from dreamgui.errors import OutOfRange
from dreamgui.models.manager import Parts


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_noise_does_not_depend_on_the_batch() -> None:
    alone = seeded_noise([7], 8, 8)
    beside = seeded_noise([3, 7, 9], 8, 8)
    assert torch.equal(alone[0], beside[1])
    assert not torch.equal(beside[0], beside[1])


def test_pictures_come_in_the_order_asked_for(parts: Parts) -> None:
    mixed = [
        Draw("a cat", seed=1, steps=3),
        Draw("a dog", seed=2, steps=4, scheduler="euler"),
        Draw("a bird", seed=3, steps=3),
        Draw("a dog", seed=2, steps=4, scheduler="euler", width_px=128),
    ]
    together = draw(parts, mixed)
    assert [image.size for image in together] == [(64, 64)] * 3 + [(128, 64)]
    for request, image in zip(mixed, together, strict=True):
        alone = draw(parts, [request])[0]
        assert np.abs(pixels(alone) - pixels(image)).max() <= 1


def test_large_orders_are_drawn_in_several_batches(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counted(vae: object, latents: torch.Tensor) -> list[Image.Image]:
        sizes.append(len(latents))
        return decode(vae, latents)

    monkeypatch.setattr(sample, "pictures_at_once", lambda *_: 2)
    monkeypatch.setattr(sample, "decode", counted)
    assert len(draw(parts, [Draw("a", seed=seed, steps=1) for seed in range(5)])) == 5
    assert sizes == [2, 2, 1]


def test_steps_are_told_and_drawing_can_be_broken_off(parts: Parts) -> None:
    told = list(draw_steps(parts, [Draw("a", steps=3, scheduler="pndm")]))
    assert told[-1] == (3, 3) and told[0] == (1, 3)
    steps = draw_steps(parts, [Draw("a", steps=3)])
    next(steps)
    assert torch.is_grad_enabled()
    steps.close()


def test_fp32_weights_draw_in_the_compute_format(parts: Parts) -> None:
    """As during a training on a GPU: the UNet's weights are fp32, the work is bf16."""
    exact = draw(parts, [Draw("a cat", steps=3)])[0]
    half = draw(replace(parts, dtype=torch.bfloat16), [Draw("a cat", steps=3)])[0]
    assert 0 < np.abs(pixels(exact) - pixels(half)).mean() < 8


def test_prompt_and_seed_matter(parts: Parts) -> None:
    a, b, c = draw(parts, [Draw("a cat", steps=2), Draw("a dog", steps=2), Draw("a cat", steps=2, seed=1)])
    assert (pixels(a) != pixels(b)).any() and (pixels(a) != pixels(c)).any()


def test_odd_sizes_are_refused(parts: Parts) -> None:
    with pytest.raises(OutOfRange, match="100x64"):
        draw(parts, [Draw("a", width_px=100)])


def test_the_end_of_a_long_prompt_is_named(parts: Parts) -> None:
    short, long = "a photo of a cat", "a very " * 40 + "small cat on the roof"
    assert cut_off(parts.tokenizer, short) == ""
    assert cut_off(parts.tokenizer, long).endswith("small cat on the roof")
    notes = cut_off_notes(parts.tokenizer, [short, long, long])
    assert len(notes) == 1 and "77" in notes[0]
    embeddings = encode_prompts(parts.text_encoder, parts.tokenizer, [short, long])
    assert [tuple(each.shape) for each in embeddings.values()] == [(1, 77, 32)] * 2


@pytest.mark.parametrize(
    ("free", "share", "allocated", "count"),
    [(60e9, 1.0, 2e9, 8), (3e9, 1.0, 2e9, 5), (60e9, 0.05, 2e9, 3), (0.1e9, 1.0, 2e9, 1)],
)
def test_as_many_pictures_at_once_as_there_is_room(
    monkeypatch: pytest.MonkeyPatch, free: float, share: float, allocated: float, count: int
) -> None:
    """A card is simulated; a process may be allowed a share of it only."""
    for name, value in (
        ("mem_get_info", (int(free), int(80e9))),
        ("memory_reserved", int(allocated)),
        ("memory_allocated", int(allocated)),
        ("get_per_process_memory_fraction", share),
    ):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert sample.pictures_at_once(torch.device("cuda"), 512, 512) == count
