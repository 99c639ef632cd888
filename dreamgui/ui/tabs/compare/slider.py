"""Slider over two models' pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from dreamgui.config import CompareJob
from dreamgui.events import Cell
from dreamgui.services import Services
from dreamgui.ui.parts.pictures import pair_of_equal_size
from dreamgui.ui.parts.session import QUIET
from dreamgui.ui.parts.stream import JobView, view_of
from dreamgui.ui.parts.watch import Updates
from dreamgui.ui.results.grid import models_of, prompts_of, short_prompts
from dreamgui.ui.tabs.compare.vote import BlindVote


class Slider:
    """Slider over two models' pictures of one prompt."""

    def __init__(self, services: Services) -> None:
        self.services = services
        with gr.Group(visible=False, elem_id="compare-pair") as self._group:
            with gr.Row():
                self._left = gr.Dropdown(label="Left", elem_id="compare-left", min_width=120)
                self._right = gr.Dropdown(label="Right", elem_id="compare-right", min_width=120)
                self._prompt = gr.Dropdown(label="Prompt", elem_id="compare-prompt", min_width=160)
            self._seed = gr.Slider(
                1,
                2,
                value=1,
                step=1,
                label="Seed",
                info="Number of the seed.",
                elem_id="compare-pair-seed",
                visible=False,
            )
            self._image = gr.ImageSlider(
                show_label=False,
                elem_id="compare-slider",
                type="pil",
                height=380,
                interactive=False,
                buttons=["fullscreen"],
            )
            BlindVote(services, self._left, self._right)
        chosen: list[Any] = [self._left, self._right, self._prompt, self._seed]
        for field in chosen:
            field.input(self._slide, chosen, self._image, **QUIET)

    @property
    def outputs(self) -> list[Any]:
        """Components that :meth:`show` changes."""
        return [self._group, self._left, self._right, self._prompt, self._seed, self._image]

    def show(self, view: JobView) -> Updates:
        """Offer the models with a picture of the first prompt, after the comparison's end."""
        job = view.job.config if view.job else None
        if not isinstance(job, CompareJob) or view.ending is None:
            return {self._group: gr.update(visible=False)}
        generated = {(cell.model, cell.prompt) for cell in view.all(Cell)}
        asked = prompts_of(view)
        ready = [model for model in models_of(view) if (model, *asked[:1]) in generated]
        if len(ready) < 2:
            return {self._group: gr.update(visible=False)}
        prompts = list(zip(short_prompts(asked), asked, strict=True))
        return {
            self._group: gr.update(visible=True),
            self._left: gr.update(choices=ready, value=ready[0]),
            self._right: gr.update(choices=ready, value=ready[-1]),
            self._prompt: gr.update(choices=prompts, value=asked[0]),
            self._seed: gr.update(maximum=max(2, job.seeds), value=1, visible=job.seeds > 1),
            self._image: self._pair(view, ready[0], ready[-1], asked[0]),
        }

    def _slide(self, left: str, right: str, prompt: str, number: int) -> Any:
        return self._pair(view_of(self.services.jobs.latest("compare")), left, right, prompt, number)

    def _pair(self, view: JobView, left: str, right: str, prompt: str, number: int = 1) -> Any:
        """The two models' pictures of a prompt's seed, by its number from 1, or None where one is missing."""
        seeds = sorted({cell.seed for cell in view.all(Cell) if cell.prompt == prompt})
        if not 1 <= number <= len(seeds):
            return None
        seed = seeds[number - 1]
        images = {
            cell.model: cell.image for cell in view.all(Cell) if (cell.prompt, cell.seed) == (prompt, seed)
        }
        one, two = images.get(left), images.get(right)
        if not (isinstance(one, Path) and isinstance(two, Path) and one.is_file() and two.is_file()):
            return None
        return pair_of_equal_size(one, two)
