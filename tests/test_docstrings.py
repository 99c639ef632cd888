"""Docstrings begin with a verb or a noun, say one statement a sentence, and use the field's terms (docs/WORDS.md)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = [
    *sorted((ROOT / "dreamgui").rglob("*.py")),
    ROOT / "app.py",
    ROOT / "run.py",
    ROOT / "tools" / "rooms.py",
]
NOT_FIRST = {"What", "Which", "How", "Where", "Whether", "When", "Who", "Whom", "Why", "If"}
NOT_OURS = re.compile(
    r"\b(learns?|learnt|learned|data sets?|twins?|wish\w*|number formats?|graphics cards?|given? out|giving out"
    r"|baked?|narrow copies|training material|patched)\b",
    re.IGNORECASE,
)
NOT_GENERATED = re.compile(r"\b(draws?|drew|drawn|drawings?)\b", re.IGNORECASE)
DRAWN = {
    "config/pose.py",
    "data/dataset/dataset.py",
    "data/faces/identity.py",
    "data/framing.py",
    "diffusion/control/control_maps.py",
    "diffusion/control/drawn_points.py",
    "diffusion/control/own_pose.py",
    "diffusion/latents.py",
    "evaluate/measures/scene.py",
    "evaluate/reports/demo_report.py",
    "evaluate/statistics.py",
    "models/catalog/cards.py",
    "models/lora/adapters.py",
    "pictures/painted.py",
}
"""Files of skeletons, boxes, strokes, drawn persons and random draws, and of the earlier word's alias."""


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text


def place_of(path: Path) -> str | None:
    """Return a file's place in dreamgui, or None for what isn't there."""
    return path.relative_to(ROOT / "dreamgui").as_posix() if path.is_relative_to(ROOT / "dreamgui") else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings_begin_with_a_verb_or_a_noun(path: Path) -> None:
    for line, text in docstrings(path):
        first = re.match(r"\w*", text)
        assert first and first.group() not in NOT_FIRST, f"{path.name}:{line}: {text[:60]}"


@pytest.mark.parametrize("path", filter(place_of, FILES), ids=place_of)
def test_docstrings_say_one_statement_a_sentence(path: Path) -> None:
    for line, text in docstrings(path):
        first = re.sub(r"\([^()]*\)|``.*?``", "", text.partition("\n\n")[0], flags=re.DOTALL)
        assert ";" not in first, f"{path.name}:{line}: {first}"


@pytest.mark.parametrize("path", filter(place_of, FILES), ids=place_of)
def test_docstrings_use_the_fields_terms(path: Path) -> None:
    for line, text in docstrings(path):
        found = NOT_OURS.search(text) or (place_of(path) not in DRAWN and NOT_GENERATED.search(text))
        assert not found, f"{path.name}:{line}: {found and found.group()}"
