"""Figures, documents and pages of a report, on pictures made here."""

from __future__ import annotations

import base64
import io
import json
import re
import xml.etree.ElementTree as Tree
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from dreamgui.config import CompareJob
from dreamgui.data.faces.identity import Likeness
from dreamgui.errors import Damaged
from dreamgui.evaluate.comparison import Comparison
from dreamgui.evaluate.document.blocks import Document, Figure, Heading, Paragraph, Table
from dreamgui.evaluate.document.charts import curve_chart, interval_chart, smoothed
from dreamgui.evaluate.document.html import to_html
from dreamgui.evaluate.document.markdown import to_markdown
from dreamgui.evaluate.document.sheet import contact_sheet
from dreamgui.evaluate.drift import ClassDrift, class_drift
from dreamgui.evaluate.measures.recogniser import unit
from dreamgui.evaluate.model_rows import ModelRow
from dreamgui.evaluate.reference import Reference
from dreamgui.evaluate.reports.compare_report import compare_document, grid
from dreamgui.evaluate.reports.report import png, write_report
from dreamgui.evaluate.statistics import Interval, mean_interval
from dreamgui.events import Cell
from tests.data.conftest import packaged

EVIL = '<script>alert("x")</script> | `a` [b](http://evil) "q" ~~s~~'
BASE = ModelRow("base", "base", "base", file_bytes=22_000_000)
LORA = ModelRow("anna", "lora", "base", 8, 8.0, 1e-4, 300, 61.0, 700_000, "a photo of woman face", True)


def picture(shade: int, size: tuple[int, int] = (64, 64)) -> Image.Image:
    return Image.new("RGB", size, (shade, 80, 160))


def comparison(prompts: tuple[str, ...] = ("in the forest", "in the snow"), **changes: object) -> Comparison:
    job = CompareJob(models=("base", "anna"), prompts=prompts, seed=3, dataset="anna")
    scores = {"base": (0.2, 0.3), "anna": (0.6, None)}
    cells = tuple(
        Cell(model, prompt, 3 + column, picture(40 * column), {"likeness": scores[model][column]})
        for model in scores
        for column, prompt in enumerate(prompts)
    )
    prompt = "a photo of woman face"
    classes = tuple(Cell(model, prompt, 3, picture(9), {"likeness": 0.25}) for model in scores)
    drift = {"base": ClassDrift((0.25,), 0.5), "anna": ClassDrift((0.28,), None)}
    values = {
        "job": job, "rows": (BASE, LORA), "cells": cells, "class_cells": classes, "class_prompt": prompt,
        "drift": drift, "reference": Reference(None, 2, True), "device": "cpu, 2 cores, linux", "seconds": 12.0, **changes,
    }  # fmt: skip
    return Comparison(**values)  # pyright: ignore[reportArgumentType]


class Reader(HTMLParser):
    """Collects tags and where their attributes point."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]


def test_figures_of_a_model() -> None:
    found = comparison().figures("anna")
    assert found["likeness"] == 0.6 and found["faces_found"] == 0.5 and found["gain"] == pytest.approx(0.4)
    assert found["class_likeness"] == 0.28 and found["class_diversity"] is None
    assert comparison().figures("base")["gain"] is None
    assert comparison().best("lora") == LORA and comparison().best("unet") is None


def test_equal_prompts_keep_their_own_cells() -> None:
    twice = comparison(prompts=("again", "again"))
    assert twice.scores("base") == [[0.2], [0.3]]


def test_drift_tells_one_face_from_two_people() -> None:
    astronaut = Image.open(packaged("skimage", "data/astronaut.png")).convert("RGB")
    hopper = Image.open(packaged("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")).convert("RGB")
    person = Likeness.of([astronaut])
    drifted = class_drift([astronaut, astronaut.rotate(4), picture(0)], person)
    diverse = class_drift([astronaut, hopper], person)
    assert drifted.likeness[0] == pytest.approx(1, abs=0.02) and drifted.likeness[2] is None
    assert drifted.diversity is not None and diverse.diversity is not None
    assert drifted.diversity < 0.35 < 0.6 < diverse.diversity
    assert class_drift([picture(0)], person) == ClassDrift((None,), None)
    known = class_drift([astronaut, hopper], person, [unit(person.mean)])
    alone = class_drift([astronaut], person, [unit(person.mean)])
    assert known.pres is not None and alone.pres is not None and known.pres < alone.pres
    assert known.div is not None and known.div > 0 and alone.div is None


def test_report_is_whole_on_the_disk(tmp_path: Path) -> None:
    document = compare_document(comparison(), "forest-and-snow")
    write_report(document, tmp_path)
    data = json.loads((tmp_path / "report.json").read_text())
    assert [row["name"] for row in data["models"]] == ["base", "anna"]
    assert data["models"][1]["rank"] == 8 and data["models"][1]["likeness"] == 0.6
    assert {row["seed"] for row in data["images"]} == {3, 4} and data["prompts"] == [
        "in the forest",
        "in the snow",
    ]
    for row in data["images"] + data["class_images"]:
        assert Image.open(tmp_path / row["path"]).size == (64, 64)
    for path in re.findall(r'src="([^"]+)"', (tmp_path / "README.md").read_text()):
        assert (tmp_path / path).is_file()
    assert "1 of 2" in (tmp_path / "README.md").read_text(), "the missing face is said"
    assert not [file for file in tmp_path.rglob(".*")], "no temporary file is left"


def test_page_needs_nothing_else() -> None:
    page = to_html(compare_document(comparison(), "one"))
    reader = Reader(page)
    assert "script" not in reader.tags and "link" not in reader.tags
    assert reader.links and all(link.startswith("data:image/webp;base64,") for link in reader.links)
    embedded = Image.open(io.BytesIO(base64.b64decode(reader.links[0].split(",")[1])))
    assert embedded.size == (64, 64)
    assert "prefers-color-scheme: dark" in page and "default-src 'none'" in page


def test_what_a_user_typed_stays_text() -> None:
    cell = Cell("m", EVIL, 0, picture(1))
    document = Document(
        EVIL,
        EVIL,
        (Heading(EVIL), Paragraph(EVIL), Table((EVIL, EVIL), ((EVIL, Figure("images/a.png", EVIL, EVIL)),))),
        {"images/a.png": picture(1)},
    )
    assert "script" not in Reader(to_html(document)).tags
    markdown = to_markdown(document)
    assert "<script" not in markdown and not re.search(r"(?<!\\)\]\(", markdown)
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {3}
    assert "script" not in re.findall(r"<(\w+)", interval_chart({EVIL: mean_interval([0.5])}))
    contact_sheet([EVIL], [cell.prompt], {(0, 0): picture(2)})


def test_pictures_carry_no_metadata() -> None:
    photo = picture(5)
    photo.info["exif"] = b"Exif\x00\x00secret"
    photo.info["comment"] = "secret"
    assert b"secret" not in png(photo)


def test_damage_on_the_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = compare_document(comparison(), "one")
    monkeypatch.setattr("dreamgui.evaluate.reports.report.png", lambda _: png(picture(0, (8, 8))))
    with pytest.raises(Damaged, match="reads back"):
        write_report(document, tmp_path)


def test_sheet_has_a_field_for_every_cell() -> None:
    sheet = grid(comparison(cells=comparison().cells[:3]))
    colours = {colour for _, colour in sheet.getcolors(sheet.width * sheet.height) or []}
    assert (0, 80, 160) in colours and (40, 80, 160) in colours and (236, 234, 230) in colours
    names = [f"model {number} of a long name" for number in range(12)]
    prompts = ["a photo of sks woman face in a city at night with rain and neon lights"] * 20
    wide = contact_sheet(names, prompts, {})
    assert wide.width > 20 * 192 and wide.height > 12 * 192


def test_nothing_measured_still_gives_a_report(tmp_path: Path) -> None:
    cells = tuple(Cell(cell.model, cell.prompt, cell.seed, cell.image) for cell in comparison().cells)
    document = compare_document(comparison(cells=cells, class_cells=(), drift={}, stopped=True), "none")
    write_report(document, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "could not be measured" in text and "stopped before its end" in text
    assert json.loads((tmp_path / "report.json").read_text())["models"][0]["likeness"] is None


def test_charts_are_well_formed() -> None:
    for svg in (
        interval_chart({"a & b": Interval(0.5, 0.4, 0.6, 5), "none": None}),
        curve_chart(
            {"a<b": smoothed([0.5 / (step + 1) for step in range(300)]), "short": smoothed([0.4])}, "step"
        ),
        curve_chart({}, "step"),
    ):
        assert Tree.fromstring(svg).tag.endswith("svg")


def test_smoothing_is_a_sliding_mean() -> None:
    assert smoothed([1.0, 2.0, 3.0, 4.0], share=0.5) == [(2.0, 1.5), (3.0, 2.5), (4.0, 3.5)]
    assert smoothed([7.0]) == [(1.0, 7.0)] and smoothed([]) == []
