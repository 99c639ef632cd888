"""Figures and tables of a comparison: floor and ceiling, damage, copies side by side, verdicts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamgui.evaluate.figures import with_zeros
from dreamgui.evaluate.person import person_of
from dreamgui.evaluate.repeat import pixel_hash
from dreamgui.evaluate.reports.compare_report import compare_document
from dreamgui.evaluate.reports.report import write_report
from dreamgui.evaluate.verdicts import verdicts
from dreamgui.events import Cell
from tests.evaluate.compared import PROMPTS, compared
from tests.evaluate.test_reference import ASTRONAUT, HOPPER, NOBODY, brighter, dataset


def test_similarity_lies_between_floor_and_ceiling() -> None:
    base, anna = (compared().figures(name) for name in ("base", "anna"))
    assert base["identity_normalised"] == pytest.approx(0) and base["identity_floor"] == base["identity"]
    floor, ceiling = anna["identity_floor"], anna["identity_ceiling"]
    assert floor == base["identity"] and floor is not None and ceiling is not None
    mean, low = anna["identity"], anna["identity_low"]
    assert mean is not None and low is not None and low < mean
    assert anna["identity_normalised"] == pytest.approx((mean - floor) / (ceiling - floor))
    assert anna["identity_normalised_low"] == pytest.approx((low - floor) / (ceiling - floor))
    assert anna["sface"] == anna["identity"]


def test_without_its_base_nothing_is_normalised_and_no_damage_is_known() -> None:
    whole = compared()
    alone = compared(rows=whole.rows[1:], cells=tuple(c for c in whole.cells if c.model == "anna"),
                     class_cells=tuple(c for c in whole.class_cells if c.model == "anna"))  # fmt: skip
    figures = alone.figures("anna")
    assert figures["identity"] is not None and figures["identity_ceiling"] is not None
    assert figures["identity_floor"] is None and figures["identity_normalised"] is None
    assert figures["damage"] is None and figures["damage_pixels"] is None


def test_a_picture_without_a_face_counts_as_0_in_one_of_the_means() -> None:
    base = compared().figures("base")
    assert base["identity"] is not None and base["identity_with_zeros"] is not None
    assert base["identity_with_zeros"] < base["identity"]
    assert base["faces_found"] == pytest.approx(11 / 12)
    found = with_zeros([[0.5, None], [None, None]], [[True, True], [True, False]])
    assert found is not None and found.mean == pytest.approx(0.125), "what wasn't generated isn't 0"


def test_damage_is_taken_seed_by_seed_from_the_base() -> None:
    base, anna = (compared().figures(name) for name in ("base", "anna"))
    assert base["damage"] is None, "the base is what others are measured against"
    assert anna["damage_pixels"] == pytest.approx(60 / 255) and anna["damage"] == pytest.approx(0, abs=1e-6)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    whole = compared()
    moved = tuple(
        Cell(cell.model, cell.prompt, cell.seed, noise) if cell.model == "anna" else cell
        for cell in whole.class_cells
    )
    damage = compared(class_cells=moved).figures("anna")["damage"]
    assert damage is not None and damage > 0.5


def test_the_report_shows_measures_copies_and_definitions(tmp_path: Path) -> None:
    write_report(compare_document(compared(), "one"), tmp_path)
    text, page = ((tmp_path / name).read_text(encoding="utf-8") for name in ("README.md", "index.html"))
    for told in ("Identity similarity", "Memorising", "Pictures without the token", "Pose and framing"):
        assert told in text and told in page
    assert "anna is better than base" in text
    assert "1 picture is nearly a training crop" in text and "images/copy-01-crop.png" in text
    assert Image.open(tmp_path / "images" / "copy-01-generated.png").size == (64, 64)
    assert "King 2017" in text and "Formula" in text
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["metrics"]["identity"]["embedder"].startswith("dlib")
    assert data["copies"][0]["crop"] == "0001.png" and data["copies"][0]["model"] == "anna"
    for row in data["images"] + data["class_images"]:
        assert pixel_hash(Image.open(tmp_path / row["path"])) == row["sha256"]


def test_a_report_without_copies_says_so() -> None:
    blocks = compare_document(compared(copies={"anna": ()}), "one").blocks
    assert any("No generated picture is nearly" in str(block) for block in blocks)
    no_sface = compared(references={"identity": compared().references["identity"]})
    assert any("Choose Fetch SFace" in str(block) for block in compare_document(no_sface, "one").blocks)


def test_many_pairs_are_told_with_the_best_model_and_corrected_for_all() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(6, 2)) * 0.01
    tables = {f"m{n}": (0.1 * n + noise + rng.normal(size=(6, 2)) * 0.01).tolist() for n in range(5)}
    told = verdicts(tables)
    assert len(told) == 4 and all("m4" in sentence for sentence in told)
    assert "m4 is better than m0" in told[0]
    same = verdicts({"one": tables["m0"], "two": tables["m0"]})
    assert len(same) == 1 and "a tie" in same[0]
    assert verdicts({"one": [[None]] * len(PROMPTS), "two": tables["m0"]}) == ()


def test_a_person_scores_its_own_face_over_another(tmp_path: Path) -> None:
    held = [ASTRONAUT, ASTRONAUT.rotate(-6), ASTRONAUT.rotate(6)]
    person = person_of(dataset(tmp_path, *((image, True) for image in held), (brighter(ASTRONAUT), False)))
    assert person.references["identity"].only_held_out and len(person.held_out) == 3
    readings = [person.read(image) for image in (ASTRONAUT.rotate(3), HOPPER, NOBODY, brighter(ASTRONAUT))]
    same, other, nobody, _ = (person.scores(reading) for reading in readings)
    for name in ("likeness", "identity", "identity_centroid"):
        ours, theirs = same[name], other[name]
        assert ours is not None and theirs is not None and ours > theirs
    assert set(nobody.values()) == {None} and same["memorising"] is not None
    assert same["face_height"] is not None and 0 < same["face_height"] < 1
    cells = [Cell("m", "p", n, image) for n, image in enumerate((HOPPER, brighter(ASTRONAUT)))]
    [pair] = person.copies(cells, [readings[1], readings[3]])
    assert pair.cell is cells[1] and pair.name == "0004.png" and pair.crop.size == ASTRONAUT.size


def test_a_faceless_dataset_measures_no_similarity(tmp_path: Path) -> None:
    person = person_of(dataset(tmp_path, (NOBODY, False)))
    assert person.references == {} and person.reference.person is None
    assert not {"likeness", "identity", "memorising"} & person.scores(person.read(ASTRONAUT)).keys()
