"""The package's structure, read from its imports: python -m tools.rooms writes the drawing into docs/ARCHITECTURE.md."""

from __future__ import annotations

import ast
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "dreamgui"
PAGE = ROOT / "docs" / "ARCHITECTURE.md"
BEGIN, END = "<!-- drawing: python -m tools.rooms -->", "<!-- end of the drawing -->"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("app", "__main__"),
    ("cli",),
    ("ui",),
    ("services", "doctor"),
    ("recipes", "library"),
    ("exporting", "training"),
    ("diffusion", "evaluate"),
    ("models", "data"),
    ("ops", "jobs", "terminal", "pictures", "presets", "leftovers"),
    ("workspace", "events"),
    ("names", "config", "assets", "visitors", "serving", "quotas", "claims"),
    ("errors", "sizes", "bootstrap"),
)
"""From the top floor down. A room imports rooms of lower floors only, none of its own."""


@cache
def modules() -> dict[str, Path]:
    """All modules of the package and app.py, by dotted name."""
    found = {"app": ROOT / "app.py"}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    """A file's syntax tree, parsed once a process."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imported(path: Path) -> frozenset[str]:
    """Full names of all that a file imports, wherever in it the import stands."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {item.name for item in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{item.name}" for item in node.names}
    return frozenset(names)


@cache
def arrows() -> tuple[tuple[str, str], ...]:
    """Each import of one of the package's modules by another: (importing, imported)."""
    known = modules()
    found: dict[tuple[str, str], None] = {}
    for name, path in known.items():
        for target in imported(path):
            module = target if target in known else target.rpartition(".")[0]
            if module in known and "dreamgui" not in (name, module) and module != name:
                found[name, module] = None
    return tuple(found)


def room(module: str) -> str:
    """The top-level folder or file of a module."""
    return module.split(".")[1] if "." in module else module


def folder(module: str) -> str:
    """The folder that holds a module, below the package, such as ``models/files``; for a file at the top, the file."""
    path = modules()[module]
    inside = path.parent.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else "."
    return room(module) if inside == "." else inside


def drawing() -> str:
    """The rooms as a Mermaid diagram, floor by floor; an arrow that follows from others is left out."""
    below: dict[str, set[str]] = {name: set() for floor in LAYERS for name in floor}
    for source, target in arrows():
        if room(source) != room(target):
            below[room(source)].add(room(target))
    reach: dict[str, set[str]] = {}
    for name in TopologicalSorter(below).static_order():
        reach[name] = below[name].union(*(reach[other] for other in below[name]))
    lines = ["```mermaid", "flowchart TD"]
    for number, floor in enumerate(LAYERS):
        lines += [f"  subgraph f{number} [ ]", *(f"    {name}" for name in floor), "  end"]
    for name, others in below.items():
        direct = [other for other in others if not any(other in reach[more] for more in others - {other})]
        lines += [f"  {name} --> {other}" for other in sorted(direct)]
    return "\n".join([*lines, "```"])


def page_with_drawing(text: str) -> str:
    """The page's text with the drawing as it is now between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{drawing()}\n{END}{after}"


def main() -> int:
    """Write the drawing into the page."""
    PAGE.write_text(page_with_drawing(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
