"""21: on a Space an account of Hugging Face is the visitor; who hasn't signed in may look and no more."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator

import httpx
import pytest

import app
from dreamgui.config import TrainJob
from dreamgui.errors import BadInput
from dreamgui.services import VisitorServices
from dreamgui.ui.guard.uploading import refusal_of
from dreamgui.visitors import has_account, of_login, of_oauth, visiting
from dreamgui.workspace import Workspace
from tests.test_app import plain
from tests.threats.strangers import API, Visitor
from tests.ui.conftest import Page, serve
from tests.ui.fakes import fake_recipes

__all__ = ["plain"]
SECRET = "space-secret"
pytest.importorskip("authlib")
itsdangerous = pytest.importorskip("itsdangerous")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("oauth")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("SPACE_ID", "anna/dreamgui"),
            ("OAUTH_CLIENT_ID", "id"),
            ("OAUTH_CLIENT_SECRET", SECRET),
            ("OAUTH_SCOPES", "openid profile"),
            ("OPENID_PROVIDER_URL", "https://huggingface.co"),
            ("GRADIO_TEMP_DIR", str(folder / "gradio")),
        ):
            patch.setenv(name, value)
        patch.setattr("gradio.oauth.get_space", lambda: "anna/dreamgui")
        for name, value in (("ID", "id"), ("SECRET", SECRET)):
            patch.setattr(f"gradio.oauth.OAUTH_CLIENT_{name}", value)
        patch.setattr("gradio.oauth.OAUTH_SCOPES", "openid profile")
        patch.setattr("gradio.oauth.OPENID_PROVIDER_URL", "https://huggingface.co")
        bind = lambda workspace, _: fake_recipes(workspace, 0.01)  # noqa: E731
        services = VisitorServices(Workspace(folder / "work"), bind, accounts_only=True)
        yield from serve(services, oauth=True, refuse_upload=refusal_of(services))


def signed(subject: str, seconds: float = 3600, secret: str = SECRET) -> dict[str, str]:
    """The session cookie that gradio sets once somebody has signed in."""
    told = {"userinfo": {"sub": subject, "preferred_username": subject}, "expires_at": time.time() + seconds}
    data = base64.b64encode(json.dumps({"oauth_info": told}).encode())
    key = hashlib.sha256(f"{secret}-v4".encode()).hexdigest()
    return {"cookie": f"session={itsdangerous.TimestampSigner(key).sign(data).decode()}"}


def upload(page: Page, headers: dict[str, str]) -> httpx.Response:
    return httpx.post(f"{page.url}{API}/upload", headers=headers, files={"files": ("a.txt", b"x")})


def test_an_account_is_a_visitor_and_a_forged_or_old_session_is_none(page: Page) -> None:
    assert isinstance(page.services, VisitorServices)
    anna, ben = of_oauth("anna"), of_oauth("ben")
    assert "Before your first upload" in upload(page, signed("anna")).json()["detail"]
    with visiting(anna):
        page.services.agree()
    assert upload(page, signed("anna")).status_code == 200
    path = upload(page, signed("anna")).json()[0]
    file = f"{page.url}{API}/file={path}"
    assert httpx.get(file, headers=signed("anna")).status_code == 200
    assert httpx.get(file, headers=signed("ben")).status_code == 404
    for headers in (signed("anna", -1), signed("anna", secret="other"), signed(""), {"cookie": "session=x"}):
        assert httpx.get(file, headers=headers).status_code == 401
    assert anna != ben and has_account(anna) and not has_account("cookie-" + "0" * 32)
    assert of_oauth("anna") != of_login("anna")


def test_who_has_not_signed_in_looks_and_no_more(page: Page) -> None:
    assert isinstance(page.services, VisitorServices)
    visitor = Visitor(page.url)
    told = {one["props"].get("elem_id") for one in visitor.config()["components"]}
    assert {"sign-in", "duplicate"} <= told
    answer = visitor.client.post(f"/{API}/upload", files={"files": ("a.txt", b"x")})
    assert answer.status_code == 413 and "Sign in" in answer.json()["detail"]
    with visiting("cookie-" + "0" * 32), pytest.raises(BadInput, match="signed in"):
        page.services.jobs.submit(TrainJob())


@pytest.mark.usefixtures("plain")
def test_a_space_with_oauth_needs_no_password_and_one_without_gets_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPACE_ID", "anna/dreamgui")
    for name in ("CLIENT_ID", "CLIENT_SECRET", "SCOPES"):
        monkeypatch.delenv(f"OAUTH_{name}", raising=False)
    assert app.options([]).logins and not app.options([]).oauth
    assert "password" in capsys.readouterr().out
    for name in ("CLIENT_ID", "CLIENT_SECRET", "SCOPES"):
        monkeypatch.setenv(f"OAUTH_{name}", "x")
    assert app.options([]).oauth and not app.options([]).logins
    assert not capsys.readouterr().out
    assert not app.options(["--login", "anna:rather-long-s3cret"]).oauth
    assert not app.options(["--open"]).oauth
    monkeypatch.setattr(app, "find_spec", lambda name: None)
    assert app.options([]).logins
    monkeypatch.delenv("SPACE_ID")
    assert not app.options([]).oauth
