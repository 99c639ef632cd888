"""Encodes the pictures once: latents.npy, float16 ``[n, 8, 20, 20]``, mean and spread of each latent.

    python encode.py --pictures OUT/pictures/train --vae OUT/vae

Already times Stable Diffusion's scaling factor, so that the UNet sees spread 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from architecture import LATENT_CHANNELS, SCALING_FACTOR
from common import as_unit, join_ranks, leave_ranks
from diffusers import AutoencoderKL
from pictures import read_images, share

BATCH = 256


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True)
    options = parser.parse_args()
    ranks = join_ranks()
    vae = AutoencoderKL.from_pretrained(options.vae).to(
        ranks.device, ranks.dtype, memory_format=torch.channels_last
    )
    images, path = read_images(options.pictures), options.pictures / "latents.part.npy"
    side = images.shape[1] // 8
    if ranks.first:
        shape = (len(images), 2 * LATENT_CHANNELS, side, side)
        np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape).flush()
    ranks.barrier()
    latents, part = np.load(path, mmap_mode="r+"), share(len(images), ranks)
    for start in range(part.start, part.stop, BATCH):
        stop = min(start + BATCH, part.stop)
        piece = torch.from_numpy(np.array(images[start:stop])).to(ranks.device)
        found = vae.encode(as_unit(piece, ranks.dtype)).latent_dist
        both = torch.cat([found.mean, found.std], dim=1).float() * SCALING_FACTOR
        latents[start:stop] = both.half().cpu().numpy()
    latents.flush()
    ranks.barrier()
    if ranks.first:
        path.rename(options.pictures / "latents.npy")
    spread = latents[:4096, :LATENT_CHANNELS].astype(np.float32).std()
    ranks.say(f"{len(images)} pictures encoded; spread of the latents {spread:.3f}")
    leave_ranks(ranks)


if __name__ == "__main__":
    main()
