"""Attention whose adapted layers are computed together where they read the same: query, key and value of an image's
positions, and keys and values of the text, which all blocks of a UNet make from the same embeddings.

A LoRA's matrices are so narrow that a product with one takes as long as its launch, and Stable Diffusion 1.5 has
128 adapted layers with eight products each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn
from torch.nn import functional

from dreamgui.ops.lora_linear import adapted_together
from dreamgui.ops.lora_modules import AdaptedLinear

_HOOK = "_fused_lora_attention"
_BUFFER = "fused_lora"


def fuse_lora_attention(unet: Any) -> None:
    """Compute the attention of a UNet that :func:`~dreamgui.ops.lora_modules.keep_less` has changed so, except under
    autocast.

    Frozen weights of layers that belong together are moved side by side, and the layers keep views of them.
    """
    plain = [module for module in unet.modules() if isinstance(module, Attention) and _is_plain(module)]
    readers = defaultdict[Any, list[Any]](list)
    for attention in plain:
        if attention.is_cross_attention:
            readers[_weight(attention.to_k).shape].append(attention)
        else:
            layers = [attention.to_q, attention.to_k, attention.to_v]
            attention.set_processor(_ToItself(_Layers(attention, layers)))
    groups = [
        _Layers(unet, [layer for one in same for layer in (one.to_k, one.to_v)], f"_{number}")
        for number, same in enumerate(readers.values())
    ]
    if groups:
        hook = unet.register_forward_pre_hook(_OfText(groups), with_kwargs=True)
        setattr(unet, _HOOK, hook)
    for number, attention in enumerate(one for same in readers.values() for one in same):
        attention.set_processor(_ToText(number))


def split_lora_attention(unet: Any) -> None:
    """Undo :func:`fuse_lora_attention`: each layer computes by itself again, from the weights it has now."""
    if hook := unet.__dict__.pop(_HOOK, None):
        hook.remove()
    for module in unet.modules():
        if isinstance(module, Attention) and type(module.processor) in (_ToItself, _ToText):
            module.set_processor(AttnProcessor2_0())
        for name in [name for name in module._buffers if name.startswith(_BUFFER)]:
            del module._buffers[name]
            module._non_persistent_buffers_set.discard(name)


class _Layers:
    """Adapted layers of one size that read the same.

    Their weights are buffers of the ``owner``: a copy of it that shares its tensors shares these.
    """

    def __init__(self, owner: nn.Module, layers: Sequence[AdaptedLinear], name: str = "") -> None:
        self._owner, self._layers = owner, layers
        self._weight, self._mask = f"{_BUFFER}{name}", f"{_BUFFER}{name}_mask"
        weight = torch.cat([_weight(layer).detach() for layer in layers])
        for layer, part in zip(layers, weight.chunk(len(layers)), strict=True):
            _weight(layer).data = part
        mask = torch.eye(len(layers), dtype=weight.dtype, device=weight.device)
        owner.register_buffer(self._weight, weight, persistent=False)
        owner.register_buffer(self._mask, mask, persistent=False)

    def __call__(self, x: Tensor) -> tuple[Tensor, ...] | None:
        """Return what each makes of x, or None where they can't be computed together."""
        found = [layer.one_operation(x) for layer in self._layers]
        there = [each for each in found if each is not None]
        if len(there) < len(found) or len({(each[2].shape, each[4]) for each in there}) > 1:
            return None
        frozen = getattr(self._owner, self._weight), getattr(self._owner, self._mask)
        return adapted_together(
            x, *frozen, [each[2] for each in there], [each[3] for each in there], there[0][4]
        )


class _OfText:
    """Before a UNet computes: all its keys and values of the text, for :class:`_ToText`."""

    def __init__(self, groups: Sequence[_Layers]) -> None:
        self._groups = groups

    def __call__(self, unet: nn.Module, inputs: Any, named: Any) -> tuple[Any, Any] | None:
        text = inputs[2] if len(inputs) > 2 else named["encoder_hidden_states"]
        made: list[Tensor] = []
        for group in self._groups:
            if (of_group := group(text)) is None:
                return None
            made += of_group
        given = named.get("cross_attention_kwargs") or {}
        return inputs, {**named, "cross_attention_kwargs": {**given, "of_text": made}}


class _ToItself(AttnProcessor2_0):
    """Self-attention. It computes as diffusers does where the layers can't be computed together."""

    def __init__(self, layers: _Layers) -> None:
        super().__init__()
        self._layers = layers

    def __call__(
        self, attn: Any, hidden_states: Tensor, *others: Any, of_text: Any = None, **named: Any
    ) -> Tensor:
        if not _is_masked(others, named) and (made := self._layers(hidden_states)):
            return _attended(attn, *made)
        return super().__call__(attn, hidden_states, *others, **named)


class _ToText(AttnProcessor2_0):
    """Cross-attention to what :class:`_OfText` made. It computes as diffusers does where it made nothing."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def __call__(
        self, attn: Any, hidden_states: Tensor, *others: Any, of_text: Any = None, **named: Any
    ) -> Tensor:
        if of_text and not _is_masked(others, named):
            return _attended(
                attn, attn.to_q(hidden_states), *of_text[2 * self._number : 2 * self._number + 2]
            )
        return super().__call__(attn, hidden_states, *others, **named)


def _is_masked(others: Sequence[Any], named: dict[str, Any]) -> bool:
    mask = named.get("attention_mask", others[1] if len(others) > 1 else None)
    return mask is not None


def _attended(attention: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """[n, positions, width] of all three: scaled dot-product attention of each head, and the layer after it."""
    heads = (each.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for each in (query, key, value))
    out = functional.scaled_dot_product_attention(*heads)
    return attention.to_out[0](out.transpose(1, 2).flatten(2))


def _is_plain(attention: Any) -> bool:
    """Return whether nothing happens but three adapted projections without bias, attention, and the layer after it."""
    more = ("spatial_norm", "group_norm", "norm_cross", "norm_q", "norm_k", "residual_connection")
    layers = attention.to_q, attention.to_k, attention.to_v
    return (
        type(attention.processor) is AttnProcessor2_0
        and not any(getattr(attention, name) for name in more)
        and attention.rescale_output_factor == 1
        and attention.to_out[1].p == 0
        and all(isinstance(layer, AdaptedLinear) and layer.base_layer.bias is None for layer in layers)
    )


def _weight(layer: Any) -> nn.Parameter:
    return layer.base_layer.weight
