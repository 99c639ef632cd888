from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from dreamgui.diffusion import checkpoints
from dreamgui.diffusion.checkpoints import Checkpoints
from dreamgui.diffusion.step import TrainingStep
from dreamgui.errors import Damaged, NotEnoughDisk
from dreamgui.events import Loss
from dreamgui.models.manager import LoraSettings, Models, Parts
from tests.diffusion.test_step import batch, training

LOSSES = [Loss(1, 0.5, None, 1e-4, 0.25, 0.1), Loss(2, 0.4, 0.3, 1e-4, 0.2, 0.1)]


def stepped(parts: Parts, count: int = 2) -> TrainingStep:
    step = training(parts)
    for _ in range(count):
        step(batch(), 1e-3)
    return step


def test_going_on_is_bit_equal(trained: Parts, tmp_path: Path) -> None:
    step, folder = stepped(trained), Checkpoints(tmp_path / "run")
    folder.save(2, step, LOSSES, {"steps": 5})
    expected = [step(batch(), 1e-3) for _ in range(3)]
    fresh = stepped(trained, 4)
    checkpoint, broken = folder.newest()
    assert checkpoint is not None and broken == []
    assert checkpoint.step == 2 and checkpoint.losses == LOSSES and checkpoint.job == {"steps": 5}
    checkpoint.restore(fresh)
    assert [fresh(batch(), 1e-3) for _ in range(3)] == expected


def test_the_newest_few_are_kept(trained: Parts, tmp_path: Path) -> None:
    step, folder = stepped(trained, 1), Checkpoints(tmp_path / "run", keep=2)
    for number in (1, 2, 3):
        folder.save(number, step, LOSSES, {})
    assert sorted(path.name for path in folder.folder.iterdir()) == ["step-000002", "step-000003"]
    (folder.folder / ".step-000004.half").mkdir()
    folder.sweep()
    assert len(list(folder.folder.iterdir())) == 2


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
    with pytest.raises(NotEnoughDisk, match="MB"):
        folder.save(2, step, LOSSES, {})
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
