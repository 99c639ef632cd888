"""Trains the judges (see judges.py) on the renderer's pictures and measures them on persons they never saw.

    python train_judges.py --pictures OUT/pictures/named --held-out OUT/pictures/held-out --out OUT/judges
        --seconds 60

``--only face`` and ``--only scene`` train one of the two, so that two GPUs can share the work.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from common import Clock, Learner, Log, Ranks, as_unit, join_ranks
from judges import GENDERS, FaceJudge, SceneJudge, face_crops, save_judge, scene_view
from pictures import Pictures, load_pictures
from torch import Tensor, nn

PERSONS, EACH = 96, 6
BATCH = PERSONS * EACH
SMALLEST_FACE_PX = 24
TEMPERATURE = 0.1
GALLERY = 6
NORM_BATCHES = 30


def main() -> None:
    options = read_options()
    ranks = join_ranks(seed=1)
    train = load_pictures(options.pictures, ranks, whole=True, most=options.most)
    held_out = load_pictures(options.held_out, ranks, whole=True)
    ranks.say(f"{len(train)} pictures to learn from, {len(held_out)} of persons held out")
    if options.only != "scene":
        train_face(train, held_out, ranks, options.out, options.seconds)
    if options.only != "face":
        train_scene(train, held_out, ranks, options.out, options.seconds * 0.6)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", choices=("face", "scene"))
    parser.add_argument("--most", type=int, help="use only so many pictures")
    return parser.parse_args()


def train_face(train: Pictures, held_out: Pictures, ranks: Ranks, out: Path, seconds: float) -> None:
    """Supervised contrastive learning (Khosla et al. 2020, arXiv 2004.11362) and woman/man beside it."""
    judge = FaceJudge().to(ranks.device)
    learner, clock = Learner([judge], ranks, peak_rate=2e-3), Clock(seconds, ranks)
    log, deal = Log(out / "face_curve.json", ranks), Dealer(train)
    genders = train.labels("gender", GENDERS)
    while (progress := clock.progress()) < 1:
        index = deal.batch()
        images = as_unit(train.images[index], torch.float32)
        crops = roughen(face_crops(images, jitter(train.boxes[index])))
        with torch.autocast(ranks.device.type, torch.bfloat16, enabled=ranks.device.type == "cuda"):
            embeddings, logits = judge(crops)
        same_person = contrast(embeddings, deal.person[index])
        woman_man = F.cross_entropy(logits.float(), genders[index])
        (same_person + 0.3 * woman_man).backward()
        learner.step(progress)
        log.add(clock.step, progress, contrast=same_person, woman_man=woman_man)
    learner.write_average([judge])
    settle_norms(
        judge,
        (roughen(face_crops(as_unit(train.images[i], torch.float32), train.boxes[i])) for i in deal.some()),
    )
    facts = measure_face(judge, held_out)
    ranks.say(f"face judge on held-out persons: {facts}")
    save_judge(judge, out / "face.safetensors")
    log.path = out / "face.json"
    log.close(clock.step, **facts)


def train_scene(train: Pictures, held_out: Pictures, ranks: Ranks, out: Path, seconds: float) -> None:
    """Plain classification of the place."""
    places = sorted({str(record["place"]) for record in train.records})
    judge = SceneJudge(len(places)).to(ranks.device)
    learner, clock = Learner([judge], ranks, peak_rate=2e-3), Clock(seconds, ranks)
    log, labels = Log(out / "scene_curve.json", ranks), train.labels("place", places)
    while (progress := clock.progress()) < 1:
        index = torch.randint(len(train), (BATCH,), device=ranks.device)
        views = roughen(scene_view(as_unit(train.images[index], torch.float32)))
        with torch.autocast(ranks.device.type, torch.bfloat16, enabled=ranks.device.type == "cuda"):
            logits = judge(views)
        loss = F.cross_entropy(logits.float(), labels[index], label_smoothing=0.02)
        loss.backward()
        learner.step(progress)
        log.add(clock.step, progress, loss=loss)
    learner.write_average([judge])
    some = (torch.randint(len(train), (BATCH,), device=ranks.device) for _ in range(NORM_BATCHES))
    settle_norms(judge, (roughen(scene_view(as_unit(train.images[i], torch.float32))) for i in some))
    accuracy = measure_scene(judge, held_out, held_out.labels("place", places))
    ranks.say(f"scene judge on held-out persons: {accuracy:.4f} of the places right")
    save_judge(judge, out / "scene.safetensors")
    log.path = out / "scene.json"
    log.close(clock.step, places=places, held_out_accuracy=accuracy)


class Dealer:
    """Deals batches of ``PERSONS`` persons with ``EACH`` pictures, of faces large enough to be told apart."""

    def __init__(self, pictures: Pictures) -> None:
        self.person = pictures.groups("identity")
        usable = torch.nonzero(pictures.face_px >= SMALLEST_FACE_PX).flatten()
        self._order = usable[self.person[usable].argsort()]
        _, self._counts = torch.unique_consecutive(self.person[self._order], return_counts=True)
        self._starts = self._counts.cumsum(0) - self._counts
        self._several = torch.nonzero(self._counts >= 2).flatten()
        if len(self._several) < 2:
            raise ValueError(
                f"{len(self._several)} persons have two pictures or more; the face judge needs at least 2"
            )

    def batch(self) -> Tensor:
        """``[PERSONS * EACH]`` positions of pictures."""
        device = self._order.device
        persons = self._several[torch.randint(len(self._several), (PERSONS,), device=device)][:, None]
        which = (torch.rand(PERSONS, EACH, device=device) * self._counts[persons]).long()
        return self._order[self._starts[persons] + which].flatten()

    def some(self) -> Iterator[Tensor]:
        return (self.batch() for _ in range(NORM_BATCHES))


@torch.no_grad()
def settle_norms(judge: nn.Module, batches: Iterator[Tensor]) -> None:
    """Measures the batch norms' statistics anew, for the averaged weights, and ends the training."""
    for module in judge.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    for batch in batches:
        judge(batch)
    judge.eval()


def jitter(boxes: Tensor) -> Tensor:
    """Boxes moved and scaled at random, as far as a face detector differs from the renderer."""
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    centre = centre + torch.randn_like(centre) * 0.06 * size
    half = size * torch.exp(torch.randn_like(size[:, :1]) * 0.12) / 2
    return torch.cat([centre - half, centre + half], dim=1)


def roughen(images: Tensor) -> Tensor:
    """Blur, colour casts and noise, as a VAE or a resize would leave them, on ``[n, 3, s, s]`` in -1 to 1."""
    size, pieces = images.shape[-1], []
    for piece, share in zip(images.chunk(4), 0.4 + 0.6 * torch.rand(4), strict=False):
        small = max(8, int(size * float(share)))
        shrunk = F.interpolate(piece, (small, small), mode="bilinear", antialias=True, align_corners=False)
        pieces.append(F.interpolate(shrunk, (size, size), mode="bilinear", align_corners=False))
    one = torch.ones(len(images), 3, 1, 1, device=images.device)
    gain, offset = 1 + 0.08 * torch.randn_like(one), 0.06 * torch.randn_like(one)
    noise = 0.06 * torch.rand_like(one[:, :1]) * torch.randn_like(images)
    return (torch.cat(pieces) * gain + offset + noise).clamp(-1, 1)


def contrast(embeddings: Tensor, persons: Tensor) -> Tensor:
    """The supervised contrastive loss over a batch of unit embeddings."""
    logits = embeddings @ embeddings.T / TEMPERATURE
    itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    chances = logits.masked_fill(itself, -1e4).log_softmax(1)
    same = (persons[:, None] == persons[None]) & ~itself
    return -((chances * same).sum(1) / same.sum(1).clamp(min=1)).mean()


@torch.no_grad()
def embed_all(judge: FaceJudge, pictures: Pictures, rough: bool) -> tuple[Tensor, Tensor]:
    """All embeddings ``[n, 128]`` and woman/man logits ``[n, 2]``, of roughened faces if asked."""
    found = []
    for index in torch.arange(len(pictures), device=pictures.images.device).split(512):
        crops = face_crops(as_unit(pictures.images[index], torch.float32), pictures.boxes[index])
        found.append(judge(roughen(crops) if rough else crops))
    return torch.cat([embedding for embedding, _ in found]), torch.cat([logits for _, logits in found])


def measure_face(judge: FaceJudge, held_out: Pictures) -> dict[str, float]:
    """Verification on held-out persons: a picture against the mean of ``GALLERY`` others of a person."""
    large = held_out.face_px >= SMALLEST_FACE_PX
    person, facts = held_out.groups("identity"), {}
    genders = held_out.labels("gender", GENDERS)
    for name, rough in (("clean", False), ("rough", True)):
        embeddings, logits = embed_all(judge, held_out, rough)
        same, other = gallery_cosines(embeddings[large], person[large])
        threshold, error = equal_error(same, other)
        facts |= {f"equal_error_{name}": error, f"area_under_curve_{name}": area_under_curve(same, other)}
        facts |= {f"woman_man_{name}": float((logits.argmax(1) == genders)[large].float().mean())}
        facts |= {
            "same_person": threshold,
            f"same_mean_{name}": float(same.mean()),
            f"other_mean_{name}": float(other.mean()),
        }
    return {name: round(value, 4) for name, value in facts.items()}


def gallery_cosines(embeddings: Tensor, person: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of pictures with the gallery mean of their own person, and of the others."""
    galleries, probes, owners = [], [], []
    for number in person.unique().tolist():
        rows = torch.nonzero(person == number).flatten()
        if len(rows) > GALLERY:
            owners += [len(galleries)] * (len(rows) - GALLERY)
            galleries.append(F.normalize(embeddings[rows[:GALLERY]].mean(0), dim=0))
            probes.append(embeddings[rows[GALLERY:]])
    cosines = torch.cat(probes) @ torch.stack(galleries).T
    own = F.one_hot(torch.tensor(owners, device=cosines.device), len(galleries)).bool()
    return cosines[own], cosines[~own]


def equal_error(same: Tensor, other: Tensor) -> tuple[float, float]:
    """The cosine at which as many of the same are refused as of the others accepted, and that share."""
    grid = torch.linspace(-1, 1, 2001, device=same.device)
    refused = torch.searchsorted(same.sort().values, grid) / len(same)
    accepted = 1 - torch.searchsorted(other.sort().values, grid) / len(other)
    best = int((refused - accepted).abs().argmin())
    return float(grid[best]), float((refused[best] + accepted[best]) / 2)


def area_under_curve(same: Tensor, other: Tensor) -> float:
    """The chance that a same pair is nearer than an other pair."""
    return float((torch.searchsorted(other.sort().values, same) / len(other)).mean())


@torch.no_grad()
def measure_scene(judge: SceneJudge, held_out: Pictures, labels: Tensor) -> float:
    right = 0
    for index in torch.arange(len(held_out), device=labels.device).split(512):
        views = scene_view(as_unit(held_out.images[index], torch.float32))
        right += int((judge(views).argmax(1) == labels[index]).sum())
    return right / len(held_out)


if __name__ == "__main__":
    main()
