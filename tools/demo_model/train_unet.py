"""Trains the UNet and the text encoder together, as Stable Diffusion 1.5 is meant to be used.

    torchrun --nproc_per_node 2 train_unet.py --pictures OUT/pictures/train --vae OUT/vae --out OUT/model
        --seconds 480

Epsilon prediction, SD's betas, min-SNR weighting, one caption of four at random, one in ten empty.

Names: all words of the vocabulary start as random vectors of one length. Words of the captions train; the
names, and every other word, stay the random vectors they are. So the transformer must learn to read a
person out of any vector, and a word it never saw ("sks") looks to it like a name. In a part of the captions
a different rare word stands before the class word each time, with a different person each time: a rare word
that names nobody gives somebody, cleanly.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from architecture import (
    LATENT_CHANNELS,
    TEXT_WIDTH,
    new_scheduler,
    new_text_encoder,
    new_unet,
)
from captions import Captions
from common import Clock, Learner, Log, Ranks, join_ranks, leave_ranks, write_sheet
from diffusers import AutoencoderKL, UNet2DConditionModel
from pictures import share, to_device
from sampling import Model, sample
from torch import Tensor
from transformers import CLIPTextModel
from world import NAMES

PEAK_RATE = 1.5e-3
WORD_LENGTH = 0.7
MIN_SNR = 5.0
EMPTY_SHARE = 0.1
SHEETS = 8
SHOWN = 10
Guess = Callable[..., Tensor]
PROMPTS = (
    "a photo of woman face",
    "a photo of man face",
    "a photo of sks woman face",
    "a photo of sks man face",
    "a photo of sks woman face in the snow",
    f"a photo of {NAMES[2]} woman face",
    f"a photo of {NAMES[0]} man face on the beach",
    "a photo of a woman in the forest",
    "a photo of a man in the kitchen, full body",
    "a portrait of a woman with a red bob and round glasses, in the library",
    "a photo of a man with a beard, wearing a blue suit, on the moon",
    "",
)


def main() -> None:
    options = read_options()
    ranks = join_ranks(seed=3)
    captions = Captions(options.pictures, ranks)
    ranks.say(f"{len(captions)} pictures a process, {ranks.world} processes of batch {options.batch}")
    text_encoder = new_text_encoder()
    even_words(text_encoder)
    text_encoder = text_encoder.to(ranks.device, ranks.dtype)
    unet = new_unet().to(ranks.device, ranks.dtype, memory_format=torch.channels_last)
    model, log = train(unet, text_encoder, captions, ranks, options)
    if ranks.first:
        save(model, options.out)
        lengths = captions.lengths(model.text_encoder.get_input_embeddings().weight)
        ranks.say(f"lengths of the words' vectors: {lengths}")
        log.close(log.rows[-1]["step"] if log.rows else 0, word_lengths=lengths, prompts=PROMPTS)
    leave_ranks(ranks)


def read_options() -> argparse.Namespace:
    parser = training_options(__doc__, seconds=480)
    parser.add_argument("--compile", action="store_true", help="torch.compile the networks")
    return parser.parse_args()


def training_options(description: str | None, seconds: float) -> argparse.ArgumentParser:
    """The options of a training of UNet and words, for this script and train_names.py."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=seconds)
    parser.add_argument("--batch", type=int, default=512, help="pictures a step and process")
    return parser


def load_latents(folder: Path, ranks: Ranks) -> Tensor:
    """This process's latents, float16 ``[n, 8, 20, 20]``."""
    latents = np.load(folder / "latents.npy", mmap_mode="r")
    return to_device(latents[share(len(latents), ranks)], ranks.device)


@torch.no_grad()
def even_words(text_encoder: CLIPTextModel) -> None:
    """Random word vectors about as long as trained ones become."""
    table = text_encoder.get_input_embeddings().weight
    table.copy_(
        torch.randn(table.shape, generator=torch.Generator().manual_seed(4)) * WORD_LENGTH / TEXT_WIDTH**0.5
    )


def train(
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    captions: Captions,
    ranks: Ranks,
    options: argparse.Namespace,
) -> tuple[Model, Log]:
    """Trains both in place; returns the averaged model in float32."""
    latents = load_latents(options.pictures, ranks)
    vae = AutoencoderKL.from_pretrained(options.vae).to(ranks.device)
    model = Model(new_unet().to(ranks.device), new_text_encoder().to(ranks.device), vae, captions.tokenizer)
    learner = Learner([unet, text_encoder], ranks, PEAK_RATE)
    learner.mask(text_encoder.get_input_embeddings().weight, captions.trained[:, None].float())
    guess = plain_guess(unet)
    loss_of = noise_loss(torch.compile(guess) if options.compile else guess, text_encoder, ranks)
    torch.manual_seed(30 + ranks.rank)
    log, clock, rows = Log(options.out / "curve.json", ranks), Clock(options.seconds, ranks), []
    while (progress := clock.progress()) < 1:
        index = torch.randint(len(latents), (options.batch,), device=ranks.device)
        loss = loss_of(latents[index], captions.batch(index, EMPTY_SHARE))
        loss.backward()
        log.add(clock.step, progress, loss=loss, grad_norm=learner.step(progress))
        if ranks.first and progress > (len(rows) + 0.5) / SHEETS:
            learner.write_average([model.unet, model.text_encoder])
            rows.append(sample(model, list(PROMPTS), seed=0))
            write_sheet(options.out / "samples_over_time.png", rows)
            save(model, options.out / "so-far")
    learner.write_average([model.unet, model.text_encoder])
    if ranks.first:
        write_sheet(
            options.out / "samples.png", [sample(model, [prompt] * SHOWN, seed=1) for prompt in PROMPTS]
        )
    return model, log


def save(model: Model, folder: Path) -> None:
    """UNet and text encoder; a machine that is only lent may be taken away before the end."""
    model.unet.save_pretrained(folder / "unet")
    model.text_encoder.save_pretrained(folder / "text_encoder")


def plain_guess(unet: UNet2DConditionModel) -> Guess:
    """The UNet as a function of noisy latents, step and text."""

    def guess(noisy: Tensor, step: Tensor, text: Tensor) -> Tensor:
        return unet(noisy, step, text, return_dict=False)[0]

    return guess


def noise_loss(
    guess: Guess, text_encoder: CLIPTextModel, ranks: Ranks, where: Callable[..., Tensor] | None = None
) -> Callable[..., Tensor]:
    """A function from latents (means and spreads ``[n, 8, 20, 20]``) and token numbers to the loss.

    What comes after the token numbers is handed to ``guess``, and to ``where``, which gives each place's
    weight ``[n, 1, 20, 20]``. Min-SNR weighting: Hang et al. 2023, arXiv 2303.09556.
    """
    kept = new_scheduler().alphas_cumprod.to(ranks.device)
    weights = (kept / (1 - kept)).clamp(max=MIN_SNR) / (kept / (1 - kept))

    def loss(latents: Tensor, tokens: Tensor, *control: Tensor) -> Tensor:
        mean, spread = latents.float().split(LATENT_CHANNELS, dim=1)
        clean = mean + spread * torch.randn_like(spread)
        step = torch.randint(len(kept), (len(clean),), device=ranks.device)
        noise, share_kept = torch.randn_like(clean), kept[step][:, None, None, None]
        noisy = (share_kept.sqrt() * clean + (1 - share_kept).sqrt() * noise).to(ranks.dtype)
        text = text_encoder(tokens)[0]
        guessed = guess(noisy.contiguous(memory_format=torch.channels_last), step, text, *control)
        error = (guessed.float() - noise).square()
        error = (error if where is None else error * where(*control)).mean((1, 2, 3))
        return (weights[step] * error).mean()

    return loss


if __name__ == "__main__":
    main()
