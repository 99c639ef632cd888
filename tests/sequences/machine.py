"""The program, its home on a disk, and the plain model beside it: what must hold after each step."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dreamgui.config import JobConfig
from dreamgui.events import Done, Failed, Saved
from dreamgui.names import same_folder
from dreamgui.workspace import Workspace
from tests.sequences.disk import Disk, composed
from tests.sequences.program import Outcome, Program, run_and_die
from tests.sequences.shelf_model import LEAST_CROPS, look

NAMES = ("anna", "Anna", "Zo\u00eb", "Zoe\u0308", "my run", "x" * 90, "x" * 89 + "y")
_FULL_WORDS = ("disk is full", "on the disk;")
names = st.sampled_from(NAMES)
picks = st.integers(0, 1000)


class Machine(RuleBasedStateMachine):
    """The program, its home on a disk, and the plain model beside it."""

    base: ClassVar[Path]
    photos: ClassVar[list[Path]]
    disk: ClassVar[Disk]
    count: ClassVar[dict[str, int]] = {}

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sequence-"))
        self.disk.free()
        self.disk.root = str(self.folder / "home")
        shutil.copytree(self.base, self.folder / "home")
        self.program = Program(self.folder / "home")
        self.outside = self.folder / "outside"
        self.outside.mkdir()
        self.number = 0
        self.home = look(self.workspace)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self._counted("sequence")
            self.disk.free()
            self.program.close()
            self.disk.root = ""
            shutil.rmtree(self.folder)

    @precondition(lambda self: self.disk.room_bytes is None)
    @rule(room_bytes=st.sampled_from((0, 3_000, 100_000, 1_000_000, 5_000_000)))
    def fill_the_disk(self, room_bytes: int) -> None:
        self._counted("fill the disk")
        self.disk.fill(room_bytes)

    @precondition(lambda self: self.disk.room_bytes is not None)
    @rule()
    def free_the_disk(self) -> None:
        self._counted("free the disk")
        self.disk.free()

    @rule()
    def restart(self) -> None:
        with self.disk.ignored():
            self._counted("restart")
            self.program.close()
            self.program = Program(self.folder / "home")

    # What must hold.

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "program"):
            self._look()
            assert self.now == self.home
            for shelf in ("datasets", "runs", "models"):
                kinds = [same_folder(name) for name in getattr(self.home, shelf)]
                assert len(set(kinds)) == len(kinds), f"two names of {shelf} are one folder elsewhere"

    @invariant()
    def no_job_is_stuck_or_broke_down(self) -> None:
        if hasattr(self, "program"):
            assert not [job.id for job in self.program.jobs if not job.ended]
            traces = list((self.workspace.root / "jobs").glob("*/error.txt"))
            assert not traces, traces[0].read_text()

    # How it is done.

    @property
    def workspace(self) -> Workspace:
        return self.program.services.workspace

    def _counted(self, what: str) -> None:
        self.count[what] = self.count.get(what, 0) + 1

    def _ran(self, what: str, job: JobConfig, stop: int = 0, death: int = 0) -> Outcome:
        """The job's outcome, in this program or in another that is killed."""
        self._whole = self.disk.room_bytes is None
        if death and self._whole:
            return self._killed(what, job, death)
        self._counted(f"{what}, stopped" if stop else what)
        outcome = self.program.run(job, stop)
        note(f"{what}: {outcome.ending}")
        if isinstance(outcome.ending, Failed):
            told = outcome.ending
            assert "Unexpected error" not in told.what, told.what
            assert told.what.endswith((".", "?")) and told.next_step, told
            full = any(words in told.what for words in _FULL_WORDS)
            assert not (full and self._whole), f"told of a full disk that has room: {told}"
        return outcome

    def _killed(self, what: str, job: JobConfig, death: int) -> Outcome:
        known = {each.id for each in self.program.jobs}
        died = run_and_die(self.workspace.root, job, self.disk, death)
        self._counted(f"{what}, killed" if died else what)
        self._whole = not died
        self.program.close()
        self.program = Program(self.folder / "home")
        newest = self.program.jobs[-1] if self.program.jobs else None
        if newest is None or newest.id in known:
            return Outcome(Failed("killed before it was submitted", "-"))
        note(f"{what}, death {death}: {newest.events()[-2:]}")
        return Outcome(newest.wait(), newest.events())

    def _look(self) -> None:
        with self.disk.ignored():
            self.now = look(self.workspace)

    def _new(self, shelf: str) -> list[str]:
        return sorted(getattr(self.now, shelf).keys() - getattr(self.home, shelf).keys())

    def _made(self, shelf: str, wanted: str, outcome: Outcome, replaces: bool = False) -> None:
        """What a job made has a free name, as much of the wanted one as is free, and is what was told."""
        self._look()
        new, known = self._new(shelf), {same_folder(name) for name in getattr(self.home, shelf)}
        assert len(new) <= 1, f"one job made {new}"
        saved = outcome.named(Saved, shelf[:-1])
        if saved:
            assert [composed(saved[-1].name)] == new or (replaces and not new), f"told {saved}, made {new}"
        if isinstance(outcome.ending, Done):
            assert saved
        if new and composed(wanted).isalnum() and len(wanted) <= 80 and same_folder(wanted) not in known:
            assert new == [composed(wanted)], f"{wanted} was free, and became {new}"

    def _settled(self) -> None:
        """Nothing but what the step made has changed: told at once, by the step's own name."""
        assert self.now == self.home

    def _enough(self, dataset: str) -> bool:
        return sum(not each.dropped for each in self.home.datasets[dataset].values()) >= LEAST_CROPS


def picked(things: Any, pick: int) -> Any:
    ordered = sorted(things)
    return ordered[pick % len(ordered)]
