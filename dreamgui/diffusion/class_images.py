"""Generating class images until each shows a face in the framing that its prompt asked for, or its tries end."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from dreamgui.config import ClassImagesJob, Framing
from dreamgui.data.class_images.plan import Look, Slot, framed_prompt, look_at, write_generated
from dreamgui.diffusion.generation import generated
from dreamgui.diffusion.sample import ImageRequest, pictures_at_once
from dreamgui.events import ClassImage, Event, Progress

if TYPE_CHECKING:
    from dreamgui.models.manager import Parts

TRIES = 3
"""So often a class image is drawn at most; of three wrong ones the nearest is kept."""
_WRITERS = 8
HOPELESS = 8
"""After so many drawings without a single right one, drawing again is given up."""


@dataclass(frozen=True)
class _Candidate:
    """One try at a slot."""

    image: Image.Image
    request: ImageRequest
    look: Look


class ClassImageGenerator:
    """Generates the missing pictures of one set.

    Attributes:
        looks: what each kept picture of the set shows.
        again: how many pictures were discarded and generated again.
    """

    def __init__(self, job: ClassImagesJob, parts: Parts, folder: Path, kept: Mapping[Slot, Look]) -> None:
        self.job = job
        self.parts = parts
        self.folder = folder
        self.looks = dict(kept)
        self.again = 0
        self._best: dict[Slot, _Candidate] = {}
        self._tried: Counter[Framing | None] = Counter(slot.framing for slot in kept)
        self._right = Counter(slot.framing for slot, look in kept.items() if look.right)
        self._faces = sum(look.face_share > 0 for look in kept.values())

    def generate(self, missing: Sequence[Slot], progress: Progress) -> Generator[Event, None, None]:
        """Generate batch by batch. Yield each picture's event once it is kept.

        Args:
            missing: what to generate.
            progress: its label, how many of the set are there, and how many it has.
        """
        size_px = self.parts.card.size_px
        room = pictures_at_once(self.parts.device, size_px, size_px)
        line = deque((slot, 0) for slot in missing)
        with ThreadPoolExecutor(_WRITERS) as pool:
            yield from self._draw(line, room, progress, pool)

    def _draw(
        self, line: deque[tuple[Slot, int]], room: int, progress: Progress, pool: ThreadPoolExecutor
    ) -> Generator[Event, None, None]:
        """While a GPU generates a batch the one before it is packed, several pictures at a time: it would wait."""
        fast = self.parts.device.type == "cuda"
        keeping: Iterator[ClassImage] = iter(())
        while line:
            batch = [line.popleft() for _ in range(min(room, len(line)))]
            now = Progress(progress.label, len(self.looks), progress.total)
            requests = [self._request(slot, attempt) for slot, attempt in batch]
            images = yield from generated(self.parts, requests, now)
            for (slot, _), request, image in zip(batch, requests, images, strict=True):
                self._judge(slot, _Candidate(image, request, look_at(image, slot.framing)))
            wrong = [(slot, attempt) for slot, attempt in batch if not self._is_final(slot, attempt)]
            again = [(slot, attempt + 1) for slot, attempt in wrong]
            line.extendleft(reversed(again))
            self.again += len(again)
            yield from keeping
            keeping = self._keep([slot for slot, _ in batch if slot not in dict(again)], pool)
            if not fast:
                yield from keeping
            yield Progress(progress.label, len(self.looks), progress.total)
        yield from keeping
        yield Progress(progress.label, len(self.looks), progress.total)

    def notes(self) -> Iterator[str]:
        """Yield sentences on images that weren't as asked for, and on what was kept."""
        if self.again:
            yield f"{self.again} images without a face or in another framing were generated again."
        if not self._faces and self._tried.total() >= HOPELESS:
            yield "No face was found in any image, so generating again was given up."
        elif never := [framing for framing in self._tried if self._is_hopeless(framing)]:
            names = " and ".join(framing or "plain" for framing in never)
            yield f"None of the {names} pictures came out as such, so generating again was given up."
        faceless = sum(look.face_share == 0 for look in self.looks.values())
        others = sum(not look.right for look in self.looks.values()) - faceless
        if faceless or others:
            yield (
                f"Of the {len(self.looks)} class images {faceless} show no face and {others} have another "
                "framing than was asked for; they are kept."
            )

    def _request(self, slot: Slot, attempt: int) -> ImageRequest:
        job = self.job
        return ImageRequest(
            framed_prompt(job.class_prompt, slot.framing),
            job.class_negative_prompt,
            seed=slot.seed(job.class_seed, attempt),
            steps=job.class_steps,
            guidance_scale=job.class_guidance_scale,
        )

    def _judge(self, slot: Slot, one: _Candidate) -> None:
        """Count a generated picture, and remember it where it is the slot's best so far."""
        self._tried[slot.framing] += 1
        self._right[slot.framing] += one.look.right
        self._faces += one.look.face_share > 0
        if slot not in self._best or one.look.misfit < self._best[slot].look.misfit:
            self._best[slot] = one

    def _is_final(self, slot: Slot, attempt: int) -> bool:
        return self._best[slot].look.right or attempt + 1 == TRIES or self._is_hopeless(slot.framing)

    def _is_hopeless(self, framing: Framing | None) -> bool:
        """Return whether this framing never came, or no face ever did, in enough pictures to tell."""
        never = self._tried[framing] >= HOPELESS and not self._right[framing]
        return never or (self._tried.total() >= HOPELESS and not self._faces)

    def _keep(self, slots: Sequence[Slot], pool: ThreadPoolExecutor) -> Iterator[ClassImage]:
        """Begin to write the slots' best pictures. Yield their events, each as soon as its picture is written."""
        best = {slot: self._best.pop(slot) for slot in slots}
        written = {slot: pool.submit(self._write, slot, one) for slot, one in best.items()}
        return (self._kept(slot, best[slot].look, writing.result()) for slot, writing in written.items())

    def _kept(self, slot: Slot, look: Look, file: Path) -> ClassImage:
        self.looks[slot] = look
        return ClassImage(slot.index, file)

    def _write(self, slot: Slot, one: _Candidate) -> Path:
        file = self.folder / slot.file
        write_generated(file, one.image, one.request.prompt, one.request.seed, one.look)
        return file
