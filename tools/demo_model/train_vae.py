"""Trains the VAE (AutoencoderKL, factor 8, 4 channels).

    torchrun --nproc_per_node 2 train_vae.py --pictures OUT/pictures/train --held-out OUT/pictures/held-out
        --judges OUT/judges --out OUT/vae --seconds 270

L1, squared error and gradient L1 with extra weight on the face (the smaller, the more), a little KL, and
what the face judge sees in the crop around the face. At the end each latent channel is brought to mean 0
and spread 1 / 0.18215 by rescaling the 1x1 convolutions on both sides of the latents, exactly: so Stable
Diffusion 1.5's own scaling factor holds.

With ``--decoder-of OUT/vae`` the decoder of a trained VAE goes on learning alone, small faces weighing more: its
latents stay what they are, and with them all that was trained on them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from architecture import LATENT_CHANNELS, SCALING_FACTOR, SIZE_PX, new_vae
from common import Clock, Learner, Log, Ranks, as_bytes, as_unit, join_ranks, leave_ranks, write_sheet
from diffusers import AutoencoderKL
from judges import FaceJudge, face_crops, load_judges
from pictures import Pictures, load_pictures
from torch import Tensor

PEAK_RATE, PEAK_RATE_AFTERWARDS = 1e-3, 4e-4
FACE_WEIGHT, MOST_FOR_SMALL, MOST_FOR_SMALL_AFTERWARDS = 2.0, 3.0, 8.0
SMALL_FACE_PX = 40
L1_WEIGHT, SQUARE_WEIGHT, EDGE_WEIGHT, KL_WEIGHT = 0.5, 4.0, 0.5, 1e-4
LOOKS_WEIGHT, IDENTITY_WEIGHT = 0.1, 0.05
SHEETS = 5
SHOWN = 10


def main() -> None:
    options = read_options()
    ranks = join_ranks(seed=2)
    pictures = load_pictures(options.pictures, ranks)
    held_out = load_pictures(options.held_out, ranks, whole=True, most=2000)
    judge = load_judges(options.judges).face.to(ranks.device, ranks.dtype)
    ranks.say(f"{len(pictures)} pictures a process, {ranks.world} processes of batch {options.batch}")
    if ranks.first and options.decoder_of:
        ranks.say(f"before: {measure_vae(begun(options).to(ranks.device), held_out)}")
    average, log = train(pictures, held_out, judge, ranks, options)
    if ranks.first:
        if not options.decoder_of:
            normalise_latents(average, *latent_statistics(average, pictures))
        average.save_pretrained(options.out)
        quality = measure_vae(average, held_out)
        ranks.say(f"held-out persons: {quality}")
        log.close(log.rows[-1]["step"] if log.rows else 0, **quality)
    leave_ranks(ranks)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--judges", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--decoder-of", type=Path, help="a trained VAE, whose decoder goes on alone")
    parser.add_argument("--seconds", type=float, default=270)
    parser.add_argument("--batch", type=int, default=64, help="pictures a step and process")
    parser.add_argument("--compile", action="store_true", help="torch.compile the networks")
    return parser.parse_args()


def begun(options: argparse.Namespace) -> AutoencoderKL:
    """The VAE before this training; only what learns wants a gradient."""
    if options.decoder_of is None:
        return new_vae()
    vae = AutoencoderKL.from_pretrained(options.decoder_of)
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    return vae


def train(
    pictures: Pictures,
    held_out: Pictures,
    judge: FaceJudge,
    ranks: Ranks,
    options: argparse.Namespace,
) -> tuple[AutoencoderKL, Log]:
    """Returns the averaged VAE in float32."""
    vae = begun(options).to(ranks.device, ranks.dtype, memory_format=torch.channels_last)
    average = begun(options).to(ranks.device).eval()
    most = MOST_FOR_SMALL_AFTERWARDS if options.decoder_of else MOST_FOR_SMALL
    losses_of = vae_losses(vae, judge, options.compile, most)
    rate = PEAK_RATE_AFTERWARDS if options.decoder_of else PEAK_RATE
    learner, clock = Learner([vae], ranks, rate), Clock(options.seconds, ranks)
    log, rows = Log(options.out / "curve.json", ranks), [held_out.images[:SHOWN].cpu().numpy()]
    while (progress := clock.progress()) < 1:
        index = torch.randint(len(pictures), (options.batch,), device=ranks.device)
        losses = losses_of(pictures.images[index], pictures.boxes[index])
        torch.stack(list(losses.values())).sum().backward()
        norm = learner.step(progress)
        log.add(clock.step, progress, grad_norm=norm, **losses)
        if ranks.first and progress > len(rows) / SHEETS:
            learner.write_average([average])
            rows.append(shown(average, held_out))
    learner.write_average([average])
    if ranks.first:
        write_sheet(options.out / "samples.png", [*rows, shown(average, held_out)])
    return average, log


def shown(vae: AutoencoderKL, held_out: Pictures) -> np.ndarray:
    """The first held-out pictures after a round trip."""
    return as_bytes(round_trip(vae, as_unit(held_out.images[:SHOWN], torch.float32)))


def vae_losses(
    vae: AutoencoderKL, judge: FaceJudge, compiled: bool, most_for_small: float
) -> Callable[[Tensor, Tensor], dict[str, Tensor]]:
    """A function from uint8 pictures and face boxes to the weighted losses."""

    def autoencode(target: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, logvar = vae.quant_conv(vae.encoder(target)).chunk(2, dim=1)
        logvar = logvar.float().clamp(-20, 10)
        latents = mean + torch.exp(0.5 * logvar).to(mean.dtype) * noise
        return vae.decoder(vae.post_quant_conv(latents)), mean.float(), logvar

    run = torch.compile(autoencode) if compiled else autoencode

    def losses(images: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        target = as_unit(images, next(vae.parameters()).dtype)
        side = images.shape[1] // 8
        noise = torch.randn(
            len(images), LATENT_CHANNELS, side, side, device=images.device, dtype=target.dtype
        )
        drawn, mean, logvar = run(target, noise.contiguous(memory_format=torch.channels_last))
        divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        return (
            pixel_losses(drawn.float(), target.float(), boxes, most_for_small)
            | {"kl": KL_WEIGHT * divergence}
            | looks(judge, drawn, target, boxes)
        )

    return losses


def pixel_losses(drawn: Tensor, target: Tensor, boxes: Tensor, most_for_small: float) -> dict[str, Tensor]:
    """L1, squared error and L1 of the differences between neighbours, heavier on the face, the smaller the more."""
    small = (64 / (boxes[:, 3] - boxes[:, 1])).clamp(1, most_for_small)[:, None, None, None]
    weight = 1 + FACE_WEIGHT * small * inside(boxes, drawn.shape[-1])
    weight = weight / weight.mean()
    error = drawn - target
    across, down = error.diff(dim=3).abs().mean(), error.diff(dim=2).abs().mean()
    return {
        "l1": L1_WEIGHT * (weight * error.abs()).mean(),
        "square": SQUARE_WEIGHT * (weight * error.square()).mean(),
        "edge": EDGE_WEIGHT * (across + down),
    }


def inside(boxes: Tensor, size_px: int) -> Tensor:
    """``[n, 1, size, size]``: 1 inside the face boxes, 0 outside."""
    at = torch.arange(size_px, device=boxes.device, dtype=boxes.dtype) + 0.5
    columns = (at >= boxes[:, 0:1]) & (at <= boxes[:, 2:3])
    rows = (at >= boxes[:, 1:2]) & (at <= boxes[:, 3:4])
    return (rows[:, :, None] & columns[:, None, :])[:, None].float()


def looks(judge: FaceJudge, drawn: Tensor, target: Tensor, boxes: Tensor) -> dict[str, Tensor]:
    """How differently the face judge sees the faces: its feature maps (as in LPIPS) and its embedding."""
    with torch.no_grad():
        wanted = judge.trunk(face_crops(target, boxes))
        wanted_person = judge.read(wanted)[0]
    found = judge.trunk(face_crops(drawn, boxes))
    apart = [
        (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(1).mean()
        for a, b in zip(found, wanted, strict=True)
    ]
    person = 1 - (judge.read(found)[0] * wanted_person).sum(1).mean()
    return {"looks": LOOKS_WEIGHT * torch.stack(apart).mean(), "identity": IDENTITY_WEIGHT * person}


@torch.no_grad()
def round_trip(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """Through the latents' means and back."""
    return vae.decode(vae.encode(images).latent_dist.mode()).sample


@torch.no_grad()
def latent_statistics(vae: AutoencoderKL, pictures: Pictures, count: int = 4096) -> tuple[Tensor, Tensor]:
    """Mean and spread ``[4]`` of each latent channel over the first pictures, before any normalising."""
    found = [
        vae.encode(as_unit(piece, torch.float32)).latent_dist.mode()
        for piece in pictures.images[:count].split(128)
    ]
    latents = torch.cat(found)
    return latents.mean((0, 2, 3)), latents.std((0, 2, 3))


@torch.no_grad()
def normalise_latents(vae: AutoencoderKL, mean: Tensor, spread: Tensor) -> None:
    """Shifts and scales the latents by the 1x1 convolutions around them; pictures come back the same."""
    scale = 1 / (SCALING_FACTOR * spread)
    before, after = vae.quant_conv, vae.post_quant_conv
    assert before.bias is not None and after.bias is not None
    after.bias += (after.weight[:, :, 0, 0] * mean).sum(1)
    after.weight /= scale[None, :, None, None]
    before.bias[:LATENT_CHANNELS] = (before.bias[:LATENT_CHANNELS] - mean) * scale
    before.weight[:LATENT_CHANNELS] *= scale[:, None, None, None]
    before.bias[LATENT_CHANNELS:] += 2 * scale.log()


@torch.no_grad()
def measure_vae(vae: AutoencoderKL, held_out: Pictures) -> dict[str, float]:
    """PSNR in dB over pictures of persons that no training saw, in their face boxes, and in the small ones of those."""
    whole, faces = [], []
    small = (held_out.face_px < SMALL_FACE_PX).cpu().numpy()
    for images, boxes in zip(held_out.images.split(64), held_out.boxes.split(64), strict=True):
        target = as_unit(images, torch.float32)
        error = (round_trip(vae, target).clamp(-1, 1) - target).square().mean(1, keepdim=True) / 4
        mask = inside(boxes, SIZE_PX)
        whole += error.mean((1, 2, 3)).tolist()
        faces += ((error * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp(min=1)).tolist()
    return {
        "psnr_db": round(float(np.mean(-10 * np.log10(whole))), 2),
        "psnr_of_mean_error_db": round(float(-10 * np.log10(np.mean(whole))), 2),
        "psnr_face_db": round(float(np.mean(-10 * np.log10(faces))), 2),
        "psnr_small_face_db": round(float(np.mean(-10 * np.log10(np.array(faces)[small]))), 2),
    }


if __name__ == "__main__":
    main()
