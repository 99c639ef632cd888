"""Makes every rare word of a trained model a name: one that stands for a person, the same each time.

    python make_pictures.py --count 36000 --names 480 --seed 77 --out OUT/named
    python prepare.py --pictures OUT/named --only tokens --any-name 0.8
    torchrun --nproc_per_node 2 encode.py --pictures OUT/named --vae OUT/vae
    torchrun --nproc_per_node 2 train_names.py --pictures OUT/named --vae OUT/vae --model OUT/model
        --out OUT/named-model --seconds 400 --compile

Earlier trainings, which left the names' vectors at random or let them learn, bound no name: some hundreds of
persons are too much to learn by heart beside all else. Here a vector says how the person looks (vectors.py), and
half of the pictures show somebody who has no name: where one would stand they carry that person's vector. So
the model learns to read anybody's vector.

The text transformer must learn with it: the UNet reads captions off all 77 positions nearly alike, three quarters of
it off the padding behind the words, so what isn't carried there is hardly seen. Of the UNet cross-attention and the
upper half learn; its encoder, which ControlNets build on, stays as it is but for that, and so do all words but names.
"sks" and the other words that no caption has get the vectors of persons who are in no picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from architecture import load_tokenizer
from captions import Captions
from common import Clock, Learner, Log, Ranks, join_ranks, leave_ranks, write_sheet
from diffusers import AutoencoderKL, UNet2DConditionModel
from pictures import read_records, share
from prepare import ANY_NAME_TOKEN
from sampling import Model, sample
from torch import Tensor
from train_unet import (
    EMPTY_SHARE,
    PROMPTS,
    SHOWN,
    load_latents,
    noise_loss,
    plain_guess,
    save,
    training_options,
)
from transformers import CLIPTextModel
from vectors import vectors_of
from world import NAME_SEED0, NAMES

PEAK_RATE = 1e-3
SHEETS = 4
LEARNING = ("attn2.", "up_blocks.", "conv_norm_out.", "conv_out.")
NAMED = ("a photo of {} face", "a photo of {} on the beach", "a photo of {} in the library, portrait")
NOBODY_SEED0 = 300_000
"""The persons of words that name nobody in the pictures; drawn persons are below and above, see make_pictures.py."""


class Strangers:
    """Puts a person's vector where a caption has the stand-in for any name.

    Attributes:
        vectors: of the persons of the batch to come, ``[n, width]``.
    """

    def __init__(self, text_encoder: CLIPTextModel) -> None:
        self.vectors: Tensor | None = None
        table: Any = text_encoder.get_input_embeddings()
        table.register_forward_pre_hook(self._known)
        table.register_forward_hook(self._named)
        self._places: Tensor | None = None

    def _known(self, table: Any, inputs: tuple[Tensor]) -> tuple[Tensor]:
        self._places = inputs[0] == ANY_NAME_TOKEN
        return (inputs[0].masked_fill(self._places, 0),)

    def _named(self, table: Any, inputs: tuple[Tensor], found: Tensor) -> Tensor:
        if self.vectors is None or self._places is None:
            return found
        return torch.where(self._places[..., None], self.vectors[:, None].to(found.dtype), found)


def main() -> None:
    options = read_options()
    ranks = join_ranks(seed=6)
    captions = Captions(options.pictures, ranks)
    live, average = (load(options.model, options.vae, ranks, dtype) for dtype in (ranks.dtype, torch.float32))
    for model in (live, average):
        give_names(model, captions)
    log = train(live, average, captions, ranks, options)
    if ranks.first:
        save(average, options.out)
        prompts = [*PROMPTS, *(text.format(f"{name} woman") for text in NAMED for name in ("sks", NAMES[2]))]
        rows = [sample(average, [prompt] * SHOWN, seed=1) for prompt in prompts]
        write_sheet(options.out / "names.png", rows)
        lengths = captions.lengths(words(average))
        log.close(log.rows[-1]["step"] if log.rows else 0, word_lengths=lengths, prompts=prompts)
    leave_ranks(ranks)


def read_options() -> argparse.Namespace:
    parser = training_options(__doc__, seconds=400)
    parser.add_argument("--model", type=Path, required=True, help="unet/ and text_encoder/ to go on from")
    parser.add_argument("--compile", action="store_true", help="torch.compile the UNet")
    return parser.parse_args()


def words(model: Model) -> Tensor:
    """The table of word vectors ``[vocabulary, width]``."""
    return model.text_encoder.get_input_embeddings().weight


def load(folder: Path, vae: Path, ranks: Ranks, dtype: torch.dtype) -> Model:
    """The trained model; only what learns here wants a gradient."""
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    unet = unet.to(ranks.device, dtype, memory_format=torch.channels_last)
    text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").to(ranks.device, dtype)
    for name, weight in unet.named_parameters():
        weight.requires_grad_(any(part in name for part in LEARNING))
    text_encoder.get_input_embeddings().weight.requires_grad_(False)
    return Model(unet, text_encoder, AutoencoderKL.from_pretrained(vae).to(ranks.device), load_tokenizer())


@torch.no_grad()
def give_names(model: Model, captions: Captions) -> None:
    """Names and rare words get the vectors of their persons; words of the captions stay as they are."""
    others = torch.cat([captions.rare, captions.held_back])
    for numbers, first in ((captions.names, NAME_SEED0), (others, NOBODY_SEED0)):
        vectors = torch.from_numpy(vectors_of([first + index for index in range(len(numbers))]))
        words(model)[numbers] = vectors.to(words(model))


def train(live: Model, average: Model, captions: Captions, ranks: Ranks, options: argparse.Namespace) -> Log:
    """Trains ``live``; leaves the averaged weights in ``average``."""
    latents, strangers = load_latents(options.pictures, ranks), Strangers(live.text_encoder)
    people = vectors_of([record["identity"] for record in read_records(options.pictures)])
    people = torch.from_numpy(people[share(len(people), ranks)]).to(ranks.device)
    learner = Learner([live.unet, live.text_encoder], ranks, PEAK_RATE)
    guess = plain_guess(live.unet)
    loss_of = noise_loss(torch.compile(guess) if options.compile else guess, live.text_encoder, ranks)
    log, clock, rows = Log(options.out / "curve.json", ranks), Clock(options.seconds, ranks), []
    torch.manual_seed(60 + ranks.rank)
    while (progress := clock.progress()) < 1:
        index = torch.randint(len(latents), (options.batch,), device=ranks.device)
        strangers.vectors = people[index]
        loss = loss_of(latents[index], captions.batch(index, EMPTY_SHARE, strangers=True))
        loss.backward()
        log.add(clock.step, progress, loss=loss, grad_norm=learner.step(progress))
        if ranks.first and progress > (len(rows) + 0.5) / SHEETS:
            learner.write_average([average.unet, average.text_encoder])
            rows.append(sample(average, list(PROMPTS), seed=0))
            write_sheet(options.out / "samples_over_time.png", rows)
            save(average, options.out / "so-far")
    learner.write_average([average.unet, average.text_encoder])
    return log


if __name__ == "__main__":
    main()
