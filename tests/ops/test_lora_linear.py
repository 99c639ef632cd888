"""An adapted layer as one operation gives what peft's layer gives, forwards and backwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from dreamgui.ops.lora_linear import adapted
from dreamgui.ops.lora_modules import AdaptedLinear, use_lora_modules


def layer(alpha: float = 8.0, dtype: torch.dtype = torch.float32, **more: Any) -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 20))
    config = LoraConfig(r=4, lora_alpha=alpha, target_modules=["0"], init_lora_weights=False, **more)
    return get_peft_model(model, config).to(dtype).base_model.model[0]  # type: ignore[arg-type]


def results(module: Any, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    module.zero_grad()
    out = module(x)
    (out * torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
    weights = [weight.grad for weight in module.parameters() if weight.requires_grad]
    return [each.clone() for each in (out.detach(), x.grad, *weights) if each is not None]


@pytest.mark.parametrize("alpha", [4.0, 8.0])
@pytest.mark.parametrize("shape", [(3, 12), (2, 5, 12)])
def test_equals_pefts_layer(alpha: float, shape: tuple[int, ...]) -> None:
    module, x = layer(alpha), torch.randn(shape)
    expected = results(module, x)
    use_lora_modules(module)
    assert type(module) is AdaptedLinear
    found = results(module, x)
    assert len(found) == len(expected) == 4
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_gradient_is_that_of_the_function() -> None:
    given = [torch.randn(shape, dtype=torch.float64) for shape in ((5, 6), (7, 6), (7,), (2, 6), (7, 2))]
    learning = [each.requires_grad_(index in (0, 3, 4)) for index, each in enumerate(given)]
    assert torch.autograd.gradcheck(lambda *inputs: adapted(*inputs, 0.5), learning)


def test_an_input_that_needs_no_gradient_gets_none() -> None:
    module = layer()
    use_lora_modules(module)
    module(torch.randn(3, 12)).sum().backward()
    assert module.lora_A["default"].weight.grad is not None
    assert module.base_layer.weight.grad is None


@pytest.mark.parametrize("more", [{"lora_dropout": 0.5}, {"use_dora": True}])
def test_other_adapters_are_pefts(more: dict[str, Any]) -> None:
    module = layer(**more)
    use_lora_modules(module)
    assert not isinstance(module, AdaptedLinear) or module.one_operation(torch.randn(3, 12)) is None


def test_formats_that_differ_are_pefts() -> None:
    module = layer(dtype=torch.bfloat16)
    use_lora_modules(module)
    assert module.one_operation(torch.randn(3, 12)) is None
    assert module.one_operation(torch.randn(3, 12).bfloat16()) is not None
    with torch.autocast("cpu", torch.bfloat16):
        assert module.one_operation(torch.randn(3, 12).bfloat16()) is None
    module.enable_adapters(False)
    assert module.one_operation(torch.randn(3, 12).bfloat16()) is None
