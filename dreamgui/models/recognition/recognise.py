"""Recognition of a model file from the names and shapes of its tensors and never from its file name."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dreamgui import assets
from dreamgui.models.catalog.cards import Family
from dreamgui.models.files.ckpt import read_pickled_header
from dreamgui.models.files.header import FileFormat, FileHeader, file_format, read_header
from dreamgui.models.files.part_files import is_index, read_split_header, size_bytes
from dreamgui.models.recognition.lora_names import CHOICES, UNREADABLE, kind_of
from dreamgui.models.recognition.roots import Root, find_roots, has_ema
from dreamgui.models.recognition.signs import lora_words, made_for, sign_of

Kind = Literal[
    "checkpoint", "incomplete", "unet", "vae", "text_encoder", "inpainting", "sd2", "sdxl", "sd3", "flux", "video",
    "lora", "controlnet", "taesd", "adapter", "embedding", "upscaler", "other_size", "unknown",
]  # fmt: skip
PART_WORDS = {"unet": "UNet", "text_encoder": "text encoder", "vae": "VAE"}
_NAMES: dict[Kind, str] = {
    "checkpoint": "a Stable Diffusion 1.5 checkpoint",
    "incomplete": "a Stable Diffusion checkpoint without its {missing}",
    "unet": "a UNet alone, without text encoder and VAE",
    "vae": "a VAE alone, not a whole checkpoint",
    "text_encoder": "a CLIP text encoder alone, not a whole checkpoint",
    "inpainting": "an inpainting or editing model (its UNet takes {channels} channels in place of 4)",
    "sd2": "a Stable Diffusion 2 model",
    "sdxl": "a Stable Diffusion XL model",
    "sd3": "a Stable Diffusion 3 model",
    "flux": "a Flux model",
    "video": "a motion module or video model",
    "lora": "{lora}{made_for}, not a whole checkpoint",
    "controlnet": "a ControlNet{made_for}, not a whole checkpoint",
    "taesd": "a tiny autoencoder for previews (TAESD), not a whole checkpoint",
    "adapter": "an IP-Adapter, T2I-Adapter or hypernetwork, not a whole checkpoint",
    "embedding": "a textual inversion{made_for}, not a whole checkpoint",
    "upscaler": "an upscaler (ESRGAN), not a whole checkpoint",
    "other_size": "laid out as a Stable Diffusion checkpoint of another size (first layer {channels} wide)",
    "unknown": "no model of a kind that DreamGUI knows",
}
_CHECKPOINT = "Choose a checkpoint of Stable Diffusion 1.5 in one file."
COMPLETE = "Name the model that completes it under 'base' (--base NAME)."
_NEXT: dict[Kind, str] = {
    "incomplete": COMPLETE,
    "unet": COMPLETE,
    "vae": COMPLETE,
    "text_encoder": COMPLETE,
    "inpainting": "Choose the version of the model that isn't for inpainting.",
    "lora": "Convert the checkpoint that it was made for, then merge the LoRA into it.",
    "controlnet": "Convert a checkpoint first; a ControlNet as a diffusers folder goes to models/NAME/controlnet/canny or pose.",
    "embedding": "Choose a checkpoint; DreamGUI doesn't read textual inversions.",
    **dict.fromkeys(("sd2", "sdxl", "sd3", "flux"), "Choose a model whose page says 'SD 1.5'."),
}


@dataclass(frozen=True)
class Recognised:
    """Result of recognising a file.

    Attributes:
        kind: "checkpoint" can be converted; "incomplete", "unet", "vae" and "text_encoder" with a base model that
            completes them.
        family: of its UNet, where it has one of ours.
        name: what it is in words, for instance "a Stable Diffusion XL model".
        next_step: what to do with it.
        dtype: of most of its tensors, for instance "F16".
        roots: which of the three parts it holds, and under which prefix.
        ema: whether it holds a UNet's EMA weights beside the plain ones.
    """

    kind: Kind
    name: str
    family: Family | None = None
    next_step: str = _CHECKPOINT
    file_format: FileFormat = "safetensors"
    dtype: str = ""
    tensors: int = 0
    size_bytes: int = 0
    ema: bool = False
    roots: dict[str, Root] = field(default_factory=dict, repr=False)
    header: FileHeader = field(default_factory=lambda: FileHeader({}, {}), repr=False)


def read_any_header(path: Path) -> tuple[FileFormat, FileHeader]:
    """A file's format and header, safetensors or pickled, of an index those of the files that it names.

    Raises:
        BadModelFile: it is broken, hostile, or no model file at all.
    """
    if is_index(path):
        return "safetensors", read_split_header(path)
    form = file_format(path)
    return form, read_header(path) if form == "safetensors" else read_pickled_header(path)


def recognise(path: Path) -> Recognised:
    """Tell what a file is: in milliseconds for safetensors, in a tenth of a second for a pickled checkpoint.

    Raises:
        BadModelFile: it is broken, hostile, or no model file at all.
    """
    form, header = read_any_header(path)
    roots = find_roots(header)
    kind, family, words = _kind(header, roots)
    name = (
        "a checkpoint of the bundled demo model's family" if (kind, family) == ("checkpoint", "demo") else ""
    )
    name = name or _NAMES[kind].format(**words)
    if kind != "controlnet" and sign_of(header) == "controlnet":
        name += ", with a ControlNet in the same file, which isn't taken"
    return Recognised(
        kind,
        name,
        family,
        _next_step(kind, words, header),
        form,
        header.main_format,
        len(header.shapes),
        size_bytes(path, header),
        has_ema(header),
        roots,
        header,
    )


def family_configs(family: Family) -> Path:
    """The folder with the configs of a family's unet, vae, text_encoder and scheduler."""
    return assets.asset("sd15" if family == "sd15" else "demo/config")


def _kind(header: FileHeader, roots: dict[str, Root]) -> tuple[Kind, Family | None, dict[str, str]]:
    """Kind, family, and the words that its name needs."""
    sign = sign_of(header)
    if sign and not (sign == "controlnet" and "unet" in roots):
        return (
            sign,
            None,
            {"made_for": made_for(header), "lora": lora_words(header) if sign == "lora" else ""},
        )
    if "unet" not in roots:
        only: dict[tuple[str, ...], Kind] = {("vae",): "vae", ("text_encoder",): "text_encoder"}
        kind = only.get(tuple(roots), "incomplete" if roots else "unknown")
        return kind, None, {"missing": PART_WORDS["unet"]}
    channels_out, channels_in = roots["unet"].first_layer(header)
    width = roots["unet"].context_width(header)
    if channels_in != 4:
        return "inpainting", None, {"channels": str(channels_in)}
    if width in (1024, 2048):
        return "sd2" if width == 1024 else "sdxl", None, {}
    family = next((one for one in _families() if _signature(one) == (channels_out, width)), None)
    if family is None:
        return "other_size", None, {"channels": str(channels_out)}
    missing = [PART_WORDS[part] for part in ("text_encoder", "vae") if part not in roots]
    kinds: tuple[Kind, ...] = ("checkpoint", "incomplete", "unet")
    return kinds[len(missing)], family, {"missing": "".join(missing[:1])}


def _next_step(kind: Kind, words: dict[str, str], header: FileHeader) -> str:
    adapter = kind_of(header.shapes) if kind == "lora" else "none"
    if adapter in UNREADABLE:
        return f"DreamGUI doesn't read {adapter}; choose a {', '.join(CHOICES[:-1])} or {CHOICES[-1]}."
    foreign = words.get("made_for", "") not in ("", " for Stable Diffusion 1.5")
    return "Choose one for Stable Diffusion 1.5." if foreign else _NEXT.get(kind, _CHECKPOINT)


def _families() -> tuple[Family, ...]:
    """Families whose configs are there. A copy of the program may come without the demo."""
    return ("sd15", "demo") if (assets.ASSETS / "demo" / "config").is_dir() else ("sd15",)


def _signature(family: Family) -> tuple[int, int]:
    """Width of the first layer and of the text embeddings."""
    config = json.loads((family_configs(family) / "unet" / "config.json").read_text(encoding="utf-8"))
    return config["block_out_channels"][0], config["cross_attention_dim"]
