"""Two reports side by side: settings that differ, and figures that differ with the interval of the paired difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dreamgui.evaluate.metrics import METRICS
from dreamgui.evaluate.statistics import Difference, paired_difference

LONGEST = 160
_NAMES = ("report", "from_", "preset", "reuse", "fetch_sface")
"""Settings that change no picture and no figure."""


@dataclass(frozen=True)
class Row:
    """One line of the comparison of two reports.

    Attributes:
        name: of the setting, or model and figure.
        one: the first report's value as text.
        other: the second's.
        sentence: the paired difference in words; "" where nothing is paired.
    """

    name: str
    one: str
    other: str
    sentence: str = ""


def differing_settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[Row, ...]:
    """Return the settings, weights, machine and packages in which two reports differ.

    Args:
        one: content of a report.json.
        other: of another one.
    """
    return tuple(
        Row(name, _short(ours), _short(theirs))
        for name, (ours, theirs) in _beside(_facts(one), _facts(other)).items()
        if ours != theirs
    )


def differing_figures(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[Row, ...]:
    """Return the figures of models that both reports have, where the values differ. The difference is the second less the first.

    Pictures are paired by model, prompt and seed. Where the two have none in common, the intervals of both stand alone.

    Args:
        one: content of a report.json.
        other: of another one.
    """
    rows = []
    for model, (ours, theirs) in _beside(_models(one), _models(other)).items():
        if ours is None or theirs is None:
            rows.append(
                Row(model, "compared" if ours else "not compared", "compared" if theirs else "not compared")
            )
            continue
        for metric in METRICS:
            texts = metric.text(_numbers(ours)), metric.text(_numbers(theirs))
            if any(texts) and ours.get(metric.key) != theirs.get(metric.key):
                told = _sentence(_paired(one, other, model, metric.key))
                rows.append(Row(f"{model}: {metric.title}", *texts, told))
    return tuple(rows)


def _sentence(difference: Difference | None) -> str:
    if difference is None:
        return ""
    verdict = "a tie" if difference.is_tie else "different"
    return f"{difference.interval.text('+')} over {difference.interval.count} pairs: {verdict}"


def _paired(one: Mapping[str, Any], other: Mapping[str, Any], model: str, key: str) -> Difference | None:
    ours, theirs = _cells(one, model, key), _cells(other, model, key)
    both = [place for place in ours if place in theirs]
    prompts = list(dict.fromkeys(prompt for prompt, _ in both))
    if not prompts:
        return None
    seeds = {prompt: [seed for each, seed in both if each == prompt] for prompt in prompts}
    width = max(map(len, seeds.values()))

    def table(cells: Mapping[tuple[str, int], float]) -> list[list[float | None]]:
        rows = [[cells[prompt, seed] for seed in seeds[prompt]] for prompt in prompts]
        return [[*row, *[None] * (width - len(row))] for row in rows]

    return paired_difference(table(theirs), table(ours))


def _cells(report: Mapping[str, Any], model: str, key: str) -> dict[tuple[str, int], float]:
    return {
        (str(row["prompt"]), int(row["seed"])): float(row[key])
        for row in report.get("images", ())
        if row.get("model") == model and isinstance(row.get(key), int | float)
    }


def _facts(report: Mapping[str, Any]) -> dict[str, Any]:
    settings = {name: value for name, value in _dict(report, "settings").items() if name not in _NAMES}
    weights = {f"weights of {name}": row.get("sha256", "")[:12] for name, row in _models(report).items()}
    packages = {f"package {name}": value for name, value in _dict(report, "versions").items()}
    return {**settings, "device": report.get("device", ""), **weights, **packages}


def _models(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {
        str(row["name"]): row for row in report.get("models", ()) if isinstance(row, dict) and "name" in row
    }


def _numbers(row: Mapping[str, Any]) -> dict[str, float | None]:
    return {
        key: value
        for key, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _dict(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = report.get(name)
    return found if isinstance(found, dict) else {}


def _beside(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (one.get(name), other.get(name)) for name in dict.fromkeys([*one, *other])}


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    text = "none" if value in (None, "") else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def is_comparable(report: Mapping[str, Any]) -> bool:
    """Return whether a report.json has models and settings."""
    return bool(_models(report) and _dict(report, "settings"))
