"""Hostile and broken pickled checkpoints: each would touch WITNESS, eat the machine, or isn't what it says."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

WITNESS = Path(tempfile.gettempdir()) / f"dreamgui-witness-{os.getpid()}"
TOUCH = f"touch {WITNESS}"
MAGIC, PROTOCOL, SYSTEM = 0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "protocol_version": 1001}


class Call:
    """Pickles as a call of ``function`` with ``arguments``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


class Run:
    """A run of numbers that a tensor names."""

    def __init__(self, key: Any = "0", count: Any = 4, kind: Any = torch.FloatStorage) -> None:
        self.pid = ("storage", kind, key, "cpu", count)


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return obj.pid if isinstance(obj, Run) else None


def dumped(content: Any, protocol: int = 2) -> bytes:
    out = io.BytesIO()
    _Pickler(out, protocol).dump(content)
    return out.getvalue()


def tensor(shape: Any = (4,), strides: Any = (1,), offset: Any = 0, run: Any = None) -> Call:
    rebuild = torch._utils._rebuild_tensor_v2  # pyright: ignore[reportAttributeAccessIssue]
    return Call(rebuild, run or Run(), offset, shape, strides, False, OrderedDict())


def zipped(
    pickled: bytes | None, entries: dict[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED
) -> bytes:
    """An archive as torch.save writes it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        if pickled is not None:
            archive.writestr("archive/data.pkl", pickled)
        for name, data in ({"data/0": bytes(16), "version": b"3\n"} | (entries or {})).items():
            archive.writestr(f"archive/{name}", data)
    return out.getvalue()


def holding(content: Any, **entries: Any) -> Callable[[], bytes]:
    return lambda: zipped(dumped(content), **entries)


def legacy(content: bytes, keys: Any = ("0",), storages: bytes = struct.pack("<q", 4) + bytes(16)) -> bytes:
    return (
        b"".join(pickle.dumps(item, 2) for item in (MAGIC, PROTOCOL, SYSTEM))
        + content
        + pickle.dumps(list(keys), 2)
        + storages
    )


def calling(module: str, name: str, argument: str = TOUCH) -> bytes:
    """A pickle of protocol 0 that calls any name of any module."""
    return f"c{module}\n{name}\n(V{argument}\ntR.".encode()


def tuple_bomb(levels: int = 60) -> bytes:
    """A dictionary's key whose hash takes 2^levels steps (before Python 3.14, which keeps hashes); a hundred bytes."""
    return b"\x80\x02})" + b"2\x86" * levels + b"K\x01s."


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


def big_archive() -> bytes:
    return zipped(dumped({"a": tensor()}), {f"data/{i}": b"" for i in range(1, 30_000)})


def self_references() -> bytes:
    state: dict[Any, Any] = {}
    state.update({f"k{i}": state for i in range(2000)})
    return zipped(dumped(state))


def laughs() -> bytes:
    content: Any = ["ha"]
    for _ in range(60):
        content = [content] * 10
    return zipped(dumped({"a": tensor(), "b": content}))


def saved(content: Any, **settings: Any) -> bytes:
    out = io.BytesIO()
    torch.save(content, out, **settings)
    return out.getvalue()


GOOD = {"a": torch.ones(4)}
SYSTEM_CALL = Call(os.system, TOUCH)
BAD_NAMES = {
    "builtins-eval": ("builtins", "eval"), "python-2-eval": ("__builtin__", "eval"), "exec": ("builtins", "exec"),
    "os-popen": ("os", "popen"), "subprocess": ("subprocess", "Popen"), "runpy": ("runpy", "run_path"),
    "importlib": ("importlib", "import_module"), "getattr": ("builtins", "getattr"), "ctypes": ("ctypes", "CDLL"),
    "pickle-loads": ("pickle", "loads"), "torch-load": ("torch", "load"), "torch-hub": ("torch.hub", "load"),
    "torch-jit": ("torch.jit", "load"), "webbrowser": ("webbrowser", "open"), "pip": ("pip", "main"),
    "partial": ("functools", "partial"), "attrgetter": ("operator", "attrgetter"), "shutil": ("shutil", "rmtree"),
    "numpy-load": ("numpy", "load"), "dotted": ("torch._utils", "__builtins__"), "socket": ("socket", "create_connection"),
    "whole-module": ("torch.nn.modules.linear", "Linear"), "no-such-module": ("zzz.nothing", "x"),
}  # fmt: skip
PICKLES: dict[str, tuple[Callable[[], bytes], str]] = {
    **{f"pickle-{name}": (lambda told=told: zipped(calling(*told)), told[1]) for name, told in BAD_NAMES.items()},
    "pickle-system": (lambda: saved({"state_dict": GOOD, "x": SYSTEM_CALL}), "posix.system"),
    "pickle-system-legacy": (lambda: saved(GOOD | {"x": SYSTEM_CALL}, _use_new_zipfile_serialization=False), "posix.system"),
    "pickle-system-plain": (lambda: pickle.dumps(SYSTEM_CALL), "posix.system"),
    "pickle-system-as-key": (holding({SYSTEM_CALL: 1}), "posix.system"),
    "pickle-system-in-a-callback": (
        lambda: zipped(b"cpytorch_lightning.callbacks\nX\n(" + calling("os", "system")[:-1] + b"tR."), "os.system"),
    "pickle-system-in-a-state": (
        lambda: zipped(b"\x80\x02cpytorch_lightning.x\nX\n)\x81" + calling("os", "system")[:-1] + b"b."), "os.system"),
    "pickle-stack-global": (lambda: zipped(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x01x\x85R."), "posix.system"),
    "pickle-inst": (lambda: zipped(f"(V{TOUCH}\nios\nsystem\n.".encode()), "os.system"),
    "pickle-obj": (lambda: zipped(f"(cos\nsystem\nV{TOUCH}\no.".encode()), "os.system"),
    "pickle-newobj-ex": (lambda: zipped(b"\x80\x04cos\nsystem\n)}\x92."), "os.system"),
    "pickle-extension": (lambda: zipped(b"\x80\x02\x82\x01."), "can't be read|broken"),
    "pickle-out-of-band": (lambda: zipped(b"\x80\x05\x97."), "broken|read"),
    "pickle-second": (lambda: saved(GOOD, _use_new_zipfile_serialization=False) + pickle.dumps(SYSTEM_CALL), "follow"),
    "pickle-two-in-archive": (lambda: zipped(dumped({"a": tensor()}), {"data.pkl": dumped(SYSTEM_CALL)}), "2 files named data.pkl"),
    "pickle-tuple-hash-bomb": (lambda: zipped(tuple_bomb()), "more time or memory|no tensors"),
    "pickle-plain-hash-bomb": (tuple_bomb, "more time or memory|no checkpoint"),
    "pickle-memo-bomb": (lambda: zipped(b"\x80\x02Nr\xff\xff\xff\x7f."), "memory|read"),
    "pickle-bytes-bomb": (lambda: zipped(b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x."), "memory|broken|read"),
    "pickle-bytearray-bomb": (lambda: zipped(b"\x80\x05\x96" + struct.pack("<Q", 2**36) + b"x."), "memory|broken|read"),
    "pickle-frame-bomb": (lambda: zipped(b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N."), "broken|read"),
    "pickle-long-bomb": (lambda: zipped(b"L" + b"9" * 5_000_000 + b"L\n."), "read"),
    "pickle-long4-bomb": (lambda: zipped(b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x."), "broken|read|memory"),
    "pickle-marks": (lambda: zipped(b"(" * 8_000_000), "broken|read|memory|time"),
    "pickle-nested-tuples": (lambda: zipped(b")" + b"\x85" * 800_000 + b"."), "not named tensors|more time or memory"),
    "pickle-nested-lists": (lambda: zipped(b"]" * 500_000 + b"a" * 499_999 + b"."), "not named tensors|more time or memory"),
    "pickle-laughs": (laughs, "no model"),
    "pickle-self-references": (self_references, "nested without end"),
    "pickle-of-40-mb": (lambda: zipped(dumped({"a": "x" * 40_000_000})), "more than any"),
    "pickle-stop": (lambda: zipped(b"."), "broken|read"),
    "pickle-empty": (lambda: zipped(b""), "read"),
    "pickle-garbage": (lambda: zipped(b"\x80\x02garbage"), "broken|read"),
    "pickle-protocol-255": (lambda: zipped(b"\x80\xffN."), "read"),
    "pickle-missing": (lambda: zipped(None), "0 files named data.pkl"),
    "pickle-list": (holding([1, 2]), "list"),
    "pickle-none": (holding(None), "nonetype"),
    "pickle-no-tensors": (holding({"step": 3}), "no tensors with names"),
    "pickle-numbered-tensors": (holding({1: tensor()}), "no tensors with names"),
    "pickle-long-name": (holding({"x" * 5000: tensor()}), "letters"),
    "pickle-21000-tensors": (lambda: zipped(dumped({f"t{i}": tensor() for i in range(21_000)})), "21000 tensors|more time"),
    "tensor-stride-0": (lambda: saved({"a": torch.zeros(1).expand(2**40)}), "claims"),
    "tensor-too-large": (holding({"a": tensor((2**40,))}), "beyond"),
    "tensor-too-large-product": (holding({"a": tensor((2**31, 2**31, 2**31), (0, 0, 0))}), "claims"),
    "tensor-negative-shape": (holding({"a": tensor((-4,))}), "count belongs"),
    "tensor-negative-stride": (holding({"a": tensor((4,), (-1,))}), "count belongs"),
    "tensor-negative-offset": (holding({"a": tensor(offset=-8)}), "count belongs"),
    "tensor-offset-beyond": (holding({"a": tensor(offset=10**9)}), "beyond"),
    "tensor-shape-text": (holding({"a": tensor("4")}), "no shape"),
    "tensor-shape-of-floats": (holding({"a": tensor((4.0,))}), "count belongs"),
    "tensor-shape-of-true": (holding({"a": tensor((True,), (1,))}), "count belongs"),
    "tensor-stride-missing": (holding({"a": tensor((2, 2), (1,))}), "dimensions"),
    "tensor-40-dimensions": (holding({"a": tensor((1,) * 40, (1,) * 40)}), "dimensions"),
    "tensor-without-numbers": (holding({"a": tensor(run=Run("7"))}), "aren't in the file"),
    "tensor-without-storage": (holding({"a": tensor(run="zero")}), "aren't in the file"),
    "tensor-key-traversal": (holding({"a": tensor(run=Run("../data.pkl"))}), "aren't in the file"),
    "storage-strange": (lambda: zipped(b"\x80\x02K\x07Q."), "never writes"),
    "storage-text": (lambda: zipped(b"Pstorage\n."), "never writes"),
    "zip-deflated": (lambda: zipped(dumped({"a": tensor()}), compression=zipfile.ZIP_DEFLATED), "compressed"),
    "zip-bomb": (lambda: zipped(dumped({"a": tensor()}), {"data/1": bytes(60_000_000)}, zipfile.ZIP_DEFLATED), "compressed"),
    "zip-bzip2": (lambda: zipped(dumped({"a": tensor()}), compression=zipfile.ZIP_BZIP2), "compressed"),
    "zip-encrypted": (lambda: patched(zipped(dumped({"a": tensor()})), b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"), "encrypted"),
    "zip-of-photographs": (lambda: zipped(None, {"../holiday.jpg": b"\xff\xd8"}), "0 files named data.pkl"),
    "zip-30000-entries": (big_archive, "entries|more time"),
    "zip-cut-off": (lambda: zipped(dumped({"a": tensor()}))[:-30], "read"),
    "zip-only-a-mark": (lambda: b"PK\x03\x04" + bytes(500), "read"),
    "zip-empty": (lambda: b"PK\x05\x06" + bytes(18), "0 files"),
    "zip-directory-lies": (lambda: patched(zipped(dumped({"a": tensor()})), b"PK\x03\x04", b"PK\x07\x07"), "read|neither|disagree"),
    "zip-big-endian": (holding({"a": tensor()}, entries={"byteorder": b"big"}), "big-endian"),
    "legacy-wrong-magic": (lambda: pickle.dumps(42) + bytes(90), "no checkpoint of torch"),
    "legacy-cut-off": (lambda: saved(GOOD, _use_new_zipfile_serialization=False)[:-8], "cut off|read"),
    "legacy-only-magic": (lambda: pickle.dumps(MAGIC, 2), "read"),
    "legacy-huge-count": (lambda: legacy(dumped({"a": tensor()}), storages=struct.pack("<q", 2**61)), "cut off"),
    "legacy-negative-count": (lambda: legacy(dumped({"a": tensor()}), storages=struct.pack("<q", -1)), "count belongs"),
    "legacy-unknown-key": (lambda: legacy(dumped({"a": tensor()}), keys=["5"]), "no tensor of its names"),
    "legacy-keys-number": (lambda: legacy(dumped({"a": tensor()}), keys=[]).replace(pickle.dumps([], 2), pickle.dumps(5, 2)), "read"),
}  # fmt: skip
