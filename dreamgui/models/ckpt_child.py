"""The child process of :mod:`dreamgui.models.ckpt`: a pickled checkpoint in, a safetensors file or a
reason out.

It is run by path, alone and isolated (``python -I``), with torch and safetensors only: what an attacker's
file might reach is this process, which has limits on memory, file size and time and ends at once. torch's
weights-only unpickler runs no code of the file.
"""

from __future__ import annotations

import json
import pickle
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

SPARE_BYTES = 512 * 2**20
# What torch and zipfile raise on a broken file, seen by breaking one in many ways.
_UNREADABLE = (
    RuntimeError, ValueError, EOFError, OSError, LookupError, TypeError,
    AttributeError, AssertionError, zipfile.BadZipFile,
)  # fmt: skip
_GLOBAL = re.compile(r"(?:GLOBAL|class) ([\w.]+\.\w+)")


class Forgotten:
    """Stands for a training callback that old checkpoints carry; it keeps nothing and does nothing."""

    def __setstate__(self, state: object) -> None:
        """Drop what the pickle says of it."""


class RefusedError(Exception):
    """The checkpoint isn't taken; the reason is for the user."""


def limit_memory(size_bytes: int) -> None:
    """At most three times the file and some spare, where the system can hold a process to it."""
    try:
        import resource
    except ImportError:
        return
    now_bytes = (
        int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize() if _linux() else 0
    )
    if _linux():
        allowed = now_bytes + 3 * size_bytes + SPARE_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes + SPARE_BYTES, size_bytes + SPARE_BYTES))


def check_archive(path: Path) -> None:
    """torch never compresses its archives: one that is compressed is a bomb or isn't a checkpoint."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            if item.compress_type != zipfile.ZIP_STORED or item.file_size > path.stat().st_size:
                raise RefusedError(f"it holds compressed data ({item.filename[:60]}), as no checkpoint does")


def load(path: Path) -> Any:
    """The checkpoint's content; old checkpoints' Lightning callbacks become :class:`Forgotten`."""
    stubs: list[Any] = [(Forgotten, name) for name in _callbacks(path)]
    with torch.serialization.safe_globals(stubs):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def tensors_of(content: Any, size_bytes: int) -> dict[str, torch.Tensor]:
    """The state dict, nested or bare; a tensor that claims more numbers than the file holds is refused."""
    nested = content.get("state_dict") if isinstance(content, dict) else None
    state = nested if isinstance(nested, dict) else content
    if not isinstance(state, dict):
        raise RefusedError(f"it holds a {type(state).__name__}, not named tensors")
    tensors = {str(key): value for key, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise RefusedError("it holds no tensors")
    for key, value in tensors.items():
        if value.layout != torch.strided or value.numel() * value.element_size() > size_bytes:
            raise RefusedError(
                f"the tensor {key[:80]} claims {value.numel()} numbers, more than the file holds"
            )
    total = sum(value.numel() * value.element_size() for value in tensors.values())
    if total > 2 * size_bytes:
        raise RefusedError(f"its tensors claim {total} bytes and the file has {size_bytes}")
    return tensors


def convert(source: Path, target: Path) -> None:
    """Read the checkpoint and write its tensors, nothing else, as safetensors."""
    size_bytes = source.stat().st_size
    check_archive(source)
    tensors = tensors_of(load(source), size_bytes)
    # Tensors may share a storage, which safetensors doesn't write; small ones are copied, the rest stay
    # mapped.
    seen: set[int] = set()
    for key, value in tensors.items():
        shared = value.untyped_storage().data_ptr() in seen
        seen.add(value.untyped_storage().data_ptr())
        whole = (
            value.is_contiguous() and value.untyped_storage().nbytes() == value.numel() * value.element_size()
        )
        tensors[key] = value if whole and not shared else value.detach().clone().contiguous()
    save_file({key: value.detach() for key, value in tensors.items()}, target, {"format": "pt"})


def _callbacks(path: Path) -> list[str]:
    if not zipfile.is_zipfile(path):
        return []
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    return [
        name
        for name in names
        if name.startswith(("pytorch_lightning.callbacks.", "lightning.pytorch.callbacks."))
    ]


def _linux() -> bool:
    return sys.platform.startswith("linux")


def main() -> None:
    """Arguments: source, target. Prints one line of JSON: ``{}``, or ``{"reason": ...}``."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    limit_memory(source.stat().st_size)
    reason = why_not(source, target)
    print(json.dumps({"reason": reason} if reason else {}))


def why_not(source: Path, target: Path) -> str:
    """Convert, and say in words why that failed; empty if it went well."""
    try:
        convert(source, target)
    except RefusedError as error:
        return str(error)
    except pickle.UnpicklingError as error:
        found = _GLOBAL.search(str(error))
        return f"it asks for {found[1]}, which isn't a weight" if found else "its pickle is broken"
    except MemoryError:
        return "it asks for more memory than its size justifies"
    except _UNREADABLE as error:
        first = (str(error).splitlines() or [""])[0]
        return f"it can't be read ({type(error).__name__}: {first[:120]})"
    return ""


if __name__ == "__main__":
    main()
