from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dreamgui.diffusion.schedule import NoiseSchedule
from dreamgui.models.manager import LoraSettings, Models, Parts
from dreamgui.training.steps import compiler
from dreamgui.training.steps.batches import Batch
from dreamgui.training.steps.compiler import compiled
from dreamgui.training.steps.graph import FastStep
from dreamgui.training.steps.settings import StepSettings
from dreamgui.training.steps.step import TrainingStep, recomputed
from dreamgui.workspace import Workspace
from tests.tiny import make_tiny_base
from tests.training.test_graph import RATES, batches, trained_on
from tests.training.test_step import batch, training

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "cl"))), reason="needs a C++ compiler"
)


class Small(nn.Module):
    """Takes the UNet's part where code is really made for the processor: that lasts a minute for a UNet."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, noisy: Tensor, timesteps: Tensor, text: Tensor, return_dict: bool) -> tuple[Tensor]:
        return (self.layer(noisy) * text.mean() + timesteps.view(-1, 1, 1, 1) / 1000,)


def small_step(parts: Parts) -> TrainingStep:
    """What is made for it is known to this process from then on, wherever it is kept."""
    torch.manual_seed(0)
    schedule = NoiseSchedule(parts.scheduler_config, parts.device)
    return TrainingStep(Small(), schedule, torch.float32, StepSettings())


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward and backward pass are traced and split as for the compiler, but no code is made: seconds."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))


@pytest.fixture
def no_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain loops are made: to find and to include what a processor's vectors take is most of the minute."""
    from torch._inductor import config

    monkeypatch.setattr(config, "cpp_cache_precompile_headers", False)
    monkeypatch.setattr(config.cpp, "simdlen", 1)


@pytest.fixture
def smallest(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Parts]:
    """A base of one level, to train by either method: each layer is traced, and half as many of them."""
    workspace = Workspace(tmp_path / "smallest")
    make_tiny_base(workspace, levels=1)
    models = Models(workspace, torch.device("cpu"))
    with models.train("tiny", LoraSettings(4, 4.0) if request.param == "lora" else None) as parts:
        yield parts


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(("smallest", "recompute"), [("unet", False), ("lora", True)], indirect=["smallest"])
def test_a_compiled_step_learns_the_same(smallest: Parts, tmp_path: Path, recompute: bool) -> None:
    trained = smallest
    with_own_copies = copy.deepcopy(trained)
    if recompute:
        trained.unet.enable_gradient_checkpointing(recomputed)
    settings = {"accumulate": 2, "ema_decay": 0.9}
    plain, step = training(with_own_copies, **settings), training(trained, **settings)
    before = step.fingerprint()
    [told] = compiled(step, batch(), tmp_path)
    assert "being compiled" in told and torch.equal(step.fingerprint(), before)
    assert all(weight.grad is None for weight in step.trained.values())
    calls = []
    compiled_unet: Any = step.compiled
    step.compiled = lambda *args, **named: calls.append(1) or compiled_unet(*args, **named)
    given = batches(len(RATES))
    found = trained_on(step, given)
    assert torch.allclose(torch.tensor(found), torch.tensor(trained_on(plain, given)), rtol=1e-4)
    assert len(calls) == 2 * len(RATES)
    # Looks at held-out photographs have other shapes; for them nothing is compiled.
    assert step.validate([batch(prior=False)]) > 0 and len(calls) == 2 * len(RATES)


@needs_compiler
@pytest.mark.usefixtures("no_vectors")
def test_what_is_made_is_kept_and_found_again(parts: Parts, tmp_path: Path) -> None:
    step, plain = small_step(parts), small_step(parts)
    assert len(list(compiled(step, batch(), tmp_path))) == 1
    assert torch.allclose(
        torch.tensor(trained_on(step, batches(3))), torch.tensor(trained_on(plain, batches(3))), rtol=1e-4
    )
    made = {file for file in tmp_path.rglob("*.so") if file.is_file()}
    assert made
    assert len(list(compiled(small_step(parts), batch(), tmp_path))) == 1
    assert {file for file in tmp_path.rglob("*.so") if file.is_file()} == made


def test_without_a_compiler_a_sentence_says_so(
    trained: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = training(trained)
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    assert list(compiled(step, batch(), tmp_path)) == [
        "Steps run uncompiled: it takes a C++ compiler, and there is none here; install one, for instance g++."
    ]
    monkeypatch.undo()
    monkeypatch.setattr(compiler, "find_spec", lambda name: None)
    step.device = torch.device("cuda")
    [told] = compiled(step, batch(), tmp_path)
    assert "Triton" in told and step.compiled is None


@needs_compiler
def test_a_compiler_that_fails_is_left_out(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor import config

    step = small_step(parts)
    with config.patch({"cpp.cxx": ("/bin/false",)}):
        told = list(compiled(step, batch(), tmp_path))
    assert told[1].startswith("Steps run uncompiled: ") and step.compiled is None
    assert all(weight.grad is None for weight in step.trained.values())
    assert trained_on(step, batches(1))[0][0] > 0


def test_short_of_memory_is_no_reason_to_go_on(
    trained: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch, "compile", lambda module, **_: short)
    with pytest.raises(torch.OutOfMemoryError):
        list(compiled(training(trained), batch(), tmp_path))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("recompute", [False, True], ids=["", "checkpointed"])
def test_on_a_gpu_a_compiled_step_is_captured(trained: Parts, tmp_path: Path, recompute: bool) -> None:
    device = torch.device("cuda")
    trained.unet.to(device)
    trained.device = device
    with_own_copies = copy.deepcopy(trained.unet)
    if recompute:
        trained.unet.enable_gradient_checkpointing(recomputed)
    given = [
        Batch(*(x.to(device) for x in (b.latents, b.noise, b.timesteps, b.text)), b.instances)
        for b in batches(5)
    ]
    step = training(trained)
    told = list(compiled(step, given[0], tmp_path))
    assert len(told) == 1, told
    fast = FastStep(step)
    found = trained_on(fast, given)
    assert fast.captured, fast.reason
    trained.unet = with_own_copies
    assert torch.allclose(torch.tensor(found), torch.tensor(trained_on(training(trained), given)), rtol=1e-2)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path) and any(tmp_path.iterdir())
