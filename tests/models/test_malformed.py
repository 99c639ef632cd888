"""The corpus of broken and hostile files: each is refused in one clear sentence, after bounded work, and runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from dreamgui.config import ConvertJob
from dreamgui.errors import BadModelFile
from dreamgui.models.files.header import MAX_ENTRIES_BYTES
from dreamgui.models.manager import Models
from dreamgui.recipes.convert import convert
from dreamgui.workspace import Workspace
from tests.models.malformed import CASES
from tests.models.malformed_pickles import WITNESS
from tests.reading import bytes_read, longest_json
from tests.tiny import make_tiny_bundle

# A sound file is read twice: for its hash and for its tensors. A pickle's child process reads Python's library too.
TIMES_READ, BESIDE_BYTES = 2, 4_000_000
MEMORY_BYTES = 300e6


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(Workspace(tmp_path_factory.mktemp("work")), torch.device("cpu"))


@pytest.fixture(scope="module", autouse=True)
def assets(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The bundled model is the tiny base for all of these tests."""
    folder = tmp_path_factory.mktemp("assets")
    make_tiny_bundle(tiny_folder, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dreamgui.assets.ASSETS", folder)
        yield


@pytest.fixture(autouse=True)
def nothing_runs() -> Iterator[None]:
    yield
    executed = WITNESS.exists()
    WITNESS.unlink(missing_ok=True)
    assert not executed, "code of the file was executed"


def test_there_are_enough() -> None:
    assert len(CASES) >= 120


@pytest.mark.parametrize("name", CASES)
def test_a_bad_file_is_refused_in_one_sentence(
    name: str, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read and parsed is bounded here; what the pickle's child process computes, by its own limits (test_ckpt)."""
    make, words = CASES[name]
    path = tmp_path / f"{name}.safetensors"
    path.write_bytes(make())
    workspace, process = models.catalog.workspace, psutil.Process()
    parsed, before, read = longest_json(monkeypatch), process.memory_info().rss, bytes_read()
    with pytest.raises(BadModelFile) as caught:
        list(convert(ConvertJob(source=str(path)), workspace, models))
    read, grown = bytes_read() - read, process.memory_info().rss - before
    assert re.search(words, str(caught.value)), str(caught.value)
    assert path.name in caught.value.what and caught.value.next_step and len(str(caught.value)) < 500
    assert "\n" not in str(caught.value) and grown < MEMORY_BYTES
    assert read <= TIMES_READ * path.stat().st_size + BESIDE_BYTES and max(parsed) <= MAX_ENTRIES_BYTES
    assert list((workspace.root / "models").iterdir()) == []
