"""Processes that train together, forked from the test: what was imported needn't be imported again."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist
from tqdm import tqdm

from dreamgui.data.faces import detect

FORK = multiprocessing.get_context("fork")
# Its usual lock is shared among forked processes: one that is killed while a progress bar is drawn never gives it back.
tqdm.set_lock(threading.RLock())


def run_together(work: Callable[[int], None], count: int = 2) -> int:
    """Run ``work(rank)`` in so many processes with the environment that torchrun makes.

    As under torchrun, one that fails ends the others.

    Returns:
        0 where all succeeded, else 1.
    """
    # The meeting place is held here: no other program can take its port, and it outlives each of them.
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    ranks = [FORK.Process(target=_rank, args=(work, rank, count, store.port)) for rank in range(count)]
    for process in ranks:
        process.start()
    while any(process.is_alive() for process in ranks) and not any(process.exitcode for process in ranks):
        time.sleep(0.02)
    for process in ranks:
        process.kill()
        process.join()
    return int(any(process.exitcode for process in ranks))


class ForkedLauncher:
    """Stands for the ``Popen`` that ``dreamgui.training.parallel.launch`` starts the processes with."""

    def __init__(self, command: list[str], **options: Any) -> None:
        options["stdout"].write(b"said by the stand-in")
        reads, self._writes = os.pipe()
        self.returncode: int | None = None
        self._process = FORK.Process(target=self._launch, args=(Path(command[-1]), reads))
        self._process.start()
        os.close(reads)
        self.pid = self._process.pid

    def poll(self) -> int | None:
        self.returncode = self._process.exitcode
        return self.returncode

    def communicate(self) -> None:
        os.close(self._writes)
        self._process.join()
        self.poll()

    def _launch(self, folder: Path, reads: int) -> None:
        from dreamgui.training.parallel import worker as ranks

        os.close(self._writes)
        os.dup2(reads, 0)
        os._exit(run_together(lambda _: ranks.main(folder)))


def _rank(work: Callable[[int], None], rank: int, count: int, port: int) -> None:
    # A detector's threads aren't forked with it, so each process makes its own.
    for kept in [each for each in vars(detect).values() if hasattr(each, "cache_clear")]:
        kept.cache_clear()
    # Collecting garbage would copy all that was imported.
    gc.freeze()
    torch.set_num_threads(1)
    where = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    os.environ |= {name: str(value) for name, value in where.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    failed = True
    try:
        work(rank)
        if dist.is_initialized():
            # One that ends while another still reads from it would break that one off.
            dist.barrier()
        failed = False
    finally:
        if failed:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        os._exit(failed)
