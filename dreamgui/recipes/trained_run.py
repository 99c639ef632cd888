"""The folder of a training: its card, its checkpoints, and in the end its weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgui.config import TrainJob
from dreamgui.diffusion.checkpoints import Checkpoints
from dreamgui.diffusion.weights import require_finite, save_unet
from dreamgui.errors import BadInput, UnknownName
from dreamgui.models.catalog import LORA_FILE, UNET_FILE, Catalog, RunCard, write_run
from dreamgui.models.lora_files import lora_metadata, read_lora, save_lora
from dreamgui.models.text_encoders import TEXT_FOLDER, save_text_encoder
from dreamgui.recipes.loss_log import LossLog
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.diffusion.step import TrainingStep
    from dreamgui.models.manager import Parts

_FIXED = ("model", "dataset", "method", "train_text_encoder", "optimizer", "ema_decay", "bf16_weights")
_FIXED_LORA = (*_FIXED, "rank", "effective_alpha", "lora_targets", "dora")
"""What can't change between the parts of one run."""


class TrainedRun:
    """A run that is being trained.

    Attributes:
        name: its name in the catalog.
        folder: ``runs/NAME``.
        checkpoints: those in it.
        usable: whether it was stopped before, and has weights that can be drawn with.
        compiler_cache: where the workspace keeps what torch.compile made.
        job: the job that trains it as it was asked for, with the run's name filled in.
        memory: the settings that its memory tier has turned on.
        begun: with which settings it was begun, the memory tier's among them; None for a new one.
    """

    def __init__(self, name: str, job: TrainJob, workspace: Workspace) -> None:
        self.name = name
        self.job = job.model_copy(update={"run": name, "resume": False})
        self.folder = workspace.place("runs", name)
        self.checkpoints = Checkpoints(self.folder / "checkpoints")
        self.compiler_cache = workspace.compiled
        self.usable = False
        self.memory: dict[str, Any] = {}
        self.begun: TrainJob | None = None

    @classmethod
    def new(cls, job: TrainJob, workspace: Workspace) -> TrainedRun:
        """A run under a name that isn't taken."""
        wish = job.run or ("unet" if job.method == "unet" else f"lora-r{job.rank}")
        return cls(workspace.fresh("runs", wish), job, workspace)

    @classmethod
    def resumed(cls, job: TrainJob, workspace: Workspace, catalog: Catalog) -> TrainedRun:
        """The run that the job names, or else the newest one that it could go on with.

        Raises:
            UnknownName: there is no such run.
            BadInput: it is finished, or was begun with other settings.
        """
        name = job.run or _newest_open(job, workspace, catalog)
        card = catalog.run(name)
        run = cls(card.name, job, workspace)
        run.usable = card.finished
        if card.finished and not can_resume(workspace, card.name):
            raise BadInput(
                f"The run {card.name!r} is finished after {card.steps} steps.",
                "Start a new run in its place.",
            )
        if changed := _changed(job, TrainJob.model_validate(card.job)):
            raise BadInput(
                f"The run {card.name!r} was begun with another {', '.join(changed)}.",
                "Resume it with the settings it has, or start a new run.",
            )
        run.begun = TrainJob.model_validate({**card.job, **card.memory})
        return run

    @property
    def settings(self) -> dict[str, Any]:
        """The job as JSON."""
        return self.job.model_dump(mode="json")

    def require_space(self, workspace: Workspace, base_unet: Path) -> None:
        """Keep as many checkpoints as the job says, and the best one, as far as they fit, but at least one.

        Raises:
            NotEnoughDisk: not even one fits beside the one being written and the finished file.
        """
        size = base_unet.stat().st_size if self.job.method == "unet" else 10_000_000
        # fp32 weights and two moments of AdamW (and an average), from an fp16 file
        checkpoint = (8 if self.job.ema_decay else 6) * size
        workspace.require_space(2 * checkpoint + size)
        room = shutil.disk_usage(workspace.root).free - size - 100_000_000
        fitting = int(room / checkpoint) - 1
        self.checkpoints.keep = max(1, min(self.job.keep_checkpoints, fitting - 1))
        self.checkpoints.keep_best = fitting > self.checkpoints.keep

    def begin(self) -> None:
        """Put the run into the catalog, unfinished; one that was stopped stays usable until it is better."""
        self.checkpoints.sweep()
        for leftover in self.folder.glob(".*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        if not self.usable:
            write_run(self.folder, self._card(steps=0, seconds=0.0, file_bytes=0, finished=False))

    def save_checkpoint(self, training: TrainingStep, log: LossLog) -> Path:
        """Keep everything that was learnt and measured so far.

        Raises:
            NotEnoughDisk: the disk is full; the earlier checkpoints are as they were.
        """
        return self.checkpoints.save(
            len(log.losses), training, log.losses, self.settings, log.validations, log.quality
        )

    def put_best_back(self, training: TrainingStep, log: LossLog) -> int:
        """Put the best checkpoint's weights back if they are better than the ones now.

        Returns:
            After which step they were so, 0 where the ones now are the best.
        """
        if training.sharded:
            # Each process reads its part: what the first has written and removed must be the same for all.
            training.all_agree(True)
        best = self.checkpoints.best()
        if best is None or best.quality is None or best.quality >= log.quality:
            return 0
        best.restore(training)
        return best.step

    def finish(self, training: TrainingStep, parts: Parts, log: LossLog, seconds: float) -> RunCard:
        """Write the weights and then the card that says so; a LoRA's file names its base model.

        Raises:
            TrainingFailed: a weight isn't finite.
            Damaged: what was written reads back differently.
        """
        with training.settled():
            path = self._write_unet(parts, training) if self.job.method == "unet" else self._write_lora(parts)
        card = self._card(len(log.losses), round(seconds, 2), path.stat().st_size, finished=True)
        looks = log.validations
        card = card.model_copy(update={"loss": log.smoothed, "validation": looks[-1].loss if looks else None})
        write_run(self.folder, card)
        if log.board:
            log.board.close()
        if len(log.losses) >= self.job.steps:
            self.checkpoints.clear()
        return card

    def _write_unet(self, parts: Parts, training: TrainingStep) -> Path:
        if self.job.train_text_encoder:
            save_text_encoder(self.folder / TEXT_FOLDER, parts.text_encoder)
        path = self.folder / UNET_FILE
        save_unet(path.parent, training.whole_unet())
        return path

    def _write_lora(self, parts: Parts) -> Path:
        path = self.folder / LORA_FILE
        metadata = lora_metadata(
            self.job.model_dump_json(), parts.card, self.job.rank, self.job.effective_alpha
        )
        text_encoder = parts.text_encoder if self.job.train_text_encoder else None
        save_lora(path, parts.unet, metadata, text_encoder=text_encoder)
        written = read_lora(path)
        require_finite(written.tensors | written.text)
        return path

    def _card(self, steps: int, seconds: float, file_bytes: int, finished: bool) -> RunCard:
        lora = self.job.method == "lora"
        return RunCard(
            name=self.name,
            kind=self.job.method,
            base=self.job.model,
            dataset=self.job.dataset,
            rank=self.job.rank if lora else None,
            alpha=self.job.effective_alpha if lora else None,
            learning_rate=self.job.effective_learning_rate,
            steps=steps,
            seconds=seconds,
            file_bytes=file_bytes,
            finished=finished,
            job=self.settings,
            memory=self.memory,
        )


def can_resume(workspace: Workspace, name: str) -> bool:
    """Whether a run was broken off or stopped, and has checkpoints to go on from."""
    return any((workspace.place("runs", name) / "checkpoints").glob("step-*"))


def _newest_open(job: TrainJob, workspace: Workspace, catalog: Catalog) -> str:
    for card in reversed(catalog.runs()):
        if can_resume(workspace, card.name) and not _changed(job, TrainJob.model_validate(card.job)):
            return card.name
    raise UnknownName("There is no broken-off run with these settings.", "Start a new run.")


def _changed(job: TrainJob, before: TrainJob) -> list[str]:
    fixed = _FIXED_LORA if job.method == "lora" else _FIXED
    return [name.removeprefix("effective_") for name in fixed if getattr(job, name) != getattr(before, name)]
