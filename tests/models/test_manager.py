"""The manager lends a model and has it back bitwise as it was, whatever happens in the block."""

from __future__ import annotations

import gc
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dreamgui.diffusion.sample import ImageRequest, generate
from dreamgui.errors import BadInput, Damaged, NotEnoughMemory, StopRequested, UnknownName
from dreamgui.models import loading
from dreamgui.models.catalog.cards import ModelSpec, RunCard, write_run
from dreamgui.models.catalog.catalog import LORA_FILE, UNET_FILE
from dreamgui.models.device import leave_libraries_alone
from dreamgui.models.lora.adapters import save_lora
from dreamgui.models.manager import LoraSettings, Models
from dreamgui.workspace import Workspace
from tests.tiny import make_tiny_base

BASE = ModelSpec("tiny")


@pytest.fixture(scope="module")
def stocked(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two bases, a finished UNet run and a finished LoRA run. Not to be changed."""
    workspace = Workspace(tmp_path_factory.mktemp("stocked"))
    shutil.copytree(tiny_folder, workspace.place("models", "tiny"))
    other = make_tiny_base(workspace, "other", seed=7)
    shutil.copytree(other / "unet", workspace.place("runs", "full") / "unet")
    with Models(workspace, torch.device("cpu")).train("tiny", LoraSettings(4, 4.0)) as parts:
        for name, parameter in parts.unet.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        save_lora(workspace.place("runs", "small") / LORA_FILE, parts.unet)
    kinds: dict[str, Any] = {"full": "unet", "small": "lora"}
    for name, kind in kinds.items():
        card = RunCard(name=name, kind=kind, base="tiny", learning_rate=1e-4, steps=1, finished=True)
        write_run(workspace.place("runs", name), card)
    return workspace.root


@pytest.fixture
def workspace(stocked: Path, tmp_path: Path) -> Workspace:
    return Workspace(shutil.copytree(stocked, tmp_path / "work"))


@pytest.fixture
def models(workspace: Workspace) -> Models:
    return Models(workspace, torch.device("cpu"))


def state(models: Models) -> dict[str, torch.Tensor]:
    with models.use(BASE) as parts:
        return {key: value.clone() for key, value in parts.unet.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def answer(parts: loading.Parts) -> torch.Tensor:
    torch.manual_seed(0)
    with torch.no_grad():
        return parts.unet(torch.randn(1, 4, 8, 8), torch.tensor([500]), torch.randn(1, 77, 32)).sample


def test_the_base_is_what_its_file_says(models: Models) -> None:
    file = load_file(models.catalog.folder("tiny") / UNET_FILE)
    assert same(state(models), {key: value.float() for key, value in file.items()})


@pytest.mark.parametrize("name", ["full", "small"])
def test_base_is_bitwise_unchanged_after_each_kind_of_use(models: Models, name: str) -> None:
    before = state(models)
    with models.use(BASE) as parts:
        plain = answer(parts)
    with models.use(models.catalog.spec(name, controlnet="canny")) as parts:
        first = answer(parts)
        assert parts.controlnet is not None
    assert same(state(models), before)
    with models.use(BASE) as parts:
        assert torch.equal(answer(parts), plain) and parts.controlnet is None
    with models.use(models.catalog.spec(name)) as parts:
        assert torch.equal(answer(parts), first) and not torch.equal(first, plain)
    assert same(state(models), before)


@pytest.mark.parametrize("error", [RuntimeError, StopRequested, KeyboardInterrupt, GeneratorExit])
def test_an_exception_in_the_block_restores_too(models: Models, error: type[BaseException]) -> None:
    before = state(models)
    for name in ("full", "small"):
        with pytest.raises(error), models.use(models.catalog.spec(name)):
            raise error
    assert same(state(models), before) and models.status()["in_use"] == ""


def test_the_base_is_kept_between_uses(models: Models) -> None:
    with models.use(BASE) as parts:
        first = parts.unet
    with models.use(models.catalog.spec("full")) as parts:
        assert parts.unet is first
        expected = load_file(models.catalog.run_file("full"))
        assert torch.equal(parts.unet.state_dict()["conv_in.weight"], expected["conv_in.weight"].float())


def test_training_the_whole_unet_leaves_the_base_alone(models: Models) -> None:
    before = state(models)
    with models.train("tiny") as parts:
        assert all(p.requires_grad and p.dtype == torch.float32 for p in parts.unet.parameters())
        assert parts.unet.training and not parts.vae.training
        assert not any(p.requires_grad for p in (*parts.vae.parameters(), *parts.text_encoder.parameters()))
        optimizer = torch.optim.AdamW(parts.unet.parameters(), lr=1e-2)
        noise = torch.randn(2, 4, 8, 8)
        parts.unet(noise, torch.tensor([3, 9]), torch.randn(2, 77, 32)).sample.square().mean().backward()
        optimizer.step()
        assert not torch.equal(parts.unet.state_dict()["conv_in.weight"], before["conv_in.weight"])
    assert same(state(models), before)


def test_training_a_lora_moves_only_the_adapter(models: Models) -> None:
    before = state(models)
    with models.train("tiny", LoraSettings(4, 4.0)) as parts:
        trainable = [p for p in parts.unet.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trainable, lr=1e-2)
        parts.unet(
            torch.randn(2, 4, 8, 8), torch.tensor([3, 9]), torch.randn(2, 77, 32)
        ).sample.sum().backward()
        optimizer.step()
        frozen = {
            k.replace(".base_layer", ""): v for k, v in parts.unet.state_dict().items() if "lora_" not in k
        }
        assert same(frozen, before)
    assert same(state(models), before)


def test_one_user_at_a_time(models: Models) -> None:
    order: list[str] = []

    def second() -> None:
        with models.use(models.catalog.spec("full")):
            order.append("second")

    with models.use(BASE) as parts:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(timeout=0.3)
        assert thread.is_alive() and models.status()["in_use"] == "tiny"
        order.append("first")
        with pytest.raises(RuntimeError, match="already uses"), models.use(BASE):
            pass
        answer(parts)
    thread.join(timeout=30)
    assert order == ["first", "second"]


def test_another_base_and_a_base_converted_anew(models: Models, workspace: Workspace) -> None:
    before = state(models)
    with models.use(ModelSpec("other")) as parts:
        assert parts.card.name == "other"
    make_tiny_base(workspace, "tiny", seed=3)
    assert not same(state(models), before)
    with models.use(models.catalog.spec("full")):
        make_tiny_base(workspace, "tiny", seed=4)
    file = load_file(models.catalog.folder("tiny") / UNET_FILE)
    assert same(state(models), {key: value.float() for key, value in file.items()})


def test_damaged_runs_leave_the_base_whole(models: Models, workspace: Workspace) -> None:
    before = state(models)
    path = workspace.place("runs", "full") / UNET_FILE
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(Damaged, match="full"), models.use(models.catalog.spec("full")):
        pass
    (workspace.place("runs", "small") / LORA_FILE).unlink()
    with pytest.raises(Damaged, match="small"), models.use(models.catalog.spec("small")):
        pass
    assert same(state(models), before)
    with pytest.raises(UnknownName), models.use(ModelSpec("nobody")):
        pass


def test_out_of_memory_is_named_and_the_next_use_works(models: Models) -> None:
    before = state(models)
    with pytest.raises(NotEnoughMemory, match="smaller batch"), models.use(BASE):
        raise torch.OutOfMemoryError("Tried to allocate 9.00 GiB")
    assert models.status()["base"] == "" and same(state(models), before)


def test_a_control_net_that_is_not_there(models: Models) -> None:
    with (
        pytest.raises(BadInput, match="no ControlNet for 'pose'"),
        models.use(ModelSpec("tiny", controlnet="pose")),
    ):
        pass


def test_sd15_control_net_from_a_folder_or_not_at_all(
    models: Models, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = models.catalog.folder("tiny")
    card = models.catalog.card("tiny").model_copy(update={"family": "sd15"})
    cpu = torch.device("cpu")
    monkeypatch.setenv("DREAMGUI_CONTROLNET_POSE", str(folder / "controlnet" / "canny"))
    assert (
        loading.load_controlnet(folder, "pose", card, cpu, torch.float32).config["cross_attention_dim"] == 32
    )
    monkeypatch.setenv("DREAMGUI_CONTROLNET_POSE", str(tmp_path / "nothing"))
    with pytest.raises(BadInput, match="DREAMGUI_CONTROLNET_POSE"):
        loading.load_controlnet(folder, "pose", card, cpu, torch.float32)


def test_release_and_status(models: Models) -> None:
    state(models)
    assert models.status()["base"] == "tiny" and models.status()["memory_total_bytes"] > 0
    models.release()
    assert models.status()["base"] == ""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_same_on_a_gpu(workspace: Workspace) -> None:
    models = Models(workspace)
    before = state(models)
    assert models.device.type == "cuda" and {value.dtype for value in before.values()} == {torch.float16}
    for name in ("full", "small", "tiny"):
        with models.use(models.catalog.spec(name, controlnet="canny")) as parts:
            noise, text = torch.randn(1, 4, 8, 8).cuda().half(), torch.randn(1, 77, 32).cuda().half()
            with torch.no_grad():
                answered = parts.unet(noise, torch.tensor([5]).cuda(), text).sample
            assert torch.isfinite(answered).all()
            assert {parameter.device.type for parameter in parts.unet.parameters()} == {"cuda"}
        assert same(state(models), before)
    with models.train("tiny", LoraSettings(4, 4.0)) as parts:
        kinds = {(p.requires_grad, p.dtype, p.device.type) for p in parts.unet.parameters()}
        assert kinds == {(False, models.train_dtype, "cuda"), (True, torch.float32, "cuda")}
    with models.train("tiny") as parts:
        assert {(p.requires_grad, p.dtype) for p in parts.unet.parameters()} == {(True, torch.float32)}
    assert same(state(models), before)
    models.release()
    assert models.status()["base"] == ""


def test_missing_text_encoder_weights_are_not_filled_with_noise(models: Models) -> None:
    path = models.catalog.folder("tiny") / "text_encoder" / "model.safetensors"
    tensors = load_file(path)
    tensors.pop(next(key for key in tensors if "layers.1.mlp.fc1.weight" in key))
    save_file(tensors, path, {"format": "pt"})
    models.release()
    with pytest.raises(Damaged, match="text_encoder"), models.use(BASE):
        pass


def test_looking_for_garbage_passes_over_what_was_there_before_the_first_model(tmp_path: Path) -> None:
    """Half a second in which the page gets no answer, else, each time that a model goes."""
    workspace = Workspace(tmp_path)
    make_tiny_base(workspace)
    models = Models(workspace, torch.device("cpu"))
    # As in a new process: other tests have used models, and imported much since.
    leave_libraries_alone.cache_clear()
    with models.use(BASE):
        pass
    assert gc.get_freeze_count() > 100_000
    models.release()
    began = time.thread_time()
    gc.collect()
    assert time.thread_time() - began < 0.3


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_gpu_a_second_gpu_is_the_current_one_while_its_models_are_lent(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    make_tiny_base(workspace)
    with Models(workspace, torch.device("cuda", 1)).use(BASE) as parts:
        assert torch.cuda.current_device() == 1
        generate(parts, [ImageRequest("a", steps=5)])
        assert parts.replays is not None and parts.replays.captured
    assert torch.cuda.current_device() == 0
