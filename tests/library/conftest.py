"""A workspace of its own, with one item of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamgui.library.folders import forget
from dreamgui.workspace import Workspace
from tests.library.folders import add_base, add_dataset, add_export, add_report, add_run


@pytest.fixture
def bare(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    forget()
    return Workspace(tmp_path / "work")


@pytest.fixture
def full(bare: Workspace) -> Workspace:
    """One item of each kind; the run has two checkpoints."""
    add_dataset(bare)
    add_base(bare)
    add_run(bare, checkpoints=(5, 10))
    add_export(bare)
    add_report(bare)
    return bare
