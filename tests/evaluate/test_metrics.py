"""Every figure of a model is described in the catalogue and in docs/metrics.md, in the same words."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgui.evaluate import metrics
from dreamgui.evaluate.document.blocks import Heading, Table
from dreamgui.evaluate.metrics import BY_KEY, METRICS, NEITHER, Metric, measured, metric_of
from dreamgui.evaluate.reports.measures_report import definition_blocks, measure_blocks
from tests.evaluate.compared import compared

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
ROWS = {
    found[1]: [cell.strip() for cell in line.split(" | ")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if (found := re.match(r"\| `(\w+)` \|", line))
}


def test_each_key_of_the_figures_has_a_metric() -> None:
    comparison = compared()
    for row in comparison.rows:
        keys = {metric_of(key).key for key in comparison.figures(row.name)}
        assert keys == {metric.key for metric in METRICS}, "no metric is left without a figure"


@pytest.mark.parametrize("key", sorted(BY_KEY))
def test_each_metric_is_described_in_the_document(key: str) -> None:
    metric, row = BY_KEY[key], ROWS[key]
    assert len(row) == 6
    _, formula, extent, direction, embedder, source = row
    assert len(formula) > 10 and direction == metric.direction
    assert extent.startswith(metric.extent)
    assert embedder.startswith(("as `", (metric.embedder or "none")[:15]))
    assert metric.source.split(",")[0].removesuffix("; King 2017").split(" 20")[0] in source


def test_the_document_describes_no_metric_that_is_gone() -> None:
    assert set(ROWS) == set(BY_KEY) and len(BY_KEY) == len(METRICS)


def test_a_value_is_shown_with_its_interval() -> None:
    metric = BY_KEY["identity"]
    assert metric.text({"identity": 0.5}) == "0.50"
    assert metric.text({"identity": 0.5, "identity_low": 0.25, "identity_high": 0.75}) == "0.50 [0.25, 0.75]"
    assert metric.text({"identity": None}) == "" and metric.text({}) == ""
    assert measured({"a": {"identity": None}, "b": {"copies": 0.0}}) == (BY_KEY["copies"],)


def test_a_metric_of_single_pictures_needs_its_row_in_the_catalogue_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its means, the report's table and its definition follow from it."""
    smile = Metric(
        "smile", "Smile", "mean width of the mouth", "0 to 1", NEITHER, group="Mood", per_picture=True
    )
    monkeypatch.setattr(metrics, "METRICS", (*METRICS, smile))
    monkeypatch.setattr(metrics, "BY_KEY", {**BY_KEY, "smile": smile})
    whole = compared()
    cells = tuple(replace(cell, scores={**cell.scores, "smile": 0.25}) for cell in whole.cells)
    found = compared(cells=cells)
    assert found.figures("anna")["smile"] == pytest.approx(0.25)
    blocks = list(measure_blocks(found, {}))
    assert Heading("Mood") in blocks
    assert Table(("Model", "Smile"), (("base", "0.25 [0.25, 0.25]"), ("anna", "0.25 [0.25, 0.25]"))) in blocks
    assert any("mean width of the mouth" in str(block) for block in definition_blocks(found))


def test_tables_of_the_report_keep_the_order_of_the_catalogue() -> None:
    assert list(metrics.by_group(METRICS)) == [
        "Identity similarity", "Identity similarity by the second recogniser", "Prompt fidelity", "Memorising",
        "Pictures without the token", "Pose and framing",
    ]  # fmt: skip
