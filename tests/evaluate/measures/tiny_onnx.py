"""A face recogniser of a few kilobytes in ONNX's format, written by hand: there is no package onnx here.

The fields' numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

_FLOAT, _INT, _INTS = 1, 2, 7


def tiny_recogniser(path: Path, side_px: int = 112, numbers: int = 128) -> Path:
    """Write a network of [1, 3, side, side] to [1, numbers]: means of 16 squares times random weights."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(3 * 16, numbers)).astype("<f4")
    pool = side_px // 4
    nodes = [
        _node("AveragePool", ["data"], "pooled", [_ints("kernel_shape", (pool, pool)), _ints("strides", (pool, pool))]),
        _node("Flatten", ["pooled"], "flat", [_int("axis", 1)]),
        _node("MatMul", ["flat", "weights"], "fc1", []),
    ]  # fmt: skip
    graph = b"".join(_bytes(1, node) for node in nodes)
    graph += _bytes(2, b"tiny") + _bytes(5, _tensor("weights", weights))
    graph += _bytes(11, _value("data", (1, 3, side_px, side_px))) + _bytes(12, _value("fc1", (1, numbers)))
    model = _number(1, 7) + _bytes(7, graph) + _bytes(8, _bytes(1, b"") + _number(2, 13))
    path.write_bytes(model)
    return path


def _node(kind: str, inputs: list[str], output: str, attributes: list[bytes]) -> bytes:
    parts = b"".join(_bytes(1, name.encode()) for name in inputs) + _bytes(2, output.encode())
    parts += _bytes(3, f"{kind}-{output}".encode()) + _bytes(4, kind.encode())
    return parts + b"".join(_bytes(5, attribute) for attribute in attributes)


def _ints(name: str, values: tuple[int, ...]) -> bytes:
    return _bytes(1, name.encode()) + b"".join(_number(8, value) for value in values) + _number(20, _INTS)


def _int(name: str, value: int) -> bytes:
    return _bytes(1, name.encode()) + _number(3, value) + _number(20, _INT)


def _tensor(name: str, values: np.ndarray) -> bytes:
    shape = b"".join(_number(1, size) for size in values.shape)
    return shape + _number(2, _FLOAT) + _bytes(8, name.encode()) + _bytes(9, values.tobytes())


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    sizes = b"".join(_bytes(1, _number(1, size)) for size in shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _number(1, _FLOAT) + _bytes(2, sizes)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
