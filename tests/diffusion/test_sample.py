from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

from dreamgui.config import SchedulerName
from dreamgui.diffusion import sample
from dreamgui.diffusion.sample import ImageRequest, begin_decoding, generate, generation_steps
from dreamgui.diffusion.start import StartImage, noise_of, seeded
from dreamgui.diffusion.text import cut_off, encode_prompts, encode_whole, part_count, prompt_notes
from dreamgui.errors import OutOfRange
from dreamgui.models.manager import Parts


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_noise_does_not_depend_on_the_batch() -> None:
    alone = noise_of(seeded([7]), 8, 8)
    beside = noise_of(seeded([3, 7, 9]), 8, 8)
    assert torch.equal(alone[0], beside[1])
    assert not torch.equal(beside[0], beside[1])


def test_pictures_come_in_the_order_asked_for(parts: Parts) -> None:
    mixed = [
        ImageRequest("a cat", seed=1, steps=3),
        ImageRequest("a dog", seed=2, steps=4, scheduler="euler"),
        ImageRequest("a bird", seed=3, steps=3),
        ImageRequest("a dog", seed=2, steps=4, scheduler="euler", width_px=128),
    ]
    together = generate(parts, mixed)
    assert [image.size for image in together] == [(64, 64)] * 3 + [(128, 64)]
    for request, image in zip(mixed, together, strict=True):
        alone = generate(parts, [request])[0]
        assert np.abs(pixels(alone) - pixels(image)).max() <= 1


def test_large_orders_are_drawn_in_several_batches(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counted(vae: object, latents: torch.Tensor, *more: Any) -> Any:
        sizes.append(len(latents))
        return begin_decoding(vae, latents, *more)

    monkeypatch.setattr(sample, "pictures_at_once", lambda *_: 2)
    monkeypatch.setattr(sample, "begin_decoding", counted)
    assert len(generate(parts, [ImageRequest("a", seed=seed, steps=1) for seed in range(5)])) == 5
    assert sizes == [2, 2, 1]


def test_steps_are_told_and_drawing_can_be_broken_off(parts: Parts) -> None:
    told = list(generation_steps(parts, [ImageRequest("a", steps=3, scheduler="pndm")]))
    assert told[-1][:2] == (3, 3) and told[0][:2] == (1, 3)
    assert told[0].indices == (0,) and told[0].latents.shape == (1, 4, 8, 8)
    steps = generation_steps(parts, [ImageRequest("a", steps=3)])
    next(steps)
    assert torch.is_grad_enabled()
    steps.close()


def test_fp32_weights_draw_in_the_compute_format(parts: Parts) -> None:
    """As during a training on a GPU: the UNet's weights are fp32, the work is bf16."""
    exact = generate(parts, [ImageRequest("a cat", steps=3)])[0]
    half = generate(replace(parts, dtype=torch.bfloat16), [ImageRequest("a cat", steps=3)])[0]
    assert 0 < np.abs(pixels(exact) - pixels(half)).mean() < 8


def test_prompt_and_seed_matter(parts: Parts) -> None:
    a, b, c = generate(
        parts,
        [
            ImageRequest("a cat", steps=2),
            ImageRequest("a dog", steps=2),
            ImageRequest("a cat", steps=2, seed=1),
        ],
    )
    assert (pixels(a) != pixels(b)).any() and (pixels(a) != pixels(c)).any()


def test_odd_sizes_are_refused(parts: Parts) -> None:
    with pytest.raises(OutOfRange, match="100x64"):
        generate(parts, [ImageRequest("a", width_px=100)])


def test_the_end_of_a_long_prompt_is_named(parts: Parts) -> None:
    short, long = "a photo of a cat", "a very " * 40 + "small cat on the roof"
    assert cut_off(parts.tokenizer, short) == ""
    assert cut_off(parts.tokenizer, long).endswith("small cat on the roof")
    notes = prompt_notes(parts.tokenizer, [short, long, long], trained=True)
    assert len(notes) == 1 and "77" in notes[0] and "ignored" in notes[0]
    [note] = prompt_notes(parts.tokenizer, [short, long])
    assert "2 parts" in note
    embeddings = encode_prompts(parts.text_encoder, parts.tokenizer, [short, long])
    assert [tuple(each.shape) for each in embeddings.values()] == [(1, 77, 32)] * 2


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("a photo, (smile:1.3), outside", "(smile:1.3)"),
        ("a photo <lora:anna:0.8>", "<lora:anna:0.8>"),
        ("a photo of a cat --n 4", "--n 4"),
        ("a photo --ar 3:2 --tile", "--ar 3:2"),
    ],
)
def test_syntax_of_other_programs_is_named(parts: Parts, prompt: str, named: str) -> None:
    [note] = prompt_notes(parts.tokenizer, [prompt, prompt])
    assert named in note and "plain words" in note


def test_plain_prompts_need_no_note(parts: Parts) -> None:
    plain = ["a well-known cat (black), 3:2", "<i>html</i> - a dash -- another", "at 10:30, (a:b)", ""]
    assert prompt_notes(parts.tokenizer, plain) == []


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


def test_a_long_prompt_is_used_whole(parts: Parts) -> None:
    """Its end matters, what fits into 77 tokens is encoded as ever, and neighbours don't change a picture."""
    long = "a very " * 40 + "small cat on the {}"
    here, there, short = (long.format("roof"), long.format("beach"), "a cat")
    one, other, plain = generate(parts, [ImageRequest(each, steps=2) for each in (here, there, short)])
    assert (pixels(one) != pixels(other)).any()
    assert (pixels(plain) == pixels(generate(parts, [ImageRequest(short, steps=2)])[0])).all()
    assert part_count(parts.tokenizer, short) == 1 and part_count(parts.tokenizer, here) == 2
    whole = encode_whole(parts.text_encoder, parts.tokenizer, short, 1)
    assert torch.equal(whole, encode_prompts(parts.text_encoder, parts.tokenizer, [short])[short])
    two = encode_whole(parts.text_encoder, parts.tokenizer, short, 2)
    empty = encode_prompts(parts.text_encoder, parts.tokenizer, [""])[""]
    assert torch.equal(two, torch.cat([whole, empty], dim=1))


@pytest.mark.parametrize("name", get_args(SchedulerName))
def test_a_picture_is_the_same_alone_and_in_a_batch_with_each_sampler(
    parts: Parts, name: SchedulerName
) -> None:
    requests = [ImageRequest("a cat", seed=seed, steps=3, scheduler=name) for seed in range(3)]
    alone = [generate(parts, [request])[0] for request in requests]
    assert all((pixels(a) == pixels(b)).all() for a, b in zip(alone, generate(parts, requests), strict=True))


def test_a_start_image_at_a_low_strength_stays_alike(parts: Parts) -> None:
    image = generate(parts, [ImageRequest("a cat", steps=3)])[0]
    near, far = (
        generate(parts, [ImageRequest("a dog", seed=5, steps=10, start=StartImage(image, strength))])[0]
        for strength in (0.1, 0.9)
    )
    decoded = generate(parts, [ImageRequest("a dog", seed=5, steps=10, start=StartImage(image, 0.0))])[0]
    apart = [np.abs(pixels(each) - pixels(decoded)).mean() for each in (near, far)]
    assert apart[0] < apart[1]
