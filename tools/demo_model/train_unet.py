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
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from architecture import (
    LATENT_CHANNELS,
    TEXT_WIDTH,
    load_tokenizer,
    new_scheduler,
    new_text_encoder,
    new_unet,
)
from common import Clock, Learner, Log, Ranks, join_ranks, leave_ranks, write_sheet
from diffusers import AutoencoderKL, UNet2DConditionModel
from pictures import share, to_device
from prepare import ANY_NAME_TOKEN
from sampling import Model, sample
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer
from world import HELD_BACK, NAMES

PEAK_RATE = 1.5e-3
WORD_LENGTH = 0.7
MIN_SNR = 5.0
EMPTY_SHARE = 0.1
SHEETS = 8
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
    latents, tokens = load_share(options.pictures, ranks)
    ranks.say(f"{len(latents)} pictures a process, {ranks.world} processes of batch {options.batch}")
    tokenizer = load_tokenizer()
    words = Words(tokens, tokenizer, ranks)
    text_encoder = new_text_encoder()
    even_words(text_encoder)
    text_encoder = text_encoder.to(ranks.device, ranks.dtype)
    unet = new_unet().to(ranks.device, ranks.dtype, memory_format=torch.channels_last)
    vae = AutoencoderKL.from_pretrained(options.vae).to(ranks.device)
    model, log = train(unet, text_encoder, latents, tokens, words, vae, tokenizer, ranks, options)
    if ranks.first:
        model.unet.save_pretrained(options.out / "unet")
        model.text_encoder.save_pretrained(options.out / "text_encoder")
        norms = words.norms(model.text_encoder, tokenizer)
        ranks.say(f"lengths of the words' vectors: {norms}")
        log.close(log.rows[-1]["step"] if log.rows else 0, word_lengths=norms, prompts=PROMPTS)
    leave_ranks(ranks)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--batch", type=int, default=512, help="pictures a step and process")
    parser.add_argument("--compile", action="store_true", help="see throughput.py")
    return parser.parse_args()


def load_share(folder: Path, ranks: Ranks) -> tuple[Tensor, Tensor]:
    """This process's latents float16 ``[n, 8, 20, 20]`` and token numbers int32 ``[n, 4, 77]``."""
    latents = np.load(folder / "latents.npy", mmap_mode="r")
    part = share(len(latents), ranks)
    tokens = np.load(folder / "tokens.npy")[part].astype(np.int32)
    return to_device(latents[part], ranks.device), torch.from_numpy(tokens).to(ranks.device)


@torch.no_grad()
def even_words(text_encoder: CLIPTextModel) -> None:
    """Random word vectors about as long as trained ones become."""
    table = text_encoder.get_input_embeddings().weight
    table.copy_(
        torch.randn(table.shape, generator=torch.Generator().manual_seed(4)) * WORD_LENGTH / TEXT_WIDTH**0.5
    )


class Words:
    """Which words train, which are names, and which rare words may stand for anybody."""

    def __init__(self, tokens: Tensor, tokenizer: CLIPTokenizer, ranks: Ranks) -> None:
        vocabulary = tokenizer.get_vocab()
        self.names = torch.tensor([vocabulary[f"{name}</w>"] for name in NAMES], device=ranks.device)
        kept = {f"{word}</w>" for word in (*NAMES, *HELD_BACK)}
        # The first tenth of the captions holds every word of the drawn world; names are taken out again.
        seen = torch.zeros(ANY_NAME_TOKEN + 1, dtype=torch.bool, device=ranks.device)
        seen[tokens[: max(256, len(tokens) // 10)].long().unique()] = True
        seen[self.names] = False
        self.trained = ranks.any(seen)[:ANY_NAME_TOKEN]
        rare = [
            n for word, n in vocabulary.items() if re.fullmatch(r"[a-z]{3,5}</w>", word) and word not in kept
        ]
        numbers = torch.tensor(rare, device=ranks.device)
        self.rare = numbers[~self.trained[numbers]]
        ranks.say(
            f"{int(self.trained.sum())} words train, {len(self.names)} names, {len(self.rare)} rare words"
        )

    def fill(self, tokens: Tensor) -> Tensor:
        """Puts a random rare word wherever the stand-in for any name is."""
        anybody = self.rare[torch.randint(len(self.rare), (len(tokens), 1), device=tokens.device)]
        return torch.where(tokens == ANY_NAME_TOKEN, anybody.to(tokens.dtype), tokens)

    def norms(self, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer) -> dict[str, float]:
        """Mean length of the vectors of trained words, class words, names, held-back words and the rest."""
        length = text_encoder.get_input_embeddings().weight.detach().float().norm(dim=1)
        vocabulary = tokenizer.get_vocab()
        one = {
            word: float(length[vocabulary[f"{word}</w>"]])
            for word in ("woman", "man", "photo", *HELD_BACK[:1])
        }
        groups = {"trained": length[self.trained], "names": length[self.names], "other": length[self.rare]}
        return {name: round(value, 3) for name, value in one.items()} | {
            name: round(float(group.mean()), 3) for name, group in groups.items()
        }


def train(
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    latents: Tensor,
    tokens: Tensor,
    words: Words,
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    ranks: Ranks,
    options: argparse.Namespace,
) -> tuple[Model, Log]:
    """Trains both in place; returns the averaged model in float32."""
    model = Model(new_unet().to(ranks.device), new_text_encoder().to(ranks.device), vae, tokenizer)
    learner = Learner([unet, text_encoder], ranks, PEAK_RATE)
    learner.mask(text_encoder.get_input_embeddings().weight, words.trained[:, None].float())
    guess = plain_guess(unet)
    loss_of = noise_loss(torch.compile(guess) if options.compile else guess, text_encoder, ranks)
    empty = torch.tensor(tokenizer("", padding="max_length", max_length=77)["input_ids"], device=ranks.device)
    torch.manual_seed(30 + ranks.rank)
    log, clock, rows = Log(options.out / "curve.json", ranks), Clock(options.seconds, ranks), []
    while (progress := clock.progress()) < 1:
        index = torch.randint(len(latents), (options.batch,), device=ranks.device)
        caption = tokens[index, torch.randint(tokens.shape[1], (options.batch,), device=ranks.device)]
        dropped = torch.rand(options.batch, 1, device=ranks.device) < EMPTY_SHARE
        loss = loss_of(latents[index], torch.where(dropped, empty.to(caption.dtype), words.fill(caption)))
        loss.backward()
        log.add(clock.step, progress, loss=loss, grad_norm=learner.step(progress))
        if ranks.first and progress > (len(rows) + 0.5) / SHEETS:
            learner.write_average([model.unet, model.text_encoder])
            rows.append(sample(model, list(PROMPTS), seed=0))
            write_sheet(options.out / "samples_over_time.png", rows)
    learner.write_average([model.unet, model.text_encoder])
    if ranks.first:
        write_sheet(options.out / "samples.png", [sample(model, [prompt] * 1, seed=1) for prompt in PROMPTS])
    return model, log


def plain_guess(unet: UNet2DConditionModel) -> Guess:
    """The UNet as a function of noisy latents, step and text."""

    def guess(noisy: Tensor, step: Tensor, text: Tensor) -> Tensor:
        return unet(noisy, step, text, return_dict=False)[0]

    return guess


def noise_loss(guess: Guess, text_encoder: CLIPTextModel, ranks: Ranks) -> Callable[..., Tensor]:
    """A function from latents (means and spreads ``[n, 8, 20, 20]``) and token numbers to the loss.

    What comes after the token numbers is handed to ``guess``. Min-SNR weighting: Hang et al. 2023, arXiv
    2303.09556.
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
        error = (guessed.float() - noise).square().mean((1, 2, 3))
        return (weights[step] * error).mean()

    return loss


if __name__ == "__main__":
    main()
