"""Exports: each is read back, drawn through by diffusers' loaders, and only then called saved."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dreamgui.config import Dtype, ExportFormat, ExportJob, MergeJob, ResizeJob
from dreamgui.diffusion.sample import generate
from dreamgui.errors import BadInput, Damaged, StopRequested, UnknownName
from dreamgui.events import Cell, Event, Note, Saved
from dreamgui.exporting.certificate import Certificate, FileProof, certificate_request, certify, difference
from dreamgui.exporting.reopen import lora_by_diffusers
from dreamgui.exporting.whole_model import write_checkpoint
from dreamgui.models.catalog.cards import ModelSpec, RunCard, read_card, write_run
from dreamgui.models.catalog.catalog import LORA_FILE
from dreamgui.models.loading import load_text_encoder
from dreamgui.models.lora.adapters import LoraSettings, add_lora, read_lora, save_lora
from dreamgui.models.lora.settings import settings_of
from dreamgui.models.lora.text_encoders import add_text_lora, save_text_encoder
from dreamgui.models.manager import Models
from dreamgui.recipes.workshop import export as recipe
from dreamgui.recipes.workshop.export import export
from dreamgui.recipes.workshop.merge import merge
from dreamgui.recipes.workshop.resize import resize
from dreamgui.workspace import Workspace, read_json
from tests.recipes.runs import make_run
from tests.tiny import make_tiny_base

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A tiny base with a trained UNet and a LoRA."""
    return made(tmp_path_factory.mktemp("exports"), "cpu")


@pytest.fixture(scope="module")
def gpu_models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """The same on a GPU."""
    return made(tmp_path_factory.mktemp("exports"), "cuda")


def made(home: Path, device: str) -> Models:
    workspace = Workspace(home)
    make_tiny_base(workspace)
    make_run(workspace, "tiny", "moved", "unet")
    make_run(workspace, "tiny", "adapted", "lora")
    make_text_runs(workspace)
    return Models(workspace, torch.device(device))


def make_text_runs(workspace: Workspace) -> None:
    """A UNet and a LoRA whose text encoder was trained too, and a DoRA."""
    base = workspace.place("models", "tiny")
    for name, method, source in (
        ("told", "unet", "moved"),
        ("telling", "lora", "adapted"),
        ("dora", "lora", "adapted"),
    ):
        folder = workspace.place("runs", name)
        shutil.copytree(workspace.place("runs", source), folder)
        write_run(folder, read_card(folder / "run.json", RunCard).model_copy(update={"name": name}))
        unet: Any = UNet2DConditionModel.from_pretrained(base / "unet")
        text_encoder = load_text_encoder(base, torch.device("cpu"), torch.float32)
        torch.manual_seed(7)
        if method == "unet":
            for parameter in text_encoder.parameters():
                parameter.data += 0.3 * torch.randn_like(parameter)
            save_text_encoder(folder / "text_encoder", text_encoder)
            continue
        add_lora(unet, LoraSettings(4, 4.0, dora=name == "dora"))
        add_text_lora(text_encoder, 4, 4.0, 0)
        for key, parameter in [*unet.named_parameters(), *text_encoder.named_parameters()]:
            if "lora_B" in key:
                parameter.data.normal_(std=0.3)
        save_lora(folder / LORA_FILE, unet, text_encoder=None if name == "dora" else text_encoder)


def run(models: Models, **fields: Any) -> list[Event]:
    return list(export(ExportJob(**fields), models.catalog.workspace, models))


CASES: list[tuple[str, ExportFormat, Dtype]] = [
    ("tiny", "single-file", "fp16"),
    ("tiny", "diffusers", "bf16"),
    ("moved", "single-file", "fp32"),
    ("moved", "diffusers", "fp16"),
    ("adapted", "single-file", "fp16"),
    ("adapted", "lora-kohya", "fp16"),
    ("adapted", "lora-diffusers", "fp32"),
    ("told", "single-file", "fp16"),
    ("telling", "single-file", "fp16"),
    ("telling", "lora-kohya", "fp16"),
    ("telling", "lora-diffusers", "fp16"),
    ("dora", "single-file", "fp16"),
    ("dora", "lora-diffusers", "fp16"),
]


@pytest.mark.parametrize(("model", "form", "dtype"), CASES)
def test_certified(models: Models, tmp_path: Path, model: str, form: ExportFormat, dtype: Dtype) -> None:
    target = tmp_path / ("out" if form == "diffusers" else "out.safetensors")
    events = run(models, model=model, format=form, dtype=dtype, out=str(target))
    assert events[-1] == Saved("export", target.name, target) and target.exists()
    folder = target.is_dir()
    beside = target / "certificate.json" if folder else tmp_path / "out.certificate.json"
    certificate = Certificate.model_validate(read_json(beside))
    assert certificate.passed and certificate.format == form
    for name, each in certificate.files.items():
        file = target / name if folder else target
        assert each.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    if model != "tiny":
        assert certificate.effect_mean and certificate.mean_difference < certificate.effect_mean / 4
    elif dtype == "fp16":
        assert certificate.max_difference == 0
    readme = (target / "README.md" if folder else tmp_path / "out.README.md").read_text()
    assert certificate.sentence in readme and "base_model: tiny" in readme
    shown = [event.model for event in events if isinstance(event, Cell)]
    assert shown[-2:] == [f"{model}, live", f"{model}, exported"] and len(shown) == (
        2 if model == "tiny" else 3
    )
    # Nothing else is left there, and nothing is overwritten.
    assert len(list(tmp_path.iterdir())) == (1 if folder else 3)
    with pytest.raises(BadInput, match="exists already"):
        run(models, model=model, format=form, dtype=dtype, out=str(target))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("model", "form", "dtype"), CASES)
def test_gpu_certified(
    gpu_models: Models, tmp_path: Path, model: str, form: ExportFormat, dtype: Dtype
) -> None:
    """In half precision, and where our kernels compute, pictures differ by rounding."""
    target = tmp_path / ("out" if form == "diffusers" else "out.safetensors")
    events = run(gpu_models, model=model, format=form, dtype=dtype, out=str(target))
    assert events[-1] == Saved("export", target.name, target)


def test_a_lora_in_both_layouts_draws_the_same_to_the_last_bit(models: Models, tmp_path: Path) -> None:
    """By diffusers' own loader, against our run's file; the header says what other programs show."""
    generates = []
    for form in ("lora-kohya", "lora-diffusers"):
        run(models, model="adapted", format=form, out=str(tmp_path / form))
        with (
            models.use(ModelSpec("tiny")) as parts,
            lora_by_diffusers(
                parts, tmp_path / f"{form}.safetensors", models.catalog.folder("tiny")
            ) as adapted,
        ):
            generates.append(answer(adapted.unet))
    with models.use(models.catalog.spec("adapted")) as parts:
        generates.append(answer(parts.unet))
    assert torch.equal(generates[0], generates[1])
    # Ours are added to the weights, theirs stand beside them.
    assert torch.allclose(generates[1], generates[2], rtol=1e-4, atol=1e-5)
    with models.use(ModelSpec("tiny")) as parts:
        assert not torch.equal(answer(parts.unet), generates[0])
    with safe_open(tmp_path / "lora-kohya.safetensors", "pt") as file:
        texts, keys = file.metadata(), set(file.keys())
    assert texts["ss_network_dim"] == "4" and texts["ss_network_alpha"] == "4.0" and texts["ss_steps"] == "5"
    assert json.loads(texts["dreamgui_job"])["model"] == "tiny" and len(texts["sshs_model_hash"]) == 64
    assert "lora_adapter_metadata" not in texts
    assert all(key.startswith("lora_unet_") for key in keys) and any(key.endswith(".alpha") for key in keys)
    unet = UNet2DConditionModel.from_pretrained(models.catalog.folder("tiny") / "unet")
    back = read_lora(tmp_path / "lora-kohya.safetensors", unet)
    ours = read_lora(tmp_path / "lora-diffusers.safetensors")
    assert back.tensors.keys() == ours.tensors.keys()
    assert all(torch.equal(back.tensors[key], ours.tensors[key]) for key in ours.tensors)


def test_a_lora_file_there_and_back(models: Models, tmp_path: Path) -> None:
    """From our run to kohya's keys, and that file, which no run knows, to diffusers' keys again."""
    run(models, model="telling", format="lora-kohya", out=str(tmp_path / "k"))
    given = {"model": str(tmp_path / "k.safetensors"), "base": "tiny"}
    run(models, **given, format="lora-diffusers", out=str(tmp_path / "d"))
    ours, back = read_lora(models.catalog.run_file("telling")), read_lora(tmp_path / "d.safetensors")
    assert ours.tensors.keys() == back.tensors.keys()
    assert all(torch.equal(value, back.tensors[key]) for key, value in ours.tensors.items())
    assert back.metadata["ss_network_dim"] == "4"
    with pytest.raises(BadInput, match="holds a whole model"):
        run(models, **given, format="single-file", out=str(tmp_path / "s"))
    work = models.catalog.workspace
    list(merge(MergeJob(lora=given["model"], model="tiny", run="baked"), work, models))
    list(resize(ResizeJob(lora="telling", rank=2, run="small"), work, models))
    run(models, model="small", format="lora-diffusers", out=str(tmp_path / "small"))
    request = certificate_request(models.catalog.card("tiny"))
    pictures = []
    for name in ("baked", "telling", "tiny"):
        with models.use(models.catalog.spec(name)) as parts:
            pictures += generate(parts, [request])
    assert difference(pictures[0], pictures[1])[1] < 0.1 < difference(pictures[0], pictures[2])[1]


@pytest.mark.parametrize("form", ["lora-kohya", "lora-diffusers"])
def test_a_pickled_lora_of_any_text_layers_is_exported(
    models: Models, tmp_path: Path, form: ExportFormat
) -> None:
    """As kohya's scripts train by default, the mlp too, here with alphas that differ."""
    tensors = {}
    for number, (name, width) in enumerate(
        {
            "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": 32,
            "lora_te_text_model_encoder_layers_0_self_attn_q_proj": 32,
            "lora_te_text_model_encoder_layers_0_self_attn_out_proj": 32,
            "lora_te_text_model_encoder_layers_1_mlp_fc1": 64,
        }.items()
    ):
        torch.manual_seed(number)
        tensors[f"{name}.lora_down.weight"] = torch.randn(4, 32)
        tensors[f"{name}.lora_up.weight"] = torch.randn(width, 4)
        tensors[f"{name}.alpha"] = torch.tensor(2.0 if number else 1.0)
    torch.save(tensors, tmp_path / "given.pt")
    given = {"model": str(tmp_path / "given.pt"), "base": "tiny", "dtype": "fp32"}
    run(models, **given, format=form, out=str(tmp_path / "out"))
    certificate = Certificate.model_validate(read_json(tmp_path / "out.certificate.json"))
    assert certificate.passed and certificate.effect_mean and not certificate.rounded


_TO_UNET = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
_TO_TEXT = "lora_te_text_model_encoder_layers_0_"


@pytest.mark.parametrize("form", ["lora-kohya", "lora-diffusers"])
@pytest.mark.parametrize("unet", [True, False])
@pytest.mark.parametrize(
    "text", [("self_attn_q_proj", "self_attn_v_proj"), ("self_attn_k_proj", "mlp_fc1"), ("mlp_fc2",)]
)
def test_all_layers_are_in_the_export_whichever_they_are(
    models: Models, tmp_path: Path, text: tuple[str, ...], unet: bool, form: ExportFormat
) -> None:
    tensors = {}
    for name in ([_TO_UNET] if unet else []) + [_TO_TEXT + each for each in text]:
        tensors[f"{name}.lora_down.weight"] = torch.randn(4, 64 if "fc2" in name else 32)
        tensors[f"{name}.lora_up.weight"] = torch.randn(64 if "fc1" in name else 32, 4)
        tensors[f"{name}.alpha"] = torch.tensor(2.0)
    save_file(tensors, tmp_path / "given.safetensors")
    given = {"model": str(tmp_path / "given.safetensors"), "base": "tiny", "dtype": "fp32"}
    run(models, **given, format=form, out=str(tmp_path / "out"))
    certificate = Certificate.model_validate(read_json(tmp_path / "out.certificate.json"))
    assert certificate.passed and not certificate.rounded
    weights: Any = UNet2DConditionModel.from_pretrained(models.catalog.folder("tiny") / "unet")
    before, after = (read_lora(tmp_path / f"{name}.safetensors", weights) for name in ("given", "out"))
    assert (
        before.layers.keys() == after.layers.keys() and before.text_layers.keys() <= after.text_layers.keys()
    )
    for path in after.text_layers.keys() - before.text_layers.keys():
        assert not after.text_layers[path].product().any()


@pytest.mark.parametrize("form", ["lora-kohya", "lora-diffusers"])
def test_a_run_of_the_text_encoder_alone_is_exported(
    models: Models, tmp_path: Path, form: ExportFormat
) -> None:
    name = f"speaking-{form}"
    folder = models.catalog.workspace.place("runs", name)
    shutil.copytree(models.catalog.workspace.place("runs", "telling"), folder)
    write_run(folder, read_card(folder / "run.json", RunCard).model_copy(update={"name": name}))
    with safe_open(folder / LORA_FILE, "pt") as file:
        texts = file.metadata()
    tensors = {key: value for key, value in load_file(folder / LORA_FILE).items() if "text_encoder" in key}
    save_file(tensors, folder / LORA_FILE, texts)
    run(models, model=name, format=form, out=str(tmp_path / "out"))
    assert Certificate.model_validate(read_json(tmp_path / "out.certificate.json")).passed


def test_layers_that_diffusers_passes_over_are_no_proof(models: Models, tmp_path: Path) -> None:
    tensors = {}
    for name in (_TO_UNET, f"{_TO_TEXT}self_attn_q_proj", f"{_TO_TEXT}mlp_fc1"):
        tensors[f"{name}.lora_down.weight"] = torch.randn(4, 32)
        tensors[f"{name}.lora_up.weight"] = torch.randn(64 if "fc1" in name else 32, 4)
    save_file(tensors, tmp_path / "a.safetensors")
    folder = models.catalog.folder("tiny")
    with (
        models.use(ModelSpec("tiny")) as parts,
        pytest.raises(Damaged, match="1 of 2 layers of the text encoder"),
        lora_by_diffusers(parts, tmp_path / "a.safetensors", folder),
    ):
        pass


def test_an_embedding_that_a_lora_brings_along_is_told_missing(models: Models, tmp_path: Path) -> None:
    """OneTrainer's bundle: the export holds the layers alone."""
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    tensors = {f"{key}.lora_down.weight": torch.randn(4, 32), f"{key}.lora_up.weight": torch.randn(32, 4)}
    save_file(
        {**tensors, "bundle_emb.anna.string_to_param.*": torch.randn(1, 32)}, tmp_path / "b.safetensors"
    )
    given = {"model": str(tmp_path / "b.safetensors"), "base": "tiny", "format": "lora-kohya"}
    events = run(models, **given, out=str(tmp_path / "out"))
    told = [event.text for event in events if isinstance(event, Note)]
    assert told[0] == "Not in the export, as DreamGUI doesn't read it: the textual inversion anna."
    assert set(load_file(tmp_path / "out.safetensors")) == {*tensors, f"{key}.alpha"}


def test_a_path_that_exists_and_is_no_lora(models: Models, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match="holds no LoRA"):
        run(models, model=str(tmp_path / "folder"), base="tiny", format="lora-kohya", out=str(tmp_path / "x"))
    for name in ("", "x" * 300):
        with pytest.raises(UnknownName, match="no model or run named"):
            run(models, model=name, format="lora-kohya")
    with pytest.raises(UnknownName, match="is a path or an address, not the name") as caught:
        run(models, model=str(tmp_path / "folder"), format="diffusers", out=str(tmp_path / "x"))
    assert caught.value.next_step.startswith("Convert") and "tiny" in caught.value.next_step
    with pytest.raises(
        BadInput, match=r"gone\.pt' names a file, and diffusers holds a whole model"
    ) as caught:
        run(models, model=str(tmp_path / "gone.pt"), format="diffusers", out=str(tmp_path / "x"))
    assert "lora-kohya or lora-diffusers" in caught.value.next_step
    with pytest.raises(UnknownName, match=r"no file or folder '.*gone\.pt'"):
        run(models, model=str(tmp_path / "gone.pt"), format="lora-kohya", out=str(tmp_path / "x"))


def test_a_text_encoders_lora_comes_back_from_kohyas_keys(models: Models, tmp_path: Path) -> None:
    run(models, model="telling", format="lora-kohya", out=str(tmp_path / "x"))
    unet = UNet2DConditionModel.from_pretrained(models.catalog.folder("tiny") / "unet")
    ours, back = read_lora(models.catalog.run_file("telling")), read_lora(tmp_path / "x.safetensors", unet)
    assert ours.text_layers and back.text_layers.keys() == ours.text_layers.keys()
    assert all(torch.equal(back.tensors[key], ours.tensors[key]) for key in ours.tensors)
    assert settings_of(back.text_layers) == settings_of(ours.text_layers)
    assert settings_of(back.text_layers)["lora_alpha"] == 4


@torch.no_grad()
def answer(unet: Any) -> torch.Tensor:
    torch.manual_seed(0)
    return unet(torch.randn(2, 4, 8, 8), torch.tensor([5, 900]), torch.randn(2, 77, 32)).sample


def test_an_export_that_draws_something_else_is_never_saved(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The LoRA's layers get lost on the way: the file is sound, and silently does nothing."""

    def lost(plan: Any, path: Path, catalog: Any) -> dict[str, FileProof]:
        write_checkpoint(catalog.folder("tiny"), path, "fp16")
        return {path.name: FileProof(sha256="0" * 64, size_bytes=path.stat().st_size, tensors=425)}

    monkeypatch.setattr(recipe, "_write_whole", lost)
    target = tmp_path / "out" / "out.safetensors"
    events: list[Event] = []
    with pytest.raises(Damaged, match="generates another picture"):
        for event in export(ExportJob(model="adapted", out=str(target)), models.catalog.workspace, models):
            events.append(event)
    assert not any(isinstance(event, Saved) for event in events) and list(target.parent.iterdir()) == []


def test_a_file_that_reads_back_differently_is_never_saved(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flip(source: Any, target: Path, *more: Any) -> None:
        write_checkpoint(source, target, *more)
        data = bytearray(target.read_bytes())
        data[-1] ^= 1
        target.write_bytes(data)

    monkeypatch.setattr(recipe, "write_checkpoint", flip)
    with pytest.raises(Damaged, match=r"the numbers of .* differ"):
        run(models, model="tiny", out=str(tmp_path / "out" / "x.safetensors"))
    assert list((tmp_path / "out").iterdir()) == []


def test_the_live_model_is_gone_before_the_export_is_opened(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two whole models at full size are 9.5 GB on the CPU (seen); one is half of that."""
    lent: list[weakref.ref[Any]] = []
    really_drawn, really_open = recipe.generated, recipe.open_whole

    def generated(parts: Any, *rest: Any) -> Any:
        lent.append(weakref.ref(parts.unet))
        return really_drawn(parts, *rest)

    def open_whole(*given: Any) -> Any:
        gc.collect()
        assert lent and all(unet() is None for unet in lent)
        return really_open(*given)

    monkeypatch.setattr(recipe, "generated", generated)
    monkeypatch.setattr(recipe, "open_whole", open_whole)
    run(models, model="moved", out=str(tmp_path / "moved"))
    assert len(lent) == 3


def test_stopping_leaves_nothing(models: Models, tmp_path: Path) -> None:
    events = export(ExportJob(model="tiny", out=str(tmp_path / "x")), models.catalog.workspace, models)
    next(event for event in events if isinstance(event, Cell))
    with pytest.raises(StopRequested):
        events.throw(StopRequested())
    assert list(tmp_path.iterdir()) == []
    assert models.status()["in_use"] == ""


def test_what_is_no_lora_and_what_is_not_there(models: Models) -> None:
    with pytest.raises(BadInput, match="dreamgui extract moved"):
        run(models, model="moved", format="lora-kohya")
    with pytest.raises(BadInput, match="This is a DoRA"):
        run(models, model="dora", format="lora-kohya")
    with pytest.raises(UnknownName):
        run(models, model="nobody")


def test_without_a_place_it_goes_to_the_workspace(models: Models) -> None:
    saved = run(models, model="adapted", format="lora-kohya")[-1]
    assert isinstance(saved, Saved)
    assert saved.path == models.catalog.workspace.root / "exports" / "adapted-lora-kohya.safetensors"


def test_pictures_that_differ_do_not_pass() -> None:
    grey, white = Image.new("RGB", (8, 8), "grey"), Image.new("RGB", (8, 8), "white")
    near = Image.new("RGB", (8, 8), (129, 128, 128))
    assert difference(grey, grey) == (0, 0) and difference(grey, Image.new("RGB", (4, 4))) == (255, 255)

    def passes(export: Image.Image, base: Image.Image | None, rounded: bool, in_half: bool = False) -> bool:
        given = "x", "single-file", "fp16", {}, rounded, grey, export, base, "cpu", "y"
        return certify(*given, in_half).passed  # type: ignore[arg-type]

    assert passes(grey, None, False) and not passes(white, None, True)
    assert passes(near, None, True) and not passes(near, None, False)
    assert passes(near, None, False, in_half=True) and not passes(white, None, False, in_half=True)
    # Where the trained model hardly differs from its base, the tolerance is narrower.
    assert not passes(near, near, True) and passes(near, white, True)
