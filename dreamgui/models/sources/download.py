"""One large file from a server: with progress, resumed where it broke off, its hash checked, its size capped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from filelock import FileLock, Timeout

from dreamgui.errors import AlreadyRunning, BadInput, BadModelFile
from dreamgui.events import Event, Progress
from dreamgui.sizes import file_size
from dreamgui.workspace import Workspace, write_json

MAX_BYTES = 20_000_000_000
MAX_REDIRECTS = 5
ATTEMPTS = 4
PAUSE_SECONDS = 0.5
TELL_SECONDS = 0.5
TIMEOUT = httpx.Timeout(20.0, connect=10.0)
_CHUNK_BYTES = 1 << 20
_USER_AGENT = "dreamgui/0.1"


@dataclass(frozen=True)
class Remote:
    """A file on a server.

    Attributes:
        site: what the server is called, for messages.
        headers: secrets for the server that ``url`` names; no other server gets them.
        login_advice: what to do when the server wants a login.
        size_bytes, sha256: as the site's listing has them; None and "" where it doesn't say.
    """

    url: str
    name: str
    site: str
    size_bytes: int | None = None
    sha256: str = ""
    login_advice: str = "Log in there."
    headers: dict[str, str] = field(default_factory=dict, repr=False)


class _Again(Exception):
    """The connection broke. What came is kept."""


def download(remote: Remote, target: Path, workspace: Workspace) -> Generator[Event, None, str]:
    """Fetch a file to ``target``. A part that an earlier try left there is gone on with.

    Yields:
        Progress in megabytes, at most twice a second.

    Returns:
        its SHA-256, computed on the way.

    Raises:
        BadInput: the server refuses, wants a login, or the network is gone; what came is kept.
        BadModelFile: the file isn't the one that was promised; it is deleted.
        NotEnoughDisk: it wouldn't fit.
        AlreadyRunning: another process fetches it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(target.with_name(f"{target.name}.lock"), timeout=0):
            return (yield from _locked(remote, target, workspace))
    except Timeout as error:
        raise AlreadyRunning(
            f"Another DreamGUI is fetching {remote.name}.", "Wait until it has it."
        ) from error


def _locked(remote: Remote, target: Path, workspace: Workspace) -> Generator[Event, None, str]:
    part = target.with_name(f"{target.name}.part")
    _check_size(remote, remote.size_bytes or 0, part, workspace)
    with httpx.Client(timeout=TIMEOUT, follow_redirects=False, headers={"User-Agent": _USER_AGENT}) as client:
        for attempt in range(ATTEMPTS):
            try:
                digest = yield from _fetch(client, remote, part, workspace)
                break
            except _Again as broken:
                if attempt == ATTEMPTS - 1:
                    have = part.stat().st_size if part.exists() else 0
                    raise BadInput(
                        f"{remote.site} can't be reached or broke off ({broken}); {file_size(have)} of {remote.name} are here.",
                        "Check the network and start again: it goes on from there.",
                    ) from broken
                time.sleep(PAUSE_SECONDS * 2**attempt)
    if remote.sha256 and digest != remote.sha256.lower():
        _forget(part)
        raise BadModelFile(
            f"{remote.name} came with the SHA-256 {digest[:12]}..., and {remote.site} promises {remote.sha256.lower()[:12]}...",
            "It was deleted; start again.",
        )
    part.replace(target)
    _note(part).unlink(missing_ok=True)
    return digest


def _fetch(
    client: httpx.Client, remote: Remote, part: Path, workspace: Workspace
) -> Generator[Event, None, str]:
    """One try: ask for what is missing, append it, and return the hash of the whole."""
    have = part.stat().st_size if part.exists() else 0
    known = json.loads(_note(part).read_text()) if have and _note(part).exists() else {}
    if not have or known.get("sha256", "") != remote.sha256 or not (remote.sha256 or known.get("etag")):
        have, known = 0, {}
    try:
        with _opened(client, remote, have, known.get("etag", "")) as response:
            _check_answer(remote, response)
            whole = response.status_code == 200
            have = 0 if whole else have
            if response.status_code == 416:
                _forget(part)
                raise _Again("the server has no such part")
            if not whole and _range_start(response) != have:
                _forget(part)
                raise _Again("the server sent another part")
            total = _total_bytes(remote, response, have)
            _check_size(remote, total or 0, part, workspace)
            write_json(_note(part), {"etag": response.headers.get("etag", ""), "sha256": remote.sha256})
            return (yield from _receive(remote, response, part, have, total))
    except httpx.TransportError as error:
        raise _Again(type(error).__name__) from error


def _receive(
    remote: Remote, response: httpx.Response, part: Path, have: int, total: int | None
) -> Generator[Event, None, str]:
    digest = hashlib.sha256()
    with part.open("rb+" if have else "wb") as file:
        while file.tell() < have:
            digest.update(file.read(min(_CHUNK_BYTES, have - file.tell())))
        told = 0.0
        for chunk in response.iter_raw():
            file.write(chunk)
            digest.update(chunk)
            have += len(chunk)
            if have > min(MAX_BYTES, total or MAX_BYTES):
                raise BadModelFile(
                    f"{remote.site} sends more of {remote.name} than it said.", "Choose another file."
                )
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                yield Progress(
                    f"Downloading {remote.name} (MB)", have // 10**6, max(total or have, have) // 10**6
                )
    if total and have < total:
        raise _Again(f"it ended after {have} of {total} bytes")
    yield Progress(f"Downloading {remote.name} (MB)", have // 10**6, have // 10**6)
    return digest.hexdigest()


@contextlib.contextmanager
def _opened(
    client: httpx.Client, remote: Remote, have: int, etag: str
) -> Generator[httpx.Response, None, None]:
    """The answer behind all redirects. Secrets stay with the first server, and https is never left."""
    url, first = httpx.URL(remote.url), httpx.URL(remote.url)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    if have and etag and not etag.startswith("W/"):
        headers["If-Range"] = etag
    for _ in range(MAX_REDIRECTS + 1):
        secrets = remote.headers if _origin(url) == _origin(first) else {}
        with client.stream("GET", url, headers=headers | secrets) as response:
            if not response.has_redirect_location:
                yield response
                return
            url = url.join(response.headers["location"])
        if "login" in url.path.lower().split("/") or "reason=download-auth" in str(url.query):
            raise _login(remote)
        if url.scheme not in ("http", "https") or (first.scheme == "https" and url.scheme != "https"):
            raise BadInput(
                f"{remote.site} leads {remote.name} to an unsafe address.", "Download it in your browser."
            )
    raise BadInput(
        f"{remote.site} leads {remote.name} from address to address.", "Download it in your browser."
    )


def _origin(url: httpx.URL) -> tuple[Any, ...]:
    return url.scheme, url.host, url.port


def _check_answer(remote: Remote, response: httpx.Response) -> None:
    """Raise what a refusal means to a user."""
    status, page = response.status_code, response.headers.get("content-type", "").startswith("text/html")
    if status in (401, 403) or (page and status < 400):
        raise _login(remote)
    if status in (404, 410):
        raise BadInput(f"{remote.site} has no file {remote.name} any more ({status}).", "Check the address.")
    if status == 429 or status >= 500:
        raise _Again(f"status {status}")
    if status not in (200, 206, 416):
        raise BadInput(
            f"{remote.site} refuses {remote.name} (status {status}).", "Download it in your browser."
        )


def _login(remote: Remote) -> BadInput:
    return BadInput(f"{remote.site} asks for a login before it gives {remote.name}.", remote.login_advice)


def _range_start(response: httpx.Response) -> int:
    """The first byte of a partial answer, from ``Content-Range: bytes 5-9/10``."""
    start = response.headers.get("content-range", "").removeprefix("bytes ").split("-")[0]
    return int(start) if start.isdecimal() else -1


def _total_bytes(remote: Remote, response: httpx.Response, have: int) -> int | None:
    length = response.headers.get("content-length", "")
    return have + int(length) if length.isdecimal() else remote.size_bytes


def _check_size(remote: Remote, total: int, part: Path, workspace: Workspace) -> None:
    if total > MAX_BYTES:
        raise BadModelFile(
            f"{remote.name} has {file_size(total)}; DreamGUI fetches at most {file_size(MAX_BYTES)}.",
            "Choose a smaller version.",
        )
    workspace.require_space(
        total - (part.stat().st_size if part.exists() else 0), f"The download of {remote.name}"
    )


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def host_of(url: str) -> str:
    """The server's name, for messages."""
    return urlsplit(url).netloc
