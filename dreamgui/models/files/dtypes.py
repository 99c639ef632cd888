"""The dtypes of tensors in files: one table, by the names that safetensors gives them.

torch isn't imported here, so that a file's header is read without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dreamgui.config import Dtype

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch


class FileDtype(NamedTuple):
    """Bytes of a number, and torch's name of the dtype."""

    item_bytes: int
    torch_name: str


DTYPES: dict[str, FileDtype] = {
    "U64": FileDtype(8, "uint64"), "I64": FileDtype(8, "int64"), "F64": FileDtype(8, "float64"),
    "F32": FileDtype(4, "float32"), "U32": FileDtype(4, "uint32"), "I32": FileDtype(4, "int32"),
    "BF16": FileDtype(2, "bfloat16"), "F16": FileDtype(2, "float16"), "U16": FileDtype(2, "uint16"), "I16": FileDtype(2, "int16"),
    "F8_E4M3": FileDtype(1, "float8_e4m3fn"), "F8_E5M2": FileDtype(1, "float8_e5m2"),
    "I8": FileDtype(1, "int8"), "U8": FileDtype(1, "uint8"), "BOOL": FileDtype(1, "bool"),
}  # fmt: skip
"""In the order in which safetensors 0.8 lays tensors out."""
ITEM_BYTES = {name: each.item_bytes for name, each in DTYPES.items()}
ORDER = {name: place for place, name in enumerate(DTYPES)}
CODES: dict[Dtype, str] = {"fp16": "F16", "bf16": "BF16", "fp32": "F32"}
"""Names of the dtypes that a job may ask for."""


def torch_dtype(name: str) -> torch.dtype:
    """Return torch's dtype of a name in a file, or of one that a job asks for ("fp16").

    Raises:
        KeyError: there is no such dtype.
    """
    import torch

    return getattr(torch, DTYPES[CODES.get(name, name)].torch_name)  # pyright: ignore[reportArgumentType, reportCallIssue]


def holds_all_of(dtype: Dtype, name: str) -> bool:
    """Return whether a dtype that a job asks for holds every number of a floating dtype in a file.

    Raises:
        KeyError: there is no such dtype.
    """
    own = CODES[dtype]
    return own == name or ("F" in name and ITEM_BYTES[own] > ITEM_BYTES[name])


def name_of(dtype: torch.dtype) -> str:
    """Return the name that a file gives this dtype.

    Raises:
        KeyError: files hold no such dtype.
    """
    return _NAMES[str(dtype).removeprefix("torch.")]


_NAMES = {each.torch_name: name for name, each in DTYPES.items()}


def storable(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the same tensors, each contiguous and in memory of its own, as safetensors writes no others.

    Tensors out of pickles may be views of one another, and products may be transposed.
    """
    taken: set[int] = set()
    result = {}
    for key, tensor in tensors.items():
        own = tensor.contiguous()
        if own.untyped_storage().data_ptr() in taken:
            own = own.clone()
        taken.add(own.untyped_storage().data_ptr())
        result[key] = own
    return result
