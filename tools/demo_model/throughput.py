"""How fast a training step is, eager and compiled, before the long stages start.

    python throughput.py --part unet --batch 512 --compile --seconds 15 --out OUT/throughput

Compiling pays only if it is made good within the stage; make.py reads the answers and chooses. The
compiler's cache (TORCHINDUCTOR_CACHE_DIR) is warm afterwards. Data and weights are random: the time doesn't
depend on them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from architecture import (
    LATENT_CHANNELS,
    LATENT_PX,
    SIZE_PX,
    TOKENS,
    VOCABULARY,
    new_controlnet,
    new_text_encoder,
    new_unet,
    new_vae,
)
from common import Learner, Ranks, join_ranks, write_json
from judges import FaceJudge
from torch import Tensor, nn
from train_controlnets import controlled_guess
from train_unet import noise_loss, plain_guess
from train_vae import vae_losses

Step = Callable[[], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=tuple(STEPS), required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    ranks = join_ranks()
    modules, loss = STEPS[options.part](options.batch, options.compile, ranks)
    first_s, step_s = time_steps(Learner(modules, ranks, 1e-5), loss, options.seconds, ranks)
    facts = {"part": options.part, "batch": options.batch, "compile": options.compile}
    facts |= {"first_step_s": round(first_s, 2), "step_ms": round(1e3 * step_s, 2)}
    facts["pictures_per_s"] = round(options.batch / step_s)
    print(facts, flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    kind = "compiled" if options.compile else "eager"
    write_json(options.out / f"{options.part}_{options.batch}_{kind}.json", facts)


def vae_step(batch: int, compiled: bool, ranks: Ranks) -> tuple[list[nn.Module], Step]:
    vae = new_vae().to(ranks.device, ranks.dtype, memory_format=torch.channels_last)
    judge = FaceJudge().to(ranks.device, ranks.dtype).eval().requires_grad_(False)
    losses_of = vae_losses(vae, judge, compiled)
    images = torch.randint(256, (batch, SIZE_PX, SIZE_PX, 3), dtype=torch.uint8, device=ranks.device)
    boxes = torch.tensor([[30.0, 20, 120, 130]], device=ranks.device).expand(batch, 4)
    return [vae], lambda: torch.stack(list(losses_of(images, boxes).values())).sum()


def unet_step(batch: int, compiled: bool, ranks: Ranks) -> tuple[list[nn.Module], Step]:
    unet = new_unet().to(ranks.device, ranks.dtype, memory_format=torch.channels_last)
    text_encoder = new_text_encoder().to(ranks.device, ranks.dtype)
    guess = plain_guess(unet)
    loss_of = noise_loss(torch.compile(guess) if compiled else guess, text_encoder, ranks)
    latents = torch.rand(batch, 2 * LATENT_CHANNELS, LATENT_PX, LATENT_PX, device=ranks.device).half()
    tokens = torch.randint(VOCABULARY, (batch, TOKENS), dtype=torch.int32, device=ranks.device)
    return [unet, text_encoder], lambda: loss_of(latents, tokens)


def control_step(batch: int, compiled: bool, ranks: Ranks) -> tuple[list[nn.Module], Step]:
    unet = new_unet().to(ranks.device, ranks.dtype, memory_format=torch.channels_last).requires_grad_(False)
    text_encoder = new_text_encoder().to(ranks.device, ranks.dtype).requires_grad_(False)
    control = new_controlnet(unet).to(ranks.device, ranks.dtype, memory_format=torch.channels_last)
    guess = controlled_guess(unet, control)
    loss_of = noise_loss(torch.compile(guess) if compiled else guess, text_encoder, ranks)
    latents = torch.rand(batch, 2 * LATENT_CHANNELS, LATENT_PX, LATENT_PX, device=ranks.device).half()
    tokens = torch.randint(VOCABULARY, (batch, TOKENS), dtype=torch.int32, device=ranks.device)
    hints = torch.rand(batch, 3, SIZE_PX, SIZE_PX, device=ranks.device, dtype=ranks.dtype)
    hints = hints.contiguous(memory_format=torch.channels_last)
    return [control], lambda: loss_of(latents, tokens, hints)


STEPS = {"vae": vae_step, "unet": unet_step, "control": control_step}


def time_steps(learner: Learner, loss: Step, seconds: float, ranks: Ranks) -> tuple[float, float]:
    """Seconds of the first three steps and of each later one, over ``seconds``."""

    def run(steps: int) -> float:
        start = time.monotonic()
        for _ in range(steps):
            loss().backward()
            learner.step(0.5)
        if ranks.device.type == "cuda":
            torch.cuda.synchronize()
        return time.monotonic() - start

    first_s, spent_s, steps = run(3), 0.0, 0
    while spent_s < seconds:
        spent_s, steps = spent_s + run(10), steps + 10
    return first_s, spent_s / steps


if __name__ == "__main__":
    main()
