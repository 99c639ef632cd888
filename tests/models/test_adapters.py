"""LoRA files: what we write is what diffusers, A1111 and kohya's scripts read, to the last bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from dreamgui.errors import BadModelFile
from dreamgui.exporting.lora import exported_lora, write_lora_file
from dreamgui.models.catalog.cards import ModelCard
from dreamgui.models.lora import adapters
from dreamgui.models.lora.adapters import LoraSettings, add_lora, read_lora, save_lora
from dreamgui.models.lora.attach import attach, detach
from dreamgui.models.lora.settings import settings_of
from dreamgui.models.lora.texts import lora_metadata


def fresh_unet(folder: Path) -> Any:
    return UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32).eval()


def attach_lora(unet: Any, path: Path, scale: float = 1.0) -> None:
    attach(unet, (read_lora(path, unet).layers, scale))


def trained(folder: Path, targets: Any = "attention", rank: int = 4, alpha: float = 6.0) -> Any:
    """A UNet with an adapter that does something: B starts at zero, so it is filled here."""
    unet = fresh_unet(folder)
    add_lora(unet, LoraSettings(rank, alpha, targets))
    torch.manual_seed(1)
    for name, parameter in unet.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1)
    return unet


@torch.no_grad()
def answer(unet: Any) -> torch.Tensor:
    torch.manual_seed(0)
    return unet(torch.randn(2, 4, 8, 8), torch.tensor([5, 900]), torch.randn(2, 77, 32)).sample


@pytest.fixture(scope="module", params=["attention", "attention+conv"])
def lora(
    request: pytest.FixtureRequest, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple:
    """(file in fp32, what the trained UNet answers)."""
    unet = trained(tiny_folder, request.param)
    path = tmp_path_factory.mktemp("lora") / "pytorch_lora_weights.safetensors"
    card = ModelCard(name="tiny", family="demo", size_px=64, sha256="ab")
    save_lora(path, unet, lora_metadata('{"steps": 3}', card, 4, 6.0), torch.float32)
    return path, answer(unet)


def test_only_the_adapter_is_trainable_and_repeatable(tiny_folder: Path) -> None:
    first, second = fresh_unet(tiny_folder), fresh_unet(tiny_folder)
    before = answer(first)
    torch.manual_seed(99)
    add_lora(first, LoraSettings(4, 4.0, seed=3))
    torch.manual_seed(5)
    add_lora(second, LoraSettings(4, 4.0, seed=3))
    trainable = {name for name, parameter in first.named_parameters() if parameter.requires_grad}
    assert trainable and all("lora_" in name for name in trainable)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert torch.equal(answer(first), before)


def test_fp16_base_gets_an_fp32_adapter(tiny_folder: Path) -> None:
    unet = fresh_unet(tiny_folder).half()
    add_lora(unet, LoraSettings(4, 4.0))
    kinds = {(parameter.requires_grad, parameter.dtype) for parameter in unet.parameters()}
    assert kinds == {(False, torch.float16), (True, torch.float32)}


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether two answers are the same up to rounding: layers beside a weight, or added to it."""
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_round_trip_with_alpha_and_metadata(lora: tuple, tiny_folder: Path) -> None:
    path, expected = lora
    unet = fresh_unet(tiny_folder)
    base = answer(unet)
    attach_lora(unet, path)
    assert alike(answer(unet), expected) and not alike(expected, base)
    detach(unet)
    assert torch.equal(answer(unet), base)
    metadata = read_lora(path).metadata
    assert json.loads(metadata["dreamgui_job"]) == {"steps": 3}
    assert (metadata["dreamgui_base_sha256"], metadata["ss_network_alpha"]) == ("ab", "6.0")
    assert all(key.startswith("unet.") for key in load_file(path))


def without_settings(path: Path) -> Path:
    """The file as a program sees it that doesn't know the header's settings."""
    bare = path.with_name("bare.safetensors")
    save_file(load_file(path), bare)
    return bare


@pytest.mark.parametrize(("alpha", "std"), [(2.0, 0.1), (8.0, 0.1), (4.0, 0.1), (6.0, 0.1), (1.0, 1e-6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_alpha_is_in_the_tensors_where_that_is_exact(
    tiny_folder: Path, tmp_path: Path, alpha: float, std: float, dtype: torch.dtype
) -> None:
    """A power of two times the rank is, for fp16's smallest numbers in fp32; 6 / 4 isn't and stays in the header."""
    unet = trained(tiny_folder, alpha=alpha)
    for name, parameter in unet.named_parameters():
        if "lora_B" in name:
            parameter.data = parameter.data.mul(std / 0.1).to(dtype).float()
    save_lora(tmp_path / "own.safetensors", unet, {"ss_network_alpha": str(alpha)}, dtype)
    for name, parameter in unet.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(dtype).float()
    expected = answer(unet)
    exact = alpha != 6.0
    for path, same in (
        (tmp_path / "own.safetensors", True),
        (without_settings(tmp_path / "own.safetensors"), exact),
    ):
        fresh = fresh_unet(tiny_folder)
        attach_lora(fresh, path)
        assert alike(answer(fresh), expected) == same
    kinds = {
        tensor.dtype for key, tensor in load_file(tmp_path / "own.safetensors").items() if "lora_B" in key
    }
    assert kinds <= {dtype, torch.float32} and (std == 0.1 or torch.float32 in kinds)
    written = read_lora(tmp_path / "own.safetensors")
    assert settings_of(written.layers)["lora_alpha"] == (4.0 if exact else alpha)
    assert float(written.metadata["ss_network_alpha"]) == (4.0 if exact else alpha)


def test_an_old_file_with_its_alpha_in_the_header_is_read_rightly(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet = trained(tiny_folder, alpha=8.0)
    monkeypatch.setattr(adapters, "alpha_in_b", lambda tensors, settings: (tensors, settings))
    save_lora(tmp_path / "old.safetensors", unet, dtype=torch.float32)
    fresh = fresh_unet(tiny_folder)
    attach_lora(fresh, tmp_path / "old.safetensors")
    assert alike(answer(fresh), answer(unet))


def test_detaching_leaves_the_very_modules_of_the_base(lora: tuple, tiny_folder: Path) -> None:
    unet, untouched = fresh_unet(tiny_folder), fresh_unet(tiny_folder)
    for scale in (1.0, 0.3):
        attach_lora(unet, lora[0], scale)
        detach(unet)
    assert [type(module) for module in unet.modules()] == [type(module) for module in untouched.modules()]
    ours, theirs = unet.state_dict(), untouched.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    flags = [[parameter.requires_grad for parameter in each.parameters()] for each in (unet, untouched)]
    assert flags[0] == flags[1]


def test_strength_scales(lora: tuple, tiny_folder: Path) -> None:
    unet = fresh_unet(tiny_folder)
    base = answer(unet)
    attach_lora(unet, lora[0], 0.0)
    assert torch.equal(answer(unet), base)
    detach(unet)
    attach_lora(unet, lora[0], 0.5)
    half = (answer(unet) - base).norm() / (lora[1] - base).norm()
    assert 0.1 < half < 0.9


def export_kohya(source: Path, target: Path) -> None:
    file = read_lora(source)
    write_lora_file(target, exported_lora(file, "kohya", "fp32"), "kohya", {})


def pipeline_of(folder: Path) -> Any:
    """A pipeline of which only the UNet is used."""
    pipeline: Any = StableDiffusionPipeline
    return pipeline(
        None, None, None, fresh_unet(folder), DDIMScheduler(), None, None, requires_safety_checker=False
    )


def test_parity_with_load_lora_weights(lora: tuple, tiny_folder: Path) -> None:
    pipeline = pipeline_of(tiny_folder)
    pipeline.load_lora_weights(str(lora[0].parent), weight_name=lora[0].name)
    assert torch.equal(answer(pipeline.unet), lora[1])


def test_kohya_export_is_read_by_diffusers_and_by_us(lora: tuple, tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "kohya.safetensors"
    export_kohya(lora[0], path)
    tensors = load_file(path)
    assert all(key.startswith("lora_unet_") for key in tensors)
    assert {float(v) for k, v in tensors.items() if k.endswith(".alpha")} == {6.0}
    unet = fresh_unet(tiny_folder)
    attach_lora(unet, path)
    assert alike(answer(unet), lora[1])
    pipeline = pipeline_of(tiny_folder)
    pipeline.load_lora_weights(str(tmp_path), weight_name=path.name)
    assert torch.equal(answer(pipeline.unet), lora[1])


def test_kohya_round_trip_gives_the_same_tensors(lora: tuple, tiny_folder: Path, tmp_path: Path) -> None:
    export_kohya(lora[0], tmp_path / "kohya.safetensors")
    ours, back = read_lora(lora[0]), read_lora(tmp_path / "kohya.safetensors", fresh_unet(tiny_folder))
    assert ours.tensors.keys() == back.tensors.keys()
    assert all(torch.equal(ours.tensors[key], back.tensors[key]) for key in ours.tensors)
    assert settings_of(back.layers)["lora_alpha"] == 6.0


def test_kohya_file_with_several_ranks_and_alphas(tiny_folder: Path, tmp_path: Path) -> None:
    """By the definition, W + alpha/rank up down: diffusers 0.42 drops attention layers' alphas."""
    torch.manual_seed(4)
    tensors = {}
    stem = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_"
    for name, rank, alpha in (("to_q", 2, 1.0), ("to_k", 4, 8.0), ("to_out_0", 2, 1.0)):
        tensors[f"{stem}{name}.lora_down.weight"] = torch.randn(rank, 32)
        tensors[f"{stem}{name}.lora_up.weight"] = torch.randn(32, rank)
        tensors[f"{stem}{name}.alpha"] = torch.tensor(alpha)
    save_file(tensors, tmp_path / "mixed.safetensors")
    unet, merged = fresh_unet(tiny_folder), fresh_unet(tiny_folder)
    layer = merged.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    for name, module, scale in (
        ("to_q", layer.to_q, 0.5),
        ("to_k", layer.to_k, 2),
        ("to_out_0", layer.to_out[0], 0.5),
    ):
        up, down = tensors[f"{stem}{name}.lora_up.weight"], tensors[f"{stem}{name}.lora_down.weight"]
        module.weight.data += scale * up @ down
    base = answer(unet)
    attach_lora(unet, tmp_path / "mixed.safetensors")
    assert torch.allclose(answer(unet), answer(merged), atol=1e-4) and not torch.allclose(answer(unet), base)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"lora_te_text_model_encoder_layers_0_mlp_fc1.alpha": torch.ones(())}, "no LoRA"),
        ({"lora_te_text_model_final_layer_norm.alpha": torch.ones(())}, "can't be read|doesn't have|no LoRA"),
        ({"lora_unet_nowhere.lora_down.weight": torch.ones(2, 2)}, "doesn't have"),
        ({"unet.conv_in.weight": torch.ones(2)}, "no LoRA"),
        (
            {
                "unet.down_blocks.0.attentions.0.proj_in.lora_A.weight": torch.ones(4, 77, 1, 1),
                "unet.down_blocks.0.attentions.0.proj_in.lora_B.weight": torch.ones(77, 4, 1, 1),
            },
            "doesn't fit",
        ),
    ],
)
def test_foreign_files_are_refused(tiny_folder: Path, tmp_path: Path, tensors: dict, words: str) -> None:
    save_file(tensors, tmp_path / "x.safetensors")
    unet = fresh_unet(tiny_folder)
    base = answer(unet)
    with pytest.raises(BadModelFile, match=words):
        attach_lora(unet, tmp_path / "x.safetensors")
    assert torch.equal(answer(unet), base) and not hasattr(unet, "peft_config")


def test_a_file_that_is_no_safetensors(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadModelFile, match="neither a safetensors file nor"):
        read_lora(tmp_path / "x.safetensors")
