"""Every naming and kind of LoRA file means the same weights, by formulas written anew here."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save, save_file
from torch import Tensor

from dreamgui.errors import BadInput, BadModelFile
from dreamgui.exporting.lora import exported_lora, is_rounded, write_lora_file
from dreamgui.models.catalog.cards import ModelCard
from dreamgui.models.files.layout import empty_unet
from dreamgui.models.loading import load_text_encoder
from dreamgui.models.lora.adapters import LoraFile, read_lora, write_lora
from dreamgui.models.lora.attach import attach, attached, detach
from dreamgui.models.lora.texts import lora_metadata
from dreamgui.models.recognition.inspect_file import inspect_file
from dreamgui.models.recognition.recognise import recognise

RANK, ALPHA = 2, 1.0
BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
QUERY, OUT, CONV, NORM = (
    f"{BLOCK}.attn1.to_q",
    f"{BLOCK}.attn1.to_out.0",
    "mid_block.resnets.0.conv1",
    f"{BLOCK}.norm1",
)
FIRST = f"{BLOCK}.ff.net.0.proj"
LDM = {
    QUERY: "input_blocks.1.1.transformer_blocks.0.attn1.to_q",
    OUT: "input_blocks.1.1.transformer_blocks.0.attn1.to_out.0",
}
TEXT_LAYERS = (
    "text_model.encoder.layers.0.self_attn.q_proj",
    "text_model.encoder.layers.1.self_attn.out_proj",
    "text_model.encoder.layers.1.mlp.fc1",
)  # fmt: skip


@pytest.fixture(scope="module")
def weights(tiny_folder: Path) -> dict[str, Tensor]:
    return {
        key: value.float()
        for key, value in load_file(tiny_folder / "unet/diffusion_pytorch_model.safetensors").items()
    }


@pytest.fixture(scope="module")
def unet(tiny_folder: Path) -> Any:
    return empty_unet(tiny_folder)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape))) * 0.3


def pair(path: str) -> tuple[Tensor, Tensor]:
    return random(RANK, 32, seed=len(path)), random(32, RANK, seed=3 * len(path))


def scaled(path: str, scale: float) -> Tensor:
    """What a pair adds, number by number."""
    down, up = pair(path)
    return scale * sum(torch.outer(up[:, rank], down[rank]) for rank in range(RANK))  # pyright: ignore


def flat(path: str) -> str:
    return path.replace(".", "_")


def processor(path: str) -> str:
    head, last = path.removesuffix(".0").rsplit(".", 1)
    return f"{head}.processor.{last}_lora"


# Name: (key of the first half, of the second, of alpha; None where alpha can't be said).
Namer = Callable[[str], tuple[str, str, str | None]]
NAMINGS: dict[str, Namer] = {
    "kohya": lambda p: (f"lora_unet_{flat(p)}.lora_down.weight", f"lora_unet_{flat(p)}.lora_up.weight", f"lora_unet_{flat(p)}.alpha"),
    "kohya of LDM's blocks": lambda p: (f"lora_unet_{flat(LDM[p])}.lora_down.weight", f"lora_unet_{flat(LDM[p])}.lora_up.weight", f"lora_unet_{flat(LDM[p])}.alpha"),
    "LyCORIS in diffusers": lambda p: (f"lycoris_{flat(p)}.lora_down.weight", f"lycoris_{flat(p)}.lora_up.weight", f"lycoris_{flat(p)}.alpha"),
    "ComfyUI": lambda p: (f"diffusion_model.{LDM[p]}.lora_down.weight", f"diffusion_model.{LDM[p]}.lora_up.weight", f"diffusion_model.{LDM[p]}.alpha"),
    "diffusers": lambda p: (f"unet.{p}.lora_A.weight", f"unet.{p}.lora_B.weight", f"unet.{p}.alpha"),
    "an adapter's name": lambda p: (f"unet.{p}.lora_A.default.weight", f"unet.{p}.lora_B.default.weight", None),
    "diffusers' scripts": lambda p: (f"unet.{p}.lora.down.weight", f"unet.{p}.lora.up.weight", None),
    "lora_linear_layer": lambda p: (f"unet.{p}.lora_linear_layer.down.weight", f"unet.{p}.lora_linear_layer.up.weight", None),
    "processors": lambda p: (f"unet.{processor(p)}.down.weight", f"unet.{processor(p)}.up.weight", None),
    "processors alone": lambda p: (f"{processor(p)}.down.weight", f"{processor(p)}.up.weight", None),
    "a UNet's own": lambda p: (f"{p}.lora_A.weight", f"{p}.lora_B.weight", None),
    "PEFT": lambda p: (f"base_model.model.{p}.lora_A.weight", f"base_model.model.{p}.lora_B.weight", None),
}  # fmt: skip


def named(namer: Namer, paths: tuple[str, ...] = (QUERY, OUT)) -> dict[str, Tensor]:
    tensors = {}
    for path in paths:
        keys = namer(path)
        tensors |= dict(zip(keys[:2], pair(path), strict=True))
        if keys[2]:
            tensors[keys[2]] = torch.tensor(ALPHA)
    return tensors


@pytest.mark.parametrize("naming", NAMINGS)
def test_every_naming_means_the_same_layers(naming: str, unet: Any, weights: dict, tmp_path: Path) -> None:
    save_file(named(NAMINGS[naming]), tmp_path / "x.safetensors")
    file = read_lora(tmp_path / "x.safetensors", unet)
    scale = ALPHA / RANK if NAMINGS[naming](QUERY)[2] else 1.0
    assert set(file.layers) == {QUERY, OUT} and not file.text_layers
    for path, change in file.layers.items():
        assert torch.allclose(change.delta(weights[f"{path}.weight"]), scaled(path, scale), atol=1e-6)
    assert recognise(tmp_path / "x.safetensors").kind == "lora"


TEXT_NAMINGS: dict[str, Namer] = {
    "kohya": lambda p: (f"lora_te_{flat(p)}.lora_down.weight", f"lora_te_{flat(p)}.lora_up.weight", f"lora_te_{flat(p)}.alpha"),
    "OneTrainer": lambda p: (f"lora_te1_{flat(p)}.lora_down.weight", f"lora_te1_{flat(p)}.lora_up.weight", f"lora_te1_{flat(p)}.alpha"),
    "diffusers": lambda p: (f"text_encoder.{p}.lora_A.weight", f"text_encoder.{p}.lora_B.weight", None),
    "new transformers": lambda p: (f"text_encoder.{p[11:]}.lora_A.weight", f"text_encoder.{p[11:]}.lora_B.weight", None),
    "lora_linear_layer": lambda p: (f"text_encoder.{p}.lora_linear_layer.down.weight", f"text_encoder.{p}.lora_linear_layer.up.weight", None),
    "PEFT": lambda p: (f"base_model.model.{p}.lora_A.weight", f"base_model.model.{p}.lora_B.weight", None),
}  # fmt: skip


@pytest.mark.parametrize("naming", TEXT_NAMINGS)
def test_text_encoders_too(naming: str, unet: Any, tmp_path: Path) -> None:
    paths = TEXT_LAYERS[:2]
    save_file(named(NAMINGS["kohya"]) | named(TEXT_NAMINGS[naming], paths), tmp_path / "x.safetensors")
    file = read_lora(tmp_path / "x.safetensors", unet)
    scale = ALPHA / RANK if TEXT_NAMINGS[naming](paths[0])[2] else 1.0
    assert set(file.text_layers) == set(paths) and set(file.layers) == {QUERY, OUT}
    for path, change in file.text_layers.items():
        assert torch.allclose(change.delta(torch.zeros(32, 32)), scaled(path, scale), atol=1e-6)


def test_old_names_of_a_text_encoders_projections(unet: Any, tmp_path: Path) -> None:
    stem = "text_encoder.text_model.encoder.layers.0.self_attn.to_out_lora"
    save_file(
        {f"{stem}.down.weight": random(RANK, 32), f"{stem}.up.weight": random(32, RANK)},
        tmp_path / "x.safetensors",
    )
    assert set(read_lora(tmp_path / "x.safetensors", unet).text_layers) == {
        "text_model.encoder.layers.0.self_attn.out_proj"
    }


def kron(first: Tensor, second: Tensor) -> Tensor:
    """A Kronecker product, block by block; a kernel stays where it is."""
    rows = [torch.cat([number * second for number in row], dim=1) for row in first]
    return torch.cat(rows)


Made = tuple[dict[str, Tensor], Tensor]


def loha(weight: Tensor) -> Made:
    parts = {"hada_w1_a": random(32, RANK), "hada_w1_b": random(RANK, 32, seed=1), "hada_w2_a": random(32, RANK, seed=2), "hada_w2_b": random(RANK, 32, seed=3)}  # fmt: skip
    first, second = (torch.einsum("or,ri->oi", parts[f"hada_w{n}_a"], parts[f"hada_w{n}_b"]) for n in (1, 2))
    return {**parts, "alpha": torch.tensor(ALPHA)}, ALPHA / RANK * first * second


def loha_with_cores(weight: Tensor) -> Made:
    out, into = weight.shape[:2]
    parts, product = {}, torch.ones(())
    for n in (1, 2):
        core, outer, inner = (
            random(RANK, RANK, 3, 3, seed=n),
            random(RANK, out, seed=n),
            random(RANK, into, seed=n + 5),
        )
        parts |= {f"hada_t{n}": core, f"hada_w{n}_a": outer, f"hada_w{n}_b": inner}
        product = product * torch.einsum("ijkl,jr,ip->prkl", core, inner, outer)
    return {**parts, "alpha": torch.tensor(ALPHA)}, ALPHA / RANK * product


def lokr(weight: Tensor) -> Made:
    first, second = random(4, 4), random(8, 8, seed=1)
    return {"lokr_w1": first, "lokr_w2": second, "alpha": torch.tensor(7.0)}, kron(first, second)


def lokr_of_low_ranks(weight: Tensor) -> Made:
    parts = {"lokr_w1_a": random(4, RANK), "lokr_w1_b": random(RANK, 4, seed=1), "lokr_w2_a": random(8, RANK, seed=2), "lokr_w2_b": random(RANK, 8, seed=3)}  # fmt: skip
    first, second = (parts[f"lokr_w{n}_a"] @ parts[f"lokr_w{n}_b"] for n in (1, 2))
    return {**parts, "alpha": torch.tensor(ALPHA)}, ALPHA / RANK * kron(first, second)


def lokr_with_core(weight: Tensor) -> Made:
    out, into = weight.shape[0] // 4, weight.shape[1] // 4
    first, core, outer, inner = (
        random(4, 4),
        random(RANK, RANK, 3, 3),
        random(RANK, out),
        random(RANK, into, seed=1),
    )
    second = torch.einsum("ijkl,ip,jr->prkl", core, outer, inner)
    parts = {
        "lokr_w1": first,
        "lokr_t2": core,
        "lokr_w2_a": outer,
        "lokr_w2_b": inner,
        "alpha": torch.tensor(ALPHA),
    }
    return parts, ALPHA / RANK * kron(first, second)


def ia3_of_outputs(weight: Tensor) -> Made:
    factors = random(1, weight.shape[0])
    return {"weight": factors, "on_input": torch.tensor(False)}, torch.diag(factors[0]) @ weight


def ia3_of_inputs(weight: Tensor) -> Made:
    factors = random(1, weight.shape[1])
    return {"weight": factors, "on_input": torch.tensor(True)}, weight @ torch.diag(factors[0])


def middle(weight: Tensor) -> Made:
    """Down, middle and up are three convolutions in a row."""
    out, into = weight.shape[:2]
    down, core, up = random(RANK, into, 1, 1), random(RANK, RANK, 3, 3), random(out, RANK, 1, 1, seed=1)
    image, convolve = torch.eye(into * 9).reshape(into * 9, into, 3, 3), torch.nn.functional.conv2d
    answers = convolve(convolve(convolve(image, down), core), up).reshape(into * 9, out)
    parts = {
        "lora_down.weight": down,
        "lora_mid.weight": core,
        "lora_up.weight": up,
        "alpha": torch.tensor(ALPHA),
    }
    return parts, ALPHA / RANK * answers.T.reshape(out, into, 3, 3)


def full(weight: Tensor) -> Made:
    difference = random(*weight.shape)
    return {"diff": difference}, difference


def norm(weight: Tensor) -> Made:
    difference = random(*weight.shape)
    return {"w_norm": difference}, difference


def dora(weight: Tensor, on_input: bool = False) -> Made:
    down, up = pair(QUERY)
    magnitude = 1.1 * weight.norm(dim=0 if on_input else 1)
    total = weight + ALPHA / RANK * up @ down
    shaped = total.T if on_input else total
    rows = torch.stack([size * row / row.norm() for row, size in zip(shaped, magnitude, strict=True)])
    parts = {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(ALPHA)}
    parts["dora_scale"] = magnitude[None] if on_input else magnitude[:, None]
    return parts, (rows.T if on_input else rows) - weight


KINDS: dict[str, tuple[str, Callable[[Tensor], Made], str]] = {
    "LoHa": (QUERY, loha, "LoHa"),
    "LoHa with cores": (CONV, loha_with_cores, "LoHa"),
    "LoKr": (QUERY, lokr, "LoKr"),
    "LoKr of low ranks": (QUERY, lokr_of_low_ranks, "LoKr"),
    "LoKr with a core": (CONV, lokr_with_core, "LoKr"),
    "IA3 of outputs": (FIRST, ia3_of_outputs, "IA3"),
    "IA3 of inputs": (FIRST, ia3_of_inputs, "IA3"),
    "LoCon with a middle": (CONV, middle, "LoCon"),
    "full difference": (CONV, full, "full difference"),
    "norm": (NORM, norm, "norms"),
    "DoRA": (QUERY, dora, "DoRA"),
    "DoRA of inputs": (QUERY, lambda weight: dora(weight, on_input=True), "DoRA"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_by_its_formula(kind: str, unet: Any, weights: dict, tmp_path: Path) -> None:
    path, make, word = KINDS[kind]
    parts, expected = make(weights[f"{path}.weight"])
    tensors = {f"lora_unet_{flat(path)}.{field}": value.contiguous() for field, value in parts.items()}
    save_file(tensors, tmp_path / "x.safetensors")
    file = read_lora(tmp_path / "x.safetensors", unet)
    weight = weights[f"{path}.weight"]
    assert set(file.layers) == {path}
    assert torch.allclose(file.layers[path].delta(weight), expected, atol=1e-5)
    assert torch.allclose(file.layers[path].applied(weight, 0.5), weight + 0.5 * expected, atol=1e-5)
    assert word in recognise(tmp_path / "x.safetensors").name
    with pytest.raises(BadModelFile, match=r"doesn't fit|doesn't have"):
        read_lora(renamed(tmp_path / "x.safetensors", path, "time_embedding.linear_2"), unet)


def renamed(source: Path, path: str, other: str) -> Path:
    target = source.with_name("other.safetensors")
    save_file(
        {key.replace(flat(path), flat(other)): value for key, value in load_file(source).items()}, target
    )
    return target


def test_a_bias_and_a_full_difference_together(unet: Any, tmp_path: Path) -> None:
    stem = f"lora_unet_{flat(CONV)}"
    save_file(
        {f"{stem}.diff_b": random(64), f"{stem}.diff": random(64, 64, 3, 3)}, tmp_path / "x.safetensors"
    )
    assert set(read_lora(tmp_path / "x.safetensors", unet).layers) == {CONV, f"{CONV}.bias"}


@torch.no_grad()
def answer(unet: Any) -> Tensor:
    torch.manual_seed(0)
    return unet(torch.randn(2, 4, 8, 8), torch.tensor([5, 900]), torch.randn(2, 77, 32)).sample


def everything(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """One layer of each kind, each at another place."""
    places = {
        f"{BLOCK}.attn1.to_q": lokr, f"{BLOCK}.attn1.to_k": loha, f"{BLOCK}.attn1.to_v": dora, f"{BLOCK}.attn2.to_q": ia3_of_inputs,
        CONV: middle, "mid_block.resnets.0.conv2": full, NORM: norm,
    }  # fmt: skip
    tensors = named(NAMINGS["kohya"], (OUT,)) | {f"lora_unet_{flat(CONV)}.diff_b": random(64)}
    for path, make in places.items():
        parts = make(weights[f"{path}.weight"])[0]
        tensors |= {f"lora_unet_{flat(path)}.{field}": value.contiguous() for field, value in parts.items()}
    return tensors | named(TEXT_NAMINGS["kohya"], TEXT_LAYERS[:2])


def test_what_is_attached_is_what_is_merged_and_comes_off_bitwise(
    tiny_folder: Path, weights: dict, tmp_path: Path
) -> None:
    save_file(everything(weights), tmp_path / "x.safetensors")
    model: Any = UNet2DConditionModel.from_pretrained(tiny_folder / "unet", torch_dtype=torch.float32).eval()
    text: Any = load_text_encoder(tiny_folder, torch.device("cpu"), torch.float32)
    file = read_lora(tmp_path / "x.safetensors", model)
    merged: Any = UNet2DConditionModel.from_pretrained(tiny_folder / "unet", torch_dtype=torch.float32).eval()
    for layer, change in file.layers.items():
        parameter = merged.get_parameter(layer if layer.endswith(".bias") else f"{layer}.weight")
        parameter.data = change.applied(parameter.data, 0.7)
    before = {key: value.clone() for one in (model, text) for key, value in one.state_dict().items()}
    with attached(model, text, (tmp_path / "x.safetensors", 0.7)):
        assert torch.allclose(answer(model), answer(merged), atol=1e-4)
        assert any(not torch.equal(value, before[key]) for key, value in text.state_dict().items())
    after = {key: value for one in (model, text) for key, value in one.state_dict().items()}
    assert after.keys() == before.keys() and all(torch.equal(after[key], before[key]) for key in before)
    with attached(model, text, (tmp_path / "x.safetensors", 0.0)):
        assert torch.equal(answer(model), answer_of(tiny_folder))
    with pytest.raises(BadModelFile, match="doesn't have"):
        attach(text, ({"text_model.encoder.layers.9.mlp.fc1": file.layers[OUT]}, 1.0))
    detach(text)


def test_several_are_attached_at_once_as_their_sum(tiny_folder: Path, weights: dict, tmp_path: Path) -> None:
    """Of any kind and any layers, at strengths of both signs; the model is bitwise its own afterwards."""
    save_file(everything(weights), tmp_path / "x.safetensors")
    save_file(named(TEXT_NAMINGS["kohya"], TEXT_LAYERS[:2]), tmp_path / "y.safetensors")
    text: Any = load_text_encoder(tiny_folder, torch.device("cpu"), torch.float32)
    model, merged = (
        UNet2DConditionModel.from_pretrained(tiny_folder / "unet", torch_dtype=torch.float32).eval()
        for _ in range(2)
    )
    before = {key: value.clone() for one in (model, text) for key, value in one.state_dict().items()}
    for scale in (0.7, -0.4):
        for layer, change in read_lora(tmp_path / "x.safetensors", model).layers.items():
            parameter = merged.get_parameter(layer if layer.endswith(".bias") else f"{layer}.weight")
            parameter.data = change.applied(parameter.data, scale)
    uses = [
        (tmp_path / "x.safetensors", 0.7),
        (tmp_path / "y.safetensors", 1.0),
        (tmp_path / "x.safetensors", -0.4),
    ]
    with attached(model, text, *uses):
        assert torch.allclose(answer(model), answer(merged), atol=1e-4)
        assert not torch.allclose(answer(model), answer_of(tiny_folder), atol=1e-4)
    after = {key: value for one in (model, text) for key, value in one.state_dict().items()}
    assert after.keys() == before.keys() and all(torch.equal(after[key], before[key]) for key in before)


def answer_of(folder: Path) -> Tensor:
    return answer(UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32).eval())


def test_text_encoder_layers_of_any_kind_have_their_own_alphas(tiny_folder: Path, tmp_path: Path) -> None:
    tensors = named(TEXT_NAMINGS["kohya"], TEXT_LAYERS[:2])
    stem = f"lora_te_{flat(TEXT_LAYERS[2])}"
    down, up = random(4, 32), random(64, 4)
    tensors |= {
        f"{stem}.lora_down.weight": down,
        f"{stem}.lora_up.weight": up,
        f"{stem}.alpha": torch.tensor(8.0),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    text: Any = load_text_encoder(tiny_folder, torch.device("cpu"), torch.float32)
    tokens = torch.arange(77)[None]
    with torch.no_grad():
        plain = text(tokens).last_hidden_state
        attach(text, (read_lora(tmp_path / "x.safetensors").text_layers, 1.0))
        shown = text(tokens).last_hidden_state
        detach(text)
        assert torch.equal(text(tokens).last_hidden_state, plain)
        for path in TEXT_LAYERS:
            parameter = text.get_parameter(f"{path.removeprefix('text_model.')}.weight")
            parameter += 8 / 4 * up @ down if path == TEXT_LAYERS[2] else scaled(path, ALPHA / RANK)
        assert torch.allclose(text(tokens).last_hidden_state, shown, atol=1e-4) and not torch.allclose(
            plain, shown
        )


def header(**settings: Any) -> dict[str, str]:
    told = {"r": RANK, "lora_alpha": ALPHA, **settings}
    return {"lora_adapter_metadata": json.dumps({f"unet.{key}": value for key, value in told.items()})}


@pytest.mark.parametrize(
    ("patterns", "scales"),
    [
        ({"to_q": 8.0}, {QUERY: 4.0, OUT: 0.5}),
        ({r".*attn1\.to_out\.0": 8.0}, {QUERY: 0.5, OUT: 4.0}),
        ({"to_": 8.0}, {QUERY: 0.5, OUT: 0.5}),
        ({QUERY: 8.0, "to_q": 2.0}, {QUERY: 4.0, OUT: 0.5}),
        ({r"attn1\.to_(q|out\.0)": 4.0}, {QUERY: 2.0, OUT: 2.0}),
    ],
)
def test_patterns_mean_ends_of_paths_as_in_peft(
    patterns: dict, scales: dict, unet: Any, tmp_path: Path
) -> None:
    tensors = {key: value for key, value in named(NAMINGS["diffusers"]).items() if "alpha" not in key}
    save_file(tensors, tmp_path / "x.safetensors", header(alpha_pattern=patterns))
    layers: Any = read_lora(tmp_path / "x.safetensors", unet).layers
    assert {path: layer.scale for path, layer in layers.items()} == scales


@pytest.mark.parametrize("pattern", ["(a+)+$", ".*.*.*.*.*b", "(", "[", 3])
def test_patterns_that_are_none_or_would_search_for_hours(pattern: Any, unet: Any, tmp_path: Path) -> None:
    tensors = {key: value for key, value in named(NAMINGS["diffusers"]).items() if "alpha" not in key}
    wrong = {"lora_alpha": "x"} if pattern == 3 else {"alpha_pattern": {pattern: 8.0}}
    save_file(tensors, tmp_path / "x.safetensors", header(**wrong))
    with pytest.raises(BadModelFile, match=r"settings in x\.safetensors") as caught:
        read_lora(tmp_path / "x.safetensors", unet)
    assert caught.value.next_step


def test_other_containers_hold_the_same(unet: Any, weights: dict, tmp_path: Path) -> None:
    """A pickle, an ending in capitals, a folder of peft's with its settings beside, and one of two parts."""
    kohya, peft = named(NAMINGS["kohya"]), named(NAMINGS["PEFT"])
    torch.save(kohya, tmp_path / "kohya.pt")
    torch.save(named(NAMINGS["processors alone"]), tmp_path / "pytorch_lora_weights.bin")
    save_file(kohya, tmp_path / "Kohya Upper.SafeTensors")
    for folder in (tmp_path / "one", tmp_path / "two" / "unet"):
        folder.mkdir(parents=True)
        save_file(peft, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(
            json.dumps({"r": RANK, "lora_alpha": ALPHA, "peft_type": "LORA"})
        )
    (tmp_path / "two" / "text_encoder").mkdir()
    text = named(TEXT_NAMINGS["PEFT"], TEXT_LAYERS[:2])
    torch.save(text, tmp_path / "two" / "text_encoder" / "adapter_model.bin")
    for name, scale in (
        ("kohya.pt", 0.5),
        ("pytorch_lora_weights.bin", 1),
        ("Kohya Upper.SafeTensors", 0.5),
        ("one", 0.5),
        ("two", 0.5),
    ):
        file = read_lora(tmp_path / name, unet)
        assert torch.allclose(
            file.layers[OUT].delta(weights[f"{OUT}.weight"]), scaled(OUT, scale), atol=1e-6
        ), name
        assert len(file.text_layers) == (2 if name == "two" else 0)
        assert "LoRA" in inspect_file(tmp_path / name)[0]
    with pytest.raises(BadModelFile, match="holds no LoRA"):
        read_lora(tmp_path / "gone", unet)


def test_texts_may_be_longer_than_any_entries(unet: Any, tmp_path: Path) -> None:
    tags = json.dumps({f"tag {number} of a large set, with more words": number for number in range(150_000)})
    save_file(
        named(NAMINGS["kohya"]), tmp_path / "x.safetensors", {"ss_tag_frequency": tags, "ss_steps": "3"}
    )
    file = read_lora(tmp_path / "x.safetensors", unet)
    assert len(file.layers) == 2 and file.metadata["ss_tag_frequency"] == tags and len(tags) > 6_000_000


def test_entries_may_not(tmp_path: Path) -> None:
    text = (
        b'{"__metadata__":{"a":"b"},'
        + b" " * 6_100_000
        + b'"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    )
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(BadModelFile, match="entries have"):
        read_lora(tmp_path / "x.safetensors")


STEM = f"lora_unet_{flat(QUERY)}"


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({f"{STEM}.oft_blocks": (4, 8, 8)}, "an OFT.*doesn't read"),
        ({f"{STEM}.oft_blocks": (2, 4, 8, 8)}, "a BOFT.*doesn't read"),
        ({f"{STEM}.a1.weight": (2, 32), f"{STEM}.b2.weight": (32, 2)}, "a GLoRA.*doesn't read"),
        ({f"{STEM}.lora_down.weight": (2, 32)}, "lacks its half up"),
        ({f"{STEM}.lora_down.weight": (2, 32), f"{STEM}.lora_up.weight": (32, 3)}, "don't fit together"),
        ({f"{STEM}.lora_down.weight": (2, 32), f"{STEM}.lora_up.weight": (32, 2), f"{STEM}.what": (2,)}, "what.*doesn't read"),
        ({f"{STEM}.lora_down.weight": (2, 32), f"{STEM}.lora_up.weight": (32, 2), f"{STEM}.lora_up.bias": (2,)}, "up.bias.*doesn't read"),
        ({f"{STEM}.lora_down.weight": (2, 32), f"{STEM}.lora_up.weight": (32, 2), f"{STEM}.hada_w1_a": (2, 2)}, "hada_w1_a beside"),
        ({f"{STEM}.lora_down.weight": (2, 32), f"{STEM}.lora_up.weight": (32, 2), f"unet.{QUERY}.lora_A.weight": (2, 32)}, "twice"),
        ({f"{STEM}.hada_w1_a": (32, 2)}, "lacks its half hada_w1_b"),
        ({f"{STEM}.lora_down.weight": (0, 32), f"{STEM}.lora_up.weight": (32, 0)}, "rank is 0"),
        ({f"{STEM}.lora_down.weight": (2, 32), f"{STEM}.lora_up.weight": (32, 2), f"{STEM}.alpha": (3,)}, "alpha is 3 numbers"),
        ({"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (2, 8)}, "Stable Diffusion XL"),
        ({"lora_unet_double_blocks_0_img_attn_proj.lora_down.weight": (2, 8)}, "for Flux"),
        ({"lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight": (2, 2048)}, "Stable Diffusion XL"),
        ({f"lora_unet_{flat(BLOCK)}_attn2_to_k.lora_down.weight": (2, 1024)}, "Stable Diffusion 2"),
        ({f"lora_unet_{flat(BLOCK)}_attn2_to_k.lora_down.weight": (2, 768), f"lora_unet_{flat(BLOCK)}_attn2_to_k.lora_up.weight": (320, 2)}, "doesn't fit"),
        ({"lora_te_text_model_nowhere.lora_down.weight": (2, 2)}, "doesn't have"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_named(tensors: dict, words: str, unet: Any, tmp_path: Path) -> None:
    save_file({key: torch.ones(shape) for key, shape in tensors.items()}, tmp_path / "x.safetensors")
    with pytest.raises(BadModelFile, match=words) as caught:
        read_lora(tmp_path / "x.safetensors", unet)
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("field", "name"), [("oft_blocks", "an OFT"), ("oft_diag", "an OFT"), ("vera_lambda_b", "a VeRA")]
)
def test_an_unread_kind_is_recognised_as_what_it_is(field: str, name: str, tmp_path: Path) -> None:
    save_file({f"{STEM}.{field}": torch.ones(4, 8, 8)}, tmp_path / "x.safetensors")
    found = recognise(tmp_path / "x.safetensors")
    assert found.kind == "lora" and found.name.startswith(name)
    assert f"doesn't read {name.split()[1]}" in found.next_step


def test_alphas_of_zero_stay_zero(unet: Any, tmp_path: Path) -> None:
    tensors = named(NAMINGS["kohya"])
    tensors[f"{STEM}.alpha"] = torch.tensor(0.0)
    save_file(tensors, tmp_path / "x.safetensors")
    file = read_lora(tmp_path / "x.safetensors", unet)
    for keys in ("kohya", "diffusers"):
        layers: Any = exported_lora(file, keys, "fp32").layers
        assert not layers[QUERY].product().any() and layers[OUT].product().any()


def test_first_text_encoders_alone_are_not_sdxls(unet: Any, tmp_path: Path) -> None:
    """OneTrainer writes ``lora_te1_`` for Stable Diffusion 1.5, and its embeddings beside."""
    more = {"bundle_emb.anna.string_to_param.*": random(2, 32), "bundle_emb.bert.clip_l": random(1, 32)}
    save_file(
        named(NAMINGS["kohya"]) | named(TEXT_NAMINGS["OneTrainer"], TEXT_LAYERS[:1]) | more,
        tmp_path / "x.safetensors",
    )
    file = read_lora(tmp_path / "x.safetensors", unet)
    assert (
        file.unread == ("the textual inversion anna", "the textual inversion bert")
        and len(file.text_layers) == 1
    )
    lines = inspect_file(tmp_path / "x.safetensors")
    assert (
        "XL" not in lines[0]
        and "UNet 2 layers, text encoder 1 layers; textual inversions anna, bert" in lines[2]
    )


def exported(file: LoraFile, keys: Any, target: Path) -> dict[str, Tensor]:
    write_lora_file(target, exported_lora(file, keys, "fp32"), keys, {})
    return load_file(target)


def test_alpha_is_in_the_numbers_of_diffusers_keys(unet: Any, tmp_path: Path) -> None:
    """A reader that knows nothing of the header's settings adds B A."""
    save_file(named(NAMINGS["kohya"]), tmp_path / "k.safetensors")
    file = read_lora(tmp_path / "k.safetensors", unet)
    tensors = exported(file, "diffusers", tmp_path / "d.safetensors")
    for path in (QUERY, OUT):
        product = tensors[f"unet.{path}.lora_B.weight"] @ tensors[f"unet.{path}.lora_A.weight"]
        assert torch.allclose(product, scaled(path, ALPHA / RANK), atol=1e-6)
    again: Any = read_lora(tmp_path / "d.safetensors").layers
    assert {layer.scale for layer in again.values()} == {1.0}
    assert not is_rounded(file, exported_lora(file, "diffusers", "fp32"))
    assert is_rounded(file, exported_lora(file, "diffusers", "fp16"))


def test_kohyas_keys_come_out_as_they_went_in(unet: Any, tmp_path: Path) -> None:
    tensors = named(NAMINGS["kohya"]) | named(TEXT_NAMINGS["kohya"], TEXT_LAYERS[:2])
    save_file(tensors, tmp_path / "k.safetensors")
    out = exported(read_lora(tmp_path / "k.safetensors", unet), "kohya", tmp_path / "out.safetensors")
    assert out.keys() == tensors.keys() and all(torch.equal(out[key], tensors[key]) for key in tensors)


def test_an_imported_locon_with_a_middle_is_written(unet: Any, weights: dict, tmp_path: Path) -> None:
    """Down and middle become one kernel, whose numbers lie transposed in memory."""
    parts, expected = middle(weights[f"{CONV}.weight"])
    stem = f"lora_unet_{flat(CONV)}"
    save_file(
        {f"{stem}.{field}": value.contiguous() for field, value in parts.items()}, tmp_path / "k.safetensors"
    )
    write_lora(tmp_path / "out.safetensors", read_lora(tmp_path / "k.safetensors", unet))
    again = read_lora(tmp_path / "out.safetensors", unet).layers[CONV]
    assert torch.allclose(again.delta(weights[f"{CONV}.weight"]), expected, atol=1e-5)


def test_an_imported_pickle_of_views_of_one_tensor_is_written(unet: Any, tmp_path: Path) -> None:
    """Two layers share their memory, and halves are transposed."""
    tensors = named(NAMINGS["kohya"])
    for key in [key for key in tensors if flat(OUT) in key and not key.endswith("alpha")]:
        tensors[key] = tensors[key.replace(flat(OUT), flat(QUERY))]
    ups = {key: value.T.contiguous().T for key, value in tensors.items() if "lora_up" in key}
    torch.save({**tensors, **ups}, tmp_path / "k.pt")
    write_lora(tmp_path / "out.safetensors", read_lora(tmp_path / "k.pt", unet))
    out = load_file(tmp_path / "out.safetensors")
    assert torch.equal(out[f"unet.{OUT}.lora_A.weight"], pair(QUERY)[0])
    assert torch.equal(out[f"unet.{QUERY}.lora_B.weight"], pair(QUERY)[1])


def test_alphas_that_differ_become_one_in_kohyas_keys(unet: Any, weights: dict, tmp_path: Path) -> None:
    """diffusers takes one layer's alpha for another's where they differ."""
    tensors = named(NAMINGS["kohya"]) | named(TEXT_NAMINGS["kohya"], TEXT_LAYERS[:2])
    tensors[f"{STEM}.alpha"] = torch.tensor(4.0)
    save_file(tensors, tmp_path / "k.safetensors")
    out = exported(read_lora(tmp_path / "k.safetensors", unet), "kohya", tmp_path / "out.safetensors")
    assert {float(value) for key, value in out.items() if key.endswith("alpha")} == {ALPHA}
    layers = read_lora(tmp_path / "out.safetensors", unet).layers
    for path, scale in ((QUERY, 2.0), (OUT, 0.5)):
        assert torch.allclose(layers[path].delta(weights[f"{path}.weight"]), scaled(path, scale), atol=1e-6)


@pytest.mark.parametrize("path", [QUERY, CONV])
def test_kohyas_dora_goes_to_diffusers_keys(
    path: str, tiny_folder: Path, weights: dict, tmp_path: Path
) -> None:
    """diffusers' own loader makes the same UNet of it."""
    weight, stem = weights[f"{path}.weight"], f"lora_unet_{flat(path)}"
    down, up = (
        random(RANK, *weight.shape[1:]),
        random(weight.shape[0], RANK, *[1] * (weight.ndim - 2), seed=1),
    )
    norms = 1.2 * weight.flatten(1).norm(dim=1).reshape(-1, *[1] * (weight.ndim - 1))
    tensors = {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up, f"{stem}.dora_scale": norms}
    save_file({**tensors, f"{stem}.alpha": torch.tensor(ALPHA)}, tmp_path / "k.safetensors")
    model: Any = UNet2DConditionModel.from_pretrained(tiny_folder / "unet", torch_dtype=torch.float32).eval()
    exported(read_lora(tmp_path / "k.safetensors", model), "diffusers", tmp_path / "d.safetensors")
    with attached(model, None, (tmp_path / "k.safetensors", 1.0)):
        ours = answer(model)
    model.load_lora_adapter(str(tmp_path), weight_name="d.safetensors", prefix="unet")
    assert torch.allclose(answer(model), ours, atol=1e-4) and not torch.allclose(ours, answer_of(tiny_folder))


def test_a_dora_of_inputs_is_not_peft_s(unet: Any, weights: dict, tmp_path: Path) -> None:
    parts = dora(weights[f"{QUERY}.weight"], on_input=True)[0]
    save_file(
        {f"{STEM}.{field}": value.contiguous() for field, value in parts.items()}, tmp_path / "x.safetensors"
    )
    with pytest.raises(BadInput, match="DoRA"):
        exported(read_lora(tmp_path / "x.safetensors", unet), "diffusers", tmp_path / "d.safetensors")


def test_kinds_that_diffusers_does_not_read_are_not_exported(
    unet: Any, weights: dict, tmp_path: Path
) -> None:
    save_file(everything(weights), tmp_path / "x.safetensors")
    file = read_lora(tmp_path / "x.safetensors", unet)
    with pytest.raises(BadInput, match="LoHa and LoKr") as caught:
        exported_lora(file, "diffusers", "fp32")
    assert "merge" in caught.value.next_step
    with pytest.raises(BadInput, match="diffusers' keys"):
        save(file.tensors)


def test_a_header_says_title_trigger_tags_and_time() -> None:
    card = ModelCard(name="tiny", family="demo", size_px=64, sha256="ab")
    job = json.dumps({"instance_prompt": "a photo of sks woman"})
    texts = lora_metadata(job, card, 4, 2.0, ["a face, smiling", "a face"], "anna", 1700000000.5)
    assert texts["modelspec.title"] == "anna" and texts["modelspec.trigger_phrase"] == "a photo of sks woman"
    assert texts["ss_training_started_at"] == "1700000000.5" and texts["ss_num_train_images"] == "2"
    assert json.loads(texts["ss_tag_frequency"]) == {"1_a photo of sks woman": {"a face": 2, "smiling": 1}}
    assert "ss_training_started_at" not in lora_metadata(job, card, 4, 2.0)
