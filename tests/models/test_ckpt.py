"""Pickled checkpoints: honest ones become safetensors, hostile ones are named and run nothing."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dreamgui.errors import BadModelFile
from dreamgui.models import ckpt_child
from dreamgui.models.ckpt import to_safetensors


class Evil:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.witness}",)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_an_honest_checkpoint(tmp_path: Path, zipped: bool, nested: bool) -> None:
    weights = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3, dtype=torch.float16)}
    weights["shared"] = weights["a"]
    weights["turned"] = weights["a"].T
    content = {"state_dict": weights, "global_step": 3} if nested else weights
    torch.save(content, tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    assert ckpt_child.why_not(tmp_path / "x.ckpt", tmp_path / "x.safetensors") == ""
    read = load_file(tmp_path / "x.safetensors")
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[key], weights[key]) for key in weights)


def test_a_lightning_callback_is_forgotten(tmp_path: Path) -> None:
    marker = b"cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n"
    torch.save({"callbacks": {"KEY": 1}, "state_dict": {"a": torch.ones(2)}}, tmp_path / "plain.ckpt")
    with zipfile.ZipFile(tmp_path / "plain.ckpt") as old, zipfile.ZipFile(tmp_path / "x.ckpt", "w") as new:
        for item in old.infolist():
            data = old.read(item)
            if item.filename.endswith("data.pkl"):
                data = data.replace(b"X\x03\x00\x00\x00KEY", marker)
            new.writestr(item.filename, data)
    assert ckpt_child.why_not(tmp_path / "x.ckpt", tmp_path / "x.safetensors") == ""
    assert torch.equal(load_file(tmp_path / "x.safetensors")["a"], torch.ones(2))


def test_an_honest_checkpoint_through_the_child_process(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(300, 300)}}, tmp_path / "x.ckpt")
    to_safetensors(tmp_path / "x.ckpt", tmp_path / "x.safetensors")
    assert torch.equal(load_file(tmp_path / "x.safetensors")["a"], torch.ones(300, 300))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits memory")
def test_the_child_process_is_held_to_its_memory() -> None:
    load = f"import runpy; child = runpy.run_path({ckpt_child.__file__!r})"
    code = f"{load}; child['limit_memory'](10**6); bytearray(2**30)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert "MemoryError" in done.stderr


def test_a_hostile_pickle_in_the_old_format_is_named(tmp_path: Path) -> None:
    content = {"a": torch.ones(2), "x": Evil(tmp_path / "witness")}
    torch.save(content, tmp_path / "evil.ckpt", _use_new_zipfile_serialization=False)
    assert "system" in ckpt_child.why_not(tmp_path / "evil.ckpt", tmp_path / "evil.safetensors")
    assert not (tmp_path / "witness").exists()


def test_a_hostile_pickle_runs_nothing_and_is_named(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    torch.save({"state_dict": {"a": torch.ones(2)}, "x": Evil(witness)}, tmp_path / "evil.ckpt")
    with pytest.raises(BadModelFile, match=r"posix\.system|nt\.system") as caught:
        to_safetensors(tmp_path / "evil.ckpt", tmp_path / "evil.safetensors")
    assert "evil.ckpt" in caught.value.what and "nothing in it was executed" in caught.value.what
    assert not witness.exists() and not (tmp_path / "evil.safetensors").exists()


def test_a_second_pickle_after_a_clean_one_is_never_read(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    path = tmp_path / "x.ckpt"
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    with path.open("ab") as file:
        pickle.dump(Evil(witness), file)
    assert ckpt_child.why_not(path, tmp_path / "x.safetensors") == ""
    assert not witness.exists()


def deflated(path: Path) -> None:
    torch.save({"a": torch.zeros(4_000_000)}, path.with_suffix(".pt"))
    with (
        zipfile.ZipFile(path.with_suffix(".pt")) as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for item in old.infolist():
            new.writestr(item.filename, old.read(item))


def strided(path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(2**40)}, path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (deflated, "compressed"),
        (strided, "claims"),
        (lambda path: torch.save([1, 2], path), "list"),
        (lambda path: torch.save({"step": 3}, path), "no tensors"),
        (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "broken|read"),
        (lambda path: path.write_bytes(b"\x80\x02garbage"), "broken|read"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(500)), "read"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, make: Any, words: str) -> None:
    path = tmp_path / "x.ckpt"
    make(path)
    assert re.search(words, ckpt_child.why_not(path, tmp_path / "x.safetensors"))
    assert not (tmp_path / "x.safetensors").exists()
