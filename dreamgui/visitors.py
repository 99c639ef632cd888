"""Visitors of a page that strangers reach: the name of each one's workspace, and the password or cookie that proves it.

A visitor is a login, or a cookie that this server made. The name is set for the time of one request and read by
``dreamgui/services.py``. A page for this machine's user has no visitors.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

NOBODY = ""
OWNER = "owner"
"""Visitor who works in the workspace itself, as the local page does."""
KEY_BYTES = 32
LEAST_LETTERS, LEAST_DIFFERENT = 10, 5
"""Least strength of a password: characters, and different ones."""
ID_BYTES = 16
SEEN = ".seen"
"""File in a visitor's workspace whose time is that of the last visit."""
_AGREED, _GONE = ".agreed", ".gone-"
_NAME = re.compile(r"(login|cookie|oauth)-[0-9a-f]{32}")
_current: ContextVar[str] = ContextVar("visitor", default=NOBODY)


def current() -> str:
    """Return the visitor whose request is being answered, or ``NOBODY`` outside of a request."""
    return _current.get()


@contextmanager
def visiting(visitor: str) -> Generator[None, None, None]:
    """Answer this visitor's request inside the block."""
    token = _current.set(visitor)
    try:
        yield
    finally:
        _current.reset(token)


def of_login(name: str) -> str:
    """Return the visitor of a login. Two logins never share one, whatever letters they have."""
    return f"login-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[: 2 * ID_BYTES]}"


def of_oauth(subject: str) -> str:
    """Return the visitor of an account of Hugging Face, by the number that it keeps when it is renamed."""
    return f"oauth-{hashlib.sha256(subject.encode('utf-8', 'surrogatepass')).hexdigest()[: 2 * ID_BYTES]}"


def has_account(visitor: str) -> bool:
    """Return whether a visitor is a login or an account, and not a cookie alone."""
    return visitor == OWNER or (is_visitor(visitor) and not visitor.startswith("cookie-"))


def weakness(name: str, password: str) -> str:
    """Return the reason against a password, or "" for a good one."""
    if len(password) < LEAST_LETTERS:
        return f"it has {len(password)} characters; at least {LEAST_LETTERS} are needed"
    if len(set(password)) < LEAST_DIFFERENT:
        return f"it has {len(set(password))} different characters; at least {LEAST_DIFFERENT} are needed"
    return "it holds the name" if name.casefold() in password.casefold() else ""


def note_seen(folder: Path, now: float | None = None) -> None:
    """Note that the visitor with this folder is here. ``now`` is in seconds since 1970."""
    with suppress(OSError):
        (folder / SEEN).touch(0o600)
        if now is not None:
            os.utime(folder / SEEN, (now, now))


def absent(visitors: Path, seconds: float, now: float | None = None) -> list[str]:
    """Return the visitors, each with a folder, who weren't here for so long. Those never noted count from their folder's time."""
    before = (time.time() if now is None else now) - seconds
    return [path.name for path in visitors.glob("*-*") if is_visitor(path.name) and _last_seen(path) < before]


def without_anything(visitors: Path) -> str:
    """Return the visitor who was away longest of those who have agreed to nothing and made nothing, or "" for none."""
    names = filter(is_visitor, (path.name for path in visitors.iterdir()))
    for name in sorted(names, key=lambda name: _last_seen(visitors / name)):
        if not any(files != [SEEN] for _, _, files in os.walk(visitors / name) if files):
            return name
    return NOBODY


def _last_seen(folder: Path) -> float:
    for path in (folder / SEEN, folder):
        with suppress(OSError):
            return path.stat().st_mtime
    return time.time()


def agree(folder: Path) -> None:
    """Note that the visitor with this folder has the right to use the photographs."""
    (folder / _AGREED).touch(0o600)


def has_agreed(folder: Path) -> bool:
    """Return whether :func:`agree` was noted."""
    return (folder / _AGREED).exists()


def delete_folder(folder: Path) -> None:
    """Delete all that a visitor has. A kill in the middle leaves what :func:`finish_deletions` removes."""
    gone = folder.with_name(f"{_GONE}{secrets.token_hex(8)}")
    with suppress(FileNotFoundError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def finish_deletions(visitors: Path) -> None:
    """Remove what a killed program had begun to delete."""
    for folder in visitors.glob(f"{_GONE}*"):
        shutil.rmtree(folder, ignore_errors=True)


def is_visitor(name: str) -> bool:
    """Return whether this is the name of a visitor with a folder."""
    return _NAME.fullmatch(name) is not None


class Cookies:
    """Makes and checks the secret cookies of visitors without a login.

    A cookie is 128 random bits and their signature by a key of this server, which lies in the workspace. The
    visitor's name is a digest of the bits, so that a name seen in a path or a log opens nothing.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self) -> str:
        """Return a new cookie."""
        number = secrets.token_hex(ID_BYTES)
        return f"{number}.{self._signature(number)}"

    def visitor(self, cookie: str) -> str:
        """Return the visitor of a cookie, or ``NOBODY`` for one that this server didn't make."""
        number, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(number).encode()):
            return NOBODY
        return f"cookie-{hashlib.sha256(number.encode()).hexdigest()[: 2 * ID_BYTES]}"

    def _signature(self, number: str) -> str:
        return hmac.new(self._key, number.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def signing_key(folder: Path) -> bytes:
    """Return the key that signs cookies, made at first use, readable by this user alone.

    Raises:
        OSError: it can't be read or written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / ".key"
    with suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        # A kill in the middle of the first start left a part of it.
        path.unlink()
        return signing_key(folder)
    return key
