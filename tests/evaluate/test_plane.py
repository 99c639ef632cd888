"""The Pareto front, the suggested checkpoint and the onset of overtraining, on curves whose truth is known."""

from __future__ import annotations

import json
import xml.etree.ElementTree as Tree
from pathlib import Path

import numpy as np
import pytest

from dreamgui.evaluate.model_rows import ModelRow
from dreamgui.evaluate.plane import Point, onset, pareto_front, suggestion
from dreamgui.evaluate.reports.compare_report import compare_document
from dreamgui.evaluate.reports.measures_report import metrics_data
from dreamgui.evaluate.reports.plane_chart import plane_chart
from dreamgui.evaluate.reports.plane_report import (
    chooser_of,
    method_of,
    plane_data,
    points_of,
    run_of,
    suggestion_sentences,
)
from dreamgui.evaluate.reports.report import write_report
from dreamgui.events import Cell
from tests.evaluate.compared import CLASS, ROWS, compared, picture

STEPS = range(100, 1700, 200)
PLATEAU, TURN = 700, 900


def point(name: str, identity: float, quality: float, step: int = 1) -> Point:
    return Point(name, "run", step, [[identity]], [[quality]])


def curve(seed: int) -> list[Point]:
    """A training of eight checkpoints: likeness rises until 700, damage and memorising begin at 900."""
    rng = np.random.default_rng(seed)
    prompts, seeds = rng.normal(size=(5, 1)) * 0.05, rng.normal(size=(5, 4)) * 0.03
    faces = rng.normal(size=(1, 6)) * 0.02
    points = []
    for step in STEPS:
        late = max(0, step - PLATEAU) / 1000
        identity = truth(step) + prompts + seeds + rng.normal(size=(5, 4)) * 0.015
        quality = -0.1 - 0.3 * late + faces + rng.normal(size=(1, 6)) * 0.01
        memorising = 0.05 + 0.3 * late + rng.normal(size=(5, 4)) * 0.01
        tables = (table.tolist() for table in (identity, quality, memorising))
        points.append(Point(f"anna@{step}", "anna", step, *tables))
    return points


def truth(step: int) -> float:
    return 0.2 + 0.4 * min(step, PLATEAU) / PLATEAU


def test_the_front_holds_what_no_other_beats() -> None:
    points = [point("a", 0.2, 0.9), point("b", 0.6, 0.5), point("c", 0.5, 0.4), point("d", 0.6, 0.2)]
    assert [each.name for each in pareto_front(points)] == ["a", "b"]
    twins = [point("a", 0.2, 0.9), point("b", 0.2, 0.9)]
    assert len(pareto_front(twins)) == 2
    nothing = Point("x", "run", 1, [[None]], [[0.5]])
    assert pareto_front([nothing]) == () and suggestion([nothing]) is None


@pytest.mark.parametrize("person", range(5))
def test_the_suggested_checkpoint_is_as_good_as_the_best(person: int) -> None:
    found = suggestion(curve(person))
    assert found is not None
    assert truth(found.point.step) >= truth(1500) - 0.02 and found.point.step <= TURN
    assert "anna: step" in found.sentence("damage")


@pytest.mark.parametrize("person", range(5))
def test_the_onset_of_overtraining_is_found_within_a_checkpoint(person: int) -> None:
    found = suggestion(curve(person))
    assert found is not None and found.onset is not None
    assert abs(found.onset.step - TURN) <= 200
    assert f"Overtraining begins at step {found.onset.step}" in found.sentence("damage")
    assert "beyond the noise" in found.sentence("damage")


def test_a_training_that_still_rises_is_not_overtrained() -> None:
    rising = [each for each in curve(0) if each.step <= PLATEAU]
    found = suggestion(rising)
    assert found is not None and found.onset is None and found.point.step == PLATEAU
    assert "longer training" in found.sentence("damage")


def test_later_checkpoints_that_are_more_alike_are_no_overtraining() -> None:
    noise = np.random.default_rng(0).normal(size=(4, 6, 1)) * 0.02
    low, high = (0.2 + noise[0]).tolist(), (0.6 + noise[1]).tolist()
    good = Point("a@1", "a", 1, low, (-0.1 + noise[2]).tolist())
    later = Point("a@2", "a", 2, high, (-0.5 + noise[3]).tolist())
    assert onset([good, later], good) is None
    alike = Point("a@3", "a", 3, good.identity, later.quality)
    assert onset([good, alike], good) is alike


def test_sentences_name_both_checkpoints_and_their_quality() -> None:
    noise = np.random.default_rng(0).normal(size=(6, 1)) * 0.05
    early = Point("a@600", "a", 600, (0.6 + noise).tolist(), [[-0.12]])
    late = Point("a@800", "a", 800, (0.601 + noise[::-1]).tolist(), [[-0.20]])
    found = suggestion([late, early])
    assert found is not None and found.point is early and found.best is late
    told = found.sentence("damage")
    assert told.startswith("a: step 600 is as alike as step 800 within the noise (0.6")
    assert "with less damage (0.12 against 0.20)" in told


def checkpoints() -> dict[str, object]:
    """Changes of a comparison: three checkpoints of one run beside its base."""
    whole = compared()
    names = {"anna@100": 20, "anna@200": 40, "anna": 60}
    rows = [ROWS[0], *(ModelRow(name, "lora", "base", 8, steps=5 * shade) for name, shade in names.items())]
    cells = [cell for cell in whole.cells if cell.model == "base"]
    classes = [cell for cell in whole.class_cells if cell.model == "base"]
    for name, shade in names.items():
        ours = [cell for cell in whole.cells if cell.model == "anna"]
        cells += [Cell(name, c.prompt, c.seed, c.image, c.scores) for c in ours]
        classes += [Cell(name, CLASS, 3 + n, picture(shade + n).rotate(shade)) for n in range(3)]
    return {"rows": tuple(rows), "cells": tuple(cells), "class_cells": tuple(classes), "copies": {}}


def test_the_report_shows_the_plane_of_three_checkpoints(tmp_path: Path) -> None:
    quality, points = points_of(compared(**checkpoints()))
    assert quality == "damage" and [p.method for p in points] == ["anna"] * 3
    write_report(compare_document(compared(**checkpoints()), "one"), tmp_path)
    assert Tree.parse(tmp_path / "plane.svg").getroot().tag.endswith("svg")
    assert "Pareto front" in (tmp_path / "README.md").read_text()
    plane = json.loads((tmp_path / "report.json").read_text())["plane"]
    assert [row["model"] for row in plane["points"]] == ["anna@100", "anna@200", "anna"]
    assert [row["damage"] for row in plane["points"]] == sorted(row["damage"] for row in plane["points"])
    [told] = plane["suggestions"]
    assert told["run"] == "anna" and told["model"] == "anna@100" and "step 100" in told["sentence"]


def test_one_recogniser_chooses_and_the_other_reports() -> None:
    whole = compared(**checkpoints())
    assert chooser_of(whole) == "identity"
    assert all("SFace, which didn't choose, gives it 0.6" in told for told in suggestion_sentences(whole))
    cells = [
        Cell(c.model, c.prompt, c.seed, c.image, {**c.scores, "sface": c.scores["identity"] and 0.1 + 0.002 * place % 0.01})
        for place, c in enumerate(whole.cells)
    ]  # fmt: skip
    job = whole.job.model_copy(update={"chosen_by": "second"})
    other = compared(**{**checkpoints(), "cells": tuple(cells), "job": job})
    assert chooser_of(other) == "sface" and points_of(other)[1][0].place[0] < 0.2
    assert "dlib, which didn't choose, gives it 0.6" in suggestion_sentences(other)[0]
    alone = compared(
        **{**checkpoints(), "job": job, "references": {"identity": whole.references["identity"]}}
    )
    assert chooser_of(alone) == "identity" and "didn't choose" not in suggestion_sentences(alone)[0]


def test_clip_is_the_quality_where_no_place_is_judged() -> None:
    whole = compared(**checkpoints())
    cells = tuple(Cell(c.model, c.prompt, c.seed, c.image, {**c.scores, "clip_t": 0.3}) for c in whole.cells)
    told = compared(**{**checkpoints(), "cells": cells, "clip": "CLIP tiny"})
    quality, points = points_of(told)
    assert quality == "clip_t" and points[0].place[1] == pytest.approx(0.3)
    metrics = metrics_data(told)
    assert metrics["clip_t"]["embedder"] == "CLIP tiny" and metrics["sface"]["embedder"] == "SFace"


def test_two_models_have_no_plane() -> None:
    assert plane_data(compared()) is None
    assert "plane.svg" not in {chart.path for chart in compare_document(compared(), "one").charts()}


def test_fidelity_is_the_quality_where_it_is_measured() -> None:
    whole = compared(**checkpoints())
    cells = tuple(
        Cell(c.model, c.prompt, c.seed, c.image, {**c.scores, "fidelity": 0.5}) for c in whole.cells
    )
    quality, points = points_of(compared(**{**checkpoints(), "cells": cells}))
    assert quality == "fidelity" and points[0].place == (pytest.approx(0.6225), 0.5)


def test_a_name_with_an_at_sign_is_no_checkpoint() -> None:
    assert run_of(ModelRow("me@home", "lora", "base", steps=5)) == "me@home"
    assert run_of(ModelRow("anna@5", "lora", "base", steps=5)) == "anna"


def test_the_chart_is_well_formed_for_any_names() -> None:
    points = [point("<a & b>", 0.5, 0.5), point("b", 0.5, 0.5)]
    assert Tree.fromstring(plane_chart(points, points, "<up>", False)).tag.endswith("svg")


def test_names_on_the_chart_hide_no_other() -> None:
    crowd = [point(f"anna@{n}", 0.5 + n / 1e4, 0.5) for n in range(40)]
    chart = Tree.fromstring(plane_chart(crowd, crowd[:1], "up", False))
    texts = [each for each in chart.iter() if each.tag.endswith("text") and "@" in (each.text or "")]
    places = [(float(each.get("x", 0)), float(each.get("y", 0))) for each in texts]
    assert 2 <= len(texts) < 40 and texts[0].text == "anna@0", (
        "the front's come first; without room the title tells"
    )
    assert all(
        abs(x - u) >= 7 * len("anna@0") or abs(y - v) >= 13
        for number, (x, y) in enumerate(places)
        for u, v in places[:number]
    )


def test_strengths_of_a_run_are_points_of_its_plane() -> None:
    noise = np.random.default_rng(1).normal(size=(6, 1)) * 0.01
    weak = Point("a:0.6", "a", 300, (0.3 + noise).tolist(), [[-0.05]], (), 0.6)
    usual = Point("a:0.8", "a", 300, (0.6 + noise).tolist(), [[-0.1]], (), 0.8)
    strong = Point("a:1.2", "a", 300, (0.6 + noise[::-1]).tolist(), [[-0.4]], (), 1.2)
    found = suggestion([strong, weak, usual])
    assert found is not None and found.point is usual and not found.last
    assert found.onset is None, "another strength is no later checkpoint"
    assert "step 300 at strength 0.8" in found.sentence("damage")
    row = ModelRow("a@5:0.8 ddim", "lora", "base", steps=5, model="a@5", floor="base ddim")
    assert method_of(row) == "a ddim"
