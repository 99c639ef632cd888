"""Convolutions of one position as matrix products, which they are where channels stay last.

The product adds the bias on its way, where cuDNN's convolutions take a pass of their own for it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dreamgui.ops.swap import swap_class


def use_matrix_products(model: nn.Module) -> None:
    """Compute this model's convolutions of one position so from now on."""
    for module in model.modules():
        if type(module) is nn.Conv2d and _is_pointwise(module):
            swap_class(module, Pointwise)


class Pointwise(nn.Conv2d):
    """A convolution with a kernel of 1 x 1."""

    def forward(self, input: Tensor) -> Tensor:
        """[n, channels, h, w] to [n, others, h, w], channels last."""
        if torch.compiler.is_compiling():
            # The compiler stores such a product by columns, which takes up to three times as long. It adds the bias
            # elsewhere, and only has to be told not to copy to the other layout and back.
            return super().forward(input.contiguous(memory_format=torch.channels_last))
        last = input.movedim(1, -1)
        return functional.linear(last, self.weight.flatten(1), self.bias).movedim(-1, 1)


def _is_pointwise(module: nn.Conv2d) -> bool:
    plain = module.groups == 1 and module.padding == (0, 0)
    return plain and module.kernel_size == (1, 1) == module.stride
