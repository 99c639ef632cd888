"""Nothing of a model is lost or misread: factors of fp8 weights, running averages alone, folders of all forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dreamgui.assets import ASSETS
from dreamgui.errors import BadModelFile
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.models.complete import Gathered, gather
from dreamgui.models.recognition.components import WEIGHTS, write_components
from dreamgui.models.recognition.inspect_file import inspect_file
from dreamgui.models.recognition.recognise import recognise
from dreamgui.models.sources.fetch import Fetched
from dreamgui.workspace import Workspace

UNET = "model.diffusion_model."
Tensors = dict[str, torch.Tensor]


def gathered(path: Path, home: Path, base: str = "", ema: bool = False) -> Gathered:
    fetched = Fetched(path, path.name, "", "wish", None)
    return gather(fetched, Catalog(Workspace(home)), base, ema)


def unet_of(path: Path, home: Path, out: Path, base: str = "", ema: bool = False) -> Tensors:
    """The UNet that a conversion of this source writes."""
    list(write_components(gathered(path, home, base, ema).components, out, "fp32"))
    return load_file(out / WEIGHTS["unet"])


def same(one: Tensors, other: Tensors, factor: float = 1.0, rtol: float = 0.01) -> bool:
    return one.keys() == other.keys() and all(
        torch.allclose(one[key].float(), other[key].float() * factor, rtol=rtol, atol=1e-4) for key in one
    )


@pytest.fixture(autouse=True)
def tiny_family(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model's layout in the place of the bundled demo's."""
    assets = tmp_path / "assets"
    (assets / "demo").mkdir(parents=True)
    (assets / "demo" / "config").symlink_to(tiny_folder, target_is_directory=True)
    (assets / "sd15").symlink_to(ASSETS / "sd15", target_is_directory=True)
    monkeypatch.setattr("dreamgui.assets.ASSETS", assets)


@pytest.fixture
def home(tiny_folder: Path) -> Path:
    return tiny_folder.parent.parent


@pytest.fixture
def plain(tiny_file: Path, home: Path, tmp_path: Path) -> Tensors:
    return unet_of(tiny_file, home, tmp_path / "plain")


@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize("end", [".scale_weight", ".weight_scale"])
def test_factors_of_fp8_weights_are_multiplied_in(
    tiny_file: Path, home: Path, plain: Tensors, tmp_path: Path, end: str, by_row: bool
) -> None:
    tensors = load_file(tiny_file)
    for key, value in list(tensors.items()):
        if key.startswith(UNET) and key.endswith(".weight") and value.ndim == 2:
            largest = value.float().abs().amax(1, keepdim=True) if by_row else value.float().abs().max()
            factor = largest.clamp(min=1e-6) / 448
            tensors[key] = (value.float() / factor).to(torch.float8_e4m3fn)
            tensors[key.removesuffix(".weight") + end] = factor
            tensors[key.removesuffix(".weight") + ".scale_input"] = torch.ones(1)
    save_file(tensors, tmp_path / "a.safetensors")
    written = unet_of(tmp_path / "a.safetensors", home, tmp_path / "out")
    assert written.keys() == plain.keys()
    for key, value in written.items():
        assert (value - plain[key]).abs().max() <= plain[key].abs().max() / 16, key
    assert "scaled" in gathered(tmp_path / "a.safetensors", home).describe()


def test_what_a_conversion_leaves_out_is_named(tiny_file: Path, home: Path, tmp_path: Path) -> None:
    extra = {f"{UNET}extra_gate.weight": torch.zeros(2)}
    save_file(load_file(tiny_file) | extra, tmp_path / "a.safetensors")
    assert (
        "not taken: 1 more, model.diffusion_model.extra_gate.weight"
        in gathered(tmp_path / "a.safetensors", home).describe()
    )
    assert "not taken" not in gathered(tiny_file, home).describe()


def test_what_a_conversion_leaves_out_of_a_folders_part_is_named(
    folder: Path, home: Path, tmp_path: Path
) -> None:
    assert "not taken" not in gathered(folder, home).describe()
    file = folder / WEIGHTS["unet"]
    tensors = load_file(file)
    file.unlink()
    save_file(tensors | {"extra_gate.weight": torch.zeros(2)}, file)
    assert "not taken: 1 more, extra_gate.weight" in gathered(folder, home).describe()


@pytest.mark.parametrize("end", [".weight_scale_inv", ".weight.scale", ".weight_scale_2", ".weight.absmax"])
def test_an_fp8_weight_with_a_factor_of_unknown_meaning_is_refused(
    tiny_file: Path, home: Path, tmp_path: Path, end: str
) -> None:
    tensors = load_file(tiny_file)
    key = next(key for key, value in tensors.items() if key.startswith(UNET) and value.ndim == 2)
    stem = key.removesuffix(".weight")
    save_file(tensors | {stem + end: torch.ones(1)}, tmp_path / "wide.safetensors")
    assert f"not taken: 1 more, {stem}{end}" in gathered(tmp_path / "wide.safetensors", home).describe()
    tensors[key] = tensors[key].to(torch.float8_e4m3fn)
    save_file(tensors | {stem + end: torch.ones(1)}, tmp_path / "narrow.safetensors")
    with pytest.raises(BadModelFile, match="isn't known how to multiply"):
        gathered(tmp_path / "narrow.safetensors", home)
    tensors[stem + ".weight_scale"] = torch.ones(1)
    save_file(tensors | {stem + end: torch.ones(1)}, tmp_path / "both.safetensors")
    with pytest.raises(BadModelFile, match="isn't known how to multiply"):
        gathered(tmp_path / "both.safetensors", home)


@pytest.mark.parametrize("ema", [False, True])
def test_a_running_average_alone_is_the_unet(
    tiny_file: Path, home: Path, plain: Tensors, tmp_path: Path, ema: bool
) -> None:
    tensors = {
        (
            "model_ema.diffusion_model" + key.removeprefix(UNET).replace(".", "")
            if key.startswith(UNET)
            else key
        ): (value.float() * 1.25 if key.startswith(UNET) else value)
        for key, value in load_file(tiny_file).items()
    }
    save_file(tensors, tmp_path / "a.safetensors")
    assert recognise(tmp_path / "a.safetensors").kind == "checkpoint"
    base = "tiny" if ema else ""
    assert same(unet_of(tmp_path / "a.safetensors", home, tmp_path / "out", base, ema), plain, 1.25)


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """The parts of a model's folder, to be changed."""
    for name in WEIGHTS.values():
        (tmp_path / "model" / name).parent.mkdir(parents=True)
        (tmp_path / "model" / name).write_bytes((tiny_folder / name).read_bytes())
    return tmp_path / "model"


def test_weights_in_several_files_are_one_part(
    folder: Path, home: Path, plain: Tensors, tmp_path: Path
) -> None:
    file = folder / WEIGHTS["unet"]
    tensors = load_file(file)
    file.unlink()
    places = {
        key: f"diffusion_pytorch_model-0000{1 + n % 2}-of-00002.safetensors" for n, key in enumerate(tensors)
    }
    for name in set(places.values()):
        save_file({key: tensors[key] for key in tensors if places[key] == name}, file.with_name(name))
    index = file.with_name("diffusion_pytorch_model.safetensors.index.json")
    index.write_text(json.dumps({"weight_map": places}))
    assert same(unet_of(folder, home, tmp_path / "out"), plain)
    assert "Holds: unet, text_encoder, vae" in inspect_file(folder)
    next(iter(file.parent.glob("*00002-of*"))).unlink()
    with pytest.raises(BadModelFile, match="isn't there"):
        gathered(folder, home)
    index.write_text(json.dumps({"weight_map": {"a": "../../../etc/passwd"}}))
    with pytest.raises(BadModelFile, match="can't be its own"):
        gathered(folder, home)


@pytest.mark.parametrize("mark", ["fp16", "non_ema", "bin"])
def test_inspecting_and_converting_a_folder_agree(
    folder: Path, home: Path, plain: Tensors, tmp_path: Path, mark: str
) -> None:
    file = folder / WEIGHTS["unet"]
    if mark == "bin":
        torch.save(load_file(file), file.with_suffix(".bin"))
        file.unlink()
    else:
        file.rename(file.with_name(f"{file.stem}.{mark}.safetensors"))
    lines = inspect_file(folder)
    assert "Holds: unet, text_encoder, vae" in lines and "convert" in lines[-1]
    assert same(unet_of(folder, home, tmp_path / "out"), plain)
    if mark == "non_ema":
        with pytest.raises(BadModelFile, match="no EMA weights"):
            gathered(folder, home, ema=True)


def test_a_folder_is_completed_as_a_file_is(folder: Path, home: Path, tmp_path: Path) -> None:
    for part in ("vae", "text_encoder"):
        (folder / WEIGHTS[part]).unlink()
    assert "--base" in inspect_file(folder)[-1]
    with pytest.raises(BadModelFile, match="without text encoder and VAE.*--base"):
        gathered(folder, home)
    told = gathered(folder, home, base="tiny").describe()
    assert "from model" in told and told.count("from the model 'tiny'") == 2


def test_a_control_model_beside_a_checkpoint_is_named_and_left(
    tiny_file: Path, home: Path, tmp_path: Path
) -> None:
    control = {"control_model.input_hint_block.0.weight": torch.zeros(16, 3, 3, 3)}
    save_file(load_file(tiny_file) | control, tmp_path / "a.safetensors")
    found = recognise(tmp_path / "a.safetensors")
    assert found.kind == "checkpoint" and "with a ControlNet" in found.name
    assert gathered(tmp_path / "a.safetensors", home).components.keys() == WEIGHTS.keys()


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"anna": torch.zeros(2, 768)}, "textual inversion"),
        ({"<anna>": torch.zeros(768)}, "textual inversion"),
        ({"1.weight": torch.zeros(64, 4, 3, 3), "1.bias": torch.zeros(64)}, "TAESD"),
        ({"taesd_encoder.0.weight": torch.zeros(64, 3, 3, 3)}, "TAESD"),
    ],
)
def test_small_files_are_named(tmp_path: Path, tensors: Tensors, words: str) -> None:
    save_file(tensors, tmp_path / "a.safetensors")
    assert words in recognise(tmp_path / "a.safetensors").name


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({768: ({"linear.0.weight": torch.zeros(2, 2)},), "layer_structure": [1], "activation_func": "relu"},
         "hypernetwork"),
        ({"string_to_param": torch.nn.ParameterDict({"*": torch.nn.Parameter(torch.zeros(768))})},
         "textual inversion"),
        (torch.zeros(2, 768), "textual inversion"),
    ],
)  # fmt: skip
def test_a_refused_pickles_kind_is_named(tmp_path: Path, content: object, words: str) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(BadModelFile, match=words):
        recognise(tmp_path / "a.pt")
