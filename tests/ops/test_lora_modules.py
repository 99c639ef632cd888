"""What a LoRA's training keeps less of: the numbers stay the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from dreamgui.models.lora.adapters import LoraSettings, add_lora
from dreamgui.models.manager import Models
from dreamgui.ops.lora_modules import use_lora_modules
from dreamgui.workspace import Workspace
from tests.tiny import make_tiny_base


def adapted(folder: Path, dtype: torch.dtype, lean: bool, targets: Any = "attention+conv") -> Any:
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=dtype)
    add_lora(unet, LoraSettings(4, 4.0, targets))
    torch.manual_seed(1)
    for name, parameter in unet.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1)
    if lean:
        use_lora_modules(unet)
    return unet.train()


def gradients(unet: Any, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    given = torch.randn(2, 4, 8, 8), torch.tensor([5, 900]), torch.randn(2, 77, 32)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        answer = unet(*given, return_dict=False)[0]
    answer.float().square().mean().backward()
    weights = [weight for weight in unet.parameters() if weight.requires_grad]
    return answer.detach().float(), torch.cat([weight.grad.flatten() for weight in weights])


def test_in_fp32_only_rounding_changes(tiny_folder: Path) -> None:
    plain, lean = (gradients(adapted(tiny_folder, torch.float32, on), torch.float32) for on in (False, True))
    for before, after in zip(plain, lean, strict=True):
        assert (before - after).norm() < 1e-5 * before.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_it_is_as_near_to_fp32(tiny_folder: Path, dtype: torch.dtype) -> None:
    exact = gradients(adapted(tiny_folder, torch.float32, False), torch.float32)
    plain, lean = (gradients(adapted(tiny_folder, dtype, on), dtype) for on in (False, True))
    for number in (0, 1):
        wide = (exact[number] - plain[number]).norm()
        assert (exact[number] - lean[number]).norm() < 1.5 * wide
        assert wide < 0.1 * exact[number].norm()


@contextmanager
def kept_bytes(unet: Any) -> Iterator[list[int]]:
    """Adds up what autograd keeps beside the weights, each memory once."""
    weights = {weight.untyped_storage().data_ptr(): 0 for weight in unet.parameters()}
    seen: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    total: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield total
    total.append(sum((seen | weights).values()))


def test_less_is_kept(tiny_folder: Path) -> None:
    found = []
    for lean in (False, True):
        unet = adapted(tiny_folder, torch.bfloat16, lean, "attention")
        with kept_bytes(unet) as total, torch.autocast("cpu", torch.bfloat16):
            answer = unet(torch.randn(2, 4, 8, 8), torch.tensor([5, 900]), torch.randn(2, 77, 32))
        assert answer.sample.requires_grad
        found += total
    assert found[1] < 0.95 * found[0]


def test_the_manager_lends_it_so(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    make_tiny_base(workspace)
    models = Models(workspace, torch.device("cpu"))
    for settings, lean in (
        (LoraSettings(4, 4.0), True),
        (LoraSettings(4, 4.0, dora=True), False),
        (None, False),
    ):
        with models.train("tiny", settings) as parts:
            assert (type(parts.unet.conv_norm_out) is not torch.nn.GroupNorm) == lean
    with models.train("tiny", bf16_weights=True) as parts:
        assert {weight.dtype for weight in parts.unet.parameters()} == {torch.bfloat16} == {parts.dtype}
