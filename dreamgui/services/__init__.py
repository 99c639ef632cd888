"""Services of the page and the command line: built once, handed on.

A page for this machine's user has one :class:`Services`. A page that strangers reach has :class:`VisitorServices`: the
same to whoever uses it, but workspace, jobs and names of models are those of the visitor who asks. All listeners
and endpoints go through it, so none of them can reach another visitor's work.
"""

from __future__ import annotations

import os
from pathlib import Path

from dreamgui.quotas import limits_of_environment
from dreamgui.services.own import Services
from dreamgui.services.strangers import VISITORS, VisitorServices
from dreamgui.workspace import Workspace

__all__ = ["VISITORS", "Services", "VisitorServices", "build", "gpu_count"]


def gpu_count() -> int:
    """NVIDIA GPUs that this process may use, on Linux, where several can share a training. It needs no torch."""
    there = len(list(Path("/dev").glob("nvidia[0-9]*")))
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return there if allowed is None else min(there, len(list(filter(None, allowed.split(",")))))


def build(
    root: Path | None = None, strangers: bool = False, kept_days: float = 0, accounts_only: bool = False
) -> Services:
    """Return services on the given folder, or on the user's default workspace.

    Args:
        strangers: others than this machine's user reach the page, each with a workspace of their own.
        kept_days: days of absence after which a stranger's data are deleted; 0 for never.
        accounts_only: jobs and uploads are for strangers who have signed in.

    Raises:
        BadInput: a limit in the environment is no number.
    """
    workspace = Workspace(root)
    return (
        VisitorServices(workspace, limits=limits_of_environment(kept_days), accounts_only=accounts_only)
        if strangers
        else Services(workspace)
    )
