"""What a model file is, in five lines: name and kind, size and numbers, contents, origin, what to do next.

Only the header is read, and torch isn't imported, so a file of 4 GB takes milliseconds.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from dreamgui.errors import BadModelFile
from dreamgui.models.cards import certificate_place
from dreamgui.models.header import Header, read_header
from dreamgui.models.recognise import PART_WORDS, Recognised, recognise

_ORIGIN = (
    "modelspec.title", "ss_output_name", "ss_sd_model_name", "ss_base_model_version", "ss_num_train_images",
    "ss_steps", "ss_unet_lr", "modelspec.author", "modelspec.architecture",
)  # fmt: skip
_FOLDER_WEIGHTS = (
    "unet/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
)


def inspect_file(path: Path) -> list[str]:
    """Five lines about a model file, or about a diffusers folder.

    Raises:
        BadModelFile: it is broken, hostile, or no model file at all.
    """
    if path.is_dir():
        return _folder(path)
    found = recognise(path)
    header = found.header
    return [
        f"{path.name}: {found.name}",
        f"{_size(found.size_bytes)}, {found.file_format}, {_numbers(header)}",
        f"Holds: {_contents(found)}",
        f"Origin: {_origin(path, header.metadata)}",
        f"Next: {_next(path, found)}",
    ]


def _folder(path: Path) -> list[str]:
    weights = [path / name for name in _FOLDER_WEIGHTS if (path / name).is_file()]
    if not (path / "model_index.json").is_file() or not weights:
        raise BadModelFile(
            f"{path} is a folder, but no diffusers model.", "Name a model file, or its folder."
        )
    kind = json.loads((path / "model_index.json").read_text(encoding="utf-8")).get("_class_name", "unknown")
    headers = [read_header(weight) for weight in weights]
    everything = Header(
        {f"{n}.{key}": shape for n, one in enumerate(headers) for key, shape in one.shapes.items()},
        {f"{n}.{key}": form for n, one in enumerate(headers) for key, form in one.formats.items()},
    )
    whole = len(weights) == len(_FOLDER_WEIGHTS)
    size = sum(weight.stat().st_size for weight in weights)
    return [
        f"{path.name}: a diffusers folder ({kind})",
        f"{_size(size)}, {_numbers(everything)}",
        f"Holds: {', '.join(weight.parent.name for weight in weights)}",
        f"Origin: {_certified(path / 'certificate.json') or _carded(path)}",
        "Next: load it with diffusers' from_pretrained."
        if whole
        else "Next: a part is missing; download it again.",
    ]


def _contents(found: Recognised) -> str:
    if found.kind == "lora":
        return _lora(found.header)
    parts = [
        f"{PART_WORDS.get(part, part)} (under {root.prefix or 'no prefix'})"
        for part, root in found.roots.items()
    ]
    parts += ["EMA weights"] if found.ema else []
    if parts:
        return ", ".join(parts)
    names = Counter(key.split(".")[0] for key in found.header.shapes)
    return ", ".join(f"{count} x {name[:40]}" for name, count in names.most_common(4)) or "nothing"


def _lora(header: Header) -> str:
    """Layers, ranks and alphas of a LoRA, and which model's parts it adapts."""
    downs = {
        key: shape
        for key, shape in header.shapes.items()
        if any(word in key for word in ("lora_down", "lora_A", "lora.down"))
    }
    ranks = Counter(shape[0] for shape in downs.values() if shape)
    texts = sum(key.startswith(("lora_te", "text_encoder")) for key in downs)
    alpha = (
        header.metadata.get("ss_network_alpha")
        or _adapter(header.metadata).get("unet.lora_alpha")
        or "not said"
    )
    told = ", ".join(f"{rank} ({count} layers)" for rank, count in ranks.most_common(3)) or "unknown"
    return f"rank {told}, alpha {alpha}; UNet {len(downs) - texts} layers, text encoder {texts} layers"


def _adapter(metadata: dict[str, str]) -> dict[str, Any]:
    try:
        settings = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except ValueError:
        return {}
    return settings if isinstance(settings, dict) else {}


def _origin(path: Path, metadata: dict[str, str]) -> str:
    """Who made it, from which base; and the certificate that an export of ours has beside it."""
    told = [
        f"{key.split('.')[-1].removeprefix('ss_')} {metadata[key][:60]}"
        for key in _ORIGIN
        if metadata.get(key)
    ]
    if base := metadata.get("dreamgui_base"):
        told.insert(0, f"DreamGUI, from {base}")
    if certified := _certified(certificate_place(path)):
        told.append(certified)
    return "; ".join(" ".join(each.split()) for each in told) or "the file does not say"


def _certified(path: Path) -> str:
    """What the certificate at this place says; the hash isn't computed anew here, as that takes seconds."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        proofs = data["files"].values()
        return f"certified ({data['reader']}), sha256 " + ", ".join(proof["sha256"][:12] for proof in proofs)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


def _carded(folder: Path) -> str:
    """What a converted model's card says of its source."""
    try:
        data = json.loads((folder / "dreamgui.json").read_text(encoding="utf-8"))
        return (
            f"converted by DreamGUI from {data['source'] or 'an unnamed file'}, sha256 {data['sha256'][:12]}"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return "the folder does not say"


def _next(path: Path, found: Recognised) -> str:
    if found.kind == "checkpoint":
        return f"python -m dreamgui convert {path}"
    return found.next_step


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"


def _numbers(header: Header) -> str:
    count = sum(math.prod(shape) for shape in header.shapes.values())
    words = f"{count / 1e6:.1f} million" if count >= 1e6 else f"{count:,}"
    formats = (f"{name} x {many}" for name, many in Counter(header.formats.values()).most_common(3))
    return f"{len(header.shapes)} tensors, {words} numbers, {', '.join(formats)}"
