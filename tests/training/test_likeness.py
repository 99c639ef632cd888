"""Likeness of a training's samples: beside the steps, in the checkpoints, and the advice to stop."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import cast

import pytest
from PIL import Image

from dreamgui.events import Note, SampleLikeness
from dreamgui.training import likeness as module
from dreamgui.training.likeness import LikenessWatch, advice
from dreamgui.training.loss_log import LossLog


class Log:
    """The part of the losses' log that a watch uses."""

    def __init__(self) -> None:
        self.likenesses: list[SampleLikeness] = []

    def sampled(self, likeness: SampleLikeness) -> SampleLikeness:
        self.likenesses.append(likeness)
        return likeness


def looks(*values: float | None) -> list[SampleLikeness]:
    return [SampleLikeness(100 * place, value, 2, 2) for place, value in enumerate(values)]


@pytest.mark.parametrize(
    "values",
    [
        (0.1, 0.2, 0.3, 0.4, 0.5),
        (0.1, 0.2, 0.3, 0.3, 0.3),
        (0.9, 0.2, 0.3, 0.4, 0.5),
        (0.1, 0.5, 0.4, 0.4, 0.52),
        (None, None, None, None, None),
        (),
    ],
    ids=["rises", "too few", "the untrained base doesn't count", "rises at last", "no face", "none"],
)
def test_nobody_is_told_to_stop_early(values: tuple[float | None, ...]) -> None:
    assert advice(looks(*values)) == ""


def test_stopping_is_advised_where_likeness_does_not_rise() -> None:
    told = advice(looks(0.1, 0.3, 0.6, 0.605, None, 0.58, 0.5))
    assert "0.60 at step 200" in told and "0.50 at step 600" in told and "Stop here" in told


class Person:
    sentence = "Likeness is measured against all 3 photographs."
    held_out = False

    def __init__(self, wait: threading.Event) -> None:
        self.person = self
        self._wait = wait
        self.scored: list[object] = []

    def score_of(self, face: object) -> float | None:
        assert self._wait.wait(60)
        self.scored.append(face)
        return None if face is None else 0.5


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> tuple[Person, threading.Event]:
    ready = threading.Event()
    person = Person(ready)
    monkeypatch.setattr(module, "reference_of", lambda dataset: person)
    monkeypatch.setattr(module.Dataset, "peek", lambda folder: folder)
    monkeypatch.setattr(module, "embed_face", lambda image: None if image.width == 1 else image.width)
    return person, ready


def test_no_step_waits_for_a_look(person: tuple[Person, threading.Event]) -> None:
    found, ready = person
    log = Log()
    watch = LikenessWatch(Path("anna"), cast(LossLog, log))
    watch.look(0, [Image.new("RGB", (8, 8)), Image.new("RGB", (1, 1))])
    watch.look(100, [Image.new("RGB", (9, 9))])
    watch.look(200, [])
    assert list(watch.news()) == [] and found.scored == [], "nothing is measured yet, and nobody waits"
    ready.set()
    told = list(watch.news(wait=True))
    assert told == [SampleLikeness(0, 0.5, 1, 2), Note(Person.sentence), SampleLikeness(100, 0.5, 1, 1)]
    assert found.scored == [8, None, 9], "one look after the other"
    assert log.likenesses == [event for event in told if isinstance(event, SampleLikeness)]
    assert list(watch.news(wait=True)) == []


def test_a_dataset_without_a_face_or_gone_measures_nothing(tmp_path: Path) -> None:
    for dataset in (None, tmp_path / "gone"):
        watch = LikenessWatch(dataset, cast(LossLog, Log()))
        watch.look(0, [Image.new("RGB", (8, 8))])
        assert list(watch.news(wait=True)) == []
