"""Whole models given out: safetensors' own bytes, Stable Diffusion 1.5's keys, diffusers' tensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dreamgui.assets import asset
from dreamgui.errors import BadModelFile, Damaged, NotEnoughDisk
from dreamgui.exporting.certificate import read_back
from dreamgui.exporting.whole_model import (
    ModelFiles,
    checkpoint_entries,
    part_entries,
    write_checkpoint,
    write_folder,
)
from dreamgui.models.files.dtypes import CODES, DTYPES, holds_all_of, torch_dtype
from dreamgui.models.files.layout import PARTS, POSITION_IDS, read_layout
from dreamgui.models.files.writing import NonFiniteError, TensorEntry, write_safetensors
from dreamgui.models.recognition.components import WEIGHTS
from dreamgui.workspace import Workspace
from tests.single_files import write_parts
from tests.tiny import make_tiny_base


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def entry_of(key: str, tensor: torch.Tensor) -> TensorEntry:
    return TensorEntry(key, tuple(tensor.shape), tensor.dtype, lambda: tensor)


def test_the_bytes_are_those_of_the_safetensors_library(tmp_path: Path) -> None:
    """Of every dtype, in whatever order the tensors come, with names that JSON escapes."""
    numbers = torch.arange(12).reshape(3, 4)
    tensors = {f"{name}.weight": numbers.to(torch_dtype(name)) for name in DTYPES}
    tensors |= {"scalar": torch.tensor(2.5), "Ä": torch.zeros(0, 3), 'a "\\/\t\x01\x7f\u2028': torch.ones(2)}
    tensors |= {"b": torch.ones(2).half(), "\U0001d4b3": torch.ones(2), "\uffee": torch.ones(2)}
    entries = [entry_of(key, tensor) for key, tensor in tensors.items()]
    save_file(tensors, tmp_path / "theirs", {"format": "pt"})
    for number, order in enumerate((entries, entries[::-1])):
        write_safetensors(tmp_path / f"ours{number}", order)
        assert (tmp_path / f"ours{number}").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_the_bytes_hang_on_no_order_of_the_texts(tmp_path: Path) -> None:
    """The library's own order of several texts is random."""
    texts = {"über": "日本", "a": '"1"', "z": ""}
    entries = [entry_of("w", torch.ones(2))]
    write_safetensors(tmp_path / "one", entries, texts)
    write_safetensors(tmp_path / "two", entries, dict(reversed(texts.items())))
    data = (tmp_path / "one").read_bytes()
    assert data == (tmp_path / "two").read_bytes()
    assert "über".encode() in data and int.from_bytes(data[:8], "little") % 8 == 0
    with safe_open(tmp_path / "one", "pt") as file:
        assert file.metadata() == {"format": "pt", **texts}


@pytest.mark.parametrize("name", [name for name in DTYPES if torch_dtype(name).is_floating_point])
def test_numbers_of_every_floating_dtype_are_checked(tmp_path: Path, name: str) -> None:
    """NaN is refused where it is asked and where a number is cast; finite numbers are cast as torch casts them."""
    dtype, values = torch_dtype(name), torch.tensor([1.0, -2.0, 0.5])
    wide = torch.float32 if name == "F64" else torch.float64
    cast = TensorEntry("w", (3,), dtype, lambda: values.to(wide))
    write_safetensors(tmp_path / "x", [cast], require_finite=True)
    assert torch.equal(load_file(tmp_path / "x")["w"].double(), values.double())
    write_safetensors(tmp_path / "same", [entry_of("w", values.to(dtype))], require_finite=True)
    assert (tmp_path / "same").read_bytes() == (tmp_path / "x").read_bytes()
    values[1] = float("nan")
    with pytest.raises(NonFiniteError, match="w"):
        write_safetensors(tmp_path / "y", [cast])
    with pytest.raises(NonFiniteError, match="w"):
        write_safetensors(tmp_path / "y", [entry_of("w", values.to(dtype))], require_finite=True)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e6])
def test_what_is_no_number_in_the_dtype_is_refused(tmp_path: Path, number: float) -> None:
    values = torch.zeros(300_000)
    values[-1] = number
    with pytest.raises(NonFiniteError, match="w"):
        write_safetensors(tmp_path / "cast", [TensorEntry("w", (300_000,), torch.float16, lambda: values)])
    if number == 1e6:
        return
    same_dtype = [TensorEntry("w", (300_000,), torch.float32, lambda: values)]
    with pytest.raises(NonFiniteError, match="w"):
        write_safetensors(tmp_path / "checked", same_dtype, require_finite=True)
    write_safetensors(tmp_path / "kept", same_dtype)


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("name", DTYPES)
def test_a_dtype_holds_all_numbers_of_another_if_none_changes_on_the_way(dtype: Any, name: str) -> None:
    """Every bit pattern of the short dtypes; of the wide ones the closest neighbours of 1, and the largest number."""
    own = torch_dtype(name)
    if not own.is_floating_point:
        assert not holds_all_of(dtype, name)
        return
    whole = {1: torch.uint8, 2: torch.int16}.get(own.itemsize)
    if whole:
        values = torch.arange(1 << 8 * own.itemsize).to(whole).view(own).double()
    else:
        largest = torch.finfo(own)
        values = torch.tensor([1 + largest.eps, largest.max], dtype=torch.float64)
    values = values[values.isfinite()]
    assert holds_all_of(dtype, name) == torch.equal(values.to(torch_dtype(dtype)).double(), values)


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32"])
def test_round_trip_with_convert_is_bitwise(tiny_folder: Path, tmp_path: Path, dtype: Any) -> None:
    write_checkpoint(tiny_folder, tmp_path / "one.safetensors", dtype)
    list(write_parts(tmp_path / "one.safetensors", read_layout(tiny_folder), tmp_path / "folder", dtype))
    for part in PARTS:
        before = {
            key.removeprefix("text_model."): v for key, v in load_file(tiny_folder / WEIGHTS[part]).items()
        }
        after = {
            key.removeprefix("text_model."): v
            for key, v in load_file(tmp_path / "folder" / WEIGHTS[part]).items()
        }
        assert same({key: value.to(torch_dtype(dtype)) for key, value in before.items()}, after)
    for part in ("scheduler", "tokenizer", "unet", "vae", "text_encoder"):
        shutil.copytree(
            tiny_folder / part,
            tmp_path / "folder" / part,
            ignore=shutil.ignore_patterns("*.safetensors"),
            dirs_exist_ok=True,
        )
    write_checkpoint(tmp_path / "folder", tmp_path / "two.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_keys_and_shapes_of_stable_diffusion_15(tmp_path: Path) -> None:
    """A full-size export without its weights: 1131 tensors, text-encoder keys as civitai has them."""
    folder = tmp_path / "sd15"
    for part in PARTS:
        shutil.copytree(asset(f"sd15/{part}"), folder / part)
        slots = {slot.key: slot.shape for slot in read_layout(asset("sd15")).values() if slot.part == part}
        sparse_safetensors(folder / WEIGHTS[part], slots)
    with checkpoint_entries(ModelFiles(folder, folder / WEIGHTS["unet"]), None) as entries:
        shapes = {entry.key: entry.shape for entry in entries}
    layout = read_layout(asset("sd15"))
    assert shapes == {**{key: slot.ldm_shape for key, slot in layout.items()}, POSITION_IDS: (1, 77)}
    assert len(shapes) == 1131
    assert sum(key.startswith("cond_stage_model.transformer.text_model.") for key in shapes) == 197


def sparse_safetensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A file of zeros in fp16 that takes no room on the disk."""
    entries, end = {}, 0
    for key, shape in shapes.items():
        start, end = end, end + 2 * torch.Size(shape).numel()
        entries[key] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def test_parity_with_diffusers_loaders(tiny_folder: Path, tmp_path: Path) -> None:
    pipeline: Any = StableDiffusionPipeline
    write_checkpoint(tiny_folder, tmp_path / "one.safetensors")
    write_folder(tiny_folder, tmp_path / "folder")
    plain = pipeline.from_pretrained(tiny_folder, local_files_only=True, torch_dtype=torch.float16)
    single = pipeline.from_single_file(
        str(tmp_path / "one.safetensors"),
        config=str(tiny_folder),
        local_files_only=True,
        torch_dtype=torch.float16,
    )
    folder = pipeline.from_pretrained(tmp_path / "folder", local_files_only=True, torch_dtype=torch.float16)
    for part in PARTS:
        expected = getattr(plain, part).state_dict()
        assert same(getattr(single, part).state_dict(), expected)
        assert same(getattr(folder, part).state_dict(), expected)


def test_a_trained_unet_takes_the_bases_place(tiny_folder: Path, tmp_path: Path) -> None:
    other = make_tiny_base(Workspace(tmp_path / "w"), seed=9)
    write_checkpoint(ModelFiles(tiny_folder, other / WEIGHTS["unet"]), tmp_path / "mixed.safetensors")
    list(write_parts(tmp_path / "mixed.safetensors", read_layout(tiny_folder), tmp_path / "out", "fp16"))
    assert same(load_file(tmp_path / "out" / WEIGHTS["unet"]), load_file(other / WEIGHTS["unet"]))
    assert same(load_file(tmp_path / "out" / WEIGHTS["vae"]), load_file(tiny_folder / WEIGHTS["vae"]))


def test_the_text_encoders_keys_have_their_prefix_in_both(tiny_folder: Path, tmp_path: Path) -> None:
    """transformers 5.6 and later write them without; other programs only read them with it."""
    folder = tmp_path / "base"
    shutil.copytree(tiny_folder, folder)
    tensors = load_file(folder / WEIGHTS["text_encoder"])
    for given in (True, False):
        plain = {key.removeprefix("text_model."): value for key, value in tensors.items()}
        keyed = {f"text_model.{key}": value for key, value in plain.items()} if given else plain
        save_file(keyed, folder / WEIGHTS["text_encoder"], {"format": "pt"})
        with part_entries(ModelFiles(folder, folder / WEIGHTS["unet"]), "text_encoder", None) as entries:
            assert all(entry.key.startswith("text_model.") for entry in entries)
        write_checkpoint(folder, tmp_path / f"{given}.safetensors")
    assert (tmp_path / "True.safetensors").read_bytes() == (tmp_path / "False.safetensors").read_bytes()


def test_what_cannot_be_written_is_said(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(tiny_folder, folder)
    path = folder / WEIGHTS["vae"]
    tensors = load_file(path)
    huge = {key: value.float() for key, value in tensors.items()}
    huge["encoder.conv_in.bias"] = torch.full_like(huge["encoder.conv_in.bias"], 1e6)
    save_file(huge, path)
    with pytest.raises(BadModelFile, match=r"encoder\.conv_in\.bias holds 1e\+06"):
        write_checkpoint(folder, tmp_path / "x.safetensors", "fp16")
    del tensors["encoder.conv_in.bias"]
    save_file(tensors, path)
    with pytest.raises(BadModelFile, match=r"encoder\.conv_in\.bias is missing"):
        write_checkpoint(folder, tmp_path / "x.safetensors", "fp16")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        "dreamgui.models.files.writing.shutil.disk_usage", lambda _: usage._replace(free=1000)
    )
    with pytest.raises(NotEnoughDisk):
        write_checkpoint(tiny_folder, tmp_path / "y.safetensors")


@pytest.mark.parametrize("change", ["bit", "key", "shape", "dtype", "cut"])
def test_reading_back_finds_every_difference(tiny_folder: Path, tmp_path: Path, change: str) -> None:
    path = tmp_path / "one.safetensors"
    write_checkpoint(tiny_folder, path)
    key = "first_stage_model.encoder.conv_in.weight"
    tensors = load_file(path)
    if change == "bit":
        tensors[key].view(torch.int16)[0, 0, 0, 0] ^= 1
    elif change == "key":
        tensors[key + "s"] = tensors.pop(key)
    elif change == "shape":
        tensors[key] = tensors[key].flatten()
    elif change == "dtype":
        tensors[key] = tensors[key].float()
    save_file(tensors, path, {"format": "pt"})
    if change == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    with checkpoint_entries(ModelFiles(tiny_folder, tiny_folder / WEIGHTS["unet"]), None) as entries:
        read_back_fails(path, entries)


def read_back_fails(path: Path, entries: list[TensorEntry]) -> None:
    with pytest.raises(Damaged, match=r"one\.safetensors reads back differently"):
        read_back(path, entries)
