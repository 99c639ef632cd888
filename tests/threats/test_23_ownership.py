"""23 and 20: what one visitor has made, no other one reads, changes, stops or downloads, by whichever route."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dreamgui.config import CompareJob, CropJob, GenerateJob, JobConfig, TrainJob
from dreamgui.library.items import items
from dreamgui.library.marks import read_marks, write_marks
from dreamgui.services import VisitorServices
from dreamgui.ui.guard.table import OAUTH_RULES, RULES, Rule, rule_of
from dreamgui.visitors import Cookies, visiting
from tests.threats.strangers import API, Visitor, files_in, routes_of
from tests.ui.conftest import Page, serve
from tests.ui.fakes import add_base, fake_visitor_services, picture

SECRET = "zebra-secret"
NAMES = ("anna-data", "anna-run", "anna-report")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("strangers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        services = fake_visitor_services(folder / "work", step_seconds=0.02)
        add_base(services.root, "portraits")
        yield from serve(services)


def snapshot(folder: Path, running: str) -> dict[str, str]:
    """Every file of a workspace but those of the running job, by its place, with a hash of its content."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if running not in path.parts and "live" not in path.parts
    }


class Anna:
    """A visitor who has uploaded a photograph, made one thing of each kind, and has a training running."""

    def __init__(self, page: Page) -> None:
        assert isinstance(page.services, VisitorServices)
        self.services = page.services
        self.visitor = Visitor(page.url)
        self.id = Cookies(b"key").visitor(self.visitor.cookie)
        picture(SECRET, 20, 200).save(page.services.root.root / "anna.png")
        data = (page.services.root.root / "anna.png").read_bytes()
        self.photo = self.visitor.upload("anna.png", data)
        with visiting(self.id):
            self.workspace = self.services.workspace
            self._make(CropJob(photos=(Path(self.photo),), dataset="anna-data", instance_prompt=SECRET))
            self._make(
                TrainJob(model="portraits", dataset="anna-data", run="anna-run", steps=4, sample_every=2)
            )
            self._make(CompareJob(models=("portraits", "anna-run"), report="anna-report", prompts=(SECRET,)))
            self._make(GenerateJob(model="portraits", prompt=SECRET, count=1))
            run = self.workspace.place("runs", "anna-run")
            write_marks(run, read_marks(run).model_copy(update={"note": SECRET}))
            self.job = self.services.jobs.submit(
                TrainJob(model="portraits", dataset="anna-data", run="live", steps=20_000)
            )
        self.shown = self._see()
        self.before = snapshot(self.workspace.root, self.job.id)

    def _make(self, job: JobConfig) -> None:
        assert self.services.jobs.submit(job).wait().__class__.__name__ == "Done"

    def _see(self) -> list[str]:
        """Open the page as a browser does; return the files that it shows."""
        config = self.visitor.config()
        types = {one["id"]: one["type"] for one in config["components"]}
        pictures = {
            one["id"]
            for one in config["dependencies"]
            if not any("click" in event for event in one["targets"])
            and {"gallery", "image", "html", "file"} & {types[output] for output in one["outputs"]}
        }
        self.visitor.ask([body for body in bodies(config, {}) if body["fn_index"] in pictures][:60])
        return [path for path in files_in(self.visitor.heard) if path.startswith("/")]

    def untouched(self) -> bool:
        """Whether all that was made is as it was, and the training runs on."""
        same = snapshot(self.workspace.root, self.job.id) == self.before
        return same and not self.job.stopping and not self.job.ended


def bodies(config: dict[str, Any], values: dict[str, Any]) -> list[dict[str, Any]]:
    """A request for each listener; ``values`` by a component's type replace those that the page has."""
    components = {one["id"]: one for one in config["components"]}
    found = []
    for listener in config["dependencies"]:
        if listener["backend_fn"]:
            inputs = [components[one] for one in listener["inputs"]]
            data = [values.get(one["type"], one["props"].get("value")) for one in inputs]
            event = {"index": 0, "value": values.get("event", "")}
            found.append({"fn_index": listener["id"], "data": data, "event_data": event})
    return found


@pytest.fixture(scope="module")
def anna(page: Page) -> Iterator[Anna]:
    made = Anna(page)
    yield made
    made.job.stop()
    made.job.wait()


def test_every_route_of_gradio_has_a_rule(page: Page) -> None:
    found = set(routes_of(page.app.routes))
    assert len(found) > 60
    templates = {(method, path.rstrip("/") or "/") for method, path in found}
    assert not templates - set(RULES | OAUTH_RULES)
    # A rule for a route that is gone would hide what takes its place.
    assert not [each for each in RULES if each[0] != "HEAD" and each not in templates]


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/unknown",
        "/gradio_api/call/v2/run/me",
        "/gradio_api/call/x/login-1:session",
        "/gradio_api/file/etc/passwd",
    ],
)
def test_a_route_that_nobody_knows_is_refused(page: Page, path: str) -> None:
    assert rule_of("POST", path) is Rule.REFUSED
    assert Visitor(page.url).client.get(path).status_code in (401, 404)


def test_nobody_without_a_cookie_gets_anything_but_the_page(page: Page, anna: Anna) -> None:
    stranger = Visitor(page.url, loads_page=False)
    for forged in ("", "x", "x.y", anna.visitor.cookie[:-1], f"{'0' * 32}.{'0' * 64}"):
        stranger.client.cookies.set("dreamgui-visitor", forged)
        for (method, path), rule in RULES.items():
            if rule in (Rule.OPEN, Rule.PAGE):
                continue
            plain = path.replace("{path_or_url:path}", anna.photo).replace("{session_hash}", "mine")
            answer = stranger.client.request(method, plain, json={"session_hash": "mine", "data": []})
            assert answer.status_code in (401, 404), (method, path)
    assert stranger.get(anna.photo).status_code == 401


def test_a_file_is_served_to_its_owner_only(page: Page, anna: Anna) -> None:
    other = Visitor(page.url)
    assert anna.visitor.get(anna.photo).status_code == 200
    assert other.get(anna.photo).status_code == 404
    # How many pictures the first answers name depends on how far the training is.
    assert len(anna.shown) > 2
    for path in anna.shown:
        assert anna.visitor.get(path).status_code == 200
        assert other.get(path).status_code == 404
    for path in (
        "/etc/passwd",
        "app.py",
        "../../app.py",
        f"{Path(anna.photo).parent}/../x",
        "http://127.0.0.1/",
        "",
    ):
        assert other.get(path).status_code in (404, 401), path


@pytest.mark.timeout(1800)  # Some 1,000 requests.
def test_no_listener_shows_or_changes_what_another_visitor_has(page: Page, anna: Anna) -> None:
    """All of them by their number, hidden ones too: with nothing known, and with each name and path guessed right."""
    other = Visitor(page.url)
    config = other.config()
    photo = {"path": anna.photo, "meta": {"_type": "gradio.FileData"}, "orig_name": "anna.png"}
    guesses: list[dict[str, Any]] = [{}]
    for kind, name in zip(("dataset", "run", "report"), NAMES, strict=True):
        kinds = ("textbox", "dropdown", "state", "json", "radio")
        guesses.append({**dict.fromkeys(kinds, name), "checkboxgroup": [name], "event": f"{kind}/{name}"})
    guesses.append({"file": [photo], "image": photo, "gallery": [{"image": photo, "caption": ""}]})
    for number, guess in enumerate(guesses):
        asked = [body for body in bodies(config, guess) if body["data"] or not guess]
        assert len(asked) > (50 if guess else 100)
        for start in range(0, len(asked), 40):
            other.ask(asked[start : start + 40])
        if number == 0:
            assert not [name for name in NAMES if name in other.heard]
        assert SECRET not in other.heard and anna.id not in other.heard and anna.job.id not in other.heard
        assert anna.untouched(), guess


def test_no_endpoint_takes_another_visitors_file_or_stops_a_job(page: Page, anna: Anna) -> None:
    other = Visitor(page.url)
    config = other.config()
    named = {one["api_name"]: one for one in config["dependencies"] if one["api_visibility"] == "public"}
    folder = str(Path(anna.photo).parent)
    for value in (
        anna.photo,
        folder,
        str(Path(folder).parent),
        {"path": anna.photo},
        str(anna.workspace.root / "uploads"),
    ):
        for name in ("crop", "convert", "control", "generate", "import"):
            data = [value for _ in named[name]["inputs"]] or [value] * 40
            other.ask([{"fn_index": named[name]["id"], "data": data}])
    for kind in ("train", "crop"):
        other.ask([{"fn_index": named["stop"]["id"], "data": [kind]}])
    other.ask([{"fn_index": named[name]["id"], "data": []} for name in ("status", "library")])
    assert '"stopped":[]' in other.heard.replace(" ", "")
    assert anna.untouched() and anna.id not in other.heard and SECRET not in other.heard
    assert not any(name in other.heard for name in NAMES)


def test_a_session_of_one_name_is_another_one_for_each_visitor(page: Page, anna: Anna) -> None:
    config = anna.visitor.config()
    line = next(one["id"] for one in config["components"] if one["props"].get("elem_id") == "status-line")
    watch = next(one for one in config["dependencies"] if line in one["outputs"])
    event = anna.visitor.join(watch["id"], [], session="shared").json()["event_id"]
    other = Visitor(page.url)
    other.ask(bodies(other.config(), {})[:3], session="shared")
    other.client.post(f"/{API}/cancel", json={"session_hash": "shared", "fn_index": 0, "event_id": "0" * 32})
    assert event not in other.heard and anna.job.id not in other.heard
    for body in (
        {"session_hash": f"{anna.id}:shared"},
        {"session_hash": 5},
        {"session_hash": ["x"]},
        [],
        "x",
    ):
        assert other.client.post(f"/{API}/queue/join", json=body).status_code in (400, 422)
    for session in (f"{anna.id}:shared", "a/b", ""):
        assert other.client.get(f"/{API}/queue/data", params={"session_hash": session}).status_code == 400


def test_base_models_are_shared_and_stay_as_they_are(page: Page, anna: Anna) -> None:
    assert isinstance(page.services, VisitorServices)
    root = page.services.root
    with visiting(anna.id):
        assert page.services.catalog.bases() == ["portraits"]
        assert page.services.catalog.folder("portraits") == root.place("models", "portraits")
        assert page.services.workspace.place("models", "portraits") != root.place("models", "portraits")
        assert not [item for item in items(page.services.workspace) if item.kind == "base"]
    assert "anna-run" not in page.services.catalog.names()
