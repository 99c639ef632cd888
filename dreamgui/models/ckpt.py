"""A pickled checkpoint (.ckpt, .pt) made a safetensors file, without ever being opened in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from dreamgui.errors import BadModelFile

_CHILD = Path(__file__).with_name("ckpt_child.py")
_START_SECONDS = 60
_BYTES_PER_SECOND = 20_000_000
_SECRETS = ("TOKEN", "SECRET", "PASSWORD", "KEY")


def to_safetensors(source: Path, target: Path) -> None:
    """Read a pickled checkpoint in a short-lived child process and write its tensors to ``target``.

    The child holds itself to memory and file-size limits; nothing in the file is executed.

    Raises:
        BadModelFile: it is broken, claims more than it holds, or asks for something that isn't a weight: the
            message names it.
    """
    seconds = _START_SECONDS + source.stat().st_size / _BYTES_PER_SECOND
    environment = {
        key: value for key, value in os.environ.items() if not any(word in key.upper() for word in _SECRETS)
    }
    command = [sys.executable, "-I", str(_CHILD), str(source.resolve()), str(target.resolve())]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=environment, check=False
        )
    except subprocess.TimeoutExpired as error:
        target.unlink(missing_ok=True)
        raise _refused(source, f"reading it took more than {seconds:.0f} seconds") from error
    answer = _answer(done.stdout)
    if done.returncode != 0 or answer is None:
        target.unlink(missing_ok=True)
        raise _refused(source, "the process that read it ended early, most likely for want of memory")
    if answer:
        target.unlink(missing_ok=True)
        raise _refused(source, answer["reason"])


def _answer(output: str) -> dict[str, str] | None:
    try:
        return json.loads(output.splitlines()[-1])
    except (ValueError, IndexError):
        return None


def _refused(source: Path, why: str) -> BadModelFile:
    return BadModelFile(
        f"The checkpoint {source.name} wasn't taken, and nothing in it was executed: {why}.",
        "Look for the model as a .safetensors file.",
    )
