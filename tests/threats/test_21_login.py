"""21: whatever others than this machine's user reach asks for a login, which can't be guessed."""

from __future__ import annotations

import asyncio

import pytest
from starlette.exceptions import HTTPException

import app
from dreamgui.ui.guard.login import LOCKED_SECONDS, MOST_FAILURES, Logins
from tests.loops import run_apart
from tests.test_app import plain

__all__ = ["plain"]
STRONG = "rather-long-s3cret"


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds


async def tried(logins: Logins, name: str, password: str) -> bool | None:
    """Whether a login succeeded; None while it is locked."""
    try:
        return await logins.check(name, password)
    except HTTPException as error:
        assert error.status_code == 429
        return None


def test_wrong_logins_are_delayed_then_locked_even_all_at_once() -> None:
    clock = Clock()
    logins = Logins({"anna": STRONG}, clock, clock.sleep)

    async def attack() -> list[bool | None]:
        return await asyncio.gather(*(tried(logins, "anna", f"guess-{n}") for n in range(200)))

    answers = run_apart(attack())
    assert answers.count(False) == MOST_FAILURES and answers.count(None) == 200 - MOST_FAILURES
    assert clock.now > 30
    assert run_apart(tried(logins, "anna", STRONG)) is None
    clock.now += LOCKED_SECONDS
    assert run_apart(tried(logins, "anna", STRONG)) is True


def test_after_a_lock_guessing_goes_on_no_faster() -> None:
    clock = Clock()
    logins = Logins({"anna": STRONG}, clock, clock.sleep)
    run_apart(_fail(logins, MOST_FAILURES))
    clock.now += LOCKED_SECONDS
    before = clock.now
    run_apart(_fail(logins, 1))
    assert clock.now > before


async def _fail(logins: Logins, times: int) -> None:
    for _ in range(times):
        assert await tried(logins, "anna", "wrong") is False


@pytest.mark.parametrize(
    ("name", "password"),
    [("nobody", ""), ("", ""), ("anna", ""), ("anna", STRONG + "x"), ("\udc80", "\udc80")],
)
def test_only_the_right_password_of_the_right_name_is_a_login(name: str, password: str) -> None:
    clock = Clock()
    logins = Logins({"anna": STRONG}, clock, clock.sleep)
    assert run_apart(tried(logins, name, password)) is False
    assert run_apart(tried(logins, "anna", STRONG)) is True


@pytest.mark.parametrize(
    "login", ["anna", ":x", "anna:", "a:b", "anna:short", "anna:aaaaaaaaaaaa", "anna:my-Anna-2026"]
)
def test_half_a_login_and_a_weak_password_are_refused(login: str) -> None:
    with pytest.raises(SystemExit):
        app.options(["--share", "--login", login])


@pytest.mark.parametrize(
    "argv",
    [["--share"], ["--host", "0.0.0.0"], ["--host", "192.168.1.5"], ["--host", "::"], ["--behind-proxy"]],
)
def test_what_others_reach_has_a_login(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    chosen = app.options(argv)
    assert not chosen.local and len(chosen.logins["dream"]) >= 20
    assert chosen.logins["dream"] in capsys.readouterr().out
    assert app.options([*argv, "--login", f"anna:{STRONG}"]).logins == {"anna": STRONG}


@pytest.mark.parametrize(
    ("name", "value"), [("SPACE_ID", "someone/dreamgui"), ("GRADIO_SERVER_NAME", "0.0.0.0")]
)
def test_the_environment_opens_nothing_without_a_login(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    chosen = app.options([])
    assert chosen.logins and not chosen.local and chosen.host == "0.0.0.0"


def test_a_page_without_a_login_is_asked_for_and_said_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = app.options(["--host", "0.0.0.0", "--open"])
    assert chosen.logins == {} and not chosen.local
    assert "WARNING" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        app.options(["--share", "--open", "--login", f"anna:{STRONG}"])


def test_an_owner_needs_a_login() -> None:
    assert app.options(["--share", "--login", f"anna:{STRONG}", "--owner", "anna"]).owner == "anna"
    with pytest.raises(SystemExit):
        app.options(["--share", "--owner", "anna"])


@pytest.mark.parametrize(
    ("host", "address"),
    [("::1", "[::1]"), ("[::1]", "[::1]"), ("127.0.0.2", "127.0.0.2"), ("localhost", "localhost")],
)
def test_each_name_of_this_machine_is_local(host: str, address: str) -> None:
    chosen = app.options(["--host", host])
    assert chosen.local and chosen.host == address and not chosen.logins
