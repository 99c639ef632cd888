"""Dockerfile, compose.yaml and notebooks, by reading: they can't be built or opened here. And notebooks/keep.py, by running."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shlex
import sys
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from app import options

ROOT = Path(__file__).parents[1]
NOTEBOOKS = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in ROOT.glob("notebooks/*.ipynb")
}
INSTRUCTIONS = [
    "FROM",
    "RUN",
    "WORKDIR",
    "COPY",
    "ARG",
    "USER",
    "ENV",
    "VOLUME",
    "EXPOSE",
    "HEALTHCHECK",
    "CMD",
]


def dockerfile() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile with their arguments, continued lines joined, comments left out."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    whole = re.sub(r"\\\n\s*", "", text)
    return [
        (line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in whole.splitlines() if line.strip()
    ]


def test_the_dockerfile_is_made_of_instructions() -> None:
    found = dockerfile()
    assert found[0][0] == "FROM" and {name for name, _ in found} <= set(INSTRUCTIONS)
    base = re.fullmatch(r"python:3\.(\d+)-slim", found[0][1])
    assert base and 11 <= int(base[1]) <= 14


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    sources = [source for name, rest in dockerfile() if name == "COPY" for source in rest.split()[:-1]]
    assert {"app.py", "dreamgui", "assets", "requirements.txt"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not any(fnmatch(source, pattern) for pattern in ignored), source


def test_commands_run_the_app_that_others_can_reach() -> None:
    instructions = dict(dockerfile())
    command = json.loads(instructions["CMD"])
    assert command[:2] == ["python", "app.py"] and options(command[2:]).host == "0.0.0.0"
    health = json.loads(instructions["HEALTHCHECK"].partition("CMD ")[2])
    ast.parse(health[2])
    assert instructions["EXPOSE"] == "7860" and "GRADIO_SERVER_PORT=7860" in instructions["ENV"]
    assert instructions["USER"] == "dreamgui"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_both_devices_are_installed_by_the_build_argument(device: str) -> None:
    [install] = [rest for name, rest in dockerfile() if name == "RUN" and "$DEVICE" in rest]
    assert f'[ "$DEVICE" = {device} ]' in install
    assert "whl/cpu" in install and "requirements.lock" in install
    shlex.split(install)


def test_the_systems_libraries_are_those_of_packages_txt() -> None:
    wanted = (ROOT / "packages.txt").read_text(encoding="utf-8").split()
    [install] = [rest for name, rest in dockerfile() if name == "RUN" and "apt-get" in rest]
    assert set(wanted) <= set(install.split())


def test_compose_starts_either_device_for_this_machine_only() -> None:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    services = parsed["services"]
    assert {name: each["build"]["args"]["DEVICE"] for name, each in services.items()} == {
        "gpu": "cuda",
        "cpu": "cpu",
    }
    for name, service in services.items():
        assert service["profiles"] == [name]
        assert all(port.startswith("127.0.0.1:") and port.endswith(":7860") for port in service["ports"])
        [volume] = service["volumes"]
        assert volume.partition(":")[0] in parsed["volumes"] and volume.endswith(dict(dockerfile())["VOLUME"])
    [device] = services["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia" and device["capabilities"] == ["gpu"]
    assert "deploy" not in services["cpu"]


@pytest.mark.parametrize("name", ["colab", "kaggle"])
def test_a_notebook_has_two_cells_of_its_format(name: str) -> None:
    notebook = NOTEBOOKS[name]
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert set(notebook) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert len(notebook["cells"]) == 2 and len({cell["id"] for cell in notebook["cells"]}) == 2
    for cell in notebook["cells"]:
        assert set(cell) == {"cell_type", "id", "metadata", "source", "execution_count", "outputs"}
        assert cell["cell_type"] == "code" and cell["outputs"] == [] and cell["execution_count"] is None
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        assert all(line.endswith("\n") for line in cell["source"][:-1])


@pytest.mark.parametrize("name", ["colab", "kaggle"])
def test_a_notebooks_lines_are_python_or_commands_of_this_repository(name: str) -> None:
    for cell in NOTEBOOKS[name]["cells"]:
        lines = "".join(cell["source"]).splitlines()
        ast.parse("\n".join("pass" if line.startswith("!") else line for line in lines))
        for line in lines:
            for word in shlex.split(line) if line.startswith("!") else ():
                if word.endswith(".py"):
                    assert (ROOT / word).is_file(), word


def test_results_outlive_the_session() -> None:
    colab, kaggle = ("".join(NOTEBOOKS[name]["cells"][1]["source"]) for name in ("colab", "kaggle"))
    assert "--keep /content/drive/MyDrive/DreamGUI" in colab
    assert "DREAMGUI_HOME=/kaggle/working/dreamgui" in kaggle
    # A notebook's machine is reached by a link, which anybody might find.
    assert all("app.py --share" in text for text in (colab, kaggle))


@pytest.fixture
def keep() -> ModuleType:
    spec = importlib.util.spec_from_file_location("keep", ROOT / "notebooks" / "keep.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def run(keep: ModuleType, home: Path, kept: Path, code: str) -> int:
    prelude = "import os, pathlib; home = pathlib.Path(os.environ['DREAMGUI_HOME'])\n"
    return keep.main(["--home", str(home), "--keep", str(kept), "--", sys.executable, "-c", prelude + code])


def test_work_is_kept_and_comes_back(keep: ModuleType, tmp_path: Path) -> None:
    kept = tmp_path / "drive"
    kept.mkdir()
    made = """
for name in ('runs/anna/run.json', 'datasets/anna/.held-out/0001.png', 'compiled/kernel', 'runs/anna/.lock'):
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(name)
raise SystemExit(3)
"""
    assert run(keep, tmp_path / "first", kept, made) == 3
    assert files(kept) == {"runs/anna/run.json", "datasets/anna/.held-out/0001.png"}
    changed = """
assert (home / 'runs/anna/run.json').read_text() == 'runs/anna/run.json'
(home / 'runs/anna/run.json').write_text('another text')
(home / 'datasets/anna/.held-out/0001.png').unlink()
"""
    assert run(keep, tmp_path / "second", kept, changed) == 0
    assert files(kept) == {"runs/anna/run.json"}
    assert (kept / "runs/anna/run.json").read_text() == "another text"


def test_a_fresh_machine_removes_nothing_that_it_never_had(keep: ModuleType, tmp_path: Path) -> None:
    home, kept = tmp_path / "home", tmp_path / "drive"
    (kept / "runs").mkdir(parents=True)
    (kept / "runs" / "old").write_text("kept")
    home.mkdir()
    assert keep.copy_changes(home, kept, set()) == set() and files(kept) == {"runs/old"}


def test_only_changed_files_are_copied_again(keep: ModuleType, tmp_path: Path) -> None:
    home, kept = tmp_path / "home", tmp_path / "drive"
    home.mkdir()
    (home / "weights").write_text("one")
    known = keep.copy_changes(home, kept, set())
    status = (kept / "weights").stat()
    assert keep.copy_changes(home, kept, known) == {"weights"}
    assert (kept / "weights").stat().st_ino == status.st_ino
    os.utime(home / "weights", (status.st_atime, status.st_mtime + 10))
    keep.copy_changes(home, kept, known)
    assert (kept / "weights").stat().st_ino != status.st_ino
