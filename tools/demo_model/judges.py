"""The judges: two small networks that say who is drawn, whether a woman or a man, and where.

They judge generated pictures in the benchmarks, and their features guide the VAE's training. They know
nothing of the demo model: they learn from the renderer alone and are tested on persons they never saw.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from dreamgui.evaluate.measures.scene import SceneJudge, Trunk, scene_view

__all__ = [
    "GENDERS",
    "FaceJudge",
    "Judges",
    "SceneJudge",
    "face_crops",
    "load_judges",
    "save_judge",
    "scene_view",
]

FACE_PX = 64
FACE_ENLARGED = 1.6
EMBEDDING = 128
GENDERS = ["woman", "man"]


class FaceJudge(nn.Module):
    """Face crops ``[n, 3, 64, 64]`` to unit embeddings ``[n, 128]`` and woman/man logits ``[n, 2]``."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.embed = nn.Linear(Trunk.widths[-1] * (FACE_PX // 16) ** 2, EMBEDDING)
        self.gender = nn.Linear(Trunk.widths[-1], len(GENDERS))

    def read(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Embeddings and woman/man logits from the trunk's features."""
        last = features[-1]
        return F.normalize(self.embed(last.flatten(1)).float(), dim=1), self.gender(last.mean((2, 3)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.read(self.trunk(x))


def face_crops(images: Tensor, boxes: Tensor) -> Tensor:
    """Square crops around the faces, 1.6 times the box, differentiable.

    Args:
        images: ``[n, 3, h, w]`` in -1 to 1.
        boxes: ``[n, 4]`` left, top, right, bottom in pixels.

    Returns:
        ``[n, 3, 64, 64]``, sampled at twice that size and averaged, so that large faces don't alias.
    """
    height, width = images.shape[-2:]
    boxes = boxes.to(torch.float32)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1) * FACE_ENLARGED / 2
    size = torch.tensor([width, height], dtype=torch.float32, device=images.device)
    scale, shift = half[:, None] * 2 / size, centre * 2 / size - 1
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale[:, 0], scale[:, 1], shift
    grid = F.affine_grid(theta, [len(images), 3, 2 * FACE_PX, 2 * FACE_PX], align_corners=False)
    # In float32: bfloat16 coordinates would be off by half a pixel.
    crops = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return F.avg_pool2d(crops, 2).to(images.dtype)


def boxes_from_detector(boxes: Tensor) -> Tensor:
    """BlazeFace's boxes ``[n, 4]`` made like the renderer's, which reach from the hair line to the chin.

    Measured on 92 close and medium renders: BlazeFace's are 0.727 as large and lie 0.142 of the size lower.
    """
    centre, size = (
        (boxes[:, :2] + boxes[:, 2:]) / 2,
        (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 0.727,
    )
    centre = centre - size * torch.tensor([0.0, 0.142], device=boxes.device)
    return torch.cat([centre - size / 2, centre + size / 2], dim=1)


@dataclass
class Judges:
    """The trained judges with what they need to be read.

    ``same_person`` is the cosine between a face's embedding and the mean embedding of a person's pictures,
    above which they are one person: the point of equal error on persons that no training saw.
    """

    face: FaceJudge
    scene: SceneJudge
    places: list[str]
    same_person: float

    @torch.no_grad()
    def embeddings(self, images: Tensor, boxes: Tensor) -> Tensor:
        """``[n, 128]`` unit vectors of the faces in ``images`` ``[n, 3, h, w]`` (-1 to 1)."""
        return self.face(face_crops(images, boxes))[0]

    @torch.no_grad()
    def genders(self, images: Tensor, boxes: Tensor) -> list[str]:
        return [GENDERS[i] for i in self.face(face_crops(images, boxes))[1].argmax(1).tolist()]

    @torch.no_grad()
    def where(self, images: Tensor) -> list[str]:
        """The place of each picture ``[n, 3, h, w]`` (-1 to 1)."""
        return [self.places[i] for i in self.scene(scene_view(images)).argmax(1).tolist()]


def save_judge(judge: nn.Module, path: Path) -> None:
    """fp16 weights; the counters of the batch norms are left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        k: v.half().contiguous()
        for k, v in judge.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }
    save_file(tensors, str(path))


def _load_judge(judge: nn.Module, path: Path) -> None:
    tensors = {name: tensor.float() for name, tensor in load_file(str(path)).items()}
    missing, unexpected = judge.load_state_dict(tensors, strict=False)
    wrong = [name for name in missing if not name.endswith("num_batches_tracked")] + unexpected
    if wrong:
        raise ValueError(f"{path} doesn't hold this judge: {wrong[:3]}")
    judge.eval().requires_grad_(False)


def load_judges(folder: Path) -> Judges:
    """The judges that train_judges.py wrote into ``folder``, on the processor, in float32.

    Where it holds no scene judge, that is the app's in assets/judges.
    """
    scenes = folder if (folder / "scene.json").is_file() else ROOT / "assets" / "judges"
    facts = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in (folder / "face.json", scenes / "scene.json")
    }
    places = facts["scene"]["places"]
    face, scene = FaceJudge(), SceneJudge(len(places))
    _load_judge(face, folder / "face.safetensors")
    _load_judge(scene, scenes / "scene.safetensors")
    return Judges(face, scene, places, facts["face"]["same_person"])
