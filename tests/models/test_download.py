"""Downloads from a real server: resumed, checked, capped, and secrets stay where they belong."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from dreamgui.errors import AlreadyRunning, BadInput, BadModelFile, DreamError, NotEnoughDisk
from dreamgui.events import Event, Progress
from dreamgui.models.sources import download as module
from dreamgui.models.sources.download import Remote, download
from dreamgui.workspace import Workspace
from tests.models.server import Server

DATA = bytes(range(256)) * 20_000
HASH = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(files={"/file": DATA}) as running:
        yield running


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(module, "TELL_SECONDS", 0.0)


class Fetch:
    """A download to a folder of its own, from the server's /file unless said otherwise."""

    def __init__(self, tmp_path: Path, server: Server) -> None:
        self.workspace, self.server, self.target = (
            Workspace(tmp_path / "work"),
            server,
            tmp_path / "got" / "model",
        )
        self.part = self.target.with_name("model.part")

    def __call__(self, path: str = "/file", **changes: Any) -> tuple[list[Event], str]:
        told = {"size_bytes": len(DATA), "sha256": HASH, "login_advice": "Put a token there."} | changes
        steps, events = (
            download(Remote(self.server.url + path, "anna", "site", **told), self.target, self.workspace),
            [],
        )
        try:
            while True:
                events.append(next(steps))
        except StopIteration as end:
            return events, end.value


@pytest.fixture
def fetch(tmp_path: Path, server: Server) -> Fetch:
    return Fetch(tmp_path, server)


def test_a_whole_file_with_progress_and_hash(fetch: Fetch) -> None:
    events, digest = fetch()
    assert (digest, fetch.target.read_bytes()) == (HASH, DATA)
    steps = [event for event in events if isinstance(event, Progress)]
    assert len(steps) > 2 and [event.done for event in steps] == sorted(event.done for event in steps)
    assert (steps[-1].done, steps[-1].total) == (5, 5)
    assert not fetch.part.exists() and not fetch.part.with_name("model.part.json").exists()


def test_it_goes_on_where_it_was_stopped(fetch: Fetch, server: Server) -> None:
    remote = Remote(server.url + "/file", "anna", "site", len(DATA), HASH)
    steps = download(remote, fetch.target, fetch.workspace)
    next(steps)
    next(steps)
    steps.close()
    have = fetch.part.stat().st_size
    assert 0 < have < len(DATA) and not fetch.target.exists()
    assert fetch()[1] == HASH and fetch.target.read_bytes() == DATA
    assert server.headers("/file")[-1]["range"] == f"bytes={have}-"


def test_a_broken_connection_is_taken_up_again(fetch: Fetch, server: Server) -> None:
    server.broken_after = [1_000_000, 2_000_000]
    assert fetch()[1] == HASH and fetch.target.read_bytes() == DATA
    assert [headers.get("range") for headers in server.headers("/file")] == [
        None,
        "bytes=1000000-",
        "bytes=3000000-",
    ]


def test_a_busy_server_is_asked_again(fetch: Fetch, server: Server) -> None:
    server.statuses = [503, 429]
    assert fetch()[1] == HASH


def test_a_server_that_never_recovers_is_named_and_the_part_kept(fetch: Fetch, server: Server) -> None:
    server.broken_after = [1_000_000] * 9
    server.ranges = False
    with pytest.raises(BadInput, match="site .* 1.0 MB of anna are here") as caught:
        fetch()
    assert "goes on from there" in caught.value.next_step and fetch.part.exists()


def test_no_server_at_all(fetch: Fetch, server: Server) -> None:
    server.url = "http://127.0.0.1:9"
    with pytest.raises(BadInput, match="can't be reached"):
        fetch()


def test_a_server_without_ranges_sends_it_all_again(fetch: Fetch, server: Server) -> None:
    server.ranges, server.broken_after = False, [1_000_000]
    assert fetch()[1] == HASH and fetch.target.read_bytes() == DATA


def test_a_file_that_changed_meanwhile_starts_over(fetch: Fetch, server: Server) -> None:
    server.broken_after = [1_000_000] * 4
    server.files["/file"] = DATA[::-1]
    with pytest.raises(BadInput):
        fetch(sha256="")
    server.broken_after, server.etag, server.files["/file"] = [], '"two"', DATA
    assert fetch(sha256="")[1] == HASH and fetch.target.read_bytes() == DATA


def test_another_file_behind_the_same_place_is_not_mixed_in(fetch: Fetch) -> None:
    fetch.target.parent.mkdir()
    fetch.part.write_bytes(b"of another file")
    assert fetch()[1] == HASH and fetch.target.read_bytes() == DATA


def test_a_wrong_hash_is_refused_and_deleted(fetch: Fetch) -> None:
    with pytest.raises(BadModelFile, match="SHA-256") as caught:
        fetch(sha256="0" * 64)
    assert "deleted" in caught.value.next_step
    assert not fetch.target.exists() and not fetch.part.exists()


@pytest.mark.parametrize("way", ["status", "page", "redirect"])
def test_a_login_is_said(fetch: Fetch, server: Server, way: str) -> None:
    if way == "status":
        server.needs["/file"] = "secret"
    elif way == "page":
        server.pages.add("/file")
    else:
        server.redirects["/file"] = server.url + "/login?returnUrl=/file"
    with pytest.raises(BadInput, match="asks for a login") as caught:
        fetch()
    assert caught.value.next_step == "Put a token there." and not fetch.part.exists()


def test_the_token_opens_and_never_leaves_its_server(fetch: Fetch, server: Server) -> None:
    server.needs["/gate"] = "secret"
    with Server(files={"/store": DATA}) as store:
        server.redirects["/gate2"] = store.url + "/store"
        server.redirects["/gate"] = "/gate2"
        assert fetch("/gate", headers={"Authorization": "Bearer secret"})[1] == HASH
        assert all("authorization" not in headers for headers in store.headers("/store"))
    assert (
        server.headers("/gate")[0]["authorization"]
        == server.headers("/gate2")[0]["authorization"]
        == "Bearer secret"
    )


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/again"])
def test_redirects_lead_nowhere_else(fetch: Fetch, server: Server, address: str) -> None:
    server.redirects["/again"] = address
    with pytest.raises(BadInput, match="leads anna"):
        fetch("/again")


@pytest.mark.parametrize(("status", "words"), [(404, "no file"), (418, "418")])
def test_other_refusals(fetch: Fetch, server: Server, status: int, words: str) -> None:
    server.statuses = [status]
    with pytest.raises(BadInput, match=words):
        fetch()


@pytest.mark.parametrize("announced", [True, False])
def test_the_size_is_capped(fetch: Fetch, monkeypatch: pytest.MonkeyPatch, announced: bool) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1_000_000)
    with pytest.raises(BadModelFile, match="at most|more of"):
        fetch(size_bytes=len(DATA) if announced else None)
    assert not fetch.part.exists() or fetch.part.stat().st_size <= 3_000_000


def test_a_full_disk_is_said_before_anything_is_fetched(
    fetch: Fetch, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(fetch.workspace.root)
    monkeypatch.setattr("dreamgui.workspace.shutil.disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(NotEnoughDisk):
        fetch()
    assert server.seen == []


def test_one_at_a_time(fetch: Fetch) -> None:
    fetch.target.parent.mkdir()
    with FileLock(fetch.target.with_name("model.lock")), pytest.raises(AlreadyRunning):
        fetch()


def test_no_message_holds_the_token(fetch: Fetch, server: Server) -> None:
    for mood in ({"statuses": [404]}, {"needs": {"/file": "other"}}, {"redirects": {"/file": "file:///x"}}):
        for key, value in mood.items():
            setattr(server, key, value)
        with pytest.raises(DreamError) as caught:
            fetch(headers={"Authorization": "Bearer sesame"})
        assert "sesame" not in str(caught.value) and "sesame" not in repr(caught.value.__context__)
    assert "sesame" not in repr(Remote("u", "n", "s", headers={"Authorization": "Bearer sesame"}))
