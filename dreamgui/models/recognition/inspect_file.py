"""Description of a model file in five lines: name and kind, size and numbers, contents, origin, what to do next.

Only the header is read, and torch isn't imported, so a file of 4 GB takes milliseconds.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from dreamgui.errors import BadModelFile
from dreamgui.models.catalog.cards import certificate_place
from dreamgui.models.files.header import FileHeader
from dreamgui.models.files.part_files import PARTS, folder_files
from dreamgui.models.recognition.lora_names import EMBEDDING, RANKED, TEXT, TensorName, take_apart
from dreamgui.models.recognition.lora_place import lora_files_at, settings_beside
from dreamgui.models.recognition.lora_settings import ADAPTER_METADATA, NETWORK_ALPHA, read_settings
from dreamgui.models.recognition.recognise import COMPLETE, PART_WORDS, Recognised, recognise
from dreamgui.sizes import file_size

_MOST_INDEX_BYTES = 100_000
_ORIGIN = (
    "modelspec.title", "ss_output_name", "ss_sd_model_name", "ss_base_model_version", "ss_num_train_images",
    "ss_steps", "ss_unet_lr", "modelspec.author", "modelspec.architecture",
)  # fmt: skip


def inspect_file(path: Path) -> list[str]:
    """Five lines about a model file, or about a diffusers folder.

    Raises:
        BadModelFile: it is broken, hostile, or no model file at all.
    """
    if path.is_dir():
        adapter = lora_files_at(path)
        return inspect_file(adapter[0]) if adapter else _folder(path)
    found = recognise(path)
    header = found.header
    return [
        f"{path.name}: {found.name}",
        f"{file_size(found.size_bytes)}, {found.file_format}, {_numbers(header)}",
        f"Holds: {_contents(path, found)}",
        f"Origin: {_origin(path, header.metadata)}",
        f"Next: {_next(path, found)}",
    ]


def _folder(path: Path) -> list[str]:
    files = folder_files(path)
    if not files:
        raise BadModelFile(
            f"{path} is a folder, but no diffusers model.", "Name a model file, or its folder."
        )
    found = {part: recognise(file) for part, file in files.items()}
    everything = FileHeader(
        {f"{part}.{key}": shape for part, one in found.items() for key, shape in one.header.shapes.items()},
        {f"{part}.{key}": form for part, one in found.items() for key, form in one.header.dtypes.items()},
    )
    wrong = [f"its {PART_WORDS[part]} is {one.name}" for part, one in found.items() if one.kind != part]
    return [
        f"{path.name}: a diffusers folder ({_pipeline(path)})",
        f"{file_size(sum(one.size_bytes for one in found.values()))}, {_numbers(everything)}",
        f"Holds: {', '.join(found)}",
        f"Origin: {_certified(path / 'certificate.json') or _carded(path)}",
        f"Next: {_next_of_folder(path, wrong, len(found) == len(PARTS))}",
    ]


def _pipeline(folder: Path) -> str:
    """The class that the folder's index names.

    Raises:
        BadModelFile: the index is no JSON object with a name in it.
    """
    index = folder / "model_index.json"
    if not index.exists():
        return "without model_index.json"
    try:
        if not index.is_file() or index.stat().st_size > _MOST_INDEX_BYTES:
            raise ValueError("no small file")
        name = json.loads(index.read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise _broken_index(folder) from error
    if not isinstance(name, str):
        raise _broken_index(folder)
    return " ".join(name.split())[:80]


def _broken_index(folder: Path) -> BadModelFile:
    what = f"model_index.json of {folder.name} is broken: it names no class of a pipeline."
    return BadModelFile(what, "Download the folder again.")


def _next_of_folder(folder: Path, wrong: list[str], whole: bool) -> str:
    if wrong:
        return f"{'; '.join(wrong)}. Choose a model of Stable Diffusion 1.5."
    return f"python -m dreamgui convert {folder}" if whole else COMPLETE


def _contents(path: Path, found: Recognised) -> str:
    if found.kind == "lora":
        return _lora(path, found.header)
    parts = [
        f"{PART_WORDS.get(part, part)} (under {root.prefix or 'no prefix'})"
        for part, root in found.roots.items()
    ]
    parts += ["EMA weights"] if found.ema else []
    if parts:
        return ", ".join(parts)
    names = Counter(key.split(".")[0] for key in found.header.shapes)
    return ", ".join(f"{count} x {name[:40]}" for name, count in names.most_common(4)) or "nothing"


def _lora(path: Path, header: FileHeader) -> str:
    """Layers, ranks and alphas of a LoRA, which model's parts it adapts, and what it holds beside."""
    names = {key: name for key in header.shapes if (name := take_apart(key))}
    layers = {(name.part, name.path) for name in names.values() if name.part != EMBEDDING}
    ranks = Counter(
        header.shapes[key][0] for key, name in names.items() if name.field in RANKED and header.shapes[key]
    )
    told = ", ".join(f"{rank} ({count} layers)" for rank, count in ranks.most_common(3)) or "none"
    texts = sum(part == TEXT for part, _ in layers)
    beside = sorted({name.path for name in names.values() if name.part == EMBEDDING})
    embeddings = f"; textual inversions {', '.join(beside)}" if beside else ""
    return f"rank {told}, alpha {_alpha(path, header, names.values())}; UNet {len(layers) - texts} layers, text encoder {texts} layers{embeddings}"


def _alpha(path: Path, header: FileHeader, names: Collection[TensorName]) -> str:
    """Alpha as the file's numbers or texts say it, with the count of layers where it differs between them."""
    if any(name.field == "alpha" for name in names):
        return header.metadata.get(NETWORK_ALPHA) or "by layer"
    try:
        settings = read_settings(path.name, settings_beside(path) or header.metadata.get(ADAPTER_METADATA))
        layers = {(name.part, name.path) for name in names if name.part in settings}
        told = Counter(settings[part].of(place).alpha for part, place in layers)
    except BadModelFile:
        return "that can't be read"
    counts = {"not said" if alpha is None else f"{alpha:g}": count for alpha, count in told.most_common()}
    if set(counts) <= {"not said"}:
        return header.metadata.get(NETWORK_ALPHA) or "not said"
    return ", ".join(f"{alpha} ({count} layers)" for alpha, count in counts.items())


def _origin(path: Path, metadata: dict[str, str]) -> str:
    """Return who made it, from which base, and the certificate that an export of ours has beside it."""
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
    """Return what the certificate at this place says. The hash isn't computed anew here, as that takes seconds."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        proofs = data["files"].values()
        return f"certified ({data['reader']}), sha256 " + ", ".join(proof["sha256"][:12] for proof in proofs)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""


def _carded(folder: Path) -> str:
    """Return what a converted model's card says of its source."""
    try:
        data = json.loads((folder / "dreamgui.json").read_text(encoding="utf-8"))
        return (
            f"converted by DreamGUI from {data['source'] or 'an unnamed file'}, sha256 {data['sha256'][:12]}"
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "the folder does not say"


def _next(path: Path, found: Recognised) -> str:
    if found.kind == "checkpoint":
        return f"python -m dreamgui convert {path}"
    return found.next_step


def _numbers(header: FileHeader) -> str:
    count = sum(math.prod(shape) for shape in header.shapes.values())
    words = f"{count / 1e6:.1f} million" if count >= 1e6 else f"{count:,}"
    dtypes = (f"{name} x {many}" for name, many in Counter(header.dtypes.values()).most_common(3))
    return f"{len(header.shapes)} tensors, {words} numbers, {', '.join(dtypes)}"
