"""A LoRA attached to a model that is in memory, and taken off again so that the model is bitwise what it was.

What a LoRA of any kind does is added to the weights in place, so that a CUDA graph of the model stays what it is; the
weights that it changes are kept and put back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from dreamgui.errors import BadModelFile
from dreamgui.models.lora.adapters import LoraFile, read_lora
from dreamgui.models.lora.kinds import Change, LowRank
from dreamgui.models.lora.layers import require_fit, tensor_key
from dreamgui.models.recognition.lora_names import TEXT_MODEL

# Weights, and what they held before something was added to them, by model.
_KEPT: WeakKeyDictionary[nn.Module, dict[str, tuple[nn.Parameter, Tensor]]] = WeakKeyDictionary()


@contextmanager
def attached(
    unet: Any,
    text_encoder: Any,
    *loras: tuple[Path, float],
    read: Callable[[Path, Any], LoraFile] = read_lora,
) -> Iterator[None]:
    """A block in which LoRAs, each with its strength, are attached to a UNet and, where they adapt that, a text encoder.

    ``read`` reads a file for this UNet.

    Raises:
        BadModelFile: one can't be read, or its layers aren't this model's.
    """
    files = [(read(path, unet), scale) for path, scale in loras]
    adapted = [
        (unet, [(file.layers, scale) for file, scale in files if file.layers]),
        (text_encoder, [(file.text_layers, scale) for file, scale in files if file.text_layers]),
    ]
    try:
        for model, uses in adapted:
            if uses:
                attach(model, *uses)
        yield
    finally:
        for model, uses in adapted:
            if uses:
                detach(model)


def attach(model: Any, *loras: tuple[Mapping[str, Change], float]) -> None:
    """Add adapters' changes to a UNet's or a text encoder's weights, each at its strength, whichever layers they have.

    A layer's sum is computed in fp32 and rounded once. Low ranks come last, as other kinds may ask for the weight that
    they change.

    Raises:
        BadModelFile: a layer isn't this model's; the model is left as it was.
    """
    by_key: dict[str, tuple[nn.Parameter, list[tuple[Change, float]]]] = {}
    for layers, scale in loras:
        for key, parameter, change in _own(model, layers):
            by_key.setdefault(key, (parameter, []))[1].append((change, scale))
    kept = _KEPT.setdefault(model, {})
    with torch.no_grad():
        for key, (parameter, changes) in by_key.items():
            kept.setdefault(key, (parameter, parameter.detach().clone()))
            (change, scale), *more = sorted(changes, key=lambda each: isinstance(each[0], LowRank))
            if not more and isinstance(change, LowRank) and change.add_to(parameter, scale):
                continue
            changed = change.applied(parameter, scale)
            for change, scale in more:
                changed = change.applied(changed, scale)
            parameter.copy_(changed)


def detach(model: Any) -> None:
    """Put the changed weights back."""
    if kept := list(_KEPT.pop(model, {}).values()):
        with torch.no_grad():
            torch._foreach_copy_([parameter for parameter, _ in kept], [before for _, before in kept])


def _own(model: nn.Module, layers: Mapping[str, Change]) -> list[tuple[str, nn.Parameter, Change]]:
    """Changes with this model's tensors: newer versions of transformers have no ``text_model.`` in their paths."""
    own = []
    for layer, change in layers.items():
        paths = (layer, layer.removeprefix(TEXT_MODEL))
        found = next(((path, each) for path in paths if (each := _parameter(model, path)) is not None), None)
        if found is None:
            raise BadModelFile(
                f"The LoRA adapts {layer}, which this model doesn't have.",
                "Choose a LoRA that was made for it.",
            )
        path, parameter = found
        require_fit(path, change, tuple(parameter.shape))
        own.append((tensor_key(path), parameter, change))
    return own


def _parameter(model: nn.Module, layer: str) -> nn.Parameter | None:
    try:
        return model.get_parameter(tensor_key(layer))
    except AttributeError:
        return None
