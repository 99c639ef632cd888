"""Arithmetic of weights: merging, extracting, resizing and mixing, each against its definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from dreamgui.errors import BadInput, BadModelFile
from dreamgui.exporting.whole_model import ModelFiles, part_entries
from dreamgui.models.lora.adapters import LoraSettings, add_lora, read_lora, save_lora, write_lora
from dreamgui.models.lora.attach import attach
from dreamgui.models.lora.extract import Extraction, closest, extract, lora_file, resize
from dreamgui.models.lora.kinds import LowRank
from dreamgui.models.lora.merge import mixed_entries, require_layers

UNET = "unet/diffusion_pytorch_model.safetensors"
CPU = torch.device("cpu")


def fresh(folder: Path) -> Any:
    return UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32).eval()


def attach_lora(unet: Any, path: Path, scale: float = 1.0) -> None:
    attach(unet, (read_lora(path, unet).layers, scale))


@torch.no_grad()
def answer(unet: Any) -> torch.Tensor:
    torch.manual_seed(0)
    return unet(torch.randn(2, 4, 8, 8), torch.tensor([5, 900]), torch.randn(2, 77, 32)).sample


@pytest.fixture(scope="module")
def lora(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA with convolutions, rank 4, alpha 6."""
    unet = fresh(tiny_folder)
    add_lora(unet, LoraSettings(4, 6.0, "attention+conv"))
    torch.manual_seed(1)
    for name, parameter in unet.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1)
    path = tmp_path_factory.mktemp("lora") / "lora.safetensors"
    save_lora(path, unet, dtype=torch.float32)
    return path


@pytest.fixture(scope="module")
def base32(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base's UNet in fp32."""
    path = tmp_path_factory.mktemp("base") / "unet.safetensors"
    save_file({key: value.float() for key, value in load_file(tiny_folder / UNET).items()}, path)
    return path


def merged_with(folder: Path, unet_file: Path, layers: Any, strength: float = 1.0) -> dict[str, torch.Tensor]:
    with part_entries(
        ModelFiles(folder, unet_file, layers=layers, strength=strength), "unet", None
    ) as entries:
        return {entry.key: entry.read().clone() for entry in entries}


def loaded(folder: Path, tensors: dict[str, torch.Tensor]) -> Any:
    unet = fresh(folder)
    unet.load_state_dict(tensors)
    return unet


@pytest.mark.parametrize("strength", [0.0, 0.7, -1.0])
def test_merged_answers_as_attached(tiny_folder: Path, base32: Path, lora: Path, strength: float) -> None:
    attached = fresh(tiny_folder)
    attach_lora(attached, lora, strength)
    merged = loaded(tiny_folder, merged_with(tiny_folder, base32, read_lora(lora).layers, strength))
    assert torch.allclose(answer(merged), answer(attached), atol=2e-5)
    if strength == 0:
        assert torch.equal(answer(merged), answer(fresh(tiny_folder)))
    else:
        assert not torch.allclose(answer(merged), answer(fresh(tiny_folder)), atol=1e-3)


def test_merging_equals_diffusers_fuse(tiny_folder: Path, base32: Path, lora: Path) -> None:
    fused = fresh(tiny_folder)
    attach_lora(fused, lora)
    fused.fuse_lora()
    state = {
        key.replace(".base_layer", ""): value
        for key, value in fused.state_dict().items()
        if "lora_" not in key
    }
    for key, value in merged_with(tiny_folder, base32, read_lora(lora).layers).items():
        assert torch.allclose(value, state[key], atol=1e-6), key


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_dora_merged_answers_as_attached(
    tiny_folder: Path, base32: Path, tmp_path: Path, strength: float
) -> None:
    trained = fresh(tiny_folder)
    add_lora(trained, LoraSettings(4, 6.0, "attention+conv", dora=True))
    torch.manual_seed(1)
    for name, parameter in trained.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1)
        if "magnitude" in name:
            parameter.data *= 1.3
    save_lora(tmp_path / "dora.safetensors", trained, dtype=torch.float32)
    layers = read_lora(tmp_path / "dora.safetensors").layers
    attached = fresh(tiny_folder)
    attach_lora(attached, tmp_path / "dora.safetensors", strength)
    merged = loaded(tiny_folder, merged_with(tiny_folder, base32, layers, strength))
    assert torch.allclose(answer(merged), answer(attached), atol=1e-4)
    with pytest.raises(BadInput, match="DoRA"):
        resize(layers, 2)


def run(steps: Any) -> Extraction:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_extracting_a_merged_lora_finds_it_again(
    tiny_folder: Path, base32: Path, lora: Path, tmp_path: Path
) -> None:
    tensors = merged_with(tiny_folder, base32, read_lora(lora).layers)
    save_file(tensors, tmp_path / "merged.safetensors")
    found = run(extract(base32, tmp_path / "merged.safetensors", 4, "attention+conv", CPU))
    assert found.captured[3] > 0.9999 and found.captured[0] < 0.9 and found.reachable == pytest.approx(1)
    assert all(a <= b for a, b in zip(found.captured, found.captured[1:], strict=False))
    write_lora(tmp_path / "found.safetensors", found.file)
    attached, merged = fresh(tiny_folder), loaded(tiny_folder, tensors)
    attach_lora(attached, tmp_path / "found.safetensors")
    change = (answer(merged) - answer(fresh(tiny_folder))).norm()
    assert (answer(attached) - answer(merged)).norm() < 0.01 * change
    only = run(extract(base32, tmp_path / "merged.safetensors", 4, "attention", CPU))
    assert 0 < only.reachable < 1 and len(only.file.tensors) < len(found.file.tensors)


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (8, 4, 3, 3), (32, 16, 1, 1)])
def test_the_closest_is_that_of_the_singular_values(shape: tuple[int, ...]) -> None:
    torch.manual_seed(2)
    change = torch.randn(shape) * 1e-3
    found, squares = closest(change, 3)
    u, s, v = torch.linalg.svd(change.flatten(1).double())
    best = (u[:, :3] * s[:3] @ v[:3]).reshape(shape)
    assert torch.allclose(found.product().double(), best, atol=1e-9)
    assert torch.allclose(squares[: len(s)], s.square(), atol=1e-12) and not squares[len(s) :].any()
    assert found.down.shape == (3, *shape[1:]) and found.up.shape[:2] == (shape[0], 3)


def test_no_difference_and_other_shapes_are_said(tiny_folder: Path, base32: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="don't differ"):
        run(extract(base32, tiny_folder / UNET, 4, "attention", CPU))
    tensors = load_file(base32)
    tensors.pop("conv_in.bias")
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(BadModelFile, match=r"conv_in\.bias"):
        run(extract(base32, tmp_path / "other.safetensors", 4, "attention", CPU))


def test_resizing_keeps_what_a_smaller_rank_can_hold(lora: Path) -> None:
    layers = read_lora(lora).layers
    file, captured = resize(layers, 2)
    assert captured[-1] == pytest.approx(1) and 0 < captured[0] < captured[1] < captured[3]
    for path, layer in file.layers.items():
        u, s, v = torch.linalg.svd(layers[path].product().flatten(1).double())
        best = u[:, :2] * s[:2] @ v[:2]
        assert torch.allclose(layer.product().flatten(1).double(), best, atol=5e-4)
    with pytest.raises(BadInput, match="isn't smaller"):
        resize(layers, 4)


def test_mixing(tiny_folder: Path, base32: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    first = load_file(base32)
    others = [{key: value + torch.randn_like(value) for key, value in first.items()} for _ in range(2)]
    paths = [tmp_path / "b.safetensors", tmp_path / "c.safetensors"]
    for path, tensors in zip(paths, others, strict=True):
        save_file(tensors, path)
    for entry in mixed_entries([base32, paths[0]], [0.25, 0.75]):
        assert torch.allclose(entry.read(), 0.25 * first[entry.key] + 0.75 * others[0][entry.key], atol=1e-6)
    for entry in mixed_entries([base32, *paths], [1, 0.5, -0.5]):
        expected = first[entry.key] + 0.5 * (others[0][entry.key] - others[1][entry.key])
        assert torch.allclose(entry.read(), expected, atol=1e-6)
    for entry in mixed_entries([tiny_folder / UNET, paths[0]], [1.0, 0.0]):
        assert entry.dtype == torch.float16 and torch.equal(entry.read().float(), first[entry.key])


def test_foreign_loras_are_refused(tiny_folder: Path, base32: Path, tmp_path: Path) -> None:
    down, up = torch.ones(2, 8), torch.ones(8, 2)
    with pytest.raises(BadModelFile, match="doesn't have"):
        require_layers(["nowhere.to_q"], base32)
    path = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    with pytest.raises(BadModelFile, match=r"has the shape \[8, 8\]"):
        merged_with(tiny_folder, base32, {path: LowRank(down, up, 1.0)})
    for field, words in (
        ("oft_blocks", "OFT"),
        ("hada_w1_a", "lacks its half"),
        ("lora_A.weight", "lacks its half"),
    ):
        save_file({f"unet.{path}.{field}": down}, tmp_path / "x.safetensors")
        with pytest.raises(BadModelFile, match=words):
            read_lora(tmp_path / "x.safetensors")


def test_small_layers_are_filled_up_to_the_rank() -> None:
    file = lora_file({"a.to_q": LowRank(torch.ones(2, 8), torch.ones(8, 2), 1.0)}, 4)
    assert file.tensors["unet.a.to_q.lora_A.weight"].shape == (4, 8)
    assert torch.equal(file.layers["a.to_q"].product(), torch.full((8, 8), 2.0))
