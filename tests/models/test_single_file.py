"""Single files and diffusers folders: the mapping is diffusers' own, to the last bit, and complete."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import load_file, save_file

from dreamgui.assets import asset
from dreamgui.errors import BadModelFile
from dreamgui.models.files.dtypes import torch_dtype
from dreamgui.models.files.layout import PARTS, POSITION_IDS, Part, read_layout
from dreamgui.models.recognition.components import WEIGHTS
from tests.single_files import join_parts, write_parts, write_single_file


def parts_of(folder: Path) -> dict[Part, dict[str, torch.Tensor]]:
    return {part: load_file(folder / WEIGHTS[part]) for part in PARTS}


def plain(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removeprefix("text_model."): value for key, value in tensors.items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_sd15_has_its_known_number_of_keys_and_shapes() -> None:
    layout = read_layout(asset("sd15"))
    counts = {part: sum(slot.part == part for slot in layout.values()) for part in PARTS}
    assert counts == {"unet": 686, "vae": 248, "text_encoder": 196}
    shapes = {key: slot.ldm_shape for key, slot in layout.items()}
    context = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    assert shapes[context] == (320, 768)
    assert shapes["model.diffusion_model.output_blocks.8.2.conv.weight"] == (640, 640, 3, 3)
    assert shapes["model.diffusion_model.output_blocks.2.1.conv.weight"] == (1280, 1280, 3, 3)
    assert shapes["first_stage_model.encoder.mid.attn_1.proj_out.weight"] == (512, 512, 1, 1)
    assert shapes["first_stage_model.decoder.up.0.block.0.nin_shortcut.weight"] == (128, 256, 1, 1)
    table = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    assert shapes[table] == (49408, 768)


def test_sd15_keys_are_those_that_diffusers_reads() -> None:
    layout = read_layout(asset("sd15"))
    ldm = {key: torch.empty(slot.ldm_shape, device="meta") for key, slot in layout.items()}
    for part, converter in (("unet", convert_ldm_unet_checkpoint), ("vae", convert_ldm_vae_checkpoint)):
        config = {"layers_per_block": 2, "down_block_types": [""] * 4, "up_block_types": [""] * 4}
        theirs = {key: tuple(value.shape) for key, value in converter(ldm, config).items()}
        assert theirs == {slot.key: slot.shape for slot in layout.values() if slot.part == part}


def test_parity_with_from_single_file(tiny_folder: Path, tiny_file: Path, tmp_path: Path) -> None:
    configs = tmp_path / "configs"
    shutil.copytree(tiny_folder, configs, ignore=shutil.ignore_patterns("*.safetensors", "controlnet"))
    pipeline = StableDiffusionPipeline.from_single_file(
        str(tiny_file), config=str(configs), local_files_only=True, torch_dtype=torch.float16
    )
    list(write_parts(tiny_file, read_layout(tiny_folder), tmp_path / "ours", "fp16"))
    ours = parts_of(tmp_path / "ours")
    assert same(ours["unet"], pipeline.unet.state_dict())
    assert same(ours["vae"], pipeline.vae.state_dict())
    assert same(plain(ours["text_encoder"]), plain(pipeline.text_encoder.state_dict()))


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32"])
def test_round_trip_is_bitwise(tiny_folder: Path, tiny_file: Path, tmp_path: Path, dtype: Any) -> None:
    layout = read_layout(tiny_folder)
    list(write_parts(tiny_file, layout, tmp_path / "folder", dtype))
    write_single_file(tmp_path / "folder", layout, tmp_path / "back.safetensors")
    before, after = load_file(tiny_file), load_file(tmp_path / "back.safetensors")
    expected = {
        key: value.to(torch_dtype(dtype)) if key != POSITION_IDS else value for key, value in before.items()
    }
    assert same(after, expected)


def test_text_encoder_keys_with_and_without_prefix_are_read(
    tiny_folder: Path, tiny_file: Path, tmp_path: Path
) -> None:
    tensors = {key.replace(".text_model.", "."): value for key, value in load_file(tiny_file).items()}
    save_file(tensors, tmp_path / "new.safetensors")
    layout = read_layout(tiny_folder)
    list(write_parts(tmp_path / "new.safetensors", layout, tmp_path / "a", "fp16"))
    list(write_parts(tiny_file, layout, tmp_path / "b", "fp16"))
    assert same(parts_of(tmp_path / "a")["text_encoder"], parts_of(tmp_path / "b")["text_encoder"])
    parts = parts_of(tiny_folder)
    parts["text_encoder"] = plain(parts["text_encoder"])
    assert same(join_parts(parts, layout), load_file(tiny_file))


def test_ema_schedule_and_old_position_ids_are_left_out(
    tiny_folder: Path, tiny_file: Path, tmp_path: Path
) -> None:
    extra = {
        "model_ema.diffusion_modelinput_blocks00weight": torch.zeros(2),
        "betas": torch.zeros(1000, dtype=torch.float64),
        POSITION_IDS: torch.arange(77.0)[None],
    }
    save_file(load_file(tiny_file) | extra, tmp_path / "ema.safetensors")
    list(write_parts(tmp_path / "ema.safetensors", read_layout(tiny_folder), tmp_path / "out", "fp16"))
    assert same(parts_of(tmp_path / "out")["unet"], parts_of(tiny_folder)["unet"])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda tensor: tensor.fill_(float("nan")), "NaN"),
        (lambda tensor: tensor[..., :1], "shape"),
        (lambda tensor: tensor.float().fill_(1e6), "too large"),
        (lambda tensor: tensor.to(torch.int8), "whole numbers"),
        (lambda tensor: None, "lacks"),
    ],
)
def test_bad_tensors_are_refused_by_name(
    tiny_folder: Path, tiny_file: Path, tmp_path: Path, change: Any, word: str
) -> None:
    key = "first_stage_model.encoder.down.1.block.0.conv1.weight"
    tensors = load_file(tiny_file)
    changed = change(tensors.pop(key).clone())
    if changed is not None:
        tensors[key] = changed.contiguous()
    save_file(tensors, tmp_path / "bad.safetensors")
    with pytest.raises(BadModelFile, match=word) as caught:
        list(write_parts(tmp_path / "bad.safetensors", read_layout(tiny_folder), tmp_path / "out", "fp16"))
    assert key in str(caught.value)
