"""25 and 33: values that no form sends, secrets in addresses, and sources that are no files."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from dreamgui.config import ConvertJob, TrainJob
from dreamgui.errors import OutOfRange, UnknownName
from dreamgui.models.sources.source import parse_source
from dreamgui.ui.parts.form import make_config
from tests.ui.fakes import fake_services

SECRET = "hunter2secret"


@pytest.mark.parametrize("name", ["steps", "learning_rate", "seed", "rank"])
@pytest.mark.parametrize("value", [True, False])
def test_true_is_no_number(name: str, value: bool) -> None:
    with pytest.raises(OutOfRange, match=f"{name}: .*number"):
        make_config(TrainJob, {name: value})
    assert TrainJob(prior_preservation=value).prior_preservation is value


def test_ten_thousand_prompts_are_too_many() -> None:
    with pytest.raises(OutOfRange, match="at most 100"):
        make_config(TrainJob, {"sample_prompts": ["a photo"] * 10_000})


@pytest.mark.parametrize(
    "source",
    [
        f"https://user:{SECRET}@huggingface.co/a/b",
        f"https://{SECRET}@huggingface.co/a/b",
        f"https://user:p@{SECRET}@huggingface.co/a/b",
        f"https://huggingface.co/a/b?access_token={SECRET}",
        f"https://civitai.com/models/1?token={SECRET}&modelVersionId=2",
        f"https://civitai.com/models/1?modelVersionId=2&ApiKey={SECRET}",
        f"https://civitai.com/models/1?api-key={SECRET}#x",
    ],
)
def test_no_secret_of_an_address_is_kept(source: str, tmp_path: Path) -> None:
    job = ConvertJob(source=source)
    assert SECRET not in job.source and job.source.startswith("https://")
    started = fake_services(tmp_path).jobs.submit(job)
    started.wait()
    kept = [
        path.read_text("utf-8") for path in started.folder.iterdir() if path.suffix in (".json", ".jsonl")
    ]
    assert len(kept) == 2 and SECRET not in "".join(kept)
    assert json.loads(kept[0] if kept[0].startswith("{\n") else kept[1])["job"]["source"] == job.source


def test_an_at_sign_in_a_path_stays() -> None:
    for source in ("https://huggingface.co/a/b@main", "a/b@main:x.safetensors", "/home/me/a@b.safetensors"):
        assert ConvertJob(source=source).source == source


def test_a_token_that_is_refused_is_not_told() -> None:
    with pytest.raises(OutOfRange) as caught:
        make_config(ConvertJob, {"source": "demo", "token": SECRET * 100})
    assert SECRET not in str(caught.value) and "token" in str(caught.value)


def test_a_pipe_a_socket_and_a_device_are_no_source(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "door"))
        for source in (tmp_path / "pipe.safetensors", tmp_path / "door", Path("/dev/null")):
            with pytest.raises(UnknownName, match="no file"):
                parse_source(str(source))
