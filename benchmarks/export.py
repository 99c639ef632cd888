"""Exports at full size: Stable Diffusion 1.5 with random weights, a diffusers fp16 folder to one file.

    python benchmarks/export.py [--folder DIR] [--runs 6] [--certificate] [--extract RANK]

The floor is reading the folder's three files and writing the same bytes as one file, flushed to the disk,
through one buffer of 256 kB: the fastest of the sizes tried (64 kB, 256 kB, 4 MB). Writes of 4 MB take up to
ten times as long on ext4, so a floor made of them would flatter us. Both run in fresh processes on a source
that was just read, with no other output on the disk; which comes first alternates.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from dreamgui.assets import asset
from dreamgui.config import ExportJob, ExtractJob, MixJob
from dreamgui.events import Note, Score
from dreamgui.exporting.whole_model import write_checkpoint
from dreamgui.models.catalog.cards import ModelCard, write_model
from dreamgui.models.files.layout import PARTS
from dreamgui.models.manager import Models
from dreamgui.models.recognition.components import WEIGHTS
from dreamgui.models.recognition.inspect_file import inspect_file
from dreamgui.recipes import recipe
from dreamgui.workspace import Workspace

RESULTS = ROOT / "benchmarks" / "results" / "export.json"
BASE, OTHER = "full", "other"


def make_base(workspace: Workspace, name: str, seed: int) -> Path:
    """Stable Diffusion 1.5 as its classes initialise it, fp16."""
    folder = workspace.place("models", name)
    if folder.is_dir():
        return folder
    torch.manual_seed(seed)
    kinds: dict[str, Any] = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}
    for part, kind in kinds.items():
        config = json.loads(asset(f"sd15/{part}/config.json").read_text(encoding="utf-8"))
        kind.from_config(config).half().save_pretrained(folder / part)
    config = json.loads(asset("sd15/text_encoder/config.json").read_text(encoding="utf-8"))
    CLIPTextModel(CLIPTextConfig(**config)).half().save_pretrained(folder / "text_encoder")
    for shared in ("tokenizer", "scheduler"):
        shutil.copytree(asset(f"sd15/{shared}"), folder / shared)
    shutil.copy(asset("sd15/model_index.json"), folder)
    write_model(folder, ModelCard(name=name, family="sd15", size_px=512))
    return folder


def floor(folder: Path, target: Path) -> None:
    """Read the three files and write their bytes as one, flushed."""
    buffer = memoryview(bytearray(1 << 18))
    with target.open("wb", buffering=0) as out:
        for part in PARTS:
            with (folder / WEIGHTS[part]).open("rb", buffering=0) as source:
                while count := source.readinto(buffer):
                    left = buffer[:count]
                    while left:
                        left = left[out.write(left) :]
        os.fsync(out.fileno())


def warm(folder: Path) -> None:
    """Bring the source into the page cache."""
    buffer = bytearray(1 << 22)
    for part in PARTS:
        with (folder / WEIGHTS[part]).open("rb", buffering=0) as source:
            while source.readinto(buffer):
                pass


def measured(what: str, folder: Path, target: Path) -> dict[str, float]:
    """Seconds and the highest anonymous memory of one way, in a process of its own."""
    target.unlink(missing_ok=True)
    os.sync()  # what was written before must not be flushed on this one's time
    command = [sys.executable, __file__, "--child", what, "--folder", str(folder), "--target", str(target)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def child(what: str, folder: Path, target: Path) -> None:
    warm(folder)
    before, done, peak = anonymous_mb(), threading.Event(), [0.0]

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], anonymous_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    if what == "floor":
        floor(folder, target)
    else:
        write_checkpoint(folder, target)
    seconds = time.perf_counter() - began
    done.set()
    watcher.join()
    load = os.getloadavg()[0]
    print(json.dumps({"seconds": seconds, "peak_anonymous_mb": max(0.0, peak[0] - before), "load": load}))


def anonymous_mb() -> float:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("RssAnon:"))


def job(workspace: Workspace, models: Models, config: Any) -> dict[str, Any]:
    """Run a recipe; its seconds, figures and sentences."""
    began, told = time.perf_counter(), {}
    notes = []
    for event in recipe(config.kind)(config, workspace, models):
        if isinstance(event, Score):
            told |= event.values
        elif isinstance(event, Note):
            notes.append(event.text)
    return {"seconds": round(time.perf_counter() - began, 2), **told, "notes": notes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--certificate", action="store_true")
    parser.add_argument("--extract", type=int, metavar="RANK")
    parser.add_argument("--child")
    parser.add_argument("--target", type=Path)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.folder, options.target)
        return
    root = options.folder or Path(tempfile.mkdtemp(prefix="dreamgui-export-"))
    workspace = Workspace(root)
    folder = make_base(workspace, BASE, 0)
    target = root / "one.safetensors"
    results: dict[str, Any] = {"load_before": os.getloadavg()[0], "cores": os.cpu_count(), "device": "cpu"}
    ways: dict[str, list[dict[str, float]]] = {"floor": [], "export": []}
    for number in range(options.runs):
        for what in ("floor", "export") if number % 2 == 0 else ("export", "floor"):
            ways[what].append(measured(what, folder, target))
    results |= ways
    medians = {what: statistics.median(row["seconds"] for row in rows) for what, rows in ways.items()}
    results["ratio_of_medians"] = medians["export"] / medians["floor"]
    pairs = zip(ways["floor"], ways["export"], strict=True)
    results["ratio_of_each_pair"] = [export["seconds"] / least["seconds"] for least, export in pairs]
    measured("export", folder, target)
    results["bytes"] = target.stat().st_size
    began = time.perf_counter()
    inspect_file(target)
    results["inspect_seconds"] = time.perf_counter() - began
    target.unlink()
    models = Models(workspace)
    results["device"] = str(models.device)
    if options.certificate:
        for dtype in ("fp16", "bf16"):
            out = root / f"{dtype}.safetensors"
            for path in root.glob(f"{dtype}.*"):
                path.unlink()
            results[f"certified_{dtype}"] = job(
                workspace, models, ExportJob(model=BASE, out=str(out), dtype=dtype)
            )
            out.unlink()
    if options.extract:
        make_base(workspace, OTHER, 1)
        job(workspace, models, MixJob(first=BASE, second=OTHER, weight=0.01, run="moved"))
        results["extract"] = job(workspace, models, ExtractJob(trained="moved", rank=options.extract))
    results["load_after"] = os.getloadavg()[0]
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
