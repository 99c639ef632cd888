"""24 and 4: bodies of requests end within limits, broken uploads leave nothing, and photographs lose their metadata."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from dreamgui.data.photos.bare import strip_file
from dreamgui.errors import TooMuch
from dreamgui.quotas import Limits
from dreamgui.services import VisitorServices
from dreamgui.ui.guard.bodies import MOST_PARTS, parsed, read_body
from dreamgui.ui.parts.uploads import Files, cache_folder
from dreamgui.visitors import of_login, visiting
from dreamgui.workspace import Workspace
from tests.loops import run_apart
from tests.threats.strangers import API, Visitor
from tests.ui.conftest import Page, serve
from tests.ui.fakes import fake_recipes, fake_visitor_services

MAKER = b"camera number 4711"
PART = b'--bb\r\nContent-Disposition: form-data; name="files"; filename="p.jpg"\r\n\r\n'


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("bodies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        yield from serve(fake_visitor_services(folder / "work"))


def photograph(kind: str, orientation: int = 6) -> bytes:
    """A photograph with GPS, a maker's note and an orientation."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, MAKER.decode()
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 30.0)
    stream = io.BytesIO()
    Image.effect_noise((64, 48), 90).convert("RGB").save(stream, kind, exif=exif, comment=MAKER)
    return stream.getvalue()


def send_raw(page: Page, visitor: Visitor, headers: str, body: bytes, breaks_off: bool = False) -> bytes:
    """Send an upload by hand; return the beginning of the answer."""
    where = urlsplit(page.url)
    head = (
        f"POST /{API}/upload HTTP/1.1\r\nHost: {where.netloc}\r\nCookie: dreamgui-visitor={visitor.cookie}\r\n"
        f"Content-Type: multipart/form-data; boundary=bb\r\n{headers}\r\n\r\n"
    )
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        if breaks_off:
            connection.shutdown(socket.SHUT_WR)
        return connection.recv(1000)


def left_over() -> list[str]:
    return [path.name for path in cache_folder().rglob("*") if path.is_file() and MAKER in path.read_bytes()]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photograph_that_comes_in_has_its_orientation_and_no_other_metadata(page: Page, kind: str) -> None:
    visitor = Visitor(page.url)
    sent = photograph(kind)
    assert MAKER in sent
    path = visitor.upload(f"photo.{kind.lower()}", sent)
    stored, served = Path(path).read_bytes(), visitor.get(path).content
    assert stored == served and MAKER not in stored
    with Image.open(io.BytesIO(sent)) as before, Image.open(io.BytesIO(stored)) as after:
        assert dict(after.getexif()) == {0x0112: 6} and not after.getexif().get_ifd(0x8825)
        assert after.tobytes() == before.tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_photograph_that_breaks_off_stays_and_is_no_crash(tmp_path: Path, kind: str, cut: int) -> None:
    path = tmp_path / "photo"
    path.write_bytes(photograph(kind)[:-cut])
    strip_file(path)
    assert [each.name for each in tmp_path.iterdir()] == ["photo"]


def test_settings_of_a_generated_picture_stay(tmp_path: Path) -> None:
    from dreamgui.pictures.texts import png_bytes, texts_of

    path = tmp_path / "made.png"
    path.write_bytes(png_bytes(Image.new("RGB", (8, 8)), "a face, Steps: 3", {"seed": 1}))
    assert strip_file(path) and texts_of(path) == ("a face, Steps: 3", '{"seed": 1}')


def emptied(look: Callable[[], object]) -> bool:
    """Wait until nothing is found: the server notices later than the sender that a request broke off."""
    for _ in range(3600):
        # A file may go between its listing and its reading.
        with suppress(FileNotFoundError):
            if not look():
                return True
        time.sleep(0.05)
    return False


def test_an_upload_that_breaks_off_leaves_no_file(page: Page) -> None:
    visitor = Visitor(page.url)
    for cut in (PART + MAKER * 100, PART[:-2], PART[:40], PART + MAKER + b"\r\n--b"):
        send_raw(page, visitor, "Content-Length: 9000000", cut, breaks_off=True)
        assert emptied(lambda: [path for path in cache_folder().iterdir() if path.is_file()]), cut
    assert emptied(left_over)


def test_an_upload_is_as_large_as_it_said(page: Page) -> None:
    visitor = Visitor(page.url)
    body = PART + MAKER * 1000 + b"\r\n--bb--\r\n"
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    answer = send_raw(page, visitor, "Content-Length: 10\r\nTransfer-Encoding: chunked", chunked)
    assert b" 400 " in answer.partition(b"\r\n")[0] and emptied(left_over)


def test_an_upload_of_the_owner_that_does_not_say_its_size_has_limits_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    login = ("olga", "rather-l0ng-s3cret")
    headers = {"content-type": "multipart/form-data; boundary=bb"}
    for page in serve(fake_visitor_services(tmp_path / "work"), [login], "olga"):
        with httpx.Client(base_url=page.url, timeout=60) as olga:
            olga.post("/login", data=dict(zip(("username", "password"), login, strict=True)))

            def send(data: bytes) -> httpx.Response:
                parts = iter([PART, data, b"\r\n--bb--\r\n"])
                return olga.post(f"/{API}/upload", content=parts, headers=headers)

            answer = send(photograph("JPEG"))
            assert "content-length" not in answer.request.headers
            [path] = answer.json()
            assert MAKER not in Path(path).read_bytes()
            assert olga.get(f"/{API}/file={path}").status_code == 200
            monkeypatch.setattr("dreamgui.ui.guard.incoming.disk_bytes", lambda: 10_000)
            assert send(MAKER * 1000).status_code == 400 and emptied(left_over)


def test_uploads_on_their_way_count() -> None:
    files = Files()
    with files.coming("anna", 70), files.coming("ben", 20):
        assert (files.sent_bytes("anna"), files.sent_bytes()) == (70, 90)
    assert files.sent_bytes() == 0


def test_nobody_fills_the_disk_by_the_form_of_the_login(page: Page) -> None:
    for files in ({"username": ("a", b"x" * 3_000_000)}, {"password": ("a", b"x" * 70_000)}):
        assert httpx.post(f"{page.url}login", files=files, timeout=60).status_code == 413
    assert httpx.post(f"{page.url}login", data={"username": "a"}, timeout=60).status_code == 422


def test_a_nested_or_wide_body_is_refused(page: Page) -> None:
    visitor = Visitor(page.url)
    for body in (
        b"[" * 40_000 + b"]" * 40_000,
        b'{"session_hash":"x","data":[' + b"[]," * MOST_PARTS + b"0]}",
    ):
        assert visitor.client.post(f"/{API}/queue/join", content=body).status_code == 400
        with pytest.raises(ValueError):
            parsed(body)


def test_a_body_that_never_ends_is_given_up() -> None:
    import asyncio

    async def silent() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    assert run_apart(read_body(silent, 10, seconds=0.01)) is None


def test_values_that_a_listener_cannot_read_are_not_in_the_log(
    page: Page, capfd: pytest.CaptureFixture[str]
) -> None:
    visitor = Visitor(page.url)
    listeners = [one for one in visitor.config()["dependencies"] if one["backend_fn"] and one["inputs"]]
    secret = "prompt of anna /home/anna/x.png"
    visitor.ask(
        [{"fn_index": one["id"], "data": [{"a": secret}] * len(one["inputs"])} for one in listeners[:40]]
    )
    heard = capfd.readouterr()
    assert "anna" not in heard.out + heard.err and "Traceback" not in heard.err


def test_cookies_of_nobody_do_not_shut_others_out(tmp_path: Path) -> None:
    recipes = lambda workspace, _: fake_recipes(workspace, 0.01)  # noqa: E731
    services = VisitorServices(Workspace(tmp_path), recipes, replace(Limits(), visitors=2))
    for name in ("anna", "x1", "x2", "x3"):
        with visiting(of_login(name)):
            assert services.workspace.root.is_dir()
            if name in ("anna", "x3"):
                services.agree()
    there = {path.name for path in (tmp_path / "visitors").glob("login-*")}
    assert there == {of_login("anna"), of_login("x3")}
    with visiting(of_login("x4")), pytest.raises(TooMuch):
        services.workspace.root.is_dir()
