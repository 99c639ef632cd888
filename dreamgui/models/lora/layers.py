"""One form for every naming of LoRA files: layers by diffusers' paths, and the change of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dreamgui.errors import BadModelFile
from dreamgui.models.files.layout import unet_ldm_key
from dreamgui.models.lora.build import IncompleteLayerError, build
from dreamgui.models.lora.kinds import Change
from dreamgui.models.recognition.lora_names import EMBEDDING, TEXT, TEXT_MODEL, UNET, TensorName, take_apart
from dreamgui.models.recognition.lora_settings import AdapterSettings

Layers = dict[str, Change]
_OTHER = "Choose a LoRA for Stable Diffusion 1.5."


class Targets:
    """A UNet's tensors: their shapes, and the paths that other namings have for its layers."""

    def __init__(self, unet: Any) -> None:
        self.shapes = {key: tuple(value.shape) for key, value in unet.state_dict().items()}
        paths = [key.removesuffix(".weight") for key in self.shapes if key.endswith(".weight")]
        self._paths = {path.replace(".", "_"): path for path in paths}
        for path in paths:
            ldm = unet_ldm_key(f"{path}.weight", unet.config).removesuffix(".weight")
            self._paths[ldm.replace(".", "_")] = path

    def path(self, name: str) -> str | None:
        """The layer that a path means, with dots or underscores, in diffusers' or LDM's blocks."""
        return self._paths.get(name.replace(".", "_"))


def layers_of(
    name: str,
    tensors: Mapping[str, Tensor],
    settings: Mapping[str, AdapterSettings],
    targets: Targets | None,
) -> tuple[dict[str, Layers], list[str]]:
    """Layers of the parts "unet" and "text_encoder", and what else the file holds that isn't read, in words.

    Args:
        name: the file's, for messages.
        targets: the UNet that the file is for; without it only diffusers' own paths are known.

    Raises:
        BadModelFile: a tensor can't be read or belongs to no layer; every one is consumed or named.
    """
    fields, unread = _grouped(name, tensors, targets)
    layers: dict[str, Layers] = {UNET: {}, TEXT: {}}
    for (part, path), own in fields.items():
        try:
            made = build(own, settings[part].of(path))
        except IncompleteLayerError as error:
            raise BadModelFile(
                f"{name}: {path} can't be read: {error}.", "Download or train it again."
            ) from error
        for ending, change in made.items():
            layers[part][path + ending] = _shaped(name, part, path + ending, change, targets)
    return layers, unread


def tensor_key(layer: str) -> str:
    """The tensor that a layer's change is for: its weight, unless the layer's name is a bias's."""
    return layer if layer.endswith(".bias") else f"{layer}.weight"


def require_fit(layer: str, change: Change, shape: tuple[int, ...]) -> None:
    """Raise BadModelFile where a change is made for a tensor of another shape."""
    if not change.fits(shape):
        raise BadModelFile(
            f"The LoRA doesn't fit this model: its {tensor_key(layer)} has the shape {list(change.shape)}, the "
            f"model's {list(shape)}.",
            "Choose a LoRA that was made for this model.",
        )


def _grouped(
    name: str, tensors: Mapping[str, Tensor], targets: Targets | None
) -> tuple[dict[tuple[str, str], dict[str, Tensor]], list[str]]:
    """Tensors by part and path, then by field, and what is passed over."""
    fields: defaultdict[tuple[str, str], dict[str, Tensor]] = defaultdict(dict)
    embeddings: set[str] = set()
    for key, tensor in tensors.items():
        found = take_apart(key)
        if found is None:
            raise BadModelFile(f"{name} holds {key[:200]}, which DreamGUI doesn't read.", _OTHER)
        if found.part == EMBEDDING:
            embeddings.add(found.path)
            continue
        own = fields[_place(name, key, found, targets)]
        if found.field in own:
            raise BadModelFile(
                f"{name} holds {key[:200]} twice, in two namings.", "Download or train it again."
            )
        own[found.field] = tensor
    return fields, [f"the textual inversion {each}" for each in sorted(embeddings)]


def _place(name: str, key: str, found: TensorName, targets: Targets | None) -> tuple[str, str]:
    """Part and path of the layer that a tensor is for."""
    if found.part == UNET and targets:
        path = targets.path(found.path)
    else:
        path = found.path if found.part in (UNET, TEXT) and "_blocks_" not in found.path else None
    if path is None or (found.part == TEXT and not path.startswith(TEXT_MODEL)):
        raise BadModelFile(f"{name} adapts {key[:200]}, which this model doesn't have.", _OTHER)
    return found.part, path


def _shaped(name: str, part: str, layer: str, change: Change, targets: Targets | None) -> Change:
    """A change in the shape of its tensor, where that is known. A text encoder's layers are all linear."""
    if part == TEXT:
        return change.shaped(2)
    if targets is None:
        return change
    shape = targets.shapes.get(tensor_key(layer))
    if shape is None:
        raise BadModelFile(f"{name} adapts {layer}, which this model doesn't have.", _OTHER)
    change = change.shaped(len(shape))
    require_fit(layer, change, shape)
    return change
