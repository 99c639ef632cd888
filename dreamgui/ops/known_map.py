"""A ControlNet's map embedded once a picture in place of once a step."""

from __future__ import annotations

from typing import Any

from diffusers import ControlNetModel
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from torch import Tensor, nn

from dreamgui.ops.swap import swap_class


class _Once(ControlNetConditioningEmbedding):
    def forward(self, conditioning: Tensor) -> Tensor:
        """The embedding [n, channels, h/8, w/8] of maps [n, 3, h, w]. An embedding is given back."""
        embedded = conditioning.shape[1] == self.conv_out.out_channels
        return conditioning if embedded else super().forward(conditioning)


def take_embedded_maps(model: nn.Module) -> None:
    """From now on a ControlNet takes a map as pixels, or as what its ``controlnet_cond_embedding`` gave for them."""
    if isinstance(model, ControlNetModel):
        embedding: Any = model.controlnet_cond_embedding
        swap_class(embedding, _Once)
