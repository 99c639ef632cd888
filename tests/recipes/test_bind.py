"""Recipes bound to what they work with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dreamgui import recipes
from dreamgui.config import ConvertJob
from dreamgui.recipes import bind
from dreamgui.workspace import Workspace


def test_the_manager_is_there_before_a_recipe_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads that import diffusers together can fail on its half."""
    order: list[str] = []

    def models() -> Any:
        order.append("manager")

    def recipe(kind: str) -> Any:
        order.append(kind)
        return lambda *_: iter(())

    monkeypatch.setattr(recipes, "recipe", recipe)
    assert list(bind(Workspace(tmp_path), models)["convert"](ConvertJob())) == []
    assert order == ["manager", "convert"]
