"""What a user does with runs: trains, stops, resumes, exports and takes in again."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from dreamgui.config import ConvertJob, ExportJob, MergeJob, TrainJob
from dreamgui.events import Cancelled, Done, Saved
from dreamgui.models.catalog.catalog import Catalog
from dreamgui.training.origin import _shared
from dreamgui.training.resumable import resumable
from dreamgui.workspace import EXPORTS
from tests.sequences.disk import composed
from tests.sequences.machine import Machine, names, picked, picks
from tests.sequences.program import Outcome

QUICK: dict[str, Any] = {
    "model": "tiny",
    "sample_every": 0,
    "sample_steps": 2,
    "learning_rate": 1e-3,
    "rank": 2,
    "prior_preservation": False,
    "lora_targets": "attention",
}
methods = st.sampled_from(("lora", "unet"))
stops = st.sampled_from((-1, 1, 2, 3, 4, 5))
deaths = st.sampled_from(range(1, 90))
"""Before which operation on the disk a program dies; a training has about 80."""


class RunRules(Machine):
    """Train, stop, resume, export and import, each of them killed too."""

    @rule(pick=picks, name=names, method=methods, steps=st.integers(2, 6), every=st.integers(1, 3))
    def train(self, pick: int, name: str, method: Any, steps: int, every: int) -> None:
        self._train(pick, name, method, steps, every)

    @rule(pick=picks, name=names, method=methods, stop=stops)
    def train_and_stop(self, pick: int, name: str, method: Any, stop: int) -> None:
        self._train(pick, name, method, 6, 2, stop=stop)

    @rule(pick=picks, name=names, method=methods, every=st.integers(1, 3), death=deaths)
    def train_and_kill(self, pick: int, name: str, method: Any, every: int, death: int) -> None:
        self._train(pick, name, method, 6, every, death=death)

    @rule(pick=picks, more=st.integers(-2, 4), seed=st.sampled_from((None, None, 7)), chosen=st.booleans())
    def resume(self, pick: int, more: int, seed: int | None, chosen: bool) -> None:
        self._resume(pick, more, seed, chosen)

    @rule(pick=picks, chosen=st.booleans(), stop=stops)
    def resume_and_stop(self, pick: int, chosen: bool, stop: int) -> None:
        self._resume(pick, 3, None, chosen, stop=stop)

    @rule(pick=picks, chosen=st.booleans(), death=deaths)
    def resume_and_kill(self, pick: int, chosen: bool, death: int) -> None:
        self._resume(pick, 3, None, chosen, death=death)

    def _train(
        self, pick: int, name: str, method: Any, steps: int, every: int, stop: int = 0, death: int = 0
    ) -> None:
        if not self.home.datasets:
            return
        dataset = picked(self.home.datasets, pick)
        settings = {**QUICK, "dataset": dataset, "run": name, "method": method, "steps": steps}
        job = TrainJob.model_validate({**settings, "checkpoint_every": every})
        outcome = self._ran("train", job, stop, death)
        self._made("runs", name, outcome)
        if self._enough(dataset) is False:
            assert not isinstance(outcome.ending, Done), "trained on less than three crops"
        for new in self._new("runs"):
            self._kept_what_was_saved(new, outcome)
            if isinstance(outcome.ending, Done):
                assert self.now.runs[new].finished and self.now.runs[new].steps == steps
            self.home.runs[new] = self.now.runs[new]
        self._settled()

    def _resume(
        self, pick: int, more: int, seed: int | None, chosen: bool, stop: int = 0, death: int = 0
    ) -> None:
        with self.disk.ignored():
            offered = [composed(card.name) for card in resumable(self.workspace, Catalog(self.workspace))]
        assert sorted(offered) == sorted(n for n, run in self.home.runs.items() if run.kept)
        if not offered:
            return
        name = picked(offered, pick)
        before, asked = self.home.runs[name], {"run": name, "resume": True}
        start = before.kept[pick % len(before.kept)] if chosen else before.kept[-1]
        asked |= {"resume_from": start} if chosen else {}
        asked |= {"seed": seed} if seed else {}
        wanted = Catalog(self.workspace).run(name).job["steps"]
        if more > 0:
            wanted = start + more
            asked["steps"] = wanted
        trainable = self._can_train(name)
        outcome = self._ran("resume", TrainJob.model_validate(asked), stop, death)
        self._look()
        now = self.now.runs[name]
        if isinstance(outcome.ending, Done):
            assert now.finished and now.steps == wanted and not now.kept, f"{now} after {wanted} steps"
        elif self._whole and not isinstance(outcome.ending, Cancelled):
            assert trainable is not True, f"{name} was offered and failed: {outcome.ending}"
        assert now.finished or not before.finished, "finished weights are gone"
        self._kept_what_was_saved(name, outcome)
        assert now.learnt >= min(start, before.learnt), f"{now} was {before}"
        self.home.runs[name] = now
        self._settled()

    @rule(pick=picks, kohya=st.booleans(), death=st.sampled_from((0, 0, 0, *range(1, 60, 9))))
    def export_run(self, pick: int, kohya: bool, death: int) -> None:
        finished = [name for name, run in self.home.runs.items() if run.finished]
        if not finished:
            return
        name = picked(finished, pick)
        lora = Catalog(self.workspace).run(name).kind == "lora"
        form: Any = "single-file" if not lora else "lora-kohya" if kohya else "lora-diffusers"
        outcome = self._ran("export run", ExportJob(model=name, format=form), death=death)
        self._look()
        for new in self.now.exports.keys() - self.home.exports.keys():
            self.home.exports[new] = self.now.exports[new]
        for saved in outcome.named(Saved, "export"):
            assert saved.name in self.home.exports
        self._settled()

    @rule(pick=picks, to=names, death=st.sampled_from((0, 0, 0, *range(1, 90, 9))))
    def import_export(self, pick: int, to: str, death: int) -> None:
        files = [name for name in self.home.exports if name.endswith(".safetensors")]
        if not files:
            return
        file = picked(files, pick)
        path = self.workspace.root / EXPORTS / file
        if "-lora-" in file:
            self._made(
                "runs", to, self._ran("merge", MergeJob(lora=str(path), model="tiny", run=to), death=death)
            )
            self.home.runs |= {new: self.now.runs[new] for new in self._new("runs")}
            assert all(self.now.runs[new].finished for new in self._new("runs"))
        else:
            job = ConvertJob(source=str(path), model=to)
            self._made("models", to, self._ran("convert", job, death=death), replaces=True)
            self.home.models |= {new: self.now.models[new] for new in self._new("models")}
        self._settled()

    def _kept_what_was_saved(self, run: str, outcome: Outcome) -> None:
        now = self.now.runs[run]
        saved = [int(event.name.removeprefix("step-")) for event in outcome.named(Saved, "checkpoint")]
        assert now.learnt >= max(saved, default=0), f"{now}, though {saved} were saved"
        if isinstance(outcome.ending, Cancelled) and outcome.named(Saved, "run"):
            assert now.finished

    def _can_train(self, run: str) -> bool | None:
        """Whether a run's dataset, as it is found again by its crops, is there; None where that is open."""
        card = Catalog(self.workspace).run(run)
        wanted = {each[0] for each in card.origin["pictures"].values()}
        with self.disk.ignored():
            shares = {name: _shared(self.workspace, name, wanted) for name in self.home.datasets}
        own = card.job["dataset"]
        if shares.get(own):
            return self._enough(own)
        best = [name for name, share in shares.items() if share and share == max(shares.values())]
        if len(best) == 1 and 2 * shares[best[0]] >= len(wanted):
            return self._enough(best[0])
        return None
