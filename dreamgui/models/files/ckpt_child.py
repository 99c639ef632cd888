"""The child process of :mod:`dreamgui.models.files.ckpt`: says where a pickled checkpoint's tensors lie in the file.

It is run by path, alone and isolated (``python -I -S``), with the standard library only, so that it is there in
a twentieth of a second. Its unpickler knows a short list of names, and behind each stands a stand-in of this file
that only notes what it is told: nothing of the checkpoint's is ever imported or called, and no tensor is read.
That is stricter than torch's ``weights_only=True``, whose file layout it follows: a zip archive with ``data.pkl``
and ``data/KEY``, or, before torch 1.6, pickles in a row and then the numbers.
"""

from __future__ import annotations

import json
import math
import pickle
import runpy
import signal
import struct
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

SPARE_BYTES = 384 * 2**20
# A checkpoint of 2,300 tensors takes 0.03.
CPU_SECONDS = 0.4
MAX_PICKLE_BYTES = 32_000_000
MAX_ENTRIES = 25_000
MAX_TENSORS = 20_000
MAX_NAME = 400
MAX_VISITS = 50_000
MAX_DEPTH = 4
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# What pickle, zipfile and struct raise on a broken file, seen by breaking one in many ways.
_UNREADABLE = (
    RuntimeError, ValueError, EOFError, OSError, LookupError, TypeError, AttributeError, AssertionError,
    ArithmeticError, ImportError, NotImplementedError, struct.error, zipfile.BadZipFile,
)  # fmt: skip


class RefusedError(Exception):
    """The checkpoint isn't taken. The reason is for the user."""


class Numbers(NamedTuple):
    """A storage's class: the safetensors name of its dtype and its size in bytes."""

    name: str
    item_bytes: int


class Storage(NamedTuple):
    """A run of numbers in the file, by its key there."""

    kind: Numbers
    key: str
    count: int


class Tensor(NamedTuple):
    """Tensor as a checkpoint describes it. Nothing of it is checked yet."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any


class Forgotten:
    """Stands for a training callback or setting that old checkpoints carry. It keeps nothing and does nothing."""

    def __new__(cls, *_: object, **__: object) -> Forgotten:
        """Whatever it is made from."""
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        """Drop what it is made from."""

    def __setstate__(self, state: object) -> None:
        """Drop what the pickle says of it."""

    def __setitem__(self, key: object, value: object) -> None:
        """Drop an item."""

    def append(self, value: object) -> None:
        """Drop an item."""

    def extend(self, values: object) -> None:
        """Drop items."""


class Names(dict[Any, Any]):
    """Stands for OrderedDict. A module's state dict carries version notes as attributes, which are dropped."""

    def __setstate__(self, state: object) -> None:
        """Drop the attributes."""


def tensor_v2(storage: Any, offset: Any, shape: Any, strides: Any, *_: object) -> Tensor:
    """Stands for torch._utils._rebuild_tensor_v2 (and the older _rebuild_tensor)."""
    return Tensor(storage, offset, shape, strides)


def parameter(data: Any, *_: object) -> Any:
    """Stands for torch._utils._rebuild_parameter: the tensor in it."""
    return data


_STORAGES = {
    "DoubleStorage": ("F64", 8), "FloatStorage": ("F32", 4), "HalfStorage": ("F16", 2), "BFloat16Storage": ("BF16", 2),
    "LongStorage": ("I64", 8), "IntStorage": ("I32", 4), "ShortStorage": ("I16", 2), "CharStorage": ("I8", 1),
    "ByteStorage": ("U8", 1), "BoolStorage": ("BOOL", 1),
}  # fmt: skip
KNOWN: dict[str, Any] = {
    "collections.OrderedDict": Names,
    "torch._utils._rebuild_tensor": tensor_v2,
    "torch._utils._rebuild_tensor_v2": tensor_v2,
    "torch._utils._rebuild_parameter": parameter,
    "torch.nn.parameter.Parameter": parameter,
    "torch.Size": tuple,
    **{f"torch.{name}": Numbers(*told) for name, told in _STORAGES.items()},
}
# Settings and callbacks of training programs: real checkpoints hold them, and a stub does for each.
_FORGOTTEN_ROOMS = (
    "pytorch_lightning.",
    "lightning.",
    "lightning_fabric.",
    "lightning_utilities.",
    "omegaconf.",
)
_FORGOTTEN = {
    "_codecs.encode", "numpy.dtype", "numpy.ndarray", "argparse.Namespace", "collections.defaultdict", "typing.Any",
    "builtins.dict", "builtins.list", "builtins.set", "builtins.int", "builtins.float", "builtins.str",
    "pathlib.Path", "pathlib.PosixPath", "pathlib.PurePosixPath", "pathlib.WindowsPath", "torch.device",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *(f"torch.{kind}" for kind in ("float16", "bfloat16", "float32", "float64", "int64", "int32", "uint8", "bool")),
}  # fmt: skip


class Reader(pickle.Unpickler):
    """An unpickler that finds stand-ins only, and keeps the kind of each storage that was named."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream, encoding="latin1")
        self.kinds: dict[str, Numbers] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name.

        Raises:
            RefusedError: it isn't one that a checkpoint needs.
        """
        full = f"{module}.{name}"
        if full in KNOWN:
            return KNOWN[full]
        if full in _FORGOTTEN or module.startswith(_FORGOTTEN_ROOMS) or f"{module}." in _FORGOTTEN_ROOMS:
            return Forgotten
        raise RefusedError(f"it asks for {full[:120]}, which isn't a weight")

    def persistent_load(self, pid: Any) -> Storage:
        """The storage that a tensor names: ("storage", class, key, device, count[, view])."""
        if (
            not isinstance(pid, tuple)
            or len(pid) < 5
            or pid[0] != "storage"
            or not isinstance(pid[1], Numbers)
        ):
            raise RefusedError("it names a storage in a way that torch never writes")
        view = pid[5] if len(pid) > 5 else None
        if view is not None:
            raise RefusedError("its tensors are views of views, as torch before 0.4 wrote them")
        key = str(pid[2])[:MAX_NAME]
        self.kinds[key] = pid[1]
        return Storage(pid[1], key, whole(pid[4]))


def whole(number: Any) -> int:
    """A count or an offset.

    Raises:
        RefusedError: it is anything else.
    """
    if type(number) is not int or not 0 <= number < 2**62:
        raise RefusedError(f"it gives {str(number)[:40]} where a count belongs")
    return number


def limit(size_bytes: int) -> None:
    """Little memory, little time and no writing, where the system can hold a process to it.

    A pickle of a few bytes can ask for terabytes, or for the hash of a tuple that would take centuries.
    """
    try:
        import resource
    except ImportError:
        return
    if sys.platform.startswith("linux"):
        allowed = SPARE_BYTES + 8 * min(size_bytes, MAX_PICKLE_BYTES)
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    # The system ends the process when this timer runs out, in the middle of a C loop too. Once mediapipe has looked at a
    # picture, the app ignores the timer's signal (seen), and a child takes that over.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    # Should it not, this does. It counts from the process's start, which costs up to half a second on a busy machine.
    last_second = math.ceil(time.process_time() + CPU_SECONDS) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (last_second, last_second + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def tensor_plan(path: Path) -> dict[str, list[Any]]:
    """Name to [dtype, shape, strides, byte of the file] for every tensor of the state dict.

    Raises:
        RefusedError: it is broken, hostile or no checkpoint.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
        file.seek(0)
        content, offsets = read_zip(file, size_bytes) if zipped else read_legacy(file, size_bytes)
    return {name: _placed(name, tensor, offsets) for name, tensor in _state(content)}


def read_zip(file: IO[bytes], size_bytes: int) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The pickle's content, and storage key to (first byte, bytes), of an archive of torch 1.6 or newer."""
    with zipfile.ZipFile(file) as archive:
        items = archive.infolist()
        if len(items) > MAX_ENTRIES:
            raise RefusedError(f"its archive has {len(items)} entries")
        for item in items:
            if item.flag_bits & 1:
                raise RefusedError("its archive is encrypted")
            # torch never compresses: what is compressed is a bomb or isn't a checkpoint.
            if item.compress_type != zipfile.ZIP_STORED or item.file_size != item.compress_size:
                raise RefusedError(f"it holds compressed data ({item.filename[:60]}), as no checkpoint does")
        pickles = [item for item in items if item.filename.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1:
            raise RefusedError(
                f"its archive has {len(pickles)} files named data.pkl, and a checkpoint has one"
            )
        if pickles[0].file_size > MAX_PICKLE_BYTES:
            raise RefusedError(f"its pickle has {pickles[0].file_size} bytes, more than any model's")
        root = pickles[0].filename.removesuffix("data.pkl")
        _check_byte_order(archive, f"{root}byteorder")
        with archive.open(pickles[0]) as stream:
            content = Reader(stream).load()
        offsets = {
            item.filename.removeprefix(f"{root}data/"): (_data_start(file, item, size_bytes), item.file_size)
            for item in items
            if item.filename.startswith(f"{root}data/")
        }
    return content, offsets


def _check_byte_order(archive: zipfile.ZipFile, name: str) -> None:
    if (
        name in archive.namelist()
        and archive.getinfo(name).file_size < 100
        and archive.read(name) != b"little"
    ):
        raise RefusedError("its numbers are in big-endian order")


def _data_start(file: IO[bytes], item: zipfile.ZipInfo, size_bytes: int) -> int:
    """The first byte of a stored entry: behind its own header, whose length the directory doesn't tell."""
    file.seek(item.header_offset)
    header = file.read(30)
    if header[:4] != b"PK\x03\x04":
        raise RefusedError("its archive's directory and entries disagree")
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    start = item.header_offset + 30 + name_length + extra_length
    if start + item.file_size > size_bytes:
        raise RefusedError("its archive is cut off")
    return start


def read_legacy(file: IO[bytes], size_bytes: int) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The same of a file from before torch 1.6: magic, protocol, system, content, keys, then each storage."""
    if Reader(file).load() != LEGACY_MAGIC:
        raise RefusedError("it is a pickle, but no checkpoint of torch")
    Reader(file).load()
    if (Reader(file).load() or {}).get("little_endian") is not True:
        raise RefusedError("its numbers are in big-endian order")
    reader = Reader(file)
    content = reader.load()
    if file.tell() > MAX_PICKLE_BYTES:
        raise RefusedError(f"its pickle has {file.tell()} bytes, more than any model's")
    keys = Reader(file).load()
    offsets: dict[str, tuple[int, int]] = {}
    for key in keys:
        if key not in reader.kinds:
            raise RefusedError("it holds numbers that no tensor of its names")
        count = whole(struct.unpack("<q", file.read(8))[0])
        offsets[key] = (file.tell(), count * reader.kinds[key].item_bytes)
        if sum(offsets[key]) > size_bytes:
            raise RefusedError("it is cut off")
        file.seek(sum(offsets[key]))
    if file.tell() != size_bytes:
        raise RefusedError(f"{size_bytes - file.tell()} bytes follow its last tensor")
    return content, offsets


def _state(content: Any) -> list[tuple[str, Tensor]]:
    """The named tensors of the state dict, nested or bare."""
    nested = content.get("state_dict") if isinstance(content, dict) else None
    state = nested if isinstance(nested, dict) else content
    if not isinstance(state, dict):
        control_map = ", as textual inversions do" if isinstance(state, Tensor) else ""
        raise RefusedError(f"it holds a {type(state).__name__.lower()}, not named tensors{control_map}")
    found: dict[str, Tensor] = {}
    # Dictionaries that hold themselves a thousand times would be walked for ever.
    for visits, (name, tensor) in enumerate(_named(state, "", MAX_DEPTH)):
        if visits > MAX_VISITS:
            raise RefusedError("its names are nested without end")
        if tensor is not None:
            found[name] = tensor
    if not found:
        raise RefusedError("it holds no tensors with names")
    if len(found) > MAX_TENSORS:
        raise RefusedError(f"it holds {len(found)} tensors, more than any Stable Diffusion model")
    return list(found.items())


def _named(state: dict[Any, Any], prefix: str, depth: int) -> Iterator[tuple[str, Tensor | None]]:
    """Every tensor by its name, and None for whatever else is on the way."""
    for key, value in state.items():
        name = f"{prefix}{key}" if isinstance(key, str) else ""
        if isinstance(value, Tensor) and name:
            if len(name) > MAX_NAME:
                raise RefusedError(f"a tensor's name has {len(name)} letters")
            yield name, value
        elif isinstance(value, dict) and name and depth > 1 and len(name) < MAX_NAME:
            yield from _named(value, f"{name}.", depth - 1)
        else:
            yield name, None


def _placed(name: str, tensor: Tensor, offsets: dict[str, tuple[int, int]]) -> list[Any]:
    """A tensor's line of the plan, once its shape and strides are known to lie within its storage."""
    if not isinstance(tensor.storage, Storage) or tensor.storage.key not in offsets:
        raise RefusedError(f"the numbers of {name[:80]} aren't in the file")
    begin, size_bytes = offsets[tensor.storage.key]
    kind = tensor.storage.kind
    shape, strides = _counts(tensor.shape), _counts(tensor.strides)
    if len(shape) != len(strides) or len(shape) > 8:
        raise RefusedError(f"{name[:80]} has {len(shape)} dimensions and {len(strides)} strides")
    numbers, offset = math.prod(shape), whole(tensor.offset)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) if numbers else 0
    if (last + 1) * kind.item_bytes > size_bytes and numbers:
        raise RefusedError(f"the tensor {name[:80]} reaches beyond its numbers in the file")
    if numbers * kind.item_bytes > size_bytes:
        raise RefusedError(f"the tensor {name[:80]} claims {numbers} numbers, more than the file holds")
    return [kind.name, shape, strides, begin + offset * kind.item_bytes]


def _counts(numbers: Any) -> list[int]:
    if not isinstance(numbers, tuple | list) or len(numbers) > 64:
        raise RefusedError("a tensor has no shape")
    return [whole(number) for number in numbers]


def answer(path: Path) -> dict[str, Any]:
    """``{"tensors": plan}`` or ``{"reason": ...}`` in words for the user."""
    try:
        return {"tensors": tensor_plan(path)}
    except RefusedError as error:
        return {"reason": str(error)}
    except pickle.UnpicklingError:
        return {"reason": "its pickle is broken"}
    except MemoryError:
        return {"reason": "it asks for more memory than its size justifies"}
    except RecursionError:
        return {"reason": "its content is nested without end"}
    except _UNREADABLE as error:
        first = (str(error).splitlines() or [""])[0]
        return {"reason": f"it can't be read ({type(error).__name__}: {first[:120]})"}


if __name__ == "__main__":
    limit(Path(sys.argv[1]).stat().st_size)
    # By path, as an isolated process finds nothing beside itself.
    runpy.run_path(str(Path(__file__).with_name("ckpt_walls.py")))["raise_walls"](Path(sys.argv[1]))
    json.dump(answer(Path(sys.argv[1])), sys.stdout)
