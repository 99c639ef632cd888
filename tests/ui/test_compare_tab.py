"""Presets, figures and repetitions in the Compare tab."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import gradio as gr
import pytest

from dreamgui.config import COMPARE_PROMPTS, PAPER_PROMPTS, CompareJob, Preset
from dreamgui.evaluate.votes import Choice, kept_votes
from dreamgui.events import Cell, Event, Score
from dreamgui.models.catalog.cards import RunCard
from dreamgui.models.catalog.catalog import write_run
from dreamgui.ui.parts.stream import JobView, view_of
from dreamgui.ui.results.grid import grid, models_of, prompts_of
from dreamgui.ui.tabs.compare.enlarged import enlarged
from dreamgui.ui.tabs.compare.figures import figures_html
from dreamgui.ui.tabs.compare.keep import keepable
from dreamgui.ui.tabs.compare.presets import preset_values
from dreamgui.ui.tabs.compare.slider import Slider
from dreamgui.ui.tabs.compare.tab import best
from dreamgui.ui.tabs.compare.two_reports import TwoReports
from dreamgui.ui.tabs.compare.vote import BlindVote
from tests.ui.fakes import add_base, fake_services


@pytest.mark.parametrize(
    ("name", "prompts", "seeds"),
    [("quick", COMPARE_PROMPTS, 1), ("usual", COMPARE_PROMPTS, 4), ("paper", PAPER_PROMPTS, 4)],
)
def test_a_preset_fills_in_prompts_and_seeds(
    tmp_path: Path, name: Preset, prompts: tuple[str, ...], seeds: int
) -> None:
    services = fake_services(tmp_path)
    assert preset_values(services, name, []) == ("\n".join(prompts), seeds)
    assert preset_values(services, name, ["gone"]) == ("\n".join(prompts), seeds)


def test_prompts_of_a_preset_follow_the_run(tmp_path: Path) -> None:
    services = fake_services(tmp_path)
    card = RunCard(
        name="ohwx", kind="lora", base="portraits", dataset="", rank=4, alpha=4, learning_rate=1e-4, steps=1,
        seconds=1, file_bytes=1, finished=True, job={"instance_prompt": "a photo of ohwx man face"},
    )  # fmt: skip
    folder = services.workspace.place("runs", "ohwx")
    folder.mkdir(parents=True)
    write_run(folder, card)
    prompts, _ = preset_values(services, "paper", ["ohwx"])
    assert prompts.count("ohwx man") == 25 and "sks" not in prompts


class Told:
    """A view of a comparison that told these events."""

    ending = None

    def __init__(self, config: CompareJob, *events: Event) -> None:
        self.job = SimpleNamespace(config=config)
        self.events = events

    def all(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def view(config: CompareJob, *events: Event) -> JobView:
    return cast(JobView, Told(config, *events))


def test_figures_stand_with_their_interval_and_definition() -> None:
    figures = {"identity": 0.5, "identity_low": 0.4, "identity_high": 0.6, "damage": None, "copies": 2.0}
    html = figures_html(view(CompareJob(), Score("<b>", figures), Score("anna", {"identity": 0.7})))
    assert "0.50 [0.40, 0.60]" in html and "<td>0.70</td>" in html and "<td>2</td>" in html
    assert "&lt;b&gt;" in html and "<b>" not in html
    assert "King 2017" in html and "higher is better" in html and "dlib ResNet-29" in html
    assert "Damage" not in html, "it wasn't measured"
    assert figures_html(view(CompareJob())) == ""


def test_a_repeated_report_brings_its_own_models_and_prompts() -> None:
    job = CompareJob(from_=Path("earlier"))
    assert models_of(view(job)) == () and prompts_of(view(job)) == ()
    cells = [
        Cell(model, prompt, 40 + place + 1000 * number, Path("x.png"))
        for model in ("one", "two")
        for number in (0, 1)
        for place, prompt in enumerate("ab")
    ]
    told = view(job, *cells)
    assert models_of(told) == ("one", "two") and prompts_of(told) == ("a", "b")
    assert "two" in grid(told)["html"]


def test_a_blind_vote_shows_pairs_without_names_and_keeps_the_result(tmp_path: Path) -> None:
    services = fake_services(tmp_path)
    job = services.jobs.submit(CompareJob(models=("one", "two"), prompts=("a", "b"), report="mine"))
    list(job.follow())
    with gr.Blocks():
        vote = BlindVote(services, gr.Dropdown(), gr.Dropdown())
    assert "Choose two models" in vote.begin("one", "one")[-1]
    ballot, row, _, left, right, told = vote.begin("one", "two")
    assert row["visible"] and Path(left).is_file() and Path(right).is_file() and left != right
    assert "2 pairs left" in told and "one" not in told and "two" not in told
    better: Choice = "left" if ballot.waiting[0].left == "two" else "right"
    ballot, *_, told = vote.vote(better, ballot)
    assert "1 pair left" in told
    ballot, row, _, left, _, told = vote.vote("equal", ballot)
    assert not row["visible"] and left is None and not ballot.waiting
    assert "one was chosen over two in 0 of 1 pairs" in told and "likeness in 1 of 1" in told
    votes = kept_votes(services.workspace.find("reports", "mine"))
    assert [each.winner for each in votes] == ["two", ""]
    assert vote.vote("left", ballot)[-1] == ""


def test_rows_that_are_no_run_yet_can_be_kept_the_suggested_one_first() -> None:
    models = [
        {"name": "portraits", "kind": "base", "model": "portraits", "strength": None},
        {"name": "anna", "kind": "lora", "model": "anna", "strength": 1.0, "steps": 30},
        {"name": "anna:0.8", "kind": "lora", "model": "anna", "strength": 0.8, "steps": 30},
        {"name": "anna@20:1", "kind": "lora", "model": "anna@20", "strength": 1.0, "steps": 20},
        {"name": "me@home", "kind": "unet", "model": "me@home", "strength": None, "steps": 20},
    ]
    report = {"models": models, "plane": {"suggestions": [{"model": "anna@20:1"}]}}
    assert keepable(report) == [("anna@20:1 (suggested)", "anna@20", 1.0), ("anna:0.8", "anna", 0.8)]
    assert keepable({}) == [] and keepable({"models": models[:2], "plane": None}) == []


def test_two_reports_are_compared_and_names_stay_text(tmp_path: Path) -> None:
    services = fake_services(tmp_path)
    with gr.Blocks():
        reports = TwoReports(services)
    assert "Compare twice" in reports.offer()[-1]
    for steps, report in ((10, "one"), (20, "two")):
        list(
            services.jobs.submit(
                CompareJob(models=("<b>", "anna"), prompts=("a",), steps=steps, report=report)
            ).follow()
        )
    one, other, told = reports.offer()
    assert one["choices"] == ["one", "two"] and (one["value"], other["value"]) == ("one", "two")
    assert '<th scope="row">steps</th><td>10</td><td>20</td>' in told and "<b>" not in told
    assert "Figures that differ: none" in told and "two different" in reports.compared("one", "one")
    assert "none" in reports.compared("one", "gone")


def test_the_slider_shows_the_pictures_of_a_seed(tmp_path: Path) -> None:
    services = fake_services(tmp_path)
    job = services.jobs.submit(CompareJob(models=("one", "two"), prompts=("a", "b"), seeds=2))
    list(job.follow())
    with gr.Blocks():
        slider = Slider(services)
    first, second = (slider._slide("one", "two", "a", number) for number in (1, 2))
    assert first is not None and second is not None
    assert first[0].tobytes() != second[0].tobytes() and slider._slide("one", "two", "a", 3) is None
    shown = slider.show(view_of(job))
    assert shown[slider._seed]["visible"] and shown[slider._seed]["maximum"] == 2


def test_a_cell_is_enlarged_by_the_number_that_the_grid_gives_it(tmp_path: Path) -> None:
    services = fake_services(tmp_path)
    job = services.jobs.submit(CompareJob(models=("a", "b"), prompts=("<b>x</b>", "y")))
    job.wait()
    view = view_of(job)
    assert all(f'data-cell="{number}"' in grid(view)["html"] for number in range(4))
    shown = enlarged(view.all(Cell), "2")
    assert "b, seed 0: &lt;b&gt;x&lt;/b&gt;. Likeness 0.45." in shown["html"] and len(shown["files"]) == 1
    assert enlarged(view.all(Cell), "4") == enlarged(view.all(Cell), "-1") == {"html": "", "files": []}


def test_the_way_on_is_the_best_run_not_the_base(tmp_path: Path) -> None:
    services = fake_services(tmp_path)
    add_base(services.workspace)
    for name in ("anna", "berta"):
        card = RunCard(name=name, kind="lora", base="portraits", learning_rate=1e-4, steps=1, finished=True)
        write_run(services.workspace.place("runs", name), card)
    scores = {"portraits": 0.9, "anna": 0.5, "berta": 0.7, "berta, strength 0.5": 0.8}
    view = JobView()
    view.take([Score(name, {"likeness": value}) for name, value in scores.items()])
    assert best(services, view) == "berta"
    assert best(services, JobView()) == ""
