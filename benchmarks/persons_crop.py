"""The first part of persons.py: photographs of drawn persons, cropped by the app's own recipe."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from make_photos import make_photos
from world import identity

from dreamgui.config import CropJob
from dreamgui.events import Saved
from dreamgui.recipes.crop import crop
from dreamgui.workspace import Workspace

PHOTOGRAPHS = 20
SIZE_PX = 160


def crop_all(out: Path, persons: Iterable[int]) -> None:
    """Writes ``out/datasets/pNUMBER`` for each person."""
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(Path(scratch))
        for person in persons:
            photos = tuple(make_photos(person, PHOTOGRAPHS, workspace.root / f"photos-{person}"))
            prompt = f"a photo of sks {identity(person).gender} face"
            job = CropJob(photos=photos, dataset=f"p{person}", size_px=SIZE_PX, instance_prompt=prompt)
            saved = [e for e in crop(job, workspace, None) if isinstance(e, Saved)]  # ty: ignore
            folder = next(e.path for e in saved if e.what == "dataset")
            shutil.copytree(folder, out / "datasets" / f"p{person}", dirs_exist_ok=True)
            print(f"{person}: {len(list((folder / 'images').glob('*.png')))} crops", flush=True)
