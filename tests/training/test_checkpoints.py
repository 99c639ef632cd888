from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from dreamgui.errors import Damaged, NotEnoughDisk, TrainingFailed
from dreamgui.events import Loss, SampleLikeness, Validation
from dreamgui.models.manager import LoraSettings, Models, Parts
from dreamgui.training import checkpoints
from dreamgui.training.checkpoint_files import whole_steps
from dreamgui.training.checkpoints import Checkpoints, MovementGuard
from dreamgui.training.steps.step import TrainingStep
from tests.training.test_step import batch, training

LOSSES = [Loss(1, 0.5, None, 1e-4, 0.25, 0.1), Loss(2, 0.4, 0.3, 1e-4, 0.2, 0.1)]


def stepped(parts: Parts, count: int = 2, **settings: Any) -> TrainingStep:
    step = training(parts, **settings)
    for _ in range(count):
        step(batch(), 1e-3)
    return step


@pytest.mark.parametrize("optimizer", ["adamw", "prodigy", "schedule-free"])
def test_going_on_is_bit_equal(models: Models, tmp_path: Path, optimizer: str) -> None:
    if optimizer != "adamw":
        pytest.importorskip({"prodigy": "prodigyopt", "schedule-free": "schedulefree"}[optimizer])
    lora = LoraSettings(4, 4.0) if optimizer == "adamw" else None
    settings = {"optimizer": optimizer, "ema_decay": 0.9}
    seen = [Validation(2, 0.75)]
    with models.train("tiny", lora) as parts:
        step, folder = stepped(parts, **settings), Checkpoints(tmp_path / "run")
        looks = [SampleLikeness(1, None, 0, 2), SampleLikeness(2, 0.5, 2, 2)]
        folder.save(2, step, LOSSES, {"steps": 5}, seen, 0.75, looks)
        expected = [step(batch(), 1e-3) for _ in range(3)]
        fresh = stepped(parts, 4, **settings)
        checkpoint, broken = folder.newest()
        assert checkpoint is not None and broken == []
        assert checkpoint.step == 2 and checkpoint.losses == LOSSES and checkpoint.job == {"steps": 5}
        assert checkpoint.validations == seen and checkpoint.quality == 0.75
        assert checkpoint.likenesses == looks
        checkpoint.restore(fresh)
        assert [fresh(batch(), 1e-3) for _ in range(3)] == expected
        assert fresh.average is not None and step.average is not None
        average = step.average.weights
        assert all(torch.equal(fresh.average.weights[name], average[name]) for name in average)
        with pytest.raises(Damaged, match="settings"):
            checkpoint.restore(training(parts, optimizer=optimizer))


def test_the_best_is_kept_beside_the_newest(trained: Parts, tmp_path: Path) -> None:
    step, folder = stepped(trained, 1), Checkpoints(tmp_path / "run", keep=1)
    for number, quality in ((1, 0.5), (2, 0.3), (3, 0.4), (4, 0.6)):
        folder.save(number, step, LOSSES, {}, (), quality)
    assert sorted(path.name for path in folder.folder.iterdir()) == ["step-000002", "step-000004"]
    best = folder.best()
    assert best is not None and best.step == 2 and best.quality == 0.3
    folder.keep_best = False
    folder.save(5, step, LOSSES, {}, (), 0.9)
    assert [path.name for path in folder.folder.iterdir()] == ["step-000005"]


def test_weights_that_do_not_move_are_an_error(trained: Parts) -> None:
    step = stepped(trained)
    guard = MovementGuard(step)
    step(batch(), 1e-12)
    guard.look(last=False)
    stuck = MovementGuard(step)
    for _ in range(4):
        stuck.look(last=False)
    with pytest.raises(TrainingFailed, match="5 steps"):
        stuck.look(last=False)
    with pytest.raises(TrainingFailed, match="1 steps"):
        MovementGuard(step).look(last=True)


def test_the_newest_few_are_kept(trained: Parts, tmp_path: Path) -> None:
    step, folder = stepped(trained, 1), Checkpoints(tmp_path / "run", keep=2)
    for number in (1, 2, 3):
        folder.save(number, step, LOSSES, {})
    assert sorted(path.name for path in folder.folder.iterdir()) == ["step-000002", "step-000003"]
    (folder.folder / ".step-000004.half").mkdir()
    folder.clean_up()
    assert len(list(folder.folder.iterdir())) == 2


def test_going_back_gives_up_what_came_after(trained: Parts, tmp_path: Path) -> None:
    step, folder = stepped(trained, 1), Checkpoints(tmp_path / "run", keep=9)
    for number in (1, 2, 3, 4):
        folder.save(number, step, LOSSES[:number], {}, (), 1.0 / number)
    back, _ = folder.newest(until=2)
    best = folder.best()
    assert back is not None and best is not None and back.step == best.step == 2
    # Until another is saved they are there, should the training end before.
    assert whole_steps(folder.folder) == [1, 2, 3, 4]
    folder.save(3, step, LOSSES, {})
    assert whole_steps(folder.folder) == [1, 2, 3]


@pytest.mark.parametrize("cut", ["training.safetensors", "checkpoint.json"])
def test_a_truncated_one_gives_way_to_the_one_before(trained: Parts, tmp_path: Path, cut: str) -> None:
    step, folder = stepped(trained, 1), Checkpoints(tmp_path / "run")
    folder.save(1, step, LOSSES[:1], {})
    broken = folder.save(2, step, LOSSES, {}) / cut
    broken.write_bytes(broken.read_bytes()[:-7])
    checkpoint, names = folder.newest()
    assert checkpoint is not None and checkpoint.step == 1 and names == ["step-000002"]


def test_none_at_all(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "nowhere").newest() == (None, [])


def test_a_full_disk_leaves_the_earlier_ones(
    trained: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, folder = stepped(trained, 1), Checkpoints(tmp_path / "run")
    folder.save(1, step, LOSSES[:1], {})

    def full(tensors: dict[str, torch.Tensor], path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(
        NotEnoughDisk, match=r"step-000002 needs .*B; .* free.*resume. The checkpoint step-000001 is kept"
    ):
        folder.save(2, step, LOSSES, {})
    with pytest.raises(NotEnoughDisk, match="start again. No checkpoint was saved before"):
        Checkpoints(tmp_path / "another").save(1, step, LOSSES, {})
    assert [path.name for path in folder.folder.iterdir()] == ["step-000001"]
    assert folder.newest()[0] is not None


def test_another_adapters_checkpoint_is_refused(models: Models, tmp_path: Path) -> None:
    folder = Checkpoints(tmp_path / "run")
    with models.train("tiny", LoraSettings(4, 4.0)) as parts:
        folder.save(1, stepped(parts, 1), LOSSES[:1], {})
    with models.train("tiny", LoraSettings(8, 8.0)) as parts:
        checkpoint, _ = folder.newest()
        assert checkpoint is not None
        with pytest.raises(Damaged, match="step 1"):
            checkpoint.restore(training(parts))
