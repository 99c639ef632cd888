"""Workspaces and jobs of the visitors of a page that strangers reach, with their limits, expiry and deletion."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dreamgui import recipes
from dreamgui.errors import BadInput, TooMuch
from dreamgui.jobs.queue import Jobs
from dreamgui.leftovers import clean_up
from dreamgui.quotas import Limits, Quotas, Turn
from dreamgui.services.keeping import Keeper
from dreamgui.services.own import Bind, Services
from dreamgui.serving import private_folder
from dreamgui.visitors import (
    NOBODY,
    OWNER,
    absent,
    agree,
    current,
    delete_folder,
    finish_deletions,
    has_account,
    has_agreed,
    is_visitor,
    note_seen,
    without_anything,
)
from dreamgui.workspace import Workspace

if TYPE_CHECKING:
    from dreamgui.models.manager import Models

VISITORS = "visitors"
"""Folder of the workspace with a workspace for each visitor."""
VISITORS_KEPT = 200
"""Visitors whose jobs are kept in memory; another one's are read from the disk again."""
PATIENCE_SECONDS = 10.0
"""Time that a visitor who deletes everything waits for the own jobs to end."""
LOOK_SECONDS = 10.0
NO_EXPIRY = Limits()
_EMPTY = ".nobody"
_log = logging.getLogger(__name__)


class VisitorServices(Services):
    """Services whose workspace and jobs are the asking visitor's.

    The base models of the workspace are shared, read only. All visitors share the device and its line. Outside of
    a request, as while the page is being built, there is an empty workspace.

    Args:
        workspace: holds the shared base models, and each visitor's workspace below ``visitors``.
        limits: what visitors may take.
        accounts_only: jobs and uploads are for those who have signed in; others may look.

    Attributes:
        forgets: called with a visitor whose data were deleted, for what other rooms keep of that visitor.
        keeper: mirrors finished work to a mount that lasts; None where there is none.
    """

    def __init__(
        self,
        workspace: Workspace,
        bind: Bind = recipes.bind,
        limits: Limits = NO_EXPIRY,
        accounts_only: bool = False,
    ) -> None:
        super().__init__(workspace, bind)
        self._bind = bind
        self._visits = threading.Lock()
        self._places: OrderedDict[str, tuple[Workspace, Jobs]] = OrderedDict()
        self._doomed: set[str] = set()
        self.forgets: Callable[[str], None] = lambda _: None
        self.keeper: Keeper | None = None
        self.limits = limits
        self.accounts_only = accounts_only
        private_folder(self._folder)
        finish_deletions(self._folder)
        self.quotas = Quotas(self._folder, limits)
        self._turn = Turn(limits)

    @property
    def _folder(self) -> Path:
        return self._workspace.root / VISITORS

    @property
    def workspace(self) -> Workspace:
        """The asking visitor's workspace."""
        return self._place()[0]

    @property
    def jobs(self) -> Jobs:
        """The asking visitor's jobs."""
        return self._place()[1]

    @property
    def models(self) -> Models:
        """The one manager, with the asking visitor's names."""
        return self._manager().seen_from(self.workspace)

    def agree(self) -> None:
        """Note that the asking visitor has the right to use the photographs."""
        if is_visitor(current()):
            agree(self.workspace.root)

    def may_upload(self, visitor: str) -> bool:
        """Return whether a visitor has agreed to what happens to photographs. The owner need not."""
        return visitor == OWNER or (is_visitor(visitor) and has_agreed(self._folder / visitor))

    def delete_everything(self, patience_seconds: float = PATIENCE_SECONDS) -> bool:
        """Delete all that the asking visitor has: photographs, datasets, caches, runs, pictures, jobs and uploads.

        Jobs are stopped first.

        Args:
            patience_seconds: how long to wait for them.

        Returns:
            False where a job still ends; all is deleted as soon as it has, whatever the visitor does meanwhile.

        Raises:
            BadInput: the owner of the machine asks, whose work lies in the workspace itself.
        """
        visitor = current()
        if not is_visitor(visitor):
            raise BadInput(
                "The owner's workspace isn't deleted by this button.",
                "Delete items in the Library, or the workspace's folder.",
            )
        with self._visits:
            self._doomed.add(visitor)
        until = time.monotonic() + patience_seconds
        for job in self.jobs.active():
            job.stop()
            for _ in job.follow(heartbeat_seconds=0.2):
                if time.monotonic() > until:
                    break
        return self._delete(visitor)

    def look_after(self, now: float | None = None) -> None:
        """End a job whose turn is over or whose visitor's disk is full. Delete what is due.

        Args:
            now: seconds since 1970; the present unless given.
        """
        self._look_after_job()
        due = set(absent(self._folder, self.limits.kept_seconds, now)) if self.limits.kept_seconds else set()
        for visitor in due | self._doomed:
            self._delete(visitor)

    def look_after_for_ever(self) -> None:
        """Call :meth:`look_after` every 10 s from a thread that ends with the program."""

        def look() -> None:
            while True:
                try:
                    self.look_after()
                except OSError as error:
                    _log.warning("visitors can't be looked after: %s", type(error).__name__)
                time.sleep(LOOK_SECONDS)

        threading.Thread(target=look, name="look-after-visitors", daemon=True).start()

    def _look_after_job(self) -> None:
        line = self.line.jobs()
        running = line[0] if line and line[0].state == "running" else None
        visitor = running.folder.parent.parent.name if running else NOBODY
        if running is None or not is_visitor(visitor) or running.stopping:
            return
        others = any(job.folder.parent != running.folder.parent for job in line)
        if self._turn.is_over(running.began, others):
            running.end_for(self._turn.sentence)
        elif self.quotas.used(visitor) > self.limits.disk_bytes:
            running.end_for(self.quotas.sentence(visitor))

    def _delete(self, visitor: str) -> bool:
        """Delete a visitor's data, unless a job works on them. Return whether they are gone."""
        with self._visits:
            if (place := self._places.get(visitor)) and place[1].active():
                return False
            self._places.pop(visitor, None)
            self._doomed.discard(visitor)
            delete_folder(self._folder / visitor)
        self.quotas.forget(visitor)
        self.forgets(visitor)
        # Last, as a mount may be out of reach; the keeper removes then what the workspace has no more.
        if self.keeper:
            self.keeper.forget(visitor)
        return True

    def _place(self) -> tuple[Workspace, Jobs]:
        visitor = current()
        if visitor == OWNER:
            return self._workspace, self._jobs
        if visitor != NOBODY and not is_visitor(visitor):
            raise BadInput("This visitor has no workspace.", "Open the page again.")
        with self._visits:
            if visitor not in self._places:
                self._forget_idle()
                self._places[visitor] = self._made(visitor)
            self._places.move_to_end(visitor)
            return self._places[visitor]

    def _made(self, visitor: str) -> tuple[Workspace, Jobs]:
        folder = self._folder / (visitor or _EMPTY)
        if visitor and not folder.exists():
            self._let_in()
        room = partial(self.quotas.room, visitor)
        workspace = Workspace(folder, shared=self._workspace, room=room)
        note_seen(folder)
        clean_up(workspace)
        # The worker answers nobody's request: the job's workspace says whose names are meant.
        recipes = self._bind(workspace, lambda: self._manager().seen_from(workspace))
        jobs = Jobs(
            workspace, recipes if visitor else {}, self.line, partial(self._admit, visitor), tells_paths=False
        )
        return workspace, jobs

    def _let_in(self) -> None:
        """Let one more visitor have a workspace, in place of one who has nothing: whoever drops cookies fills no page."""
        try:
            self.quotas.check_visitors()
        except TooMuch:
            left = without_anything(self._folder)
            if not left:
                raise
            self._places.pop(left, None)
            delete_folder(self._folder / left)

    def must_sign_in(self, visitor: str) -> bool:
        """Return whether a visitor has to sign in before a job or an upload."""
        return self.accounts_only and not has_account(visitor)

    def _admit(self, visitor: str) -> None:
        """Let a visitor's job begin or wait, or raise. It is a sign of the visitor too."""
        if self.must_sign_in(visitor):
            raise BadInput("Jobs are for people who have signed in.", "Sign in with Hugging Face.")
        line, shelf = self.line.jobs(), self._folder / visitor / "jobs"
        note_seen(self._folder / visitor)
        self.quotas.check_job(visitor, sum(job.folder.parent == shelf for job in line), len(line))

    def _forget_idle(self) -> None:
        """Forget the jobs of those who were away longest and have none that runs or waits."""
        for visitor in list(self._places)[: max(0, len(self._places) - VISITORS_KEPT + 1)]:
            if not self._places[visitor][1].active():
                del self._places[visitor]
