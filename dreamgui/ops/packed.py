"""Weights of several layers laid side by side, so that one matrix product serves all of them.

The layers' parameters become views of the whole: who changes them in place changes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def pack(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Return the parameters along their first dimension, and let each be its part of that."""
    with torch.no_grad():
        whole = torch.cat([each.detach() for each in parameters])
        for parameter, part in zip(parameters, whole.split([len(each) for each in parameters]), strict=True):
            parameter.data = part
    return whole
