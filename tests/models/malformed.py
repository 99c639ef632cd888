"""Broken, foreign and hostile model files of our own making: a builder of each, by name.

``CASES`` maps a name to (a function that makes the bytes; words that the
message must hold, or "" where the file may load). A hostile pickle would create the file WITNESS.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import struct
import tarfile
from collections.abc import Callable
from typing import Any

from tests.models.malformed_models import MODELS
from tests.models.malformed_pickles import PICKLES

Maker = Callable[[], bytes]


def framed(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file of this header, claiming this length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def one(shape: Any = (2,), offsets: Any = (0, 4), dtype: Any = "F16", name: str = "a") -> dict[str, Any]:
    """A header's entry."""
    return {name: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


def raw(shape: str = "[2]", offsets: str = "[0,4]", dtype: str = '"F16"') -> bytes:
    """A header's text where JSON's writer wouldn't go."""
    return f'{{"a":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}}}'.encode()


def empties(count: int) -> bytes:
    """A file of so many tensors without numbers."""
    entry = '"t%d":{"dtype":"F16","shape":[0],"data_offsets":[0,0]}'
    return framed(("{" + ",".join(entry % i for i in range(count)) + "}").encode())


def tarred() -> bytes:
    """What torch wrote before 0.2."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    return out.getvalue()


FOUR = bytes(4)
SAFETENSORS: dict[str, tuple[Maker, str]] = {
    "header-2-60": (lambda: framed(b"{}", length=2**60), "claims"),
    "header-2-63": (lambda: framed(b"{}", length=2**63), "claims"),
    "header-all-ones": (lambda: framed(b"{}", length=2**64 - 1), "claims"),
    "header-as-long-as-the-file": (lambda: framed(one(), FOUR, length=90), "claims|valid"),
    "header-one-byte-short": (lambda: framed(raw(), FOUR, length=len(raw()) - 1), "valid"),
    "header-one-byte-long": (lambda: framed(raw(), FOUR, length=len(raw()) + 1), "valid"),
    "header-empty-object": (lambda: framed({}), "no model"),
    "header-only-metadata": (lambda: framed({"__metadata__": {"a": "b"}}), "no model"),
    "header-array": (lambda: framed([1, 2]), "neither"),
    "header-null": (lambda: framed(None), "neither"),
    "header-number": (lambda: framed(b"12345678"), "neither"),
    "header-string": (lambda: framed(b'"hello"'), "neither"),
    "header-not-json": (lambda: framed(b"{not json}"), "valid"),
    "header-trailing-comma": (lambda: framed(raw()[:-1] + b",}", FOUR), "valid"),
    "header-two-objects": (lambda: framed(raw() + raw(), FOUR), "valid"),
    "header-utf-16": (lambda: framed(raw().decode().encode("utf-16-le"), FOUR), "valid|no model|safetensors"),
    "header-bad-utf-8": (lambda: framed(b'{"\xff\xfe":1}', FOUR), "valid"),
    "header-byte-order-mark": (lambda: framed(b"\xef\xbb\xbf" + raw(), FOUR), "neither"),
    "header-nested-objects": (lambda: framed(b'{"a":' * 200_000), "valid"),
    "header-nested-lists": (lambda: framed(b'{"a":' + b"[" * 500_000), "valid"),
    "header-entry-number": (lambda: framed({"a": 3}), "valid"),
    "header-entry-null": (lambda: framed({"a": None}), "valid"),
    "header-entry-list": (lambda: framed({"a": [1]}), "valid"),
    "header-metadata-list": (lambda: framed({"__metadata__": [1], **one()}, FOUR), "valid"),
    "header-metadata-nested": (lambda: framed({"__metadata__": {"a": {"b": 1}}, **one()}, FOUR), "no model"),
    "header-metadata-of-5-mb": (
        lambda: framed({"__metadata__": {"a": "x" * 5_000_000}, **one()}, FOUR),
        "no model",
    ),
    "texts-of-20-mb": (lambda: framed({"__metadata__": {"a": "x" * 20_000_000}}), "no model"),
    "entries-of-20-mb": (lambda: framed(b'{"a":' + b" " * 20_000_000 + b"3}"), "more than any"),
    "header-duplicate-names": (lambda: framed(b'{"a":1,' + raw()[1:], FOUR), "no model"),
    "no-dtype": (lambda: framed({"a": {"shape": [2], "data_offsets": [0, 4]}}, FOUR), "valid"),
    "no-shape": (lambda: framed({"a": {"dtype": "F16", "data_offsets": [0, 4]}}, FOUR), "valid"),
    "no-offsets": (lambda: framed({"a": {"dtype": "F16", "shape": [2]}}, FOUR), "valid"),
    "offsets-one": (lambda: framed(one(offsets=[0]), FOUR), "valid"),
    "offsets-reversed": (lambda: framed(one(offsets=[4, 0]), FOUR), "can't lie"),
    "offsets-negative": (lambda: framed(one(offsets=[-4, 0]), FOUR), "valid"),
    "offsets-texts": (lambda: framed(one(offsets=["0", "4"]), FOUR), "valid"),
    "offsets-beyond-the-end": (lambda: framed(one([2000], [0, 4000]), FOUR), "cut off"),
    "offsets-overlap": (lambda: framed({**one(), **one(name="b", offsets=[2, 6])}, bytes(6)), "overlaps"),
    "offsets-same-bytes-twice": (lambda: framed({**one(), **one(name="b")}, FOUR), "overlaps"),
    "offsets-hole": (lambda: framed({**one(), **one(name="b", offsets=[8, 12])}, bytes(12)), "hole"),
    "offsets-hole-at-the-start": (lambda: framed(one(offsets=[4, 8]), bytes(8)), "hole"),
    "trailing-bytes": (lambda: framed(one(), bytes(9)), "follow"),
    "trailing-script": (lambda: framed(one(), FOUR + b"#!/bin/sh\ntouch x"), "follow"),
    "dtype-unknown": (lambda: framed(one(dtype="F128"), FOUR), "dtype"),
    "dtype-small-letters": (lambda: framed(one(dtype="f16"), FOUR), "dtype"),
    "dtype-number": (lambda: framed(one(dtype=16), FOUR), "dtype"),
    "dtype-wrong-size": (lambda: framed(one(dtype="F32"), FOUR), "can't lie"),
    "shape-too-large": (lambda: framed(one([2**40]), FOUR), "can't lie"),
    "shape-overflow": (lambda: framed(one([2**33, 2**33]), FOUR), "can't lie"),
    "shape-negative": (lambda: framed(one([-2]), FOUR), "valid"),
    "shape-fraction": (lambda: framed(one([2.5]), FOUR), "valid"),
    "shape-texts": (lambda: framed(one(["2"]), FOUR), "valid"),
    "shape-true": (lambda: framed(one([True, 2]), FOUR), "valid"),
    "shape-null": (lambda: framed(one(None), FOUR), "valid"),
    "shape-text": (lambda: framed(one("2"), FOUR), "valid"),
    "shape-infinity": (lambda: framed(raw("[Infinity]"), FOUR), "valid"),
    "shape-nan": (lambda: framed(raw("[NaN]"), FOUR), "valid"),
    "shape-2-200": (lambda: framed(raw(f"[{2**200}]"), FOUR), "valid"),
    "shape-10000-digits": (lambda: framed(raw(f"[{'9' * 10_000}]"), FOUR), "valid"),
    "shape-40-dimensions": (lambda: framed(one([1] * 39 + [2]), FOUR), "dimensions"),
    "shape-million-dimensions": (lambda: framed(one([2] * 500_000), FOUR), "dimensions"),
    "empty-tensors-200000": (lambda: empties(200_000), "more than any"),
    "empty-tensors-30000": (lambda: empties(30_000), "30000 tensors"),
    "name-with-nul": (lambda: framed(one(name="a\0b"), FOUR), "no model"),
    "name-of-a-megabyte": (lambda: framed(one(name="x" * 10**6, dtype="Q"), FOUR), "dtype"),
    "name-markup": (lambda: framed(one(name="<script>alert(1)</script>"), FOUR), "no model"),
    "half-a-download": (lambda: framed(one([500_000], [0, 10**6]), bytes(400_000)), "cut off"),
}
FOREIGN: dict[str, tuple[Maker, str]] = {
    "empty": (lambda: b"", "empty"),
    "one-byte": (lambda: b"\0", "neither"),
    "seven-bytes": (lambda: bytes(7), "neither"),
    "eight-bytes": (lambda: bytes(8), "neither"),
    "zeros": (lambda: bytes(10**6), "neither"),
    "noise": (lambda: b"\x01" + random.Random(1).randbytes(10**6), "neither"),
    "text": (lambda: b"hello, this is a text\n" * 9, "neither"),
    "script": (lambda: b"import os\nos.system('touch x')\n", "neither"),
    "json": (lambda: b'{"error": "login required"}', "neither"),
    "html": (lambda: b"<!DOCTYPE html><title>Log in</title>", "web page"),
    "html-after-blanks": (lambda: b"\r\n\t  <html>", "web page"),
    "html-after-a-byte-order-mark": (lambda: b"\xef\xbb\xbf<html>", "web page"),
    "xml": (lambda: b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "web page"),
    "lfs-pointer": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4265380512\n",
        "LFS",
    ),
    "7z": (lambda: b"7z\xbc\xaf\x27\x1c" + bytes(90), "7z"),
    "rar": (lambda: b"Rar!\x1a\x07\x01\0" + bytes(90), "RAR"),
    "gzip": (lambda: gzip.compress(bytes(999)), "gzip"),
    "bzip2": (lambda: bz2.compress(bytes(999)), "bzip2"),
    "xz": (lambda: lzma.compress(bytes(999)), "xz"),
    "zstd": (lambda: b"\x28\xb5\x2f\xfd" + bytes(90), "Zstandard"),
    "tar": (tarred, "neither"),
    "png": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(90), "PNG"),
    "jpeg": (lambda: b"\xff\xd8\xff\xe0" + bytes(90), "JPEG"),
    "gif": (lambda: b"GIF89a" + bytes(90), "neither"),
    "webp": (lambda: b"RIFF\x10\x20\x30\x40WEBP" + bytes(90), "WebP"),
    "pdf": (lambda: b"%PDF-1.7\n" + bytes(90), "PDF"),
    "elf": (lambda: b"\x7fELF\x02\x01\x01" + bytes(90), "program"),
    "exe": (lambda: b"MZ\x90\0" + bytes(90), "Windows"),
    "gguf": (lambda: b"GGUF\x03\0\0\0" + bytes(90), "GGUF"),
    "hdf5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(90), "HDF5"),
    "sqlite": (lambda: b"SQLite format 3\0" + bytes(90), "neither"),
    "onnx": (lambda: b"\x08\x07\x12\x07pytorch" + bytes(90), "neither"),
}
CASES: dict[str, tuple[Maker, str]] = {**SAFETENSORS, **FOREIGN, **PICKLES, **MODELS}
