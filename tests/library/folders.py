"""Small folders as the program leaves them, made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from dreamgui.events import Begun, Event, Loss, Sampled, to_json
from dreamgui.models.catalog.cards import ModelCard, RunCard, write_model, write_run
from dreamgui.workspace import Workspace, write_json

ENTRY: dict[str, Any] = {
    "file": "0001.png", "source": "anna.jpg", "upload": "0000.png", "photo_size": [200, 200],
    "box": [50, 50, 150, 150], "face": [70.0, 60.0, 130.0, 130.0], "framing": "close-up", "score": 0.9,
    "enlargement": 1.0, "caption": "a photo of sks woman",
    "others": [{"box": [1.0, 2.0, 3.0, 4.0], "score": 0.5, "landmarks": []}],
}  # fmt: skip


def add_dataset(workspace: Workspace, name: str = "anna", uploads: str = "anna") -> Path:
    folder = workspace.root / "datasets" / name
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (64, 64), "red").save(folder / "images" / "0001.png")
    photos = workspace.root / "uploads" / uploads
    photos.mkdir(exist_ok=True)
    (photos / "0000.png").write_bytes(b"photograph")
    sheet = {
        "size_px": 64,
        "max_enlargement": 2.0,
        "instance_prompt": "a photo of sks woman",
        "uploads": uploads,
    }
    write_json(folder / "dataset.json", sheet | {"entries": [ENTRY]})
    return folder


def add_base(workspace: Workspace, name: str = "portraits") -> Path:
    folder = workspace.root / "models" / name
    (folder / "unet").mkdir(parents=True)
    (folder / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"weights")
    write_model(folder, ModelCard(name=name, family="demo", size_px=64, source="demo"))
    return folder


def add_run(
    workspace: Workspace, name: str = "anna-lora", steps: int = 20, checkpoints: tuple[int, ...] = ()
) -> Path:
    folder = workspace.root / "runs" / name
    folder.mkdir(parents=True)
    job = {
        "dataset": "anna",
        "model": "portraits",
        "steps": 20,
        "run": name,
        "instance_prompt": "a photo of sks woman",
    }
    card = RunCard(
        name=name, kind="lora", base="portraits", dataset="anna", rank=4, alpha=4.0, learning_rate=1e-4,
        steps=steps, finished=True, loss=0.125, job=job,
    )  # fmt: skip
    write_run(folder, card)
    (folder / "pytorch_lora_weights.safetensors").write_bytes(b"0" * 100)
    for step in checkpoints:
        add_checkpoint(folder, step)
    return folder


def add_checkpoint(run: Path, step: int) -> Path:
    folder = run / "checkpoints" / f"step-{step:06d}"
    folder.mkdir(parents=True)
    (folder / "training.safetensors").write_bytes(b"1" * 50)
    write_json(folder / "checkpoint.json", {"step": step, "size_bytes": 50})
    return folder


def add_export(workspace: Workspace, name: str = "anna-a1111") -> Path:
    path = workspace.root / "exports" / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"2" * 30)
    proof = {"passed": True, "reader": "diffusers", "files": {path.name: {"size_bytes": 30}}}
    write_json(path.with_name(f"{name}.certificate.json"), proof)
    path.with_name(f"{name}.README.md").write_text("card")
    return path


def add_report(workspace: Workspace, name: str = "first") -> Path:
    folder = workspace.root / "reports" / name
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("<h1>first</h1>")
    models = [{"name": "anna-lora", "likeness": 0.625}, {"name": "portraits", "likeness": None}]
    write_json(folder / "report.json", {"stopped": False, "models": models, "settings": {"dataset": "anna"}})
    return folder


def add_job(
    workspace: Workspace, number: int, run: str, steps: range, resume: bool = False, kind: str = "train"
) -> Path:
    folder = workspace.root / "jobs" / f"20260101-000000-{number:06d}-{kind}-abcd"
    (folder / "images").mkdir(parents=True)
    write_json(folder / "job.json", {"kind": kind, "owner": "", "job": {"run": run, "resume": resume}})
    add_events(
        folder, [Begun("run", run), *(Loss(step, step + number / 10, None, 1e-4, 1.0, 0.1) for step in steps)]
    )
    return folder


def add_events(job: Path, events: list[Event]) -> None:
    import json

    with (job / "events.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(to_json(event), ensure_ascii=False) + "\n" for event in events)


def add_sample(job: Path, step: int) -> Path:
    path = job / "images" / f"{step:06d}.png"
    Image.new("RGB", (8, 8)).save(path)
    add_events(job, [Sampled(step, "a photo", 1, Path("/elsewhere") / path.name)])
    return path
