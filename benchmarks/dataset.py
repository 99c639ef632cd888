"""How fast the dataset room crops, how much memory it takes, and how often it finds the right face.

    python benchmarks/dataset.py --out benchmarks/results/dataset.json

Needs only what requirements.txt and requirements-dev.txt install; ../shared/photos is used where it is. What
the photographs are made of: benchmarks/dataset_scenes.py. Runs for about six minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import psutil
from dataset_scenes import SHARED, Truth, large_photographs, scene_sets

from dreamgui.config import CropJob
from dreamgui.data.dataset.dataset import Dataset, Entry
from dreamgui.data.faces.detect import Box
from dreamgui.events import Cropped, Event, Progress, Saved, Skipped
from dreamgui.models.manager import Models
from dreamgui.recipes.crop import crop
from dreamgui.workspace import Workspace

NO_MODELS = cast(Models, None)
SURELY_SEEN_PX = 40


class Memory(threading.Thread):
    """The most memory that this process and its children held, in MB above its start, and for each third of the time."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process()
        self._idle = self._held()
        self._samples: list[float] = []
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.2):
            self._samples.append((self._held() - self._idle) / 1e6)

    def _held(self) -> int:
        """Bytes of this process and of those that it started; a page that several share counts once."""
        held = 0
        for process in (self._process, *self._process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                held += process.memory_full_info().pss
        return held

    def stop(self) -> dict[str, float]:
        self._done.set()
        self.join()
        third = max(1, len(self._samples) // 3)
        parts = [self._samples[start : start + third] for start in (0, third, 2 * third)]
        return {
            "most_mb": round(max(self._samples)),
            **{
                f"mean_third_{number}_mb": round(sum(part) / len(part))
                for number, part in enumerate(parts, 1)
            },
        }


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def machine() -> dict[str, Any]:
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load_before": [round(value, 1) for value in os.getloadavg()],
        "python": platform.python_version(),
    }


def speed(count: int, folder: Path) -> dict[str, Any]:
    """Crop large photographs; the detectors' start is part of the time."""
    photographs = large_photographs(count, folder / "large")
    load = os.getloadavg()[0]
    memory, began, used = Memory(), time.perf_counter(), cpu_seconds()
    busy = busy_seconds()
    memory.start()
    last, longest_gap, counts = began, 0.0, {"cropped": 0, "skipped": 0}
    for event in crop(CropJob(photos=(photographs,)), Workspace(folder / "home"), NO_MODELS):
        if isinstance(event, Progress):
            longest_gap, last = max(longest_gap, time.perf_counter() - last), time.perf_counter()
        counts["cropped"] += isinstance(event, Cropped)
        counts["skipped"] += isinstance(event, Skipped)
    seconds, own, all_programs = time.perf_counter() - began, cpu_seconds() - used, busy_seconds() - busy
    return {
        "photographs": count,
        "mean_file_mb": round(sum(file.stat().st_size for file in photographs.iterdir()) / count / 1e6, 1),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(own, 1),
        "cpu_seconds_of_other_programs": round(all_programs - own, 1),
        "load_of_others_before": round(load, 1),
        "longest_wait_for_progress_seconds": round(longest_gap, 1),
        **counts,
        "memory_above_start": memory.stop(),
    }


def cpu_seconds() -> float:
    """Of this process and of the children that it has seen end."""
    return sum(os.times()[:4])


def busy_seconds() -> float:
    """CPU seconds of the whole machine since it started, all programs together."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0)


def matches(found: Box, truth: Box) -> bool:
    """The middle lies in the true face, and the sizes are within a factor of two."""
    x, y = (found[0] + found[2]) / 2, (found[1] + found[3]) / 2
    sizes = [max(box[2] - box[0], box[3] - box[1]) for box in (found, truth)]
    return truth[0] <= x <= truth[2] and truth[1] <= y <= truth[3] and 0.5 < sizes[0] / sizes[1] < 2


class Tally:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, kind: str, truth: Truth, entry: Entry | None) -> None:
        subject = truth.faces[0]
        found = [entry.face, *(face.box for face in entry.others)] if entry else []
        self.rows.append(
            {
                "kind": kind,
                "large": truth.subject_px >= SURELY_SEEN_PX,
                "group": len(truth.faces) > 1,
                "found": any(matches(box, subject) for box in found),
                "answered": entry is not None,
                "right": entry is not None and matches(entry.face, subject),
                "marked": entry is not None and entry.someone_else,
                "faces": len(found),
                "false": sum(not any(matches(box, true) for true in truth.faces) for box in found),
            }
        )

    def figures(self, **wanted: Any) -> dict[str, Any]:
        rows = [row for row in self.rows if all(row[key] == value for key, value in wanted.items())]
        count = max(1, len(rows))
        answered = max(1, sum(row["answered"] and not row["marked"] for row in rows))
        return {
            "scenes": len(rows),
            "recall_of_subjects_face": round(sum(row["found"] for row in rows) / count, 4),
            "subject_chosen_rightly": round(sum(row["right"] for row in rows) / count, 4),
            "precision_of_subject_unless_marked": round(
                sum(row["right"] and not row["marked"] for row in rows) / answered, 4
            ),
            "marked_someone_else": sum(row["marked"] for row in rows),
            "left_out": sum(not row["answered"] for row in rows),
            "precision_of_all_faces": round(
                1 - sum(row["false"] for row in rows) / max(1, sum(row["faces"] for row in rows)), 4
            ),
        }


def scenes(count: int, folder: Path) -> dict[str, Any]:
    """Crop sets of ten composed scenes each and compare with where the faces are."""
    per_set, tally, began = 10, Tally(), time.perf_counter()
    for kind, truths, place in scene_sets(max(1, count // per_set), per_set, folder):
        events = list(crop(CropJob(photos=(place,)), Workspace(folder / "home"), NO_MODELS))
        entries = by_source(events)
        for name, truth in truths.items():
            tally.add(kind, truth, entries.get(name))
    return {
        "from_40_px": tally.figures(large=True),
        "below_40_px": tally.figures(large=False),
        "groups": tally.figures(group=True),
        "groups_from_40_px": tally.figures(group=True, large=True),
        "groups_real": tally.figures(group=True, kind="real"),
        "groups_drawn": tally.figures(group=True, kind="drawn"),
        "all": tally.figures(),
        "seconds": round(time.perf_counter() - began),
    }


def by_source(events: list[Event]) -> dict[str, Entry]:
    saved = next(event for event in events if isinstance(event, Saved))
    return {entry.source: entry for entry in Dataset.load(saved.path).entries}


def shared_photographs(folder: Path) -> dict[str, Any]:
    """Each photograph of ../shared/photos: faces found and framings cut."""
    if not SHARED.is_dir():
        return {"note": "../shared/photos isn't there"}
    events = list(crop(CropJob(photos=(SHARED,)), Workspace(folder / "home"), NO_MODELS))
    rows: dict[str, list[str]] = {}
    for event in events:
        if isinstance(event, Cropped):
            rows.setdefault(event.source, []).append(event.framing)
    files = sorted(SHARED.glob("*.jpg"))
    return {"photographs": len(files), "framed": len(rows), "framings": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--photographs", type=int, default=200, help="of 12 megapixels; 0 leaves that part out"
    )
    parser.add_argument("--scenes", type=int, default=300, help="in sets of ten; 0 leaves that part out")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {}
    if options.out and options.out.exists():
        # What is left out this time stays as it was measured.
        result = json.loads(options.out.read_text(encoding="utf-8"))
    parts = (("speed", speed, options.photographs), ("scenes", scenes, options.scenes))
    for name, part, count in parts:
        if count:
            with tempfile.TemporaryDirectory() as folder:
                result[name] = {"machine": machine(), **part(count, Path(folder))}
            print(json.dumps({name: result[name]}, indent=1), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        result["shared_photographs"] = shared_photographs(Path(folder))
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
