"""Settings of a job from a picture's texts, which anybody may have written."""

from __future__ import annotations

from typing import Any, cast

import pytest

from dreamgui.models.catalog.catalog import Catalog
from dreamgui.pictures.made import Made
from dreamgui.pictures.store import Found
from dreamgui.ui.tabs.generate.from_file import settings_of


class OneBase:
    """A catalog of one base and one run."""

    def all_names(self) -> list[str]:
        return ["base", "her-lora"]

    def bases(self) -> list[str]:
        return ["base"]

    def card(self, name: str) -> Any:
        return type("Card", (), {"name": name, "sha256": "abcdef0123456789"})


CATALOG = cast(Catalog, OneBase())
JOB = {"model": "her-lora", "prompt": "a cat", "seed": 7, "steps": 20, "size": "512x768"}


def test_a_job_of_ours_comes_back() -> None:
    assert settings_of(Found(Made(), JOB), CATALOG) == (JOB, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image", "/etc/passwd"), ("mask", "/etc/passwd"), ("soul", 1), ("kind", "train"), ("steps", {"a": 1}),
        ("steps", 10**9), ("size", "9x9"), ("prompt", ["x"]), ("guidance_scale", float("nan")), ("seed", -5),
        ("scheduler", "__import__"),
    ],
)  # fmt: skip
def test_what_no_job_takes_is_left_out_and_told(name: str, value: Any) -> None:
    settings, remarks = settings_of(Found(Made(), {**JOB, name: value}), CATALOG)
    assert settings == {key: each for key, each in JOB.items() if key != name}
    assert len(remarks) == 1 and name in remarks[0]


def test_a_model_that_is_not_here_is_told() -> None:
    settings, remarks = settings_of(Found(Made(), {**JOB, "model": "gone"}), CATALOG)
    assert "model" not in settings and "'gone'" in remarks[0]


def test_settings_of_another_program() -> None:
    made = Made(
        "a cat", "ugly", 30, "euler-a", 7.0, 5, (515, 768), "dreamshaper", "abcdef0123",
        (("her-lora", "", 0.5), ("other", "", 1.0)), {"Clip skip": "2", "VAE hash": "00ff", "VAE": "mse", "ControlNet 0": "canny"},
    )  # fmt: skip
    settings, remarks = settings_of(Found(made), CATALOG)
    assert settings == {
        "prompt": "a cat", "negative_prompt": "ugly", "steps": 30, "guidance_scale": 7.0, "scheduler": "euler-a",
        "size": "512x768", "model": "base", "seed": 5, "loras": ("her-lora:0.5",),
    }  # fmt: skip
    assert len(remarks) == 2 and "other" in remarks[0] and "Clip skip, VAE, ControlNet 0." in remarks[1]


def test_what_another_program_allows_and_we_do_not() -> None:
    made = Made("a cat", steps=999_999, guidance_scale=1e9, seed=2**32, size_px=(8, 8))
    settings, remarks = settings_of(Found(made), CATALOG)
    assert settings == {"prompt": "a cat", "negative_prompt": "", "loras": ()}
    assert "Seed 4294967296" in remarks[0] and "steps, guidance_scale, size" in remarks[1]


def test_weights_of_words_in_another_programs_prompt_are_switched_on() -> None:
    settings, _ = settings_of(Found(Made("a (cat:1.3)", "ugly")), CATALOG)
    assert settings["word_weights"] is True
    settings, _ = settings_of(Found(Made(r"a cat \(black\)", "ugly")), CATALOG)
    assert "word_weights" not in settings
