"""The folder of a training: its card, its checkpoints, and in the end its weights."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgui.config import TrainJob
from dreamgui.models.catalog.cards import RUN_CARD, read_card
from dreamgui.models.catalog.catalog import (
    KEPT_CARD,
    LORA_FILE,
    SNAPSHOTS,
    UNET_FILE,
    Catalog,
    RunCard,
    write_run,
)
from dreamgui.models.files.unet_folder import require_finite, save_unet
from dreamgui.models.lora.adapters import read_lora, save_lora
from dreamgui.models.lora.text_encoders import TEXT_FOLDER, save_text_encoder
from dreamgui.models.lora.texts import lora_metadata
from dreamgui.training.checkpoints import Checkpoints
from dreamgui.training.loss_log import LossLog
from dreamgui.training.resumable import CHECKPOINTS, LOCK
from dreamgui.training.settings import begun_with
from dreamgui.workspace import SPARE_BYTES, Workspace, new_folder, write_json

if TYPE_CHECKING:
    from dreamgui.models.manager import Parts
    from dreamgui.training.steps.step import TrainingStep


class TrainedRun:
    """A run that is being trained.

    Attributes:
        name: its name in the catalog.
        folder: ``runs/NAME``.
        checkpoints: those in it.
        usable: whether it was stopped before, and has weights that can generate.
        compiler_cache: where the workspace keeps what torch.compile made.
        job: the job that trains it as it was asked for, with the run's name filled in.
        memory: the settings that its memory tier has turned on.
        origin: what tells later that the base or the dataset has changed (:mod:`dreamgui.training.origin`).
        begun: with which settings it was begun, the memory tier's among them; None for a new one.
    """

    def __init__(self, name: str, job: TrainJob, workspace: Workspace) -> None:
        self.name = name
        self.job = job.model_copy(update={"run": name, "resume": False, "resume_from": 0})
        self.folder = workspace.place("runs", name)
        self.checkpoints = Checkpoints(self.folder / CHECKPOINTS)
        self.compiler_cache = workspace.compiled
        self.usable = False
        self.memory: dict[str, Any] = {}
        self.origin: dict[str, Any] = {}
        self.begun: TrainJob | None = None

    @classmethod
    def new(cls, job: TrainJob, workspace: Workspace) -> TrainedRun:
        """A run under a name that isn't taken."""
        wanted = job.run or ("unet" if job.method == "unet" else f"lora-r{job.rank}")
        return cls(workspace.fresh("runs", wanted), job, workspace)

    @classmethod
    def resumed(cls, job: TrainJob, workspace: Workspace, catalog: Catalog) -> TrainedRun:
        """The run that the job names. :func:`dreamgui.training.settings.settled` has found and checked it.

        Raises:
            UnknownName: there is no such run.
        """
        card = catalog.run(job.run)
        run = cls(card.name, job, workspace)
        run.usable = card.finished
        run.begun = begun_with(card).model_copy(update=card.memory)
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
        workspace.require_space(2 * checkpoint + size, f"The run {self.name!r}, with two checkpoints,")
        room = shutil.disk_usage(workspace.root).free - size - SPARE_BYTES
        fitting = int(room / checkpoint) - 1
        self.checkpoints.keep = max(1, min(self.job.keep_checkpoints, fitting - 1))
        self.checkpoints.keep_best = fitting > self.checkpoints.keep

    def begin(self) -> None:
        """Put the run into the catalog, unfinished. One that was stopped stays usable until it is better.

        Its card holds the settings that it goes on with in any case.
        """
        self.checkpoints.clean_up()
        for leftover in self.folder.glob(".*"):
            if leftover.name != LOCK:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        card = self._card(steps=0, seconds=0.0, file_bytes=0, finished=False)
        if self.usable:
            now = {"job": card.job, "memory": card.memory, "origin": card.origin}
            card = read_card(self.folder / RUN_CARD, RunCard).model_copy(
                update={**now, "dataset": card.dataset}
            )
        write_run(self.folder, card)

    def save_checkpoint(self, training: TrainingStep, log: LossLog) -> Path:
        """Keep everything that was trained and measured so far.

        Raises:
            NotEnoughDisk: the disk is full; the earlier checkpoints are as they were.
        """
        return self.checkpoints.save(
            len(log.losses), training, log.losses, self.settings, log.validations, log.quality, log.likenesses
        )

    def put_best_back(self, training: TrainingStep, log: LossLog) -> int:
        """Put the best checkpoint's weights back if they are better than the ones now.

        Returns:
            After which step they were so, 0 where the ones now are the best.
        """
        if training.peers.sharded:
            # Each process reads its part: what the first has written and removed must be the same for all.
            training.peers.all_agree(True)
        best, now = self.checkpoints.best(), log.quality
        if best is None or best.quality is None or (now is not None and best.quality >= now):
            return 0
        best.restore(training)
        return best.step

    def finish(self, training: TrainingStep, parts: Parts, log: LossLog, seconds: float) -> RunCard:
        """Write the weights and then the card that says so. A LoRA's file names its base model.

        Raises:
            TrainingFailed: a weight isn't finite.
            Damaged: what was written reads back differently.
        """
        path = self._write_weights(self.folder, training, parts, seconds)
        card = self._card(len(log.losses), round(seconds, 2), path.stat().st_size, finished=True)
        looks = log.validations
        card = card.model_copy(update={"loss": log.smoothed, "validation": looks[-1].loss if looks else None})
        write_run(self.folder, card)
        if log.board:
            log.board.close()
        if len(log.losses) >= self.job.steps:
            self.checkpoints.clear()
        return card

    def save_snapshot(self, training: TrainingStep, parts: Parts, step: int, seconds: float) -> None:
        """Keep the weights of a step as a model. Those of later steps, of a course that was left, are removed.

        Raises:
            NotEnoughDisk: the disk is full; the models kept before are as they were.
        """
        kept = self.folder / SNAPSHOTS
        with new_folder(
            kept / str(step), next_step=f"Make room and resume. {self.checkpoints.kept}"
        ) as folder:
            self._write_weights(folder, training, parts, seconds)
            write_json(folder / KEPT_CARD, {"seconds": round(seconds, 2)})
        for later in kept.glob("[0-9]*"):
            if later.name.isdecimal() and int(later.name) > step:
                shutil.rmtree(later, ignore_errors=True)

    def _write_weights(self, folder: Path, training: TrainingStep, parts: Parts, seconds: float) -> Path:
        with training.settled():
            if self.job.method == "unet":
                return self._write_unet(folder, parts, training)
            return self._write_lora(folder, parts, seconds)

    def _write_unet(self, folder: Path, parts: Parts, training: TrainingStep) -> Path:
        if self.job.train_text_encoder:
            save_text_encoder(folder / TEXT_FOLDER, parts.text_encoder)
        path = folder / UNET_FILE
        save_unet(path.parent, training.peers.whole_unet(training.unet))
        return path

    def _write_lora(self, folder: Path, parts: Parts, seconds: float) -> Path:
        path = folder / LORA_FILE
        metadata = lora_metadata(
            self.job.model_dump_json(),
            parts.card,
            self.job.rank,
            self.job.effective_alpha,
            title=self.name,
            started_s=time.time() - seconds,
        )
        text_encoder = parts.text_encoder if self.job.train_text_encoder else None
        save_lora(path, parts.unet, metadata, text_encoder=text_encoder)
        written = read_lora(path)
        require_finite(written.tensors)
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
            origin=self.origin,
        )
