"""Memory tiers: what is chosen for which card, what is refused, and that a run goes on as it began."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dreamgui.config import PreflightJob, TrainJob
from dreamgui.errors import BadInput, NotEnoughMemory
from dreamgui.events import Note, Saved
from dreamgui.models.manager import Models
from dreamgui.recipes.preflight import preflight
from dreamgui.recipes.train import train
from dreamgui.sizes import memory_size
from dreamgui.training.memory import tiers
from dreamgui.training.memory.estimate import SD15_WEIGHTS, Sizes, needed_bytes
from dreamgui.training.memory.tiers import Machine, choose, means, next_tier
from dreamgui.training.steps.optimizers import eight_bit_trouble
from dreamgui.training.steps.step import TrainingStep
from dreamgui.workspace import Workspace
from tests.diffusion.made import make_dataset
from tests.recipes.killing import numbers
from tests.tiny import make_tiny_base

torch.set_num_threads(1)
gc.freeze()

SIZES = Sizes(SD15_WEIGHTS, 512)
NOT_THERE = "The package bitsandbytes can't be imported (pip install bitsandbytes)."
RECOMPUTED, IN_BACKWARD = "gradient checkpointing", "the optimizer in the backward pass"
EIGHT_BIT, BF16 = "8-bit optimizer state", "weights in bf16, rounded by chance"
HAS_8BIT = not eight_bit_trouble(torch.device("cpu"))


def card(free: float = 80, compute: str = "bfloat16", eight_bit: str = "", kind: str = "cuda") -> Machine:
    return Machine(kind, int(free * 1e9), compute, eight_bit)


def ways(machine: Machine, **changes: Any) -> list[str]:
    words = means(choose(TrainJob.model_validate(changes), machine, SIZES).job)
    return [] if words == "nothing is saved" else words.replace(BF16, "bf16").split(", ")


@pytest.mark.parametrize(
    ("tier", "expected"),
    [
        ("24GB", []),
        ("16GB", [RECOMPUTED, IN_BACKWARD]),
        ("12GB", [RECOMPUTED, EIGHT_BIT]),
        ("8GB", [RECOMPUTED, EIGHT_BIT, IN_BACKWARD]),
        ("6GB", [RECOMPUTED, EIGHT_BIT, IN_BACKWARD, "bf16"]),
        ("least", [RECOMPUTED, EIGHT_BIT, IN_BACKWARD, "bf16"]),
        ("none", []),
    ],
)
def test_what_a_tier_turns_on_for_the_unet(tier: str, expected: list[str]) -> None:
    assert ways(card(), method="unet", memory_tier=tier) == expected


def test_a_lora_needs_little() -> None:
    assert ways(card(), memory_tier="6GB") == []
    assert ways(card(), memory_tier="least") == [RECOMPUTED]
    assert ways(card(), memory_tier="6GB", batch_size=4) == [RECOMPUTED]


@pytest.mark.parametrize(
    ("free", "method", "expected"),
    [
        (79, "unet", []),
        (15.4, "unet", [RECOMPUTED, IN_BACKWARD]),
        (7.9, "unet", [RECOMPUTED, EIGHT_BIT, IN_BACKWARD]),
        (7.9, "lora", []),
        (3.9, "lora", [RECOMPUTED]),
    ],
)
def test_auto_takes_what_is_free(free: float, method: str, expected: list[str]) -> None:
    choice = choose(TrainJob.model_validate({"method": method}), card(free), SIZES)
    assert means(choice.job) == (", ".join(expected) or "nothing is saved")
    assert f"{memory_size(free * 10**9)} free" in choice.sentence and "GiB by estimate" in choice.sentence


@pytest.mark.parametrize(("share", "free"), [(1.0, 62), (0.2, 16)])
def test_auto_sees_what_others_took_and_a_cap(
    monkeypatch: pytest.MonkeyPatch, share: float, free: float
) -> None:
    """A card of 80 GB is simulated: 60 are free, and this process holds 2 that it could give back."""
    for name, value in (
        ("mem_get_info", (int(60e9), int(80e9))),
        ("memory_reserved", int(2e9)),
        ("memory_allocated", int(1e9)),
        ("get_per_process_memory_fraction", share),
    ):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    status = {"memory_used_bytes": int(20e9), "memory_total_bytes": int(80e9)}
    stand_in: Any = type(
        "Card",
        (),
        {"device": torch.device("cuda"), "status": lambda _: status, "train_dtype": torch.bfloat16},
    )()
    assert Machine.of(stand_in, needs_8bit=False) == card(free)


def test_without_a_card_auto_saves_nothing() -> None:
    for kind in ("cpu", "mps"):
        choice = choose(TrainJob(method="unet"), card(1, "float32", kind=kind), SIZES)
        assert choice.sentence == "" and means(choice.job) == "nothing is saved"


def test_what_cannot_be_had_gives_way_to_the_next_best_and_says_why() -> None:
    choice = choose(TrainJob(method="unet", memory_tier="8GB"), card(eight_bit=NOT_THERE), SIZES)
    assert choice.settings == {
        "gradient_checkpointing": True,
        "optimizer_in_backward": True,
        "optimizer": "adamw",
        "bf16_weights": True,
    }
    assert "pip install bitsandbytes" in choice.sentence and "weight by weight" in choice.sentence
    # A T4: fp16's loss scaling, no bf16.
    old = choose(TrainJob(method="unet", memory_tier="12GB"), card(compute="float16"), SIZES)
    assert means(old.job) == f"{RECOMPUTED}, {EIGHT_BIT}"
    short = choose(TrainJob(method="unet", memory_tier="6GB"), card(compute="float16"), SIZES)
    assert (
        "may not fit" in short.sentence
        and "loss scaling" in short.sentence
        and "doesn't compute" in short.sentence
    )
    summed = choose(TrainJob(method="unet", memory_tier="8GB", accumulate=4), card(), SIZES)
    assert not summed.job.optimizer_in_backward and summed.need_bytes < 8e9
    assert "4 batches are added up" in summed.sentence


def test_what_a_job_says_by_itself_stays() -> None:
    own = choose(TrainJob(method="unet", optimizer="prodigy", memory_tier="6GB"), card(), SIZES)
    assert own.job.optimizer == "prodigy" and means(own.job) == RECOMPUTED and "may not fit" in own.sentence
    asked = choose(TrainJob(method="unet", bf16_weights=True, memory_tier="24GB"), card(), SIZES)
    assert means(asked.job) == BF16


@pytest.mark.parametrize(
    ("changes", "machine", "sentence"),
    [
        ({"optimizer_in_backward": True, "accumulate": 2}, card(), "added up"),
        ({"optimizer_in_backward": True, "processes": 2}, card(), "exchange gradients"),
        ({"optimizer_in_backward": True, "compile": True}, card(), "compiled"),
        ({"optimizer_in_backward": True, "optimizer": "prodigy"}, card(), "all gradients together"),
        ({"optimizer_in_backward": True}, card(compute="float16"), "loss scaling"),
        ({"bf16_weights": True, "method": "lora"}, card(), "LoRA"),
        ({"bf16_weights": True, "optimizer": "schedule-free"}, card(), "schedule-free"),
        ({"bf16_weights": True, "train_text_encoder": True}, card(), "text encoder"),
        ({"bf16_weights": True, "processes": 2}, card(), "processes"),
        ({"bf16_weights": True}, card(compute="float16"), "doesn't compute"),
        ({"optimizer": "adamw-8bit"}, card(eight_bit=NOT_THERE), "pip install"),
        ({"shard": True}, card(), "by one process.*Set the processes"),
        *(
            ({"shard": True, "processes": 2, **changes}, card(), sentence)
            for changes, sentence in (
                ({"method": "lora"}, "LoRA's few weights"),
                ({"optimizer": "adamw-8bit"}, "train with adamw, not with 'adamw-8bit'"),
                ({"optimizer": "schedule-free"}, "not with 'schedule-free'"),
                ({"ema_decay": 0.9}, "don't go with an average"),
                ({"train_text_encoder": True}, "text encoder"),
                ({"compile": True}, "compiling"),
                ({"bf16_weights": True}, "don't go with weights in bf16"),
                ({"optimizer_in_backward": True}, "optimizer in the backward pass"),
            )
        ),
    ],
)
@pytest.mark.parametrize("tier", ["auto", "none", "8GB"])
def test_what_cannot_go_together_is_refused(
    changes: dict[str, Any], machine: Machine, sentence: str, tier: str
) -> None:
    job = TrainJob.model_validate({"method": "unet", "memory_tier": tier, **changes})
    with pytest.raises(BadInput, match=sentence):
        choose(job, machine, SIZES)


def test_more_is_needed_for_more() -> None:
    def need(**changes: Any) -> int:
        return needed_bytes(TrainJob.model_validate({"method": "unet", **changes}), SIZES, "bfloat16")

    assert need(batch_size=4) > need() > need(gradient_checkpointing=True)
    assert need(ema_decay=0.9) > need() and need(train_text_encoder=True) > need()
    assert need(optimizer="prodigy") > need() > need(optimizer="adamw-8bit") > need(method="lora")
    assert need(prior_preservation=False) < need()
    bigger = needed_bytes(TrainJob(method="unet"), Sizes(SD15_WEIGHTS, 768), "bfloat16")
    assert bigger > need() > needed_bytes(TrainJob(method="unet"), Sizes(10**8, 512), "bfloat16")


def test_gpus_that_split_the_weights_need_their_part_and_a_block() -> None:
    def need(compute: str = "bfloat16", **changes: Any) -> float:
        job = TrainJob.model_validate({"method": "unet", "batch_size": 8, **changes})
        return needed_bytes(job, SIZES, compute) / 1e9

    recomputed = {"gradient_checkpointing": True}
    whole, two, four, eight = (
        need(processes=n, shard=n > 1, **recomputed, prior_preservation=False) for n in (1, 2, 4, 8)
    )
    # Weights and moments: 12 bytes for each of 0.86e9 numbers.
    assert whole > 12 * 0.86 + 3 and 5.2 + 0.5 < two < 10 and whole > two > four > eight
    # All weights are on the card while they are loaded.
    assert eight > 4 * 0.86
    assert need(processes=2, shard=True) < need(processes=2)
    assert need("float32", processes=2, shard=True) > need(processes=2, shard=True)
    choice = choose(TrainJob(method="unet", processes=2, batch_size=2, shard=True), card(9), SIZES)
    assert means(choice.job) == f"{RECOMPUTED}, weights split over 2 GPUs" and choice.need_bytes < 9e9


def test_the_next_tier_is_named_until_there_is_none() -> None:
    job, names = TrainJob(method="unet"), []
    need = choose(job, card(), SIZES).need_bytes
    while sentence := next_tier(job, need, card(), SIZES):
        names.append(sentence.split()[4].rstrip(":"))
        need = choose(job.model_copy(update={"memory_tier": names[-1]}), card(), SIZES).need_bytes
    assert names == ["16GB", "12GB", "8GB", "6GB"]


QUICK = {"model": "tiny", "dataset": "anna", "sample_every": 0, "prior_preservation": False, "steps": 5}
QUICK |= {"learning_rate": 1e-3, "checkpoint_every": 2, "sample_steps": 2, "method": "unet", "batch_size": 2}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    make_tiny_base(workspace)
    make_dataset(workspace)
    return workspace


@pytest.fixture
def models(workspace: Workspace) -> Models:
    return Models(workspace, torch.device("cpu"))


def job(**changes: object) -> TrainJob:
    return TrainJob.model_validate({**QUICK, **changes})


def told(events: list[Any]) -> str:
    return " ".join(event.text for event in events if isinstance(event, Note))


def like_sd15(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model counts as large as Stable Diffusion 1.5, so that each tier turns something on."""
    monkeypatch.setattr(tiers, "Sizes", lambda weights, size_px: SIZES)


@pytest.mark.parametrize("tier", ["16GB", "12GB", "8GB", "6GB", "least"])
def test_each_tier_goes_on_bit_equal(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch, tier: str
) -> None:
    """Broken off after its first checkpoint and resumed, as if it never was."""
    like_sd15(monkeypatch)
    whole = list(train(job(memory_tier=tier, run="whole"), workspace, models))
    assert f"tier {tier}" in told(whole)
    stream = train(job(memory_tier=tier, run="broken"), workspace, models)
    assert any(isinstance(event, Saved) and event.name == "step-000002" for event in stream)
    stream.close()  # type: ignore[attr-defined]
    begun = models.catalog.run("broken")
    assert TrainJob.model_validate(begun.job).memory_tier == tier and begun.memory["gradient_checkpointing"]
    again = TrainJob.model_validate({**begun.job, "resume": True})
    assert numbers(list(train(again, workspace, models))) == numbers(whole)
    ends = [models.catalog.run(name).memory for name in ("broken", "whole")]
    assert all(end[name] == begun.memory[name] for end in ends for name in ("optimizer", "bf16_weights"))
    one, two = (load_file(models.catalog.run_file(name)) for name in ("whole", "broken"))
    assert all(torch.equal(one[name], two[name]) and one[name].dtype == torch.float16 for name in one)


@pytest.mark.parametrize("tier", ["none", "auto", "24GB", "6GB"])
def test_a_run_that_goes_on_under_another_tier_keeps_its_formats(tier: str) -> None:
    asked = TrainJob.model_validate({"method": "unet", "memory_tier": tier})
    for optimizer, bf16 in (("adamw", False), ("adamw-8bit", False), ("adamw-8bit", True), ("adamw", True)):
        begun = asked.model_copy(update={"optimizer": optimizer, "bf16_weights": bf16})
        found = choose(asked, card(), SIZES, begun).job
        assert (found.optimizer, found.bf16_weights) == (optimizer, bf16)
        assert found.optimizer_in_backward == (tier == "6GB")
    plain = choose(asked, card(eight_bit=NOT_THERE), SIZES, asked)
    assert ("may not fit" in plain.sentence) == (tier == "6GB")


def test_wrong_combinations_are_refused_before_any_work(workspace: Workspace, models: Models) -> None:
    for changes in (
        {"optimizer_in_backward": True, "accumulate": 2},
        {"bf16_weights": True, "method": "lora"},
        {"shard": True, "processes": 2, "method": "lora"},
    ):
        events: list[Any] = []
        with pytest.raises(BadInput):
            events.extend(train(job(**changes), workspace, models))
        with pytest.raises(BadInput):
            list(preflight(PreflightJob.model_validate({**QUICK, **changes}), workspace, models))
        assert events == [] and workspace.names("runs") == [] and models.status()["base"] == ""


def test_the_preflight_tells_the_choice(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    like_sd15(monkeypatch)
    asked = PreflightJob.model_validate({**QUICK, "memory_tier": "16GB"})
    notes = told(list(preflight(asked, workspace, models)))
    assert "tier 16GB" in notes and IN_BACKWARD in notes and "It fits" in notes


def test_the_preflight_of_split_weights_tells_the_estimate(workspace: Workspace, models: Models) -> None:
    asked = PreflightJob.model_validate({**QUICK, "shard": True, "processes": 2})
    events: list[Any] = list(preflight(asked, workspace, models))
    assert "Split over 2 GPUs, a step needs about" in told(events) and "On the disk" in told(events)
    assert events[-1].values["memory_bytes"] > 0 and models.status()["base"] == ""
    with pytest.raises(BadInput, match="3 instance pictures"):
        list(preflight(asked.model_copy(update={"batch_size": 3}), workspace, models))


def test_short_memory_names_the_next_tier(
    workspace: Workspace, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a card of 16 GB, simulated: the tier below it is named, and then works."""

    def short(self: TrainingStep, *_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    like_sd15(monkeypatch)
    monkeypatch.setattr(
        Machine, "of", classmethod(lambda cls, models, needs: card(15.5, eight_bit=NOT_THERE))
    )
    monkeypatch.setattr(TrainingStep, "launch", short)
    with pytest.raises(NotEnoughMemory, match="memory tier 12GB: gradient checkpointing, weights in bf16"):
        list(train(job(), workspace, models))
    monkeypatch.undo()
    like_sd15(monkeypatch)
    monkeypatch.setattr(
        Machine, "of", classmethod(lambda cls, models, needs: card(15.5, eight_bit=NOT_THERE))
    )
    assert len(numbers(list(train(job(memory_tier="12GB"), workspace, models)))) == 5
