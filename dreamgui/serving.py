"""Locks of a page's server: one serves a workspace, and the next one finds where its page is. Each has its own folder
for gradio's files, which the next start removes once its server is dead. Addresses that only this machine reaches."""

from __future__ import annotations

import atexit
import ipaddress
import json
import os
import platform
import secrets
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

LOCAL_NAMES = ("localhost", "ip6-localhost")
CACHE_PREFIX, LOCK_SUFFIX = "dreamgui-page-", ".lock"
_LOCK, _TOLD = ".server.lock", ".server.json"


class AlreadyServed(Exception):
    """Another living program serves this workspace.

    Attributes:
        url: address of its page; "" where it isn't known yet, or is another machine's.
    """

    def __init__(self, pid: int, host: str, url: str) -> None:
        self.url = url if host == platform.node() else ""
        where = f" at {url}" if url else ""
        super().__init__(
            f"DreamGUI already runs on this workspace{where} (process {pid} on {host or 'this machine'})."
        )


class Serving:
    """A held lock."""

    def __init__(self, root: Path) -> None:
        self._path = root / _TOLD

    def tell(self, url: str) -> None:
        """Write down who serves the workspace and at which address, for the next one who tries."""
        told = {"pid": os.getpid(), "host": platform.node(), "url": url}
        # Without room for it the second one is only told less.
        with suppress(OSError):
            self._path.write_text(json.dumps(told), encoding="utf-8")

    def end(self) -> None:
        """Remove what was told."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


@contextmanager
def served_alone(root: Path) -> Generator[Serving, None, None]:
    """Hold the lock of a workspace's server inside the block. The system releases it when the program dies.

    Raises:
        AlreadyServed: another program holds it.
        OSError: the lock can't be made.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = FileLock(root / _LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise _served(root) from None
    serving = Serving(root)
    try:
        serving.tell("")
        yield serving
    finally:
        serving.end()
        lock.release()


def _served(root: Path) -> AlreadyServed:
    """Return the error with what the holder told, as far as it can be read."""
    told: object = None
    with suppress(OSError, ValueError):
        told = json.loads((root / _TOLD).read_text(encoding="utf-8"))
    known = told if isinstance(told, dict) else {}
    return AlreadyServed(known.get("pid", 0), str(known.get("host", "")), str(known.get("url", "")))


def private_folder(folder: Path) -> None:
    """Make a folder that is this user's alone. One that was made before becomes so."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A disk that knows no such rights, or another user's folder, stays as it is.
    with suppress(OSError):
        folder.chmod(0o700)


def claim_cache_folder() -> Path:
    """Make a private folder for gradio's files, and remove those of ended servers, as they hold photographs.

    Each is named by a random text, and its lock is held for as long as its server lives.
    """
    base = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()).resolve()
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    clean_up_cache_folders(base)
    folder = base / f"{CACHE_PREFIX}{secrets.token_hex(8)}"
    lock = FileLock(f"{folder}{LOCK_SUFFIX}", thread_local=False)
    lock.acquire(timeout=0)
    folder.mkdir(mode=0o700)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    atexit.register(_leave, folder, lock)
    return folder


def _leave(folder: Path, lock: BaseFileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()
    Path(f"{folder}{LOCK_SUFFIX}").unlink(missing_ok=True)


def clean_up_cache_folders(base: Path) -> None:
    """Remove the private folders that no living server holds the lock of."""
    for folder in base.glob(f"{CACHE_PREFIX}*"):
        if not folder.is_dir() or folder.is_symlink() or not _own(folder):
            continue
        with suppress(Timeout, OSError), FileLock(f"{folder}{LOCK_SUFFIX}", timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
            Path(f"{folder}{LOCK_SUFFIX}").unlink(missing_ok=True)


def _own(folder: Path) -> bool:
    """Return whether this process's user made the folder. A user need not have a name."""
    return sys.platform == "win32" or folder.stat().st_uid == os.getuid()


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a server of this address."""
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host.casefold() in LOCAL_NAMES
