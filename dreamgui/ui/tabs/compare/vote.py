"""Blind vote: two pictures of one prompt and seed without their models' names, and the result with its interval."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from dreamgui.evaluate.votes import Choice, Pair, Vote, keep_vote, pairs, tally
from dreamgui.events import Cell, Saved
from dreamgui.services import Services
from dreamgui.ui.parts.session import QUIET, as_ui_error
from dreamgui.ui.parts.stream import JobView, view_of

_CHOICES: dict[Choice, str] = {"left": "A is better", "equal": "Equal", "right": "B is better"}


@dataclass(frozen=True)
class Ballot:
    """A vote that goes on: the report that it is kept beside, and the pairs that are left."""

    report: str = ""
    waiting: tuple[Pair, ...] = ()


class BlindVote:
    """The vote on the two models that are chosen for the slider.

    Args:
        services: with the latest comparison.
        left: widget that holds a model's name.
        right: widget that holds the other's.
    """

    def __init__(self, services: Services, left: Component, right: Component) -> None:
        self.services = services
        with gr.Accordion("Blind vote", open=False, elem_id="compare-vote"):
            ballot = gr.State(Ballot())
            start = gr.Button("Start blind vote", size="sm", elem_id="compare-vote-start")
            with gr.Row(visible=False) as row:
                images = [
                    gr.Image(
                        label=name, elem_id=f"compare-vote-{name.lower()}", interactive=False, height=260
                    )
                    for name in ("A", "B")
                ]
            said = gr.HTML("", elem_id="compare-vote-result")
            with gr.Row(visible=False) as buttons:
                outputs: list[Any] = [ballot, row, buttons, *images, said]
                for choice, title in _CHOICES.items():
                    button = gr.Button(title, size="sm", elem_id=f"compare-vote-{choice}", min_width=80)
                    button.click(partial(self.vote, choice), [ballot], outputs, **QUIET)
        start.click(self.begin, [left, right], outputs, **QUIET)

    def begin(self, left: str, right: str) -> list[Any]:
        """Return the first pair of the two models."""
        view = self._view()
        report = next((saved.name for saved in view.all(Saved) if saved.what == "report"), "")
        places = [(cell.model, cell.prompt, cell.seed) for cell in view.all(Cell)]
        found = pairs(places, left, right, secrets.randbits(32)) if report and left != right else []
        none = "" if found else "Choose two models of a finished comparison above."
        return self._shown(view, Ballot(report, tuple(found)), none)

    def vote(self, choice: Choice, ballot: Ballot) -> list[Any]:
        """Keep a vote and return the next pair, or the result after the last one."""
        view = self._view()
        if not ballot.waiting:
            return self._shown(view, ballot, "")
        pair, *rest = ballot.waiting
        result = as_ui_error(lambda: self._kept(view, ballot.report, Vote(pair, choice)))
        return self._shown(view, replace(ballot, waiting=tuple(rest)), "" if rest else result)

    def _view(self) -> JobView:
        return view_of(self.services.jobs.latest("compare"))

    def _kept(self, view: JobView, report: str, vote: Vote) -> str:
        """Keep a vote beside the report and return the result so far in words."""
        votes = keep_vote(self.services.workspace.find("reports", report), vote)
        likeness = {(c.model, c.prompt, c.seed): c.scores.get("likeness") for c in view.all(Cell)}
        one, other = sorted((vote.pair.left, vote.pair.right))
        return tally(votes, one, other, likeness).sentence

    def _shown(self, view: JobView, ballot: Ballot, told: str) -> list[Any]:
        images = {(cell.model, cell.prompt, cell.seed): cell.image for cell in view.all(Cell)}
        both: list[str | None] = [None, None]
        for pair in ballot.waiting[:1]:
            paths = [images.get((model, pair.prompt, pair.seed)) for model in (pair.left, pair.right)]
            both = [str(path) if isinstance(path, Path) and path.is_file() else None for path in paths]
            left = "1 pair" if len(ballot.waiting) == 1 else f"{len(ballot.waiting)} pairs"
            told = f"{left} left. Prompt: {pair.prompt}"
        visible = gr.update(visible=bool(ballot.waiting))
        return [ballot, visible, visible, *both, f"<p>{escape(told)}</p>" if told else ""]
