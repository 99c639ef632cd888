"""What a file is, from its content; and everything that isn't a model in one clear sentence."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dreamgui.assets import asset
from dreamgui.errors import BadModelFile
from dreamgui.models.files.layout import read_layout
from dreamgui.models.recognition.recognise import recognise

UNET = "model.diffusion_model."
FIRST = f"{UNET}input_blocks.0.0.weight"


def header_only(path: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
    """A file with this header whose data is a hole: as large as a real one, and no disk taken."""
    entries, end = {}, 0
    for key, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        entries[key] = {"dtype": "F16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path


def sd15_shapes() -> dict[str, tuple[int, ...]]:
    return {key: slot.ldm_shape for key, slot in read_layout(asset("sd15")).items()}


def test_a_full_size_sd15_checkpoint(tmp_path: Path) -> None:
    found = recognise(header_only(tmp_path / "x.bin", sd15_shapes()))
    assert (found.kind, found.family, found.dtype, found.tensors) == (
        "checkpoint",
        "sd15",
        "F16",
        1130,
    )


def test_the_demo_family(bundle: Path, tiny_file: Path) -> None:
    assert recognise(tiny_file).family == "demo"


def test_a_tiny_checkpoint_without_the_demo_is_of_another_size(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sd15").symlink_to(asset("sd15"))
    monkeypatch.setattr("dreamgui.assets.ASSETS", tmp_path)
    assert recognise(tiny_file).kind == "other_size"


def only(prefix: str) -> dict[str, tuple[int, ...]]:
    return {key.removeprefix(prefix): shape for key, shape in sd15_shapes().items() if key.startswith(prefix)}


def without(prefix: str) -> dict[str, tuple[int, ...]]:
    return {key: shape for key, shape in sd15_shapes().items() if not key.startswith(prefix)}


@pytest.mark.parametrize(
    ("shapes", "kind", "words"),
    [
        (lambda: sd15_shapes() | {FIRST: (320, 9, 3, 3)}, "inpainting", "9 channels"),
        (lambda: sd15_shapes() | {"cond_stage_model.model.ln_final.weight": (1024,)}, "sd2", "Diffusion 2"),
        (lambda: {"conditioner.embedders.0.x": (2,)}, "sdxl", "XL"),
        (lambda: {f"{UNET}joint_blocks.0.x_block.attn.qkv.weight": (2, 2)}, "sd3", "Diffusion 3"),
        (lambda: {"double_blocks.0.img_attn.qkv.weight": (2,), "single_blocks.0.x": (2,)}, "flux", "Flux"),
        (lambda: {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": (4, 8)}, "lora", "LoRA"),
        (
            lambda: {"unet.x.attn2.to_k.lora_A.weight": (4, 768)},
            "lora",
            r"LoRA \(diffusers' keys\) for Stable Diffusion 1.5",
        ),
        (
            lambda: {"lora_unet_x_attn2_to_k.lora_down.weight": (4, 2048)},
            "lora",
            r"LoRA \(kohya's keys\) for Stable Diffusion XL",
        ),
        (lambda: {"control_model.input_hint_block.0.weight": (16, 3, 3, 3)}, "controlnet", "ControlNet"),
        (lambda: {"controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3)}, "controlnet", "ControlNet"),
        (lambda: only("first_stage_model."), "vae", "VAE alone"),
        (lambda: only(UNET), "unet", "UNet alone"),
        (lambda: only("cond_stage_model.transformer."), "text_encoder", "text encoder alone"),
        (lambda: {"emb_params": (4, 768)}, "embedding", "textual inversion"),
        (lambda: without("cond_stage_model."), "incomplete", "text encoder"),
        (lambda: without("first_stage_model."), "incomplete", "VAE"),
        (lambda: {"something.else": (3,)}, "unknown", "no model"),
    ],
)
def test_what_is_not_a_checkpoint_is_named(tmp_path: Path, shapes: Any, kind: str, words: str) -> None:
    path = header_only(tmp_path / "file.safetensors", shapes())
    found = recognise(path)
    assert found.kind == kind and found.next_step
    assert re.search(words, f"{found.name} {found.next_step}")


def framed(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def entry(begin: int, end: int, shape: list[int]) -> bytes:
    return json.dumps({"a": {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}}).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><title>Log in</title>", "web page"),
        (b"\n <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "LFS"),
        (b"7z\xbc\xaf'\x1c", "7z"),
        (b"\x00" * 64, "neither"),
        (b"hello, this is a text", "neither"),
        (struct.pack("<Q", 2**60) + b"{}", "claims"),
        (framed(b"{not json"), "valid"),
        (framed(b"{}[]"), "valid"),
        (framed(b'{"a": 3}'), "valid"),
        (framed(b'{"a": {"shape": [1], "dtype": "F16"}}'), "valid"),
        (framed(entry(0, 4, [2])), "cut off"),
        (framed(entry(0, 4, [2]), b"\0" * 9), "follow"),
        (framed(entry(0, 4, [2**40]), b"\0" * 4), "can't lie"),
        (framed(b'{"a":' * 100_000), "valid"),
    ],
)
def test_broken_files_are_refused_in_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadModelFile, match=words) as caught:
        recognise(path)
    assert "file.safetensors" in caught.value.what and len(str(caught.value)) < 300


def test_half_a_download(tiny_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    path.write_bytes(tiny_file.read_bytes()[:1_000_000])
    with pytest.raises(BadModelFile, match=r"1000000 of \d+ bytes"):
        recognise(path)


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    torch.save({"state_dict": {"emb_params": torch.zeros(2, 768)}}, tmp_path / "pickle.safetensors")
    found = recognise(tmp_path / "pickle.safetensors")
    assert (found.kind, found.file_format, found.dtype) == ("embedding", "pickle", "F32")
    save_file({"emb_params": torch.zeros(2, 768)}, tmp_path / "tensors.ckpt")
    assert recognise(tmp_path / "tensors.ckpt").kind == "embedding"
    assert load_file(tmp_path / "tensors.ckpt")


@pytest.mark.parametrize("first", [b"\x80", b"<", b"MZ", b"RIFF"])
def test_a_header_length_may_look_like_anything(tmp_path: Path, first: bytes) -> None:
    length = int.from_bytes(first.ljust(8, b"\0"), "little") % 2**24
    text = b'{"emb_params":{"dtype":"F16","shape":[1,768],"data_offsets":[0,1536]}}'
    length += 256 if length < len(text) else 0
    path = tmp_path / "x.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + text.ljust(length) + bytes(1536))
    assert recognise(path).kind == "embedding"
