"""ControlNets' part in a denoising step: maps, strengths and steps give what the UNet adds to its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dreamgui.ops.channels_last import channels_last

if TYPE_CHECKING:
    from dreamgui.models.manager import Parts


@dataclass(frozen=True)
class ControlInput:
    """A ControlNet's map and how it is followed.

    Attributes:
        image: edges or a skeleton, of any size.
        scale: strength; 1 is as trained, 0 leaves the ControlNet out.
        start: share of the denoising steps, 0 to 1, from which on the map is followed.
        end: share up to which it is followed.
        guess: whether only the part with the prompt is guided, deeper features more strongly (diffusers' guess mode).
    """

    image: Image.Image
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0
    guess: bool = False

    def scale_at(self, step: int, steps: int) -> float:
        """Return the strength in a step, counted from 0, or 0 outside of ``start`` to ``end``."""
        outside = step / steps < self.start or (step + 1) / steps > self.end
        return 0.0 if outside else self.scale


class Guide(NamedTuple):
    """A ControlNet at work in a step.

    Attributes:
        net: the ControlNet.
        features: its map, embedded, [m, channels, h, w]; m latents are guided.
        scale: strength in this step; on a GPU a tensor, so that a CUDA graph serves each.
        guess: see :class:`ControlInput`.
    """

    net: Any
    features: Tensor
    scale: Any
    guess: bool


class Guides:
    """The ControlNets that are at work, step by step.

    Args:
        parts: the ControlNets, in the order of ``controls``; further maps without a ControlNet are left out.
        controls: a map for each.
        latents: how many latents the model is asked about.
        pictures: how many pictures that are.
        size_px: width and height of the pictures.
        steps: how many denoising steps will be asked for.
    """

    def __init__(
        self,
        parts: Parts,
        controls: Sequence[ControlInput],
        latents: int,
        pictures: int,
        size_px: tuple[int, int],
        steps: int,
    ) -> None:
        self._steps, self._step, self._scales = steps, 0, dict[float, Any]()
        self._device = parts.device
        nets: Any = parts.controlnets
        pooled = bool(nets) and nets[0].config.global_pool_conditions
        self._asked = []
        for net, asked in zip(nets, controls, strict=False):
            guess = asked.guess or pooled
            pixels = control_tensor(parts, asked.image, size_px)
            with channels_last(parts.device), torch.no_grad():
                features = net.controlnet_cond_embedding(
                    pixels.expand(pictures if guess else latents, -1, -1, -1)
                )
            self._asked.append((asked, Guide(net, features, None, guess)))

    def next(self) -> list[Guide]:
        """Return those of the next step."""
        step, self._step = self._step, self._step + 1
        scales = [(asked.scale_at(step, self._steps), guide) for asked, guide in self._asked]
        return [guide._replace(scale=self._scale(scale)) for scale, guide in scales if scale]

    def _scale(self, scale: float) -> Any:
        if self._device.type != "cuda":
            return scale
        if scale not in self._scales:
            self._scales[scale] = torch.tensor(scale, device=self._device)
        return self._scales[scale]


def residuals(guides: Sequence[Guide], given: Tensor, timestep: Tensor, text: Tensor) -> dict[str, Any]:
    """Return the UNet's arguments for what ControlNets add to its features. They are sums where there are several.

    Args:
        guides: at least one.
        given: latents [n, 4, h, w].
        timestep: one for all of them.
        text: embeddings [n, 77 * k, d]; with guidance the negative prompts' first.
    """
    downs, middles = zip(*(_of(guide, given, timestep, text) for guide in guides), strict=True)
    down = [sum(each[1:], each[0]) for each in zip(*downs, strict=True)]
    return {
        "down_block_additional_residuals": down,
        "mid_block_additional_residual": sum(middles[1:], middles[0]),
    }


def _of(guide: Guide, given: Tensor, timestep: Tensor, text: Tensor) -> tuple[Sequence[Tensor], Tensor]:
    """One ControlNet's residuals, which are in guess mode zeros for the part without the prompt."""
    count, guided = len(given), len(guide.features)
    down, middle = guide.net(
        given[count - guided :],
        timestep,
        text[count - guided :],
        controlnet_cond=guide.features,
        conditioning_scale=guide.scale,
        guess_mode=guide.guess,
        return_dict=False,
    )
    if guided == count:
        return down, middle
    return [_after_zeros(each, count - guided) for each in down], _after_zeros(middle, count - guided)


def _after_zeros(part: Tensor, count: int) -> Tensor:
    return torch.cat([part.new_zeros(count, *part.shape[1:]), part])


def control_tensor(parts: Parts, image: Image.Image, size_px: tuple[int, int]) -> Tensor:
    """Return a map as [1, 3, height, width], from 0 to 1, on the model's device in its dtype."""
    image = image.convert("RGB").resize(size_px, Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(image).astype(np.float32) / 255)
    return pixels.permute(2, 0, 1)[None].to(parts.device, parts.dtype)
