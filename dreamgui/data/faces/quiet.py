"""Keeps mediapipe's messages off the terminal, at its start and at the program's end.

Its C++ parts write to file descriptor 2 and, in 1.2, listen to no environment variable.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dreamgui.errors import Damaged

_CHATTER = re.compile(rb"(INFO|WARNING|VERBOSE): |[IWD]\d{4} \d\d:\d\d:")
_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def starting_mediapipe() -> Iterator[None]:
    """While the block runs, drop mediapipe's log lines from stderr. Other lines follow when it ends.

    Raises:
        Damaged: mediapipe or a system library that it needs can't be loaded.
    """
    sys.stderr.flush()
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as caught:
        kept = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield
        except (ImportError, OSError) as error:
            raise Damaged(
                f"The face detector can't start: {error}.",
                "Install requirements.txt again; on Debian: apt-get install libgl1 libegl1 libgles2.",
            ) from error
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught:
                if not _CHATTER.match(line):
                    os.write(2, line)


def keep_forever(task: Any) -> None:
    """Never delete a mediapipe task: its ``__del__`` complains when the interpreter is already half gone."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))


def after_fork(begin_anew: Callable[[], None]) -> None:
    """Call this in each child that is forked from this process, where the system forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=begin_anew)


def _begin_anew() -> None:
    global _ONE_AT_A_TIME
    _ONE_AT_A_TIME = threading.RLock()


after_fork(_begin_anew)
