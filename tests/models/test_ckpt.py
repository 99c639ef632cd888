"""Pickled checkpoints: honest ones are read to the last bit, hostile ones are named and run nothing."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from dreamgui.errors import BadModelFile
from dreamgui.models.files import ckpt_child
from dreamgui.models.files.ckpt import checked_header, read_pickled_header
from dreamgui.models.files.reading import TensorReader


class Evil:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.witness}",)


def in_process(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor, planned in this process as the child plans it."""
    answer = ckpt_child.answer(path)
    assert "tensors" in answer, answer
    header = checked_header(path, answer["tensors"])
    with TensorReader(path, header) as reader:
        return {key: reader.get(key) for key in header.shapes}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_an_honest_checkpoint_equals_what_torch_reads(tmp_path: Path, zipped: bool, nested: bool) -> None:
    torch.manual_seed(0)
    kinds = (
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.uint8,
        torch.bool,
    )
    weights = {str(kind): (9 * torch.randn(4, 5)).to(kind) for kind in kinds}
    weights["shared"] = weights["torch.float32"]
    weights["turned"] = weights["torch.float32"].T
    weights["window"] = weights["torch.float16"][1:3, 2:]
    weights["scalar"] = torch.tensor(3.0)
    weights["none"] = torch.zeros(0, 3)
    weights["parameter"] = torch.nn.Parameter(torch.ones(2))
    content = {"state_dict": weights, "global_step": 3} if nested else weights
    torch.save(content, tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    theirs = torch.load(tmp_path / "x.ckpt", weights_only=True)
    theirs, ours = theirs["state_dict"] if nested else theirs, in_process(tmp_path / "x.ckpt")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) and ours[key].dtype == theirs[key].dtype for key in ours)


def test_a_modules_state_dict(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    torch.save(
        {"state_dict": module.state_dict(), "optimizer_states": [{"x": torch.ones(5)}]}, tmp_path / "x.ckpt"
    )
    ours = in_process(tmp_path / "x.ckpt")
    assert all(torch.equal(ours[key], value) for key, value in module.state_dict().items())
    assert ours.keys() == module.state_dict().keys()


def test_an_old_textual_inversion(tmp_path: Path) -> None:
    torch.save({"string_to_param": {"*": torch.ones(2, 768)}, "name": "anna", "step": 5}, tmp_path / "x.pt")
    assert in_process(tmp_path / "x.pt").keys() == {"string_to_param.*"}


def with_pickle_text(path: Path, old: bytes, new: bytes, content: Any) -> None:
    """Save, then change the pickle's text."""
    torch.save(content, path.with_suffix(".plain"))
    with zipfile.ZipFile(path.with_suffix(".plain")) as before, zipfile.ZipFile(path, "w") as after:
        for item in before.infolist():
            data = before.read(item)
            if item.filename.endswith("data.pkl"):
                assert old in data
                data = data.replace(old, new)
            after.writestr(item.filename, data)


@pytest.mark.parametrize(
    "name",
    [
        b"cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n",
        b"cnumpy.core.multiarray\nscalar\n",
    ],
)
def test_callbacks_and_settings_of_training_are_forgotten(tmp_path: Path, name: bytes) -> None:
    content = {"callbacks": {"KEY": 1}, "state_dict": {"a": torch.ones(2)}}
    with_pickle_text(tmp_path / "x.ckpt", b"X\x03\x00\x00\x00KEY", name, content)
    assert torch.equal(in_process(tmp_path / "x.ckpt")["a"], torch.ones(2))


def test_a_built_callback_is_forgotten(tmp_path: Path) -> None:
    made = b"cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n)\x81}X\x01\x00\x00\x00ak\x01sb"
    made = made.replace(b"k\x01", b"K\x01")
    content = {"callbacks": ["KEY"], "state_dict": {"a": torch.ones(2)}}
    with_pickle_text(tmp_path / "x.ckpt", b"X\x03\x00\x00\x00KEY", made, content)
    assert torch.equal(in_process(tmp_path / "x.ckpt")["a"], torch.ones(2))


def test_an_honest_checkpoint_through_the_child_process(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(300, 300)}}, tmp_path / "x.ckpt")
    header = read_pickled_header(tmp_path / "x.ckpt")
    assert (header.shapes, header.dtypes) == ({"a": (300, 300)}, {"a": "F32"})
    with TensorReader(tmp_path / "x.ckpt", header) as reader:
        assert torch.equal(reader.get("a"), torch.ones(300, 300))


def test_the_child_process_knows_only_the_standard_library(tmp_path: Path) -> None:
    code = f"import runpy, sys; runpy.run_path({ckpt_child.__file__!r}); print([m for m in sys.modules if m in ('torch', 'numpy')])"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits memory")
@pytest.mark.parametrize(
    ("deed", "outcome"),
    [
        ("bytearray(2**31)", "MemoryError"),
        ("open('witness', 'wb', 0).write(b'x')", "OSError"),
        ("sum(range(10**13))", "SIGPROF"),
        ("while process_time() < 1.3: pass\nchild['limit'](10**6)\nsum(range(10**13))", "SIGPROF"),
    ],
)
def test_the_child_process_is_held_to_its_limits(tmp_path: Path, deed: str, outcome: str) -> None:
    """Memory, files, and a loop in C of hours, which no Python code could stop; also where the start alone took long."""
    limited = "" if "limit" in deed else "child['limit'](10**6)\n"
    code = f"import runpy; from time import process_time\nchild = runpy.run_path({ckpt_child.__file__!r})\n{limited}{deed}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == -signal.SIGPROF if outcome == "SIGPROF" else outcome in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="the system's limits are POSIX's")
def test_the_limit_holds_where_the_parent_ignores_its_signal() -> None:
    """mediapipe ignores SIGPROF in its process, and a child begins with what its parent ignores."""
    deed = f"import runpy; runpy.run_path({ckpt_child.__file__!r})['limit'](10**6); sum(range(10**13))"
    parent = (
        "import signal, subprocess, sys; signal.signal(signal.SIGPROF, signal.SIG_IGN); "
        f"print(subprocess.run([sys.executable, '-I', '-c', {deed!r}]).returncode)"
    )
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(-signal.SIGPROF)


def test_a_hostile_pickle_runs_nothing_and_is_named(tmp_path: Path) -> None:
    for zipped in (True, False):
        witness, path = tmp_path / "witness", tmp_path / "evil.ckpt"
        content = {"state_dict": {"a": torch.ones(2)}, "x": Evil(witness)}
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(BadModelFile, match=r"posix\.system|nt\.system") as caught:
            read_pickled_header(path)
        assert "evil.ckpt" in caught.value.what and "nothing in it was executed" in caught.value.what
        assert not witness.exists()


def test_a_second_pickle_after_a_clean_one_is_never_read(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    with path.open("ab") as file:
        pickle.dump(Evil(tmp_path / "witness"), file)
    assert "follow its last tensor" in ckpt_child.answer(path)["reason"]
    assert not (tmp_path / "witness").exists()


@pytest.mark.parametrize(
    "line",
    [["F32", [4], [1], 10**9], ["F32", [4], [-1], 0], ["F32", [2**40], [0], 0], ["F32", [4], [2**40], 0]],
)
def test_the_childs_answer_is_checked_again(tmp_path: Path, line: list[Any]) -> None:
    (tmp_path / "x.ckpt").write_bytes(bytes(100))
    with pytest.raises(BadModelFile, match="outside|claim"):
        checked_header(tmp_path / "x.ckpt", {"a": line})
