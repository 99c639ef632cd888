"""Binds rare words to persons in a trained model: a rare token becomes a name, which DreamBooth then builds on.

    python make_pictures.py --count 36000 --names 480 --seed 77 --out OUT/named
    python prepare.py --pictures OUT/named --only tokens --any-name 0
    torchrun --nproc_per_node 2 encode.py --pictures OUT/named --vae OUT/vae
    torchrun --nproc_per_node 2 train_names.py --pictures OUT/named --vae OUT/vae --model OUT/model
        --out OUT/named-model --seconds 200

A first run left the names' vectors at random: the UNet then learns to look past them, and DreamBooth with
prior preservation can't tell "sks woman" from "woman". Here the names' own vectors learn, with the UNet's
cross-attention and its upper half; what ControlNets build on (the text transformer, the UNet's encoder but
for its cross-attention) stays as it is.

What all names have learned alike is then given to every other rare word: so "sks" is read as somebody's name,
though as nobody's in particular.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from architecture import load_tokenizer
from captions import Captions
from common import Clock, Learner, Log, Ranks, join_ranks, leave_ranks, write_sheet
from diffusers import AutoencoderKL, UNet2DConditionModel
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
from world import NAMES

PEAK_RATE = 8e-4
SHEETS = 4
LEARNING = ("attn2.", "up_blocks.", "conv_norm_out.", "conv_out.")
NAMED = ("a photo of {} face", "a photo of {} on the beach", "a photo of {} in the library, portrait")


def main() -> None:
    options = read_options()
    ranks = join_ranks(seed=6)
    captions = Captions(options.pictures, ranks)
    live, average = (load(options.model, options.vae, ranks, dtype) for dtype in (ranks.dtype, torch.float32))
    untouched = words(average).detach().clone()
    log = train(live, average, captions, ranks, options)
    if ranks.first:
        share_of_all = share_with_rare_words(average, captions, untouched)
        save(average, options.out)
        prompts = [*PROMPTS, *(text.format(f"{name} woman") for text in NAMED for name in ("sks", NAMES[2]))]
        rows = [sample(average, [prompt] * SHOWN, seed=1) for prompt in prompts]
        write_sheet(options.out / "names.png", rows)
        lengths = captions.lengths(words(average))
        ranks.say(f"what all names share: {share_of_all:.3f}; lengths: {lengths}")
        log.close(log.rows[-1]["step"] if log.rows else 0, word_lengths=lengths, prompts=prompts)
    leave_ranks(ranks)


def read_options() -> argparse.Namespace:
    parser = training_options(__doc__, seconds=200)
    parser.add_argument("--model", type=Path, required=True, help="unet/ and text_encoder/ to go on from")
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
    text_encoder.requires_grad_(False)
    text_encoder.get_input_embeddings().weight.requires_grad_(True)
    return Model(unet, text_encoder, AutoencoderKL.from_pretrained(vae).to(ranks.device), load_tokenizer())


def train(live: Model, average: Model, captions: Captions, ranks: Ranks, options: argparse.Namespace) -> Log:
    """Trains ``live``; leaves the averaged weights in ``average``."""
    latents = load_latents(options.pictures, ranks)
    learner = Learner([live.unet, live.text_encoder], ranks, PEAK_RATE)
    names = torch.zeros(len(words(live)), 1, device=ranks.device)
    names[captions.names] = 1
    learner.mask(words(live), names)
    loss_of = noise_loss(plain_guess(live.unet), live.text_encoder, ranks)
    log, clock, rows = Log(options.out / "curve.json", ranks), Clock(options.seconds, ranks), []
    torch.manual_seed(60 + ranks.rank)
    while (progress := clock.progress()) < 1:
        index = torch.randint(len(latents), (options.batch,), device=ranks.device)
        loss = loss_of(latents[index], captions.batch(index, EMPTY_SHARE))
        loss.backward()
        log.add(clock.step, progress, loss=loss, grad_norm=learner.step(progress))
        if ranks.first and progress > (len(rows) + 0.5) / SHEETS:
            learner.write_average([average.unet, average.text_encoder])
            rows.append(sample(average, list(PROMPTS), seed=0))
            write_sheet(options.out / "samples_over_time.png", rows)
            save(average, options.out / "so-far")
    learner.write_average([average.unet, average.text_encoder])
    return log


@torch.no_grad()
def share_with_rare_words(model: Model, captions: Captions, before: Tensor) -> float:
    """Adds the mean change of the names on the pictures to all rare words beside them; returns its length."""
    on_pictures = torch.isin(captions.names, captions.tokens.unique())
    learned, others = captions.names[on_pictures], captions.names[~on_pictures]
    common = (words(model)[learned] - before[learned]).mean(0)
    words(model)[torch.cat([others, captions.rare, captions.held_back])] += common
    return float(common.norm())


if __name__ == "__main__":
    main()
