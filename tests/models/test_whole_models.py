"""Whole models given out: safetensors' own bytes, Stable Diffusion 1.5's keys, diffusers' tensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from dreamgui.assets import asset
from dreamgui.errors import BadModelFile, Damaged, NotEnoughDisk
from dreamgui.models.certificate import read_back
from dreamgui.models.export import (
    ModelFiles,
    checkpoint_entries,
    part_entries,
    write_checkpoint,
    write_folder,
)
from dreamgui.models.export_stream import Entry, write_stream
from dreamgui.models.layout import PARTS, POSITION_IDS, read_layout
from dreamgui.models.single_file import DTYPES, WEIGHTS, write_parts
from dreamgui.workspace import Workspace
from tests.tiny import make_tiny_base


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_the_bytes_are_those_of_the_safetensors_library(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = {
        "b": torch.randn(3, 5).half(),
        "a": torch.randn(7).bfloat16(),
        "ids": torch.arange(4)[None],
        "scalar": torch.tensor(2.5),
        "Ä": torch.zeros(0, 3),
    }
    entries = [Entry(k, tuple(v.shape), v.dtype, lambda v=v: v) for k, v in tensors.items()]
    write_stream(tmp_path / "ours", entries, {})
    read = load_file(tmp_path / "ours")
    assert same(read, tensors)
    del tensors["Ä"], tensors["a"]
    write_stream(tmp_path / "ours", [entry for entry in entries if entry.key in tensors], {})
    save_file(tensors, tmp_path / "theirs", {"format": "pt"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


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
        assert same({key: value.to(DTYPES[dtype]) for key, value in before.items()}, after)
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
        "dreamgui.models.export_stream.shutil.disk_usage", lambda _: usage._replace(free=1000)
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


def read_back_fails(path: Path, entries: list[Entry]) -> None:
    with pytest.raises(Damaged, match=r"one\.safetensors reads back differently"):
        read_back(path, entries)
