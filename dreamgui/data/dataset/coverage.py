"""Coverage of a dataset's crops and what they lack: framing, turn of the head, light."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dreamgui.config import Framing
from dreamgui.data.dataset.entry import Entry
from dreamgui.data.framing import FRAMINGS, LEAST_CROPS
from dreamgui.data.quality import LEAST_FACE_PX, LIGHTS, TURNS, Light, Turn

DEFAULT_SHARES: dict[Framing, float] = {"close-up": 0.4, "medium": 0.4, "full": 0.2}
_NAMED = 5
_ONE_SIDED = 0.85
_PLURALS: dict[Framing, str] = {"close-up": "close-ups", "medium": "medium shots", "full": "full figures"}


@dataclass(frozen=True)
class Coverage:
    """Counts of crops in use that show a face, by framing, turn and light. ``advice`` says in sentences what to add
    and what to drop, and is empty for a set that lacks nothing."""

    counts: Mapping[tuple[Framing, Turn, Light], int]
    advice: tuple[str, ...]

    def by_framing(self) -> dict[Framing, int]:
        """Crops of each framing."""
        return {name: sum(n for key, n in self.counts.items() if key[0] == name) for name in FRAMINGS}

    def by_turn(self) -> dict[Turn, int]:
        """Crops of each turn of the head."""
        return {name: sum(n for key, n in self.counts.items() if key[1] == name) for name in TURNS}

    def by_light(self) -> dict[Light, int]:
        """Crops of each light."""
        return {name: sum(n for key, n in self.counts.items() if key[2] == name) for name in LIGHTS}


def cover(entries: Sequence[Entry], shares: Mapping[Framing, float] | None = None) -> Coverage:
    """Return what the crops in use cover.

    Args:
        entries: of a dataset; those dropped or held out don't count.
        shares: wanted share of each framing, adding up to 1; 40, 40 and 20 % unless given.
    """
    used = [entry for entry in entries if entry.in_use]
    shown = [entry for entry in used if entry.subject.found]
    counts: Counter[tuple[Framing, Turn, Light]] = Counter()
    for entry in shown:
        turn, light = (entry.quality.turn, entry.quality.light) if entry.quality else ("front", "even")
        counts[entry.framing, turn, light] += 1
    coverage = Coverage(dict(counts), ())
    advice = (
        *_number(entries),
        *_framings(coverage, len(shown), shares or DEFAULT_SHARES),
        *_turns(coverage, len(shown)),
        *_lights(coverage, len(shown)),
        *_to_drop(used),
    )
    return Coverage(coverage.counts, advice)


def _number(entries: Sequence[Entry]) -> list[str]:
    photographs = len({entry.upload for entry in entries if not entry.dropped})
    if photographs >= LEAST_CROPS:
        return []
    have = f"{photographs} photograph is" if photographs == 1 else f"{photographs} photographs are"
    return [
        f"{have} few; from {LEAST_CROPS} on the likeness gets better: add {LEAST_CROPS - photographs} more."
    ]


def _framings(coverage: Coverage, total: int, shares: Mapping[Framing, float]) -> list[str]:
    sentences = []
    for framing, have in coverage.by_framing().items():
        wanted = round(shares[framing] * total)
        lack = wanted - have
        if lack >= 2 and lack >= wanted / 3:
            sentences.append(
                f"Add {lack} more {_PLURALS[framing]}: there are {have}, the mix wants {wanted}."
            )
    return sentences


def _turns(coverage: Coverage, total: int) -> list[str]:
    turns = coverage.by_turn()
    if total < 4:
        return []
    for turn, word in (
        ("front", "frontal"),
        ("left", "turned to the left"),
        ("right", "turned to the right"),
    ):
        if turns[turn] >= _ONE_SIDED * total:
            many = "All" if turns[turn] == total else "Nearly all"
            return [f"{many} faces are {word}: add some that look another way."]
    return []


def _lights(coverage: Coverage, total: int) -> list[str]:
    lights = coverage.by_light()
    return [
        f"{'All' if lights[light] == total else 'Most'} faces are {light}: add photographs in other light."
        for light in ("dark", "bright")
        if total >= 4 and lights[light] > total / 2
    ]


def _to_drop(used: Sequence[Entry]) -> list[str]:
    """A sentence for each doubt, with the crops that it concerns."""
    there = {entry.file for entry in used}
    concerned: dict[tuple[str, str], list[str]] = {}
    for entry in used:
        for doubt in _doubts(entry, there):
            concerned.setdefault(doubt, []).append(f"{entry.file} ({entry.source})")
    return [f"{_listed(names)} {doubt[len(names) > 1]}" for doubt, names in concerned.items()]


def _doubts(entry: Entry, there: Container[str]) -> Iterator[tuple[str, str]]:
    """Yield doubts about a crop, said of one and of several. A near-duplicate counts only while it is in use."""
    if entry.someone_else:
        yield "may show someone else: drop it if so.", "may show someone else: drop those that do."
    if (quality := entry.quality) is None:
        return
    if quality.is_blurred:
        yield "is blurred: drop it, or add a sharper one.", "are blurred: drop them, or add sharper ones."
    if quality.is_spoilt_by_light:
        yield f"is too {quality.light}: drop it.", f"are too {quality.light}: drop them."
    if quality.is_small:
        small = f"a face of less than {LEAST_FACE_PX} pixels: drop"
        yield f"has {small} it.", f"have {small} them."
    if quality.near_duplicate and quality.near_duplicate in there:
        same = f"nearly the same as {quality.near_duplicate}: keep one of them."
        yield f"is {same}", f"are {same}"


def _listed(names: Sequence[str]) -> str:
    further = len(names) - _NAMED
    if further > 0:
        return f"{', '.join(names[:_NAMED])} and {further} more"
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
