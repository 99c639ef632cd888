"""What a user does with datasets, by the program, by another program and by hand."""

from __future__ import annotations

import shutil
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from dreamgui.config import CropJob
from dreamgui.data.dataset.dataset import Dataset
from dreamgui.data.exchange.exchange import export
from dreamgui.errors import NotEnoughDisk
from dreamgui.events import Done, Failed
from dreamgui.names import same_folder
from tests.sequences.disk import composed
from tests.sequences.machine import Machine, names, picked, picks
from tests.sequences.shelf_model import Crop, crops

CAPTIONS = ("a photo of sks woman", "in Zürich, by the lake", "фото")


class DatasetRules(Machine):
    """Crop, import, caption, drop, rename and delete."""

    @rule(name=names, count=st.integers(3, 5), death=st.sampled_from((0, 0, *range(1, 60))))
    def crop(self, name: str, count: int, death: int) -> None:
        job = CropJob(
            photos=tuple(self.photos[:count]), dataset=name, size_px=64, take_as_is=True, hold_out=False
        )
        prompt = job.instance_prompt
        self._made("datasets", name, self._ran("crop", job, death=death))
        for new in self._new("datasets"):
            found = self.now.datasets[new]
            if self._whole:
                assert len(found) == count, f"{len(found)} crops of {count} photographs"
            assert all(each.caption == prompt for each in found.values())
            self.home.datasets[new] = found
        self._settled()

    @rule(
        pick=picks, to=names, layout=st.sampled_from(("dreamgui", "kohya", "diffusers")), zipped=st.booleans()
    )
    def export_and_import_dataset(self, pick: int, to: str, layout: Any, zipped: bool) -> None:
        if not self.home.datasets:
            return
        name = picked(self.home.datasets, pick)
        self.number += 1
        target = self.outside / f"set-{self.number}{'.zip' if zipped else ''}"
        with self.disk.ignored():
            export(Dataset.load(self.workspace.find("datasets", name)), target, layout)
        outcome = self._ran("import dataset", CropJob(photos=(target,), dataset=to))
        self._made("datasets", to, outcome)
        sent = {file: each for file, each in self.home.datasets[name].items() if not each.dropped}
        if not sent:
            assert isinstance(outcome.ending, Failed | Done)
        for new in self._new("datasets"):
            assert self.now.datasets[new] == sent, f"{new} isn't what {name} was"
            self.home.datasets[new] = self.now.datasets[new]
        self._settled()

    @rule(pick=picks, crop=picks, text=st.sampled_from(CAPTIONS))
    def caption_by_the_program(self, pick: int, crop: int, text: str) -> None:
        name, file = self._crop(pick, crop)
        if not file:
            return
        self._edited("caption", name, lambda dataset: dataset.set_caption(file, text), file, caption=text)

    @rule(pick=picks, crop=picks, text=st.sampled_from(CAPTIONS), bom=st.booleans())
    def caption_by_another_program(self, pick: int, crop: int, text: str, bom: bool) -> None:
        self._counted("caption elsewhere")
        name, file = self._crop(pick, crop)
        if not file:
            return
        with self.disk.ignored():
            dataset = Dataset.load(self.workspace.find("datasets", name))
            path = dataset.path(dataset.entry(file)).with_suffix(".txt")
            path.write_text(text + "\n", encoding="utf-8-sig" if bom else "utf-8")
        self.home.datasets[name][file].caption = text

    @rule(pick=picks, crop=picks)
    def drop_or_restore(self, pick: int, crop: int) -> None:
        name, file = self._crop(pick, crop)
        if not file:
            return
        gone = not self.home.datasets[name][file].dropped
        act = Dataset.drop if gone else Dataset.restore
        self._edited("drop or restore", name, lambda dataset: act(dataset, file), file, dropped=gone)

    @rule(pick=picks, to=st.sampled_from(("moved", "Moved 2", "Zoe\u0308-moved")))
    def rename_dataset(self, pick: int, to: str) -> None:
        if not self.home.datasets:
            return
        name = picked(self.home.datasets, pick)
        if same_folder(to) in map(same_folder, self.home.datasets):
            return
        self._counted("rename")
        self.workspace.find("datasets", name).rename(self.workspace.root / "datasets" / to)
        self.home.datasets[composed(to)] = self.home.datasets.pop(name)

    @rule(pick=picks, shelf=st.sampled_from(("datasets", "runs")))
    def delete(self, pick: int, shelf: Any) -> None:
        had: dict[str, Any] = getattr(self.home, shelf)
        if len(had) > 1:
            self._counted(f"delete {shelf[:-1]}")
            name = picked(had, pick)
            shutil.rmtree(self.workspace.find(shelf, name))
            del had[name]

    def _crop(self, pick: int, crop: int) -> tuple[str, str]:
        if not self.home.datasets:
            return "", ""
        name = picked(self.home.datasets, pick)
        # A job that was killed at its first crop leaves a dataset of none.
        return name, picked(self.home.datasets[name] or {"": None}, crop)

    def _edited(self, what: str, name: str, edit: Any, file: str, **changes: Any) -> None:
        self._counted(what)
        entry = self.home.datasets[name][file]
        after = Crop(**{**vars(entry), **changes})
        try:
            edit(Dataset.load(self.workspace.find("datasets", name)))
        except NotEnoughDisk:
            assert self.disk.room_bytes is not None
            with self.disk.ignored():
                found = crops(self.workspace, name)[file]
            assert found in (entry, after)
            after = found
        self.home.datasets[name][file] = after
