"""Imports run one way, and each outside library has one door."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "dreamgui"
LAYERS = (
    {"ui", "cli", "__main__"},
    {"services", "terminal", "doctor"},
    {"jobs", "recipes"},
    {"evaluate", "models", "diffusion", "data"},
    {"workspace", "config", "events"},
    {"errors", "assets"},
)
DOORS = {
    "gradio": {"app.py", "ui"},
    "mediapipe": {"data/faces.py", "data/body.py"},
    "controlnet_aux": {"diffusion/hints.py"},
    "dlib": {"evaluate/identity.py"},
    "argparse": {"app.py", "cli.py"},
}
FILES = sorted([*PACKAGE.rglob("*.py"), ROOT / "app.py"])


def imported(file: Path) -> set[str]:
    """Full names of all that a file imports, wherever in it the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {item.name for item in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{item.name}" for item in node.names}
    return names


def layer(room: str) -> int:
    for number, rooms in enumerate(LAYERS):
        if room in rooms:
            return number
    raise AssertionError(f"{room} has no place in LAYERS")


@pytest.mark.parametrize("file", [f for f in FILES if f.is_relative_to(PACKAGE)], ids=str)
def test_imports_run_one_way(file: Path) -> None:
    parts = file.relative_to(PACKAGE).parts
    if parts == ("__init__.py",):
        return
    here = layer(parts[0].removesuffix(".py"))
    for name in imported(file):
        if name.startswith("dreamgui.") and name != "dreamgui.__version__":
            there = layer(name.split(".")[1])
            assert there >= here, f"{file.name} imports {name}, which is above it"


@pytest.mark.parametrize("library", sorted(DOORS))
def test_each_library_has_one_door(library: str) -> None:
    for file in FILES:
        where = file.relative_to(PACKAGE).as_posix() if file.is_relative_to(PACKAGE) else file.name
        if any(name.split(".")[0] == library for name in imported(file)):
            assert where in DOORS[library] or where.split("/")[0] in DOORS[library], (
                f"{where} imports {library}"
            )


def test_broad_excepts_only_where_anything_may_be_thrown() -> None:
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or (
                    isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
                )
                assert not broad or file.name in ("jobs.py", "kernels.py"), f"{file}:{node.lineno}"
