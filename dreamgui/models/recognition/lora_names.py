"""Names of a LoRA file's tensors in the namings of the programs that write them: the one table of them.

A name is a part ("unet", "text_encoder"), a layer's path, and a field: what the tensor is to that layer. Reading,
recognising and inspecting all take names apart here. torch isn't imported, so that a header alone is enough.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

UNET, TEXT, SECOND_TEXT, EMBEDDING = "unet", "text_encoder", "text_encoder_2", "embedding"
TEXT_MODEL = "text_model."
Kind = Literal[
    "LoRA", "LoCon", "DoRA", "LoHa", "LoKr", "IA3", "full difference", "norms", "OFT", "BOFT", "GLoRA", "VeRA", "none"
]  # fmt: skip
# Kinds that are named and refused.
UNREADABLE: tuple[Kind, ...] = ("OFT", "BOFT", "GLoRA", "VeRA")
# Kinds that are named in its place.
CHOICES: tuple[Kind, ...] = ("LoRA", "LoCon", "DoRA", "LoHa", "LoKr", "IA3")
# Fields whose first side is a layer's rank.
RANKED = frozenset({"down", "hada_w1_b", "lokr_w1_b", "lokr_w2_b"})
# Fields whose second side is as wide as the layer's input.
AS_WIDE_AS_INPUT = frozenset({"down", "hada_w1_b", "diff", "weight"})
_NOTES = {"LoCon": ", a LoRA with convolutions", "full difference": " of weights", "norms": " alone"}

_PREFIXES = (
    ("lora_unet_", UNET),
    ("lycoris_", UNET),
    ("lora_te1_", TEXT),
    ("lora_te_", TEXT),
    ("lora_te2_", SECOND_TEXT),
    ("model.diffusion_model.", UNET),
    ("diffusion_model.", UNET),
    ("unet.", UNET),
    ("text_encoder_2.", SECOND_TEXT),
    ("text_encoder.", TEXT),
    ("bundle_emb.", EMBEDDING),
)
_WRAPPING = "base_model.model."
_SAME = (
    "lora_mid.weight", "dora_scale", "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2",
    "lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2",
    "on_input", "diff", "diff_b", "w_norm", "b_norm", "weight",
)  # fmt: skip
# A field's ends of names. Longer ends come first; peft may put its adapter's name before the last word.
_FIELDS = {
    "down": r"\.lora_(?:A|down)(?:\.[^.]+)?\.weight|(?:[._]lora|\.lora_linear_layer)\.down\.weight",
    "up": r"\.lora_(?:B|up)(?:\.[^.]+)?\.weight|(?:[._]lora|\.lora_linear_layer)\.up\.weight",
    "alpha": r"(?:[._]lora|\.lora_linear_layer)?\.alpha",
    "magnitude": r"\.lora_magnitude_vector(?:\.[^.]+){0,2}",
    "oft": r"\.(?:oft_blocks|oft_diag|oft_[RS](?:\..+)?)",
    "boft": r"\.boft_\w+(?:\..+)?",
    "glora": r"\.(?:a1|a2|b1|b2|bm)\.weight",
    "vera": r"\.vera_\w+(?:\..+)?",
    **{name.removesuffix(".weight"): re.escape(f".{name}") for name in _SAME},
}
# The look ahead spares most places of a name the whole list.
_END = re.compile(r"(?=[._])(?:" + "|".join(f"(?P<{field}>{end})" for field, end in _FIELDS.items()) + r")$")
# Fields that tell a kind; the first kind that has one is the file's.
_KINDS: tuple[tuple[Kind, frozenset[str]], ...] = (
    ("VeRA", frozenset({"vera"})),
    ("BOFT", frozenset({"boft"})),
    ("OFT", frozenset({"oft"})),
    ("GLoRA", frozenset({"glora"})),
    ("LoHa", frozenset({"hada_w1_a", "hada_w1_b"})),
    ("LoKr", frozenset({"lokr_w1", "lokr_w1_a", "lokr_w2", "lokr_w2_a"})),
    ("IA3", frozenset({"on_input"})),
    ("DoRA", frozenset({"magnitude", "dora_scale"})),
    ("LoCon", frozenset({"lora_mid"})),
    ("LoRA", frozenset({"down", "up"})),
    ("full difference", frozenset({"diff", "diff_b"})),
    ("norms", frozenset({"w_norm", "b_norm"})),
)
_OLD_PROJECTIONS = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
_TEXT_PATHS = (
    (r"text_model_encoder_layers_(\d+)_(self_attn|mlp)_(\w+)", r"text_model.encoder.layers.\1.\2.\3"),
    (r"text_model_encoder_layers_(\d+)_(layer_norm[12])", r"text_model.encoder.layers.\1.\2"),
    (r"text_model_embeddings_(\w+)", r"text_model.embeddings.\1"),
    (r"text_model_(final_layer_norm)", r"text_model.\1"),
)


class TensorName(NamedTuple):
    """A tensor's name taken apart: ``path`` is the layer's, with dots or, as kohya writes it, with underscores."""

    part: str
    path: str
    field: str


def take_apart(key: str) -> TensorName | None:
    """Part, path and field of a tensor's name, or None where it has no ending that a LoRA file uses."""
    key = key.removeprefix(_WRAPPING)
    if key.startswith("bundle_emb."):
        return TensorName(EMBEDDING, key.split(".")[1], "vectors")
    end = _END.search(key)
    if end is None or end.lastgroup is None:
        return None
    path = key[: end.start()]
    for prefix, part in _PREFIXES:
        if path.startswith(prefix):
            return TensorName(part, _plain(part, path.removeprefix(prefix)), end.lastgroup)
    part = TEXT if path.startswith((TEXT_MODEL, "encoder.layers.")) else UNET
    return TensorName(part, _plain(part, path), end.lastgroup)


def kind_of(shapes: Mapping[str, tuple[int, ...]]) -> Kind:
    """Return the kind of adapter that a file holds, by its tensors' names and shapes, or "none" where it holds none."""
    ends = {key: end for key in shapes if (end := _END.search(key))}
    fields = {end.lastgroup for end in ends.values()}
    kind = next((kind for kind, signs in _KINDS if fields & signs), "none")
    if kind == "OFT" and any(len(shapes[key]) == 4 for key, end in ends.items() if end.lastgroup == "oft"):
        return "BOFT"
    if kind == "GLoRA" and not any(key.startswith(("lora_", "lycoris_")) for key in ends):
        return "none"
    kernels = (shapes[key][2:] for key, end in ends.items() if end.lastgroup == "down")
    return "LoCon" if kind == "LoRA" and any(kernel not in ((), (1, 1)) for kernel in kernels) else kind


def kind_in_words(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Name a file's kind with its article, for instance "a DoRA"."""
    kind = kind_of(shapes)
    return f"{'an' if kind in ('IA3', 'OFT') else 'a'} {kind}{_NOTES.get(kind, '')}"


def naming_of(keys: Iterable[str]) -> str:
    """Return whose names a LoRA's tensors have, in words."""
    for key in keys:
        if key.startswith(_WRAPPING):
            return "PEFT's keys"
        if key.startswith(("diffusion_model.", "model.diffusion_model.")):
            return "ComfyUI's keys"
        if ".lora_A." in key or ".lora_B." in key:
            return "diffusers' keys"
        if re.search(r"(?:[._]lora|\.lora_linear_layer)\.(?:down|up)\.", key):
            return "the keys of diffusers before 0.20"
        if ".lora_down." in key or ".lora_up." in key:
            return "kohya's keys"
    return "LyCORIS"


def _plain(part: str, path: str) -> str:
    """A path without what a naming adds to it: ``processor``, old names of projections, a missing ``text_model``."""
    if part not in (UNET, TEXT):
        return path
    path = path.replace(".processor.", ".")
    head, _, last = path.rpartition(".")
    if part == UNET:
        return f"{path}.0" if last == "to_out" else path
    if last in _OLD_PROJECTIONS:
        path = f"{head}.{_OLD_PROJECTIONS[last]}"
    for pattern, dotted in _TEXT_PATHS:
        if re.fullmatch(pattern, path):
            return re.sub(pattern, dotted, path)
    return path if path.startswith("text_model") else TEXT_MODEL + path
