"""Two reports side by side: what differs, and whether the difference is more than noise."""

from __future__ import annotations

import numpy as np

from dreamgui.evaluate.earlier.two_reports import Row, differing_figures, differing_settings, is_comparable


def report(steps: int, likeness: float, noise: int, seeds: int = 2, **more: object) -> dict[str, object]:
    rng = np.random.default_rng(noise)
    images = [
        {"model": "anna", "prompt": prompt, "seed": seed, "likeness": likeness + 0.01 * float(rng.normal())}
        for prompt in "abcdef" for seed in range(seeds)
    ]  # fmt: skip
    values = [image["likeness"] for image in images]
    model = {"name": "anna", "sha256": "a" * 64, "likeness": float(np.mean(values)), "damage": None}
    return {
        "models": [model], "images": images, "device": "cpu", "versions": {"torch": "2"},
        "settings": {"steps": steps, "prompts": list("abcdef"), "report": str(noise)}, **more,
    }  # fmt: skip


def test_settings_weights_and_packages_that_differ_are_told() -> None:
    other = report(30, 0.6, 2, versions={"torch": "3"}, device="gpu")
    other["models"][0]["sha256"] = "b" * 64  # type: ignore[index]
    assert differing_settings(report(20, 0.5, 1), other) == (
        Row("steps", "20", "30"),
        Row("device", "cpu", "gpu"),
        Row("weights of anna", "a" * 12, "b" * 12),
        Row("package torch", "2", "3"),
    )
    assert differing_settings(other, other) == ()


def test_figures_are_paired_by_prompt_and_seed() -> None:
    [row] = differing_figures(report(20, 0.5, 1), report(30, 0.6, 2))
    assert (
        row.name == "anna: Likeness"
        and row.sentence.startswith("+0.")
        and "over 12 pairs: different" in row.sentence
    )
    [row] = differing_figures(report(20, 0.5, 1), report(30, 0.5, 2, seeds=3))
    assert "over 12 pairs: a tie" in row.sentence
    same = report(20, 0.5, 1)
    assert differing_figures(same, same) == ()
    [row] = differing_figures(same, report(20, 0.7, 3, images=[]))
    assert row.sentence == ""


def test_models_of_one_report_alone_are_told() -> None:
    more = report(20, 0.5, 1)
    more["models"] = [*more["models"], {"name": "berta"}]  # type: ignore[misc]
    assert Row("berta", "not compared", "compared") in differing_figures(report(20, 0.5, 1), more)


def test_what_is_no_report_has_nothing_to_compare() -> None:
    assert is_comparable(report(20, 0.5, 1))
    assert not is_comparable({}) and not is_comparable({"models": [1], "settings": None})
    assert differing_settings({}, {}) == () and differing_figures({"models": ["x"]}, {}) == ()
