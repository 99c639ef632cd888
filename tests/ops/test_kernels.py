"""Our kernels by Triton's interpreter, and on a GPU where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from threading import Event, current_thread
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers.models.activations import GEGLU
from torch.nn import functional

from dreamgui.ops import channels_last as module
from dreamgui.ops import kernels as tried
from dreamgui.ops.attention import begin_quickly, by_any
from dreamgui.ops.channels_last import channels_last, keep_channels_last
from dreamgui.ops.fused_norm import Activated, fuse_norms
from dreamgui.ops.kernels import Kernels, begin, kernels


class _Hashable(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]


ROOT = Path(__file__).resolve().parents[2]
LAST = torch.channels_last


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton isn't installed here")
def test_they_compute_what_pytorch_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.diffusion.interpreted"],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_without_a_card_everything_stays_as_it_is() -> None:
    assert kernels(torch.device("cpu")) is None
    x = torch.randn(1, 64, 4, 4).to(memory_format=LAST)
    with channels_last(torch.device("cpu")):
        assert x.contiguous().is_contiguous()


def test_channels_stay_last_where_kernels_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def norm(*given: object, **named: object) -> str:
        seen.append(given[1])
        return "ours"

    own = SimpleNamespace(fits=lambda x, groups: x.shape[1] == 64, group_norm=norm)
    monkeypatch.setattr(module, "kernels", lambda device: own)
    last, first = torch.randn(1, 64, 4, 4).to(memory_format=LAST), torch.randn(1, 32, 4, 4)
    with channels_last(torch.device("cpu")):
        assert last.contiguous() is last
        assert last / 1.0 is last
        assert torch.equal(last / 2.0, last * 0.5)
        assert functional.group_norm(last, 32) == "ours"
        assert torch.nn.GroupNorm(32, 64)(last) == "ours"
        assert isinstance(functional.group_norm(first, 32), torch.Tensor)
        assert first.transpose(2, 3).contiguous().is_contiguous()
        # What only looks alike keeps its meaning.
        assert last.contiguous(memory_format=torch.contiguous_format).is_contiguous()
    assert seen == [32, 32]
    assert last.contiguous().is_contiguous()


@pytest.mark.parametrize(("keys", "free"), [(1024, True), (77, False)])
def test_only_long_attention_may_go_to_cudnn(keys: int, free: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            seen.append(torch.backends.cuda.cudnn_sdp_enabled())
            return function(*given, **named)

        return by_any(call)

    monkeypatch.setattr(module, "by_any", watched)
    monkeypatch.setattr(module, "kernels", lambda device: SimpleNamespace(fits=lambda x, groups: False))
    before = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        begin_quickly()
        x = torch.randn(1, 2, keys, 8)
        right = functional.scaled_dot_product_attention(x, x, x)
        with channels_last(torch.device("cpu")):
            assert torch.equal(functional.scaled_dot_product_attention(x, x, x, dropout_p=0.0), right)
        assert seen == [True] * free
        assert not torch.backends.cuda.cudnn_sdp_enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def test_a_device_without_a_number_is_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(tried, "_tried", asked.append)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.version, "hip", None)
    for device in (torch.device("cuda"), torch.device("cuda", 0), torch.device("cuda", 1)):
        kernels(device)
    assert asked == [1, 0, 1]


def test_a_model_to_be_compiled_gets_norms_that_know_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def opaque(*given: object) -> tuple[torch.Tensor, ...]:
        seen.append(given[-1])
        return (torch.zeros(1),)

    own = _Hashable(takes=lambda x, groups: x.shape[1] == 4, opaque_group_norm=opaque)
    monkeypatch.setattr(module, "kernels", lambda device: own)
    norms = [torch.nn.GroupNorm(2, 4), torch.nn.GroupNorm(2, 4), torch.nn.GroupNorm(2, 8)]
    for norm in norms[1:]:
        norm.__class__ = Activated
    keep_channels_last(torch.nn.ModuleList(norms))
    for norm in norms[:2]:
        norm(torch.randn(1, 4, 2, 2))
    assert seen == [False, True]
    x = torch.randn(1, 8, 2, 2)
    assert torch.equal(
        norms[2](x), functional.silu(functional.group_norm(x, 2, norms[2].weight, norms[2].bias))
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize("shape", [(2, 320, 64, 64), (1, 1920, 16, 16), (8, 1280, 8, 8)])
def test_gpu_norms_are_as_exact_as_pytorchs(shape: tuple[int, ...], silu: bool) -> None:
    after = functional.silu if silu else torch.nn.Identity()
    own = kernels(torch.device("cuda", 0))
    assert own is not None
    exact = (torch.randn(shape, device="cuda") + 0.5).to(memory_format=LAST)
    x = exact.bfloat16()
    assert own.fits(x, 32)
    ones = torch.ones(shape[1], device="cuda")
    right = after(functional.group_norm(x.float(), 32, ones, ones))
    ours = own.group_norm(x, 32, ones.bfloat16(), ones.bfloat16(), silu=silu).float()
    theirs = after(functional.group_norm(x, 32, ones.bfloat16(), ones.bfloat16())).float()
    assert (ours - right).abs().max() <= 1.1 * (theirs - right).abs().max()


def test_gates_are_pytorchs_where_there_is_no_card() -> None:
    unit = GEGLU(8, 12)
    x = torch.randn(2, 3, 8)
    before, names = unit(x), list(unit.state_dict())
    fuse_norms(torch.nn.Sequential(unit))
    assert type(unit) is not GEGLU
    assert torch.equal(unit(x), before)
    assert list(unit.state_dict()) == names


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_gates_are_as_exact_as_pytorchs() -> None:
    own = kernels(torch.device("cuda", 0))
    assert own is not None
    both = torch.randn(2, 4096, 2560, device="cuda").bfloat16().requires_grad_()
    wide = both.detach().float().requires_grad_()

    def plain(both: torch.Tensor) -> torch.Tensor:
        first, gate = both.chunk(2, dim=-1)
        return first * functional.gelu(gate)

    right, ours, theirs = plain(wide), own.geglu(both), plain(both)
    upstream = torch.randn_like(ours)
    gradients = [
        torch.autograd.grad(out, leaf, upstream.to(out.dtype))[0].float()
        for out, leaf in ((right, wide), (ours, both), (theirs, both))
    ]
    for exact, mine, pytorchs in ((right, ours.float(), theirs.float()), gradients):
        assert (mine - exact).abs().max() <= 1.1 * (pytorchs - exact).abs().max()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    "shape", [(2, 64, 1280), (1, 2048, 640), (1, 8192, 320), (8, 4096, 320), (1, 65536, 2560)]
)
def test_gpu_sums_are_as_exact_as_pytorchs(shape: tuple[int, ...]) -> None:
    own = kernels(torch.device("cuda", 0))
    assert own is not None
    rows = torch.randn(shape, device="cuda").bfloat16()
    right = rows.double().sum(dim=1)
    ours, theirs = own.column_sums(rows).double(), rows.sum(dim=1).double()
    assert (ours - right).abs().max() <= 1.1 * (theirs - right).abs().max()


def test_kernels_may_be_tried_while_others_are_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    going = Event()

    def slow(number: int) -> None:
        going.set()
        time.sleep(0.2)
        asked.append(current_thread().name)

    monkeypatch.setattr(tried, "_tried", slow)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "hip", None)
    begin()
    assert going.wait(10)
    kernels(torch.device("cuda", 0))
    assert len(asked) == 2
    assert asked[1] == current_thread().name != asked[0]


def test_where_there_is_no_card_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tried, "kernels", lambda device: pytest.fail("tried"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    begin()


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton isn't installed here")
def test_what_is_compiled_ahead_is_what_kernels_take() -> None:
    found = Kernels().variants
    for kernel, arguments, *options in found:
        assert len(arguments) == len(kernel.arg_names), kernel.arg_names
        assert all(isinstance(each, dict) for each in options)
    assert len({str(kernel) for kernel, *_ in found}) == 10


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_nothing_is_compiled_later() -> None:
    own = kernels(torch.device("cuda", 0))
    assert own is not None
    before = _compiled(own)
    for shape in ((2, 320, 64, 64), (1, 1920, 16, 16), (8, 1280, 8, 8), (2, 2560, 16, 16)):
        x = torch.randn(shape, device="cuda").bfloat16().to(memory_format=LAST).requires_grad_()
        ones = torch.ones(shape[1], device="cuda").bfloat16().requires_grad_()
        for silu in (False, True):
            own.group_norm(x, 32, ones, ones, silu=silu).sum().backward()
    own.geglu(torch.randn(2, 64, 2560, device="cuda").bfloat16().requires_grad_()).sum().backward()
    weight = torch.nn.Parameter(torch.randn(5000, device="cuda"))
    copy = weight.detach().bfloat16().requires_grad_()
    copy.grad = torch.randn_like(copy)
    for rows in (torch.randn(2, count, 320, device="cuda").bfloat16() for count in (64, 256, 4096, 9000)):
        own.column_sums(rows)
    own.CopyingAdamW([{"params": [weight], "lr": 1e-3}], {weight: copy}).step()
    for width in (320, 640, 1280):
        rows, ones = torch.randn(2, 64, width, device="cuda").half(), torch.ones(width, device="cuda").half()
        own.added_norm(rows, None, None, ones, ones, 1e-5)
        own.added_norm(rows, rows, ones, ones, ones, 1e-5)
        own.added_norm(rows, rows, ones, ones, ones, 1e-5, later=ones)
        x = torch.randn(2, width, 8, 8, device="cuda").half().to(memory_format=LAST)
        own.plus_bias(x, x, ones)
        for shift in (ones.expand(2, -1), torch.randn(2, 5000, device="cuda").half()[:, :width]):
            own.shifted_group_norm(x, shift, 32, ones, ones, 1e-5)
    assert _compiled(own) == before


def _compiled(own: Kernels) -> int:
    """How many kernels Triton holds in this process."""
    unique = {id(kernel): kernel for kernel, *_ in own.variants}.values()
    return sum(len(kernel.device_caches[0][0]) for kernel in unique)
