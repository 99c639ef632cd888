"""A dataset on the disk: crops, captions, and where each crop came from.

    images/0001.png, images/0001.txt   crop and caption beside it (kohya's convention)
    metadata.jsonl                     file_name and text of each crop (the imagefolder convention)
    kohya.toml                         what sd-scripts needs to read images/, wherever it is started
    dataset.json                       the truth: everything below; the others follow it
    .held-out/                         crops that are never trained on
    .dropped/                          crops that the user took out, to be restored

Every change is written at once, read back, and can be undone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from dreamgui.config import Framing
from dreamgui.data.crop import Photograph
from dreamgui.data.dataset.captions import one_line
from dreamgui.data.dataset.editing import Editable, of_face, of_placement
from dreamgui.data.dataset.entry import Entry, Sheet
from dreamgui.data.dataset.store import Store
from dreamgui.data.framing import Placement, fit
from dreamgui.data.photos.load import load_image, photo_bytes
from dreamgui.data.quality import Quality
from dreamgui.errors import OutOfRange

__all__ = ["Dataset", "Entry"]
MAX_CAPTION_LETTERS = 1000


class Dataset(Editable):
    """The dataset in a folder ``datasets/NAME`` of a workspace.

    Several pages may hold the same one: each change is made to what the disk holds then.
    """

    @classmethod
    def create(
        cls, folder: Path, size_px: int, max_enlargement: float, instance_prompt: str, uploads: str
    ) -> Dataset:
        """A new, empty dataset on the disk. ``uploads`` names the folder of the kept photographs."""
        caption = checked_caption(instance_prompt)
        sheet = Sheet(
            size_px=size_px, max_enlargement=max_enlargement, instance_prompt=caption, uploads=uploads
        )
        (folder / "images").mkdir(parents=True)
        Store(folder).write(sheet, (), {})
        return cls(folder, sheet)

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        """The dataset that was saved in this folder, with the captions that other programs changed since.
        Its ``remarks`` tell which.

        Raises:
            Damaged: dataset.json is missing or broken, or a crop is missing.
        """
        return cls(folder, *Store(folder).load())

    @classmethod
    def peek(cls, folder: Path) -> Dataset:
        """Return the dataset as :meth:`load` does, to look at only: its remarks are still told at the next load.

        Raises:
            Damaged: dataset.json is missing or broken.
        """
        return cls(folder, *Store(folder).peek())

    @property
    def instance_prompt(self) -> str:
        """Caption of a crop unless the user gives it another."""
        return self._sheet.instance_prompt

    @property
    def held_out_photographs(self) -> tuple[str, ...]:
        """Names of the photographs that are set aside."""
        return self._sheet.held_out

    def sheet_of(self, entries: tuple[Entry, ...]) -> Sheet:
        """Return what dataset.json would hold with only these crops, without the history and the photographs."""
        return self._sheet.with_entries(entries, history=(), uploads="exported")

    def images(self) -> list[tuple[Path, str]]:
        """Path and caption of each crop that is trained on."""
        return [(self.path(entry), entry.caption) for entry in self.entries if entry.in_use]

    def held_out(self) -> list[tuple[Path, str]]:
        """Path and caption of each crop that is never trained on, to tell likeness from memorising."""
        aside = (entry for entry in self.entries if entry.held_out and not entry.dropped)
        return [(self.path(entry), entry.caption) for entry in aside]

    def photograph(self, file: str) -> Image.Image:
        """The whole photograph of a crop, upright, to draw a box in.

        Raises:
            BadPhoto: its copy is gone.
        """
        return load_image(self._upload(self.entry(file)))

    def add(
        self,
        photograph: Photograph,
        placement: Placement,
        crop: Image.Image,
        quality: Quality | None = None,
        held_out: bool = False,
        caption: str = "",
    ) -> Entry:
        """Keep one more crop: the square ``placement`` of a photograph, already cut. Its caption is the
        dataset's prompt unless it has its own."""
        with self._store.locked():
            self._sheet = self._store.read()
            entry = Entry(
                file=f"{len(self.entries) + 1:04d}.png",
                source=photograph.source,
                upload=photograph.kept.name,
                photo_size=photograph.size,
                **of_face(photograph.face, photograph.others),
                agreement=photograph.agreement,
                quality=quality,
                caption=one_line(caption) or self.instance_prompt,
                held_out=held_out,
                **of_placement(placement),
            )
            sheet = self._sheet.with_entries((*self.entries, entry))
            self._store.write(sheet, [entry], {entry.file: photo_bytes(crop, lossless=True)})
            self._sheet = sheet
        return entry

    def drop(self, file: str) -> None:
        """Take a crop out of the training. :meth:`restore` brings it back."""
        self._change(f"drop {file}", [file], lambda entry: {"dropped": True})

    @property
    def flagged(self) -> list[str]:
        """Names of the crops with warnings that are trained on."""
        return [
            each.file for each in self.entries if each.warnings and not each.dropped and not each.held_out
        ]

    def drop_flagged(self) -> int:
        """Drop all flagged crops at once and return their number. One undo brings them back."""
        return self.drop_all(self.flagged, "flagged")

    def drop_all(self, files: Collection[str], word: str = "chosen") -> int:
        """Drop these crops at once and return their number. One undo, named by the word, brings them back."""
        if files:
            self._change(f"drop {len(files)} {word}", list(files), lambda entry: {"dropped": True})
        return len(files)

    def restore(self, file: str) -> None:
        """Bring a dropped crop back."""
        self._change(f"restore {file}", [file], lambda entry: {"dropped": False})

    def hold_out(self, file: str, aside: bool = True) -> None:
        """Set the crop's photograph aside, with all of its crops, or let it be trained on again."""
        with self._editing():
            upload = self.entry(file).upload
            files = [entry.file for entry in self.entries if entry.upload == upload]
            self._apply(f"{'hold out' if aside else 'train on'} {file}", files, lambda _: {"held_out": aside})

    def set_caption(self, file: str, text: str) -> None:
        """Give a crop its own caption, one line of 1 to 1000 letters.

        Raises:
            OutOfRange: it is empty or longer.
        """
        caption = checked_caption(text)
        self._change(f"caption of {file}", [file], lambda entry: {"caption": caption})

    def replace_in_captions(self, find: str, replacement: str) -> int:
        """Replace a text in all captions that have it.

        Returns:
            How many captions changed.

        Raises:
            OutOfRange: nothing to find, or a caption would become empty or too long; nothing was changed.
        """
        if not find:
            raise OutOfRange("There is nothing to find.", "Say which text to replace.")
        return self._recaption(f"replace {find!r:.40}", lambda caption: caption.replace(find, replacement))

    def prefix_captions(self, prefix: str) -> int:
        """Put a text before every caption that doesn't begin with it.

        Returns:
            How many captions changed.

        Raises:
            OutOfRange: as :meth:`replace_in_captions`.
        """
        if not prefix.strip():
            raise OutOfRange("The prefix is empty.", "Say what all captions should begin with.")
        return self._recaption(
            f"prefix {prefix!r:.40}",
            lambda caption: caption if caption.startswith(prefix.strip()) else f"{prefix.rstrip()} {caption}",
        )

    def set_framing(self, file: str, framing: Framing) -> Entry:
        """Cut a crop again from the kept photograph.

        Raises:
            BadPhoto: the photograph doesn't allow this framing, or its copy is gone; nothing was changed.
        """
        return self._cut_again(f"framing of {file}", file, lambda entry: self._placed(entry, framing))

    def set_box(self, file: str, box: Sequence[float]) -> Entry:
        """Move or resize a crop's box.

        Args:
            file: the crop's name.
            box: x0, y0, x1, y1 in pixels of the photograph; it is made square, large enough for the
                resolution, and moved inside the photograph: the entry's ``adjustment`` says what was done.

        Raises:
            BadPhoto: the photograph's copy is gone; nothing was changed.
            OutOfRange: the box has no four finite numbers.
        """

        def fitted(entry: Entry) -> dict[str, Any]:
            limit = self._sheet.max_enlargement
            return of_placement(fit(box, entry.face, entry.photo_size, self.size_px, limit))

        return self._cut_again(f"box of {file}", file, fitted)

    def choose_face(self, file: str, number: int) -> Entry:
        """Let a crop be about another face of its photograph: ``others[number]`` of its entry.

        The framing stays where the photograph allows it for that face.

        Raises:
            OutOfRange: there is no such face.
            BadPhoto: the photograph allows no framing of it, or its copy is gone; nothing was changed.
        """

        def swapped(entry: Entry) -> dict[str, Any]:
            if not 0 <= number < len(entry.others):
                raise OutOfRange(
                    f"{entry.source} has {len(entry.others)} further faces; number {number} isn't one.",
                    "Choose one of those that are shown.",
                )
            others = [face for place, face in enumerate(entry.others) if place != number]
            values = {**of_face(entry.others[number], [*others, entry.subject]), "agreement": None}
            moved = entry.model_copy(update=values)
            return values | self._placed(moved, entry.framing, or_another=True)

        return self._cut_again(f"face of {file}", file, swapped)

    def save(self) -> None:
        """Write dataset.json, the captions and metadata.jsonl.

        Raises:
            Damaged: what was written reads back differently.
        """
        with self._store.locked():
            self._store.write(self._sheet, self.entries, {})

    def _recaption(self, what: str, change: Callable[[str], str]) -> int:
        with self._editing():
            wanted = {entry.file: change(entry.caption) for entry in self.entries}
            files = [entry.file for entry in self.entries if wanted[entry.file] != entry.caption]
            captions = {file: checked_caption(wanted[file]) for file in files}
            if files:
                self._apply(what, files, lambda entry: {"caption": captions[entry.file]})
        return len(files)


def checked_caption(text: str) -> str:
    """A caption as it is saved, on one line.

    Raises:
        OutOfRange: it has no letters, or more than 1000.
    """
    caption = one_line(text)
    if not 0 < len(caption) <= MAX_CAPTION_LETTERS:
        raise OutOfRange(
            f"A caption has 1 to {MAX_CAPTION_LETTERS} letters; this one has {len(caption)}.",
            "Write another.",
        )
    return caption
