"""One of the processes that train together: ``accelerate launch --module dreamgui.training.parallel.worker FOLDER``.

What lies in the folder is described in :mod:`dreamgui.training.parallel.launch`, which starts this. Each process runs
the same training; the first alone writes and reports, and generates and validates, unless the weights are split:
then it takes all of them to compute anything.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType

from accelerate import PartialState
from PIL import Image
from torch import distributed as dist

from dreamgui.config import TrainJob
from dreamgui.errors import DreamError
from dreamgui.events import Event, Sampled, to_json
from dreamgui.models.catalog.cards import RunCard
from dreamgui.models.manager import Models, Parts
from dreamgui.training.checkpoints import gathered
from dreamgui.training.loop import training_loop
from dreamgui.training.loss_log import LossLog
from dreamgui.training.parallel.data_parallel import DataParallel
from dreamgui.training.parallel.fsdp import FullyShardedDataParallel
from dreamgui.training.parallel.launch import ERROR, EVENTS, OTHERS_GONE, PLAN, STOP, SharedTraining
from dreamgui.training.run_folder import TrainedRun
from dreamgui.training.steps.make_step import lora_settings
from dreamgui.training.steps.step import TrainingStep
from dreamgui.training.training_data import encode
from dreamgui.workspace import write_json

# The others wait so long while the first generates, validates or writes a checkpoint.
PATIENCE = timedelta(hours=1)
_STDIN = 0
_WRITES_NOTHING = {"tensorboard": False}
_LOOKS_AT_NOTHING = {"sample_every": 0, "validate_every": 0, "finish_with": "last"}


def main(folder: Path) -> None:
    """Train as the plan in this folder says, as the process that the launcher's environment names."""
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    sys.excepthook = partial(_report, folder)
    plan: SharedTraining = pickle.loads((folder / PLAN).read_bytes())
    state = _joined(plan.device_type)
    if not state.is_main_process:
        plan = _watching(plan, folder)
    models = Models(plan.workspace, state.device)
    job = plan.job
    with models.train(job.model, lora_settings(job), job.train_text_encoder, job.bf16_weights) as parts:
        for number, event in enumerate(_trained(plan, parts, state, folder)):
            if state.is_main_process:
                _tell(folder, event, number)
    if plan.device_type == "cuda":
        _end(0)
    dist.destroy_process_group()


def _trained(plan: SharedTraining, parts: Parts, state: PartialState, folder: Path) -> Iterator[Event]:
    # What the first has encoded lies on the disk when the others come to it.
    with state.main_process_first():
        yield from encode(parts, plan.job, plan.training_images)
    peers = FullyShardedDataParallel if plan.job.shard else DataParallel
    yield from training_loop(plan.job, parts, plan.run, plan.training_images, peers((folder / STOP).exists))


def _joined(device_type: str) -> PartialState:
    """The process group, with one device for each process. Votes go over the CPU where GPUs compute."""
    if device_type == "cpu":
        return PartialState(cpu=True, timeout=PATIENCE)
    return PartialState(backend="cuda:nccl,cpu:gloo", timeout=PATIENCE)


class _Watched(TrainedRun):
    """The run as all but the first process see it: they read its checkpoints and write nothing."""

    def begin(self) -> None:
        """The first process does it."""

    def save_checkpoint(self, training: TrainingStep, log: LossLog) -> Path:
        """The first process does it. It is given this one's part."""
        if training.peers.sharded:
            gathered(training)
        self.checkpoints.forget_left()
        return self.folder

    def save_snapshot(self, training: TrainingStep, parts: Parts, step: int, seconds: float) -> None:
        """The first process does it. It is given this one's part."""
        if training.peers.sharded:
            training.peers.whole_unet(training.unet)

    def finish(self, training: TrainingStep, parts: Parts, log: LossLog, seconds: float) -> RunCard:
        """The first process does it. It is given this one's part."""
        if training.peers.sharded:
            training.peers.whole_unet(training.unet)
        return self._card(len(log.losses), seconds, file_bytes=0, finished=True)


def _watching(plan: SharedTraining, folder: Path) -> SharedTraining:
    """The plan for a process that only computes: its part of the steps, or its part of everything."""
    changes = _WRITES_NOTHING if plan.job.shard else _WRITES_NOTHING | _LOOKS_AT_NOTHING
    job: TrainJob = plan.job.model_copy(update=changes)
    run = _Watched(plan.run.name, job, plan.workspace)
    # What lies in the run's own folder, beside its checkpoints, is for the first process alone.
    run.folder = folder
    held_out = plan.training_images.held_out if plan.job.shard else []
    return replace(plan, job=job, run=run, training_images=replace(plan.training_images, held_out=held_out))


def _tell(folder: Path, event: Event, number: int) -> None:
    """Append an event to what the parent reads, its picture as a file."""
    if isinstance(event, Sampled) and isinstance(event.image, Image.Image):
        path = folder / f"{number}.png"
        event.image.save(path, compress_level=1)
        event = replace(event, image=path)
    with (folder / EVENTS).open("a", encoding="utf-8") as log:
        log.write(json.dumps(to_json(event), ensure_ascii=False) + "\n")


def _report(
    folder: Path, kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Leave what broke this process off for the parent. Where another has gone, that is only said."""
    # Gloo raises plain RuntimeErrors: "Connection closed by peer".
    gone = isinstance(error, dist.DistError) or "connection" in str(error).lower()
    known = isinstance(error, DreamError)
    report = {
        "kind": OTHERS_GONE if gone and not known else kind.__name__,
        "what": error.what if isinstance(error, DreamError) else str(error),
        "next_step": error.next_step if isinstance(error, DreamError) else "",
        "trace": "".join(traceback.format_exception(kind, error, trace)),
    }
    write_json(folder / ERROR.format(rank=os.environ["RANK"]), report)
    sys.__excepthook__(kind, error, trace)
    _end(1)


def _end(code: int) -> None:
    """End at once: NCCL's ordinary end waits for every CUDA graph it is in, and a traceback may hold one.

    https://docs.nvidia.com/dl-cuda-graph/troubleshooting/process-hang.html
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _end_with_parent(folder: Path) -> None:
    """Wait for the end of standard input: the parent has gone, and with it whoever needs this training."""
    while os.read(_STDIN, 1):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
