"""Training on several processes, as the process that starts them sees it.

They are started by ``accelerate launch`` and run :mod:`dreamgui.training.parallel.worker`. A folder lies between:

    plan.pickle          what is to be trained, for all of them
    accelerate.json      accelerate's configuration, so that the user's own is never read
    events.jsonl         what the first process reports, an event a line; its pictures lie beside
    error-RANK.json      what a process broke off with
    stop                 made when they shall stop and keep what was trained
    output.txt           what they print

Their standard input is a pipe from this process. It closes when this process ends, however it ends, and
with it they end.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from types import TracebackType
from typing import TYPE_CHECKING, Any

import psutil
from PIL import Image

from dreamgui import errors
from dreamgui.config import TrainJob
from dreamgui.errors import BadInput, DreamError, StopRequested, TrainingFailed
from dreamgui.events import Event, Loss, Progress, Sampled, from_json
from dreamgui.training.run_folder import TrainedRun
from dreamgui.training.training_data import TrainingImages
from dreamgui.workspace import Workspace, read_json, write_json

if TYPE_CHECKING:
    import torch

    from dreamgui.models.manager import Models

PLAN, EVENTS, STOP, ERROR = "plan.pickle", "events.jsonl", "stop", "error-{rank}.json"
OTHERS_GONE = "OthersGone"
_SHOWN_CHARACTERS = 4000
_log = logging.getLogger(__name__)
_LOOK_SECONDS, _PULSE_SECONDS, _END_SECONDS = 0.05, 1.0, 10.0
_PYTHONPATH = (str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", ""))


@dataclass(frozen=True)
class SharedTraining:
    """Order to every process. ``device_type``: "cuda" or "cpu"."""

    job: TrainJob
    run: TrainedRun
    training_images: TrainingImages
    workspace: Workspace
    device_type: str


def require_shareable(job: TrainJob, device: torch.device) -> None:
    """Check that this machine has so many devices, and that each gets as many pictures.

    Raises:
        BadInput: it doesn't.
    """
    count = job.processes
    if job.batch_size % count:
        fitting = f"{count} or {2 * count}"
        raise BadInput(
            f"A step's {job.batch_size} instance pictures can't be shared by {count} processes.",
            f"Set the batch to a multiple of the processes, for instance {fitting}, or use fewer processes.",
        )
    if device.type == "mps":
        raise BadInput("Apple's GPU can be used by one process only.", "Set the processes to 1.")
    if device.type == "cuda" and count > (devices := _device_count()):
        raise BadInput(
            f"{count} processes need a GPU each; this machine has {devices}.", f"Use at most {devices}."
        )


def train_together(plan: SharedTraining, models: Models) -> Generator[Event, None, None]:
    """Start the processes, and pass on what they report. They get all of this process's device memory.

    Stop before the first step ends them; later they keep what was trained.

    Raises:
        StopRequested: nothing was trained before Stop.
        TrainingFailed: a process was ended by someone else.
        DreamError: whatever broke the training off.
    """
    with (
        tempfile.TemporaryDirectory(prefix="dreamgui-ranks-") as name,
        models.elsewhere(f"{plan.job.model} (training)"),
        _Ranks(Path(name), plan) as ranks,
    ):
        try:
            yield from ranks.events()
        except StopRequested:
            if not ranks.learning:
                raise
            ranks.stop()
            yield from ranks.events()
        ranks.require_success()


class _Ranks:
    """The started processes. ``learning``: whether one has reported a loss."""

    def __init__(self, folder: Path, plan: SharedTraining) -> None:
        self.learning = False
        self._folder = folder
        self._count = plan.job.processes
        self._progress = Progress(f"Starting {self._count} processes", 0, self._count)
        self._read_bytes = 0
        (folder / PLAN).write_bytes(pickle.dumps(plan))
        with (folder / "output.txt").open("wb") as output:
            # A session of their own: Ctrl-C in the terminal reaches this process alone, which then stops them.
            self._process = Popen(
                _command(folder, self._count),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, _PYTHONPATH))},
                stdin=PIPE,
                stdout=output,
                stderr=STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> _Ranks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing of them stays behind: those that still run end now."""
        if self._process.poll() is None:
            launcher = psutil.Process(self._process.pid)
            family = [*launcher.children(recursive=True), launcher]
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, _END_SECONDS)
        self._process.communicate()

    def events(self) -> Iterator[Event]:
        """Yield the processes' reports until they have ended. Without news they yield the last progress again, once a second."""
        told = time.monotonic()
        while True:
            ended = self._process.poll() is not None
            for event in self._news():
                told = time.monotonic()
                yield event
            if ended:
                return
            if time.monotonic() - told > _PULSE_SECONDS:
                told = time.monotonic()
                yield self._progress
            time.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        """Ask them to stop before their next step and to keep what was trained."""
        (self._folder / STOP).touch()

    def require_success(self) -> None:
        """Raise what the first process to fail broke off with."""
        if self._process.returncode == 0:
            return
        reports = sorted(self._folder.glob(ERROR.format(rank="*")), key=lambda path: path.stat().st_mtime_ns)
        causes = [cause for cause in map(read_json, reports) if cause["kind"] != OTHERS_GONE]
        if causes:
            raise _error(causes[0])
        # What torchrun says of the process that was killed, or why accelerate didn't start.
        printed = (self._folder / "output.txt").read_text(encoding="utf-8", errors="replace")
        _log.error("the processes printed:\n%s", printed[-_SHOWN_CHARACTERS:])
        raise TrainingFailed(
            f"One of the {self._count} processes was ended from outside, most often because memory was short.",
            "Start again with a smaller batch, which needs less memory, or resume the run if it has a checkpoint.",
        )

    def _news(self) -> Iterator[Event]:
        """Events that were written since the last look. Half a line is left for the next."""
        file = self._folder / EVENTS
        if not file.exists():
            return
        with file.open("rb") as log:
            log.seek(self._read_bytes)
            whole, _, _ = log.read().rpartition(b"\n")
        for line in whole.splitlines(keepends=True):
            self._read_bytes += len(line) + (not line.endswith(b"\n"))
            event = _with_picture(from_json(json.loads(line)))
            self.learning |= isinstance(event, Loss)
            self._progress = event if isinstance(event, Progress) else self._progress
            yield event


def _command(folder: Path, count: int) -> list[str]:
    """The command line that starts so many processes on this machine, on a port that is free."""
    config = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "MULTI_GPU",  # on the CPU too: it only says that torchrun starts them
        "mixed_precision": "no",
        "use_cpu": False,
        "debug": False,
        "num_processes": count,
        "num_machines": 1,
        "machine_rank": 0,
        "main_process_port": 0,
    }
    write_json(folder / "accelerate.json", config)
    threads = max(1, (os.cpu_count() or 1) // count)
    return [
        *(
            sys.executable,
            "-m",
            "accelerate.commands.launch",
            "--config_file",
            str(folder / "accelerate.json"),
        ),
        *(
            "--num_cpu_threads_per_process",
            str(threads),
            "--module",
            "dreamgui.training.parallel.worker",
            str(folder),
        ),
    ]


def _with_picture(event: Event) -> Event:
    """A picture that came as a file, as a picture."""
    if isinstance(event, Sampled) and isinstance(event.image, Path):
        with Image.open(event.image) as file:
            image = file.convert("RGB")
        event.image.unlink()
        return replace(event, image=image)
    return event


def _error(cause: dict[str, Any]) -> Exception:
    """Return what a process raised: an error for users as it was, another one with its traceback."""
    kind = getattr(errors, cause["kind"], None)
    if kind is StopRequested:
        return StopRequested()
    if isinstance(kind, type) and issubclass(kind, DreamError):
        return kind(cause["what"], cause["next_step"])
    unforeseen = RuntimeError(f"{cause['kind']}: {cause['what']}")
    unforeseen.add_note(cause["trace"])
    return unforeseen


def _device_count() -> int:
    import torch

    return torch.cuda.device_count()
