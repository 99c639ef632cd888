"""Imports run one way between rooms and between folders, and each outside library has one door."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tools.rooms import (
    LAYERS,
    PACKAGE,
    PAGE,
    ROOT,
    arrows,
    folder,
    imported,
    modules,
    page_with_drawing,
    room,
    tree,
)

MAX_FILES, MAX_LINES = 16, 300
ALONE = {"ckpt_child.py"}
"""Runs alone, without the package, and so is one file."""
DOORS = {
    "gradio": {"app.py", "ui"},
    "mediapipe": {"data/faces/detect.py", "data/faces/body.py"},
    "controlnet_aux": {"diffusion/control/control_maps.py"},
    "dlib": {"data/faces/identity.py"},
    "argparse": {"app.py", "cli.py"},
}
DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-contrib-python"}
"""Where a distribution is called otherwise than what is imported."""
OPTIONAL = {"pillow_heif", "triton"}
"""Only imported where they are found."""
FILES = sorted([*PACKAGE.rglob("*.py"), ROOT / "app.py"])
FLOOR = {name: number for number, floor in enumerate(LAYERS) for name in floor}
BROAD = {"dreamgui/ui/guard/blocks.py", "dreamgui/jobs/job.py", "dreamgui/ops/kernels.py"}
"""Where anything may be thrown: by a recipe, by Triton, and by Gradio for the values of a request."""


def within(path: Path) -> str:
    return path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else ROOT).as_posix()


def test_every_room_has_a_floor() -> None:
    rooms = {room(module) for module in modules() if module != "dreamgui"}
    assert rooms == set(FLOOR)


def test_no_import_runs_upward_or_sideways_between_rooms() -> None:
    wrong = [
        f"{source} -> {target}"
        for source, target in arrows()
        if room(source) != room(target) and FLOOR[room(source)] >= FLOOR[room(target)]
    ]
    assert not wrong, "\n".join(wrong)


def test_folders_form_no_circle() -> None:
    below = defaultdict[str, set[str]](set)
    for source, target in arrows():
        if folder(source) != folder(target):
            below[folder(source)].add(folder(target))
    try:
        TopologicalSorter(below).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_modules_form_no_circle() -> None:
    below = defaultdict[str, set[str]](set)
    for source, target in arrows():
        below[source].add(target)
    try:
        TopologicalSorter(below).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_folders_and_files_stay_small() -> None:
    counts = Counter(path.parent for path in FILES if path.is_relative_to(PACKAGE))
    crowded = {within(path): count for path, count in counts.items() if count > MAX_FILES}
    assert not crowded
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    long = {within(path): count for path, count in lines.items() if count > MAX_LINES}
    assert not {name: count for name, count in long.items() if Path(name).name not in ALONE}


def test_each_test_file_has_a_name_of_its_own() -> None:
    """Two test files of one name can't be collected together: pytest imports both as one module."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert not [name for name, count in names.items() if count > 1]


def test_browser_tests_wait_for_states_and_never_for_a_time() -> None:
    """Time between two looks at a state may be a part of a second."""
    fixed = re.compile(r"wait_for_timeout|\bsleep\((?!0\.\d)")
    files = (ROOT / "tests" / "e2e").glob("*.py")
    assert not [path.name for path in files if fixed.search(path.read_text(encoding="utf-8"))]


def test_imports_are_absolute() -> None:
    for path in FILES:
        for node in ast.walk(tree(path)):
            assert not isinstance(node, ast.ImportFrom) or node.level == 0, f"{within(path)}:{node.lineno}"


@pytest.mark.parametrize("library", sorted(DOORS))
def test_each_library_has_one_door(library: str) -> None:
    for path in FILES:
        if any(name.split(".")[0] == library for name in imported(path)):
            where = within(path)
            assert where in DOORS[library] or where.split("/")[0] in DOORS[library], (
                f"{where} imports {library}"
            )


def test_the_page_runs_no_recipe() -> None:
    """Jobs do: they can be stopped, logged and followed, and one runs at a time."""
    for file in FILES:
        if "ui" in file.relative_to(ROOT).parts:
            found = [name for name in imported(file) if is_recipe(name)]
            assert not found, f"{within(file)} imports {found}"


def is_recipe(name: str) -> bool:
    """Return whether an import's full name is the room of recipes, or lies in it."""
    return f"{name}.".startswith("dreamgui.recipes.")


@pytest.mark.parametrize(
    "line",
    ["import dreamgui.recipes.control", "from dreamgui import recipes", "from dreamgui.recipes import control",
     "from dreamgui.recipes.control import control"],
)  # fmt: skip
def test_a_recipe_is_seen_in_any_way_of_importing_it(tmp_path: Path, line: str) -> None:
    file = tmp_path / "listener.py"
    file.write_text(line, encoding="utf-8")
    assert any(map(is_recipe, imported(file)))


def test_every_library_that_is_imported_is_declared() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    declared = {re.split(r"[^\w-]", line)[0].lower().replace("_", "-") for line in lines if line[:1] != "#"}
    libraries = {name.split(".")[0] for file in FILES for name in imported(file)}
    for library in libraries - {*sys.stdlib_module_names, "dreamgui"} - OPTIONAL:
        name = DISTRIBUTIONS.get(library, library).lower().replace("_", "-")
        assert name in declared, f"{library} is imported, and requirements.txt doesn't name {name}"


def test_broad_excepts_only_where_anything_may_be_thrown() -> None:
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler):
                assert not is_broad(node) or f"dreamgui/{within(path)}" in BROAD, f"{path}:{node.lineno}"


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Return whether a handler catches anything: bare, by name, or by a name within a tuple."""
    caught = () if handler.type is None else ast.walk(handler.type)
    names = {node.id for node in caught if isinstance(node, ast.Name)}
    return handler.type is None or bool(names & {"Exception", "BaseException"})


@pytest.mark.parametrize(
    ("caught", "broad"),
    [("", True), (" Exception", True), (" (ValueError, Exception)", True), (" (ValueError, OSError)", False)],
)
def test_a_broad_except_is_seen_in_any_form(caught: str, broad: bool) -> None:
    handlers = [
        node
        for node in ast.walk(ast.parse(f"try: pass\nexcept{caught}: pass"))
        if isinstance(node, ast.ExceptHandler)
    ]
    assert [is_broad(handler) for handler in handlers] == [broad]


def test_contributing_names_where_broad_excepts_are_allowed() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    [sentence] = re.findall(r"No broad `except` outside ([^.]*(?:\.py[^.]*)+)\.", text)
    assert {f"dreamgui/{name}" for name in re.findall(r"`([^`]+)`", sentence)} == BROAD


def test_the_drawing_is_that_of_the_imports_now() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page_with_drawing(text), "Run: python -m tools.rooms"
