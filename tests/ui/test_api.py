"""A program drives the whole job through gradio_client."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from dreamgui.cli import main
from dreamgui.config import JOBS
from tests.ui.conftest import Page, visit
from tests.ui.fakes import picture


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "anna.png"
    picture("anna", size_px=200).save(path)
    return path


@pytest.fixture
def client(page: Page) -> Client:
    return Client(page.url, verbose=False)


def test_the_whole_job(client: Client, photo: Path) -> None:
    cropped = client.predict(photos=[handle_file(photo)], dataset="anna", api_name="/crop")
    assert cropped["state"] == "done" and cropped["figures"]["crops"] == 1
    assert client.predict(api_name="/convert")["saved"][0]["name"] == "portraits"
    generated = client.predict(class_count=3, class_negative_prompt="blurry", api_name="/class_images")
    assert generated["figures"]["class_images"] == 3
    trained = client.predict(
        dataset="anna", method="lora", steps=20, rank=4, run="anna-r4", api_name="/train"
    )
    assert trained["saved"][-1]["name"] == "anna-r4" and trained["figures"]["steps"] == 20
    compared = client.predict(models=["portraits", "anna-r4"], dataset="anna", api_name="/compare")
    assert len(compared["figures"]["cells"]) == 10
    assert zipfile.is_zipfile(compared["files"]["report"])
    with Image.open(compared["files"]["pictures"][0]["image"]) as image:
        assert image.size == (128, 128)
    assert (
        compared["figures"]["scores"]["anna-r4"]["likeness"]
        > compared["figures"]["scores"]["portraits"]["likeness"]
    )
    led = client.predict(image=handle_file(photo), control="pose", models=["anna-r4"], api_name="/control")
    assert led["saved"][0]["what"] == "report"
    status = client.predict(api_name="/status")
    assert (
        status["models"] == ["portraits"] and status["runs"] == ["anna-r4"] and status["datasets"] == ["anna"]
    )


def test_parameters_are_the_config_models(client: Client) -> None:
    api = client.view_api(return_format="dict")
    assert isinstance(api, dict)
    for kind, model in JOBS.items():
        if kind == "demo":
            continue
        parameters = api["named_endpoints"][f"/{kind}"]["parameters"]
        found = {item["parameter_name"]: item for item in parameters}
        assert set(found) == set(model.model_fields)
        for name, field in model.model_fields.items():
            assert found[name]["parameter_has_default"] is not field.is_required()
            # Left out isn't the default: a resumed run has settings of its own.
            assert found[name]["parameter_default"] is None


def test_only_what_was_sent_is_given(page: Page, client: Client) -> None:
    client.predict(steps=3, rank=4, api_name="/train")
    job = page.services.jobs.latest("train")
    assert job and job.config.model_fields_set == {"steps", "rank"}


def test_zero_is_refused_with_the_command_lines_sentence(
    client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--home", str(tmp_path / "home"), "train", "--learning-rate", "0"]) == 2
    sentence, _, _ = capsys.readouterr().err.removeprefix("dreamgui: ").partition(" (got 0")
    assert sentence.startswith("learning_rate: ")
    with pytest.raises(AppError) as caught:
        client.predict(learning_rate=0, api_name="/train")
    assert sentence in str(caught.value)


def test_status_names_what_can_be_resumed(client: Client) -> None:
    assert client.predict(api_name="/status")["resumable"] == {}


def test_only_actions_are_public(client: Client) -> None:
    api = client.view_api(return_format="dict")
    assert isinstance(api, dict)
    jobs = {kind for kind in JOBS if kind != "demo"}
    actions = jobs | {
        *("stop", "status", "ask", "queue", "inspect", "crops", "edit_crop", "undo_edit", "library", "label"),
        *(
            "captions",
            "drop_crops",
            "picture",
            "download",
            "delete_item",
            "trash",
            "restore_item",
            "clean_up",
        ),
    }
    assert set(api["named_endpoints"]) == {f"/{name}" for name in actions}
    assert not api["unnamed_endpoints"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"steps": 1_000_000}, "steps"),
        ({"rank": 0}, "rank"),
        ({"method": "magic"}, "method"),
        ({"learning_rate": -1.0}, "learning_rate"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(client: Client, values: dict, sentence: str) -> None:
    with pytest.raises(AppError, match=sentence):
        client.predict(**values, api_name="/train")


def test_a_failure_says_what_and_what_next(client: Client, photo: Path) -> None:
    with pytest.raises(AppError, match=r"is a web page, not a model\. Download the file again\."):
        client.predict(source=str(photo), api_name="/convert")


def test_a_second_start_is_told_what_runs(client: Client) -> None:
    first = client.submit(steps=10_000, api_name="/train")
    _wait_for_state(client, "running")
    with pytest.raises(AppError, match="train job is already running"):
        client.predict(steps=10, api_name="/train")
    stopped = client.predict(kind="train", api_name="/stop")
    assert len(stopped["stopped"]) == 1
    result = first.result(timeout=180)
    assert result["state"] == "cancelled" and result["saved"][-1]["what"] == "run"


def test_status_answers_while_training(client: Client) -> None:
    """How fast it answers is measured by benchmarks/crowd.py."""
    client.submit(steps=10_000, api_name="/train")
    _wait_for_state(client, "running")
    for _ in range(20):
        assert [job["state"] for job in client.predict(api_name="/status")["jobs"]] == ["running"]
    client.predict(kind="train", api_name="/stop")


def test_strangers_cannot_name_files_of_the_server(public_page: Page, photo: Path) -> None:
    client = visit(public_page)
    for name, values in {
        "crop": {"photos": [str(photo)]},
        "convert": {"source": str(photo)},
        "control": {"image": str(photo)},
    }.items():
        with pytest.raises(AppError, match="wasn't uploaded"):
            client.predict(**values, api_name=f"/{name}")
    sneaky = {"path": str(photo), "meta": {"_type": "other"}}
    with pytest.raises(AppError):
        client.predict(photos=[sneaky], api_name="/crop")


def _wait_for_state(client: Client, state: str) -> None:
    for _ in range(3600):
        if any(job["state"] == state for job in client.predict(api_name="/status")["jobs"]):
            return
        time.sleep(0.05)
    raise AssertionError(f"no job came to the state {state}")
