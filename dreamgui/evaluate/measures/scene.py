"""Prompt fidelity for the bundled model: the place that a small network sees, against the place that the prompt names.

The network was trained on the renderer's pictures alone (tools/demo_model/train_judges.py) and knows drawn places only, so it
judges the bundled model and what was trained on it.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from dreamgui import assets

SCENE_PX = 80
_OTHER_WORDS = {"under water": "underwater", "café": "cafe", "mountain": "mountains"}


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.second, self.second_norm = (
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(hidden)))


class _Stage(nn.Module):
    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.down, self.norm = (
            nn.Conv2d(width_in, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.block = _Residual(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(F.relu(self.norm(self.down(x))))


class Trunk(nn.Module):
    """A residual network of four halvings. It maps pictures [n, 3, s, s] in -1 to 1 to its four feature maps."""

    widths = (24, 40, 80, 112)

    def __init__(self) -> None:
        super().__init__()
        pairs = zip((3, *self.widths), self.widths, strict=False)
        self.stages = nn.ModuleList([_Stage(before, after) for before, after in pairs])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the feature maps, the finest first."""
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class SceneJudge(nn.Module):
    """Whole pictures [n, 3, 80, 80] in -1 to 1 to logits over the places [n, places]."""

    def __init__(self, places: int) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.place = nn.Linear(Trunk.widths[-1], places)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.place(self.trunk(x)[-1].mean((2, 3)))


def scene_view(images: Tensor) -> Tensor:
    """Return pictures [n, 3, h, w] of any size as the scene judge reads them, [n, 3, 80, 80]."""
    view = F.interpolate(
        images.float(), (SCENE_PX, SCENE_PX), mode="bilinear", antialias=True, align_corners=False
    )
    return view.to(images.dtype)


class Scenes:
    """The scene judge with its places, on the processor.

    Args:
        folder: with scene.json and scene.safetensors.
    """

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / "scene.json").read_text(encoding="utf-8"))
        self.places: tuple[str, ...] = tuple(facts["places"])
        self._judge = SceneJudge(len(self.places))
        tensors = {name: tensor.float() for name, tensor in load_file(folder / "scene.safetensors").items()}
        # The counters of the batch norms aren't kept, as nothing reads them.
        counters = {k: v for k, v in self._judge.state_dict().items() if k.endswith("num_batches_tracked")}
        self._judge.load_state_dict({**counters, **tensors})
        self._judge.eval().requires_grad_(False)

    def place_in(self, prompt: str) -> str | None:
        """Return the place that a prompt names, or None where it names none of them, or two."""
        words = prompt.lower()
        for other, place in _OTHER_WORDS.items():
            words = re.sub(rf"\b{other}\b", place, words)
        found = [place for place in self.places if re.search(rf"\b{place}\b", words)]
        return found[0] if len(found) == 1 else None

    @torch.no_grad()
    def fidelity(self, image: Image.Image, prompt: str) -> float | None:
        """Return the probability of the prompt's place in a picture, 0 to 1, or None where the prompt names none.

        Args:
            image: RGB, of any size.
            prompt: as the picture was asked for.
        """
        place = self.place_in(prompt)
        if place is None:
            return None
        pixels = (
            torch.from_numpy(np.asarray(image.convert("RGB"), np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
        )
        logits = self._judge(scene_view(pixels))[0]
        return float(logits.softmax(0)[self.places.index(place)])

    def scores(self, image: Image.Image, prompt: str) -> dict[str, float | None]:
        """Return :meth:`fidelity` by the name of its figure."""
        return {"fidelity": self.fidelity(image, prompt)}


@cache
def _loaded(folder: Path) -> Scenes:
    return Scenes(folder)


def bundled_scenes() -> Scenes | None:
    """Return the scene judge that ships with the bundled model, or None where the program was copied without it."""
    folder = assets.ASSETS / "judges"
    return _loaded(folder) if (folder / "scene.safetensors").is_file() else None
