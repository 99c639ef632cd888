"""Blocks of a UNet, ControlNet or VAE without a gradient, on GPUs that have our kernels: fewer passes over the features.

What all blocks compute from the timestep, and from the text, is computed for all at once; a convolution's bias, what
the timestep adds and the block's own input are added where the features are read anyway. Blocks read the weights of
their layers, so a layer that another program wraps, as peft does, is passed over: LoRAs are added to the weights.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from torch.nn import functional

from dreamgui.ops.fused_norm import Activated
from dreamgui.ops.kernels import Kernels, kernels
from dreamgui.ops.packed import pack
from dreamgui.ops.swap import swap_back, swap_class

_SHARED = "_shared_of_model"
_PLACE = "_place_in_shared"
_BEGIN = "_begins_a_pass"


class Shared:
    """Products that all blocks of one model take a part of: of the timestep's embedding, and of the text's.

    An answer is kept while it is asked about the same tensor, and forgotten when a pass begins.
    """

    def __init__(self, resnets: list[Any], attentions: list[Any]) -> None:
        self._times = pack([each.time_emb_proj.weight for each in resnets])
        self._biases = [
            pack([each.time_emb_proj.bias for each in resnets]),
            pack([each.conv1.bias for each in resnets]),
        ]
        self._texts = pack([one.weight for each in attentions for one in (each.to_k, each.to_v)])
        _number([each.conv1.out_channels for each in resnets], resnets, self)
        _number([2 * each.to_k.out_features for each in attentions], attentions, self)
        self.forget()

    def forget(self) -> None:
        """Begin a pass."""
        self._known: dict[str, tuple[Tensor, Tensor]] = {}

    def shift(self, embedded: Tensor, place: slice) -> Tensor:
        """Return what is added to a resnet's first convolution without its bias, [n, channels]."""
        known = self._known.get("time")
        if known is None or known[0] is not embedded:
            bias = self._biases[0] + self._biases[1]
            known = self._known["time"] = (
                embedded,
                functional.linear(functional.silu(embedded), self._times, bias),
            )
        return known[1][:, place]

    def keys_values(self, text: Tensor, place: slice) -> tuple[Tensor, Tensor]:
        """Return an attention's keys and values of the text, [n, words, width] each."""
        known = self._known.get("text")
        if known is None or known[0] is not text:
            known = self._known["text"] = (text, functional.linear(text, self._texts))
        keys, values = known[1][..., place].chunk(2, dim=-1)
        return keys, values


def _number(widths: list[int], modules: list[Any], shared: Shared) -> None:
    start = 0
    for width, module in zip(widths, modules, strict=True):
        module.__dict__[_PLACE] = slice(start, start + width)
        module.__dict__[_SHARED] = shared
        start += width


def _usable(x: Tensor) -> Kernels | None:
    return None if torch.is_grad_enabled() or torch.compiler.is_compiling() else kernels(x.device)


class _Resnet(ResnetBlock2D):
    def forward(self, input_tensor: Tensor, temb: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        own = _usable(input_tensor)
        if own is None or not own.fits(input_tensor, self.norm1.num_groups):
            return super().forward(input_tensor, temb, *args, **kwargs)
        first, norm, second = (cast(Any, each) for each in (self.conv1, self.norm2, self.conv2))
        x = functional.conv2d(self.norm1(input_tensor), first.weight, padding=first.padding)
        shift = first.bias.expand(len(x), -1)
        if self.time_emb_proj is not None:
            shift = self.__dict__[_SHARED].shift(temb, self.__dict__[_PLACE])
        if own.fits(x, norm.num_groups):
            x = own.shifted_group_norm(x, shift, norm.num_groups, norm.weight, norm.bias, norm.eps)
        else:
            x = norm(x + shift[:, :, None, None])
        x = functional.conv2d(x, second.weight, padding=second.padding)
        kept = input_tensor if self.conv_shortcut is None else self.conv_shortcut(input_tensor)
        return own.plus_bias(kept, x, second.bias)


class _Block(BasicTransformerBlock):
    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Any = None,
        encoder_hidden_states: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        own = _usable(hidden_states)
        plain = attention_mask is None and not args and not any(each is not None for each in kwargs.values())
        if own is None or not plain or not own.takes_rows(hidden_states.shape[-1]):
            return super().forward(hidden_states, attention_mask, encoder_hidden_states, *args, **kwargs)
        inner, outer, feed = (cast(Any, each) for each in (self.attn1, self.attn2, self.ff.net))
        x, normed = _summed(own, hidden_states.contiguous(), None, None, self.norm1)
        product = functional.linear(normed, inner.__dict__[_SHARED])
        x, normed = _summed(own, x, _attention(inner, *product.chunk(3, dim=-1)), inner.to_out[0], self.norm2)
        shared, place = outer.__dict__[_SHARED], outer.__dict__[_PLACE]
        keys, values = shared.keys_values(encoder_hidden_states, place)
        answer = _attention(outer, outer.to_q(normed), keys, values)
        x, normed = _summed(own, x, answer, outer.to_out[0], self.norm3, feed[2].bias)
        gated = feed[0](normed).flatten(0, 1)
        return x.flatten(0, 1).addmm_(gated, feed[2].weight.t()).view_as(x)


def _summed(
    own: Kernels, x: Tensor, more: Tensor | None, layer: Any, norm: Any, later: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The sum of x and a layer's output for ``more``, with ``later`` added to it, and its norm without that."""
    product = None if more is None else functional.linear(more, layer.weight)
    bias = None if more is None else layer.bias
    return own.added_norm(x, product, bias, norm.weight, norm.bias, norm.eps, later)


def _attention(attention: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Of [n, length, width] each to [n, length, width]."""
    q, k, v = (each.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for each in (queries, keys, values))
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def fuse_blocks(model: nn.Module) -> None:
    """From now on this model's resnets and transformer blocks compute so where no gradient is asked for."""
    blocks = [
        each for each in model.modules() if type(each) is BasicTransformerBlock and _is_plain_block(each)
    ]
    resnets = [each for each in model.modules() if type(each) is ResnetBlock2D and _is_plain_resnet(each)]
    timed = [each for each in resnets if each.time_emb_proj is not None]
    if bool(timed) != bool(blocks):
        return
    if timed:
        shared = Shared(timed, [block.attn2 for block in blocks])
        model.__dict__[_BEGIN] = model.register_forward_pre_hook(lambda *_: shared.forget())
    for block in blocks:
        inner: Any = block.attn1
        inner.__dict__[_SHARED] = pack([inner.to_q.weight, inner.to_k.weight, inner.to_v.weight])
        swap_class(block, _Block)
    for resnet in resnets:
        swap_class(resnet, _Resnet)


def separate_blocks(model: nn.Module) -> None:
    """Undo :func:`fuse_blocks`."""
    begin = model.__dict__.pop(_BEGIN, None)
    if begin is None:
        return
    begin.remove()
    for module in model.modules():
        swap_back(module)
        for name in (_SHARED, _PLACE):
            module.__dict__.pop(name, None)
    for parameter in model.parameters():
        parameter.data = parameter.detach().clone()


def _is_plain_resnet(resnet: Any) -> bool:
    """Return whether its norms take SiLU with them and nothing else happens, as in Stable Diffusion's UNet and VAE."""
    fused = type(resnet.norm1) is Activated and type(resnet.norm2) is Activated
    plain = resnet.upsample is None and resnet.downsample is None and resnet.output_scale_factor == 1
    return fused and plain and resnet.dropout.p == 0


def _is_plain_block(block: Any) -> bool:
    """Return whether it attends to itself, then to a text, with plain norms before, as in Stable Diffusion's UNet."""
    attentions = (block.attn1, block.attn2)
    if block.norm_type != "layer_norm" or block.only_cross_attention or block.attn2 is None:
        return False
    bare = all(
        each.to_q.bias is None and each.norm_q is None and not each.residual_connection for each in attentions
    )
    whole = all(each.rescale_output_factor == 1 for each in attentions)
    return bare and whole and block.pos_embed is None and block._chunk_size is None
