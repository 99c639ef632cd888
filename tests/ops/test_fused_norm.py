"""Norms that apply SiLU themselves: the same results, whatever is done with the model."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional

from dreamgui.models.manager import Parts
from dreamgui.ops import fused_norm as module
from dreamgui.ops.fused_norm import Activated, fuse_norms


def given(parts: Parts) -> tuple[Any, ...]:
    torch.manual_seed(0)
    size = parts.unet.config.sample_size
    return (
        torch.randn(2, 4, size, size),
        torch.tensor([3, 700]),
        torch.randn(2, 77, parts.unet.config.cross_attention_dim),
    )


def test_a_unet_gives_the_same(parts: Parts) -> None:
    unet = deepcopy(parts.unet)
    fuse_norms(unet)
    assert any(isinstance(each, Activated) for each in unet.modules())
    assert unet.state_dict().keys() == parts.unet.state_dict().keys()
    with torch.no_grad():
        assert torch.equal(unet(*given(parts)).sample, parts.unet(*given(parts)).sample)


def test_an_autoencoder_gives_the_same(parts: Parts) -> None:
    vae: Any = deepcopy(parts.vae)
    assert isinstance(vae, AutoencoderKL)
    fuse_norms(vae)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(vae(x).sample, parts.vae(x).sample)


def test_each_norm_is_followed_by_one_silu(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU: the kernel is asked for SiLU, and nothing applies it again."""
    asked: list[bool] = []

    def norm(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float, silu: bool) -> Tensor:
        asked.append(silu)
        return functional.silu(functional.group_norm(x, groups, weight, bias, eps))

    own = SimpleNamespace(fits=lambda x, groups: True, group_norm=norm)
    monkeypatch.setattr(module, "kernels", lambda device: own)
    unet = deepcopy(parts.unet)
    fuse_norms(unet)
    with torch.no_grad():
        assert torch.equal(unet(*given(parts)).sample, parts.unet(*given(parts)).sample)
    assert all(asked)
    assert len(asked) == sum(isinstance(each, Activated) for each in unet.modules())


def test_another_format_than_the_weights_is_pytorchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "kernels", lambda device: pytest.fail("asked for a kernel"))
    norm: Any = nn.GroupNorm(2, 4)
    norm.__class__ = Activated
    with torch.autocast("cpu", torch.bfloat16):
        norm(torch.randn(1, 4, 2, 2).bfloat16())
