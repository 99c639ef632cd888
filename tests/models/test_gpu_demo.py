"""The bundled model on a GPU draws what it draws on the processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dreamgui.config import ConvertJob, ExportJob
from dreamgui.diffusion.sample import generate
from dreamgui.exporting.certificate import certificate_request, difference
from dreamgui.models.catalog.cards import ModelSpec
from dreamgui.models.manager import Models
from dreamgui.recipes.convert import convert
from dreamgui.recipes.workshop.export import export
from dreamgui.workspace import Workspace

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def drawn(home: Path, device: str, times: int) -> list[Image.Image]:
    workspace = Workspace(home)
    models = Models(workspace, torch.device(device))
    list(convert(ConvertJob(source="demo"), workspace, models))
    (base,) = models.catalog.bases()
    request = certificate_request(models.catalog.card(base))
    with models.use(ModelSpec(base)) as parts:
        return [generate(parts, [request])[0] for _ in range(times)]


@GPU
def test_gpu_the_demo_model_draws_what_the_processor_draws(tmp_path: Path) -> None:
    [right] = drawn(tmp_path / "processor", "cpu", 1)
    plain, by_graph = drawn(tmp_path / "gpu", "cuda", 2)
    assert np.asarray(right).std() > 20
    # In half precision; a picture of another seed is 40 and more away.
    assert difference(right, plain)[1] < 2
    assert difference(right, by_graph)[1] < 2


@GPU
def test_gpu_an_export_of_the_demo_model_is_certified(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    models = Models(workspace, torch.device("cuda"))
    list(convert(ConvertJob(source="demo"), workspace, models))
    (base,) = models.catalog.bases()
    list(export(ExportJob(model=base, format="single-file", dtype="fp16"), workspace, models))
