"""Trains one ControlNet, for canny edges or for the OpenPose skeleton; the UNet stays as it is.

    python train_controlnets.py --kind canny --pictures OUT/pictures/train --held-out OUT/pictures/held-out
        --vae OUT/vae --model OUT/model --out OUT/controlnet/canny --seconds 150

With two GPUs, each trains one kind.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from architecture import CONTROL_KINDS, LATENT_PX, SIZE_PX, load_tokenizer, new_controlnet
from captions import Captions
from common import Clock, Learner, Log, Ranks, join_ranks, write_sheet
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from maps import canny_map, pose_map
from pictures import read_images, read_records, to_device
from sampling import Model, sample
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, max_pool2d
from train_unet import Guess, load_latents, noise_loss
from transformers import CLIPTextModel

PEAK_RATE = 6e-4
EMPTY_SHARE = 0.3
FRAMED_SHARE = 0.4
"""Share of maps that are black outside a box of 4:3 or 3:4, as the page fits other proportions into a square."""
NEAR_LINES, NEAR_PX = 2.0, 9
"""How much more the latents near a map's lines weigh, and how near that is."""
SHOWN, MEASURED = 12, 96
SHEETS = 4


def main() -> None:
    options = read_options()
    ranks = join_ranks(seed=5)
    model = load_model(options, ranks)
    examples = Examples(options.held_out, options.kind, ranks)
    control, log, rows = train(model, examples, ranks, options)
    control.save_pretrained(options.out)
    finished = Model(model.unet.float(), model.text_encoder.float(), model.vae, model.tokenizer)
    drawn = [examples.draw(finished, control.float(), slice(i, i + SHOWN)) for i in range(0, MEASURED, SHOWN)]
    write_sheet(options.out.parent / f"{options.kind}.png", [*examples.rows(), *rows, drawn[0]])
    facts = {"edge_f1": edge_f1(np.concatenate(drawn), examples.canny[:MEASURED])}
    free = [sample(finished, examples.prompts[i : i + SHOWN], seed=i) for i in range(0, MEASURED, SHOWN)]
    facts["edge_f1_without_control"] = edge_f1(np.concatenate(free), examples.canny[:MEASURED])
    ranks.say(f"{options.kind}: {facts}")
    log.close(log.rows[-1]["step"] if log.rows else 0, kind=options.kind, **facts)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", choices=CONTROL_KINDS, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--batch", type=int, default=384)
    parser.add_argument("--start", type=Path, help="folder of an earlier ControlNet to go on with")
    parser.add_argument("--compile", action="store_true", help="torch.compile the networks")
    return parser.parse_args()


def load_model(options: argparse.Namespace, ranks: Ranks) -> Model:
    """The trained model in the precision that training computes in; the VAE in float32."""
    unet = UNet2DConditionModel.from_pretrained(options.model / "unet")
    text_encoder = CLIPTextModel.from_pretrained(options.model / "text_encoder")
    unet = unet.to(ranks.device, ranks.dtype, memory_format=torch.channels_last).requires_grad_(False)
    text_encoder = text_encoder.to(ranks.device, ranks.dtype).requires_grad_(False)
    vae = AutoencoderKL.from_pretrained(options.vae).to(ranks.device)
    return Model(unet, text_encoder, vae, load_tokenizer())


class Examples:
    """Maps and captions of held-out persons, for the sheet and the measure."""

    def __init__(self, folder: Path, kind: str, ranks: Ranks) -> None:
        self.images, records = np.array(read_images(folder)[:MEASURED]), read_records(folder)[:MEASURED]
        self.prompts = [record["captions"][1] for record in records]
        self.canny = np.stack([canny_map(image) for image in self.images])
        points = [np.asarray(record["points"]) for record in records]
        pose = np.stack([pose_map(found, self.images.shape[1]) for found in points])
        self.maps = np.repeat(self.canny[..., None], 3, axis=3) if kind == "canny" else pose
        self._control = as_control(torch.from_numpy(self.maps).to(ranks.device), torch.float32)

    def rows(self) -> list[np.ndarray]:
        return [self.images[:SHOWN], self.maps[:SHOWN]]

    def draw(self, model: Model, control: ControlNetModel, part: slice) -> np.ndarray:
        return sample(model, self.prompts[part], seed=part.start, control=(control, self._control[part]))


def as_control(maps: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 ``[n, h, w]`` or ``[n, h, w, 3]`` to ``[n, 3, h, w]`` in 0 to 1."""
    colour = maps[..., None].expand(*maps.shape, 3) if maps.ndim == 3 else maps
    return colour.permute(0, 3, 1, 2).to(dtype) / 255


def train(
    model: Model, examples: Examples, ranks: Ranks, options: argparse.Namespace
) -> tuple[ControlNetModel, Log, list[np.ndarray]]:
    """Returns the averaged ControlNet, its log and rows of samples over time."""
    latents, captions = load_latents(options.pictures, ranks), Captions(options.pictures, ranks)
    maps = to_device(np.load(options.pictures / f"{options.kind}.npy", mmap_mode="r"), ranks.device)
    control = begin(model.unet, options.start).to(
        ranks.device, ranks.dtype, memory_format=torch.channels_last
    )
    average = new_controlnet(model.unet).to(ranks.device, ranks.dtype)
    learner = Learner([control], ranks, PEAK_RATE)
    guess = controlled_guess(model.unet, control)
    guess = torch.compile(guess) if options.compile else guess
    loss_of = noise_loss(guess, model.text_encoder, ranks, near_lines)
    ranks.say(f"{options.kind}: {len(latents)} pictures, batch {options.batch}")
    log, clock, rows = Log(options.out / "curve.json", ranks), Clock(options.seconds, ranks), []
    while (progress := clock.progress()) < 1:
        index = torch.randint(len(latents), (options.batch,), device=ranks.device)
        control_maps = as_control(maps[index], ranks.dtype) * frames(len(index), ranks)
        control_maps = control_maps.contiguous(memory_format=torch.channels_last)
        loss = loss_of(latents[index], captions.batch(index, EMPTY_SHARE), control_maps)
        loss.backward()
        log.add(clock.step, progress, loss=loss, grad_norm=learner.step(progress))
        if progress > (len(rows) + 0.3) / SHEETS:
            learner.write_average([average])
            rows.append(examples.draw(model, average, slice(0, SHOWN)))
    learner.write_average([average.float()])
    return average, log, rows


def begin(unet: UNet2DConditionModel, start: Path | None) -> ControlNetModel:
    """A ControlNet to train: an earlier one, in float32, or the UNet's encoder."""
    return new_controlnet(unet) if start is None else ControlNetModel.from_pretrained(start).float()


def frames(count: int, ranks: Ranks) -> Tensor:
    """``[n, 1, size, size]`` of 1 within a picture's box and 0 outside; most boxes are the whole square."""
    shares = torch.rand(count, 2, device=ranks.device)
    side = torch.arange(SIZE_PX, device=ranks.device)
    inside = (side >= SIZE_PX // 8) & (side < SIZE_PX - SIZE_PX // 8)
    whole = (shares[:, :1] > FRAMED_SHARE)[:, :, None]
    lying = (shares[:, 1:] < 0.5)[:, :, None]
    box = torch.where(lying, inside[None, :, None], inside[None, None, :]) | whole
    return box[:, None].to(ranks.dtype)


def near_lines(control_maps: Tensor) -> Tensor:
    """Weights ``[n, 1, 20, 20]`` of the latents, their mean 1 in each picture: those near the map's lines weigh more."""
    lines = control_maps.float().amax(1, keepdim=True)
    near = max_pool2d(lines, NEAR_PX, stride=1, padding=NEAR_PX // 2)
    weights = 1 + NEAR_LINES * adaptive_avg_pool2d(near, LATENT_PX)
    return weights / weights.mean((2, 3), keepdim=True)


def controlled_guess(unet: UNet2DConditionModel, control: ControlNetModel) -> Guess:
    """The UNet's guess with the ControlNet's residuals added, as diffusers' pipeline adds them."""

    def guess(noisy: Tensor, step: Tensor, text: Tensor, control_maps: Tensor) -> Tensor:
        down, middle = control(noisy, step, text, control_maps, return_dict=False)
        residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        return unet(noisy, step, text, **residuals, return_dict=False)[0]

    return guess


def edge_f1(images: np.ndarray, wanted: np.ndarray) -> float:
    """How well the canny edges of pictures meet the wanted ones, within a pixel; 0 to 1."""
    scores, around = [], np.ones((3, 3), np.uint8)
    for image, want in zip(images, wanted, strict=True):
        found = canny_map(image)
        hit = ((found > 0) & (cv2.dilate(want, around) > 0)).sum() / max(1, (found > 0).sum())
        met = ((want > 0) & (cv2.dilate(found, around) > 0)).sum() / max(1, (want > 0).sum())
        scores.append(2 * hit * met / max(1e-6, hit + met))
    return round(float(np.mean(scores)), 4)


if __name__ == "__main__":
    main()
