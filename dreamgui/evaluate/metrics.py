"""The catalogue of the figures: title, formula, range, direction, embedder and source of each, as docs/metrics.md tells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from dreamgui.evaluate.measures import ANY_CLIP, SCENE_JUDGE, sface
from dreamgui.evaluate.measures.drift import Thumbnail
from dreamgui.evaluate.measures.recogniser import Dlib

Direction = Literal["higher is better", "lower is better", "neither is better"]
IDENTITY, SECOND_IDENTITY = "Identity similarity", "Identity similarity by the second recogniser"
FIDELITY, MEMORISING = "Prompt fidelity", "Memorising"
CLASS, POSE = "Pictures without the token", "Pose and framing"
"""Titles of the report's tables."""
UP: Direction = "higher is better"
DOWN: Direction = "lower is better"
NEITHER: Direction = "neither is better"


@dataclass(frozen=True)
class Metric:
    """One figure of a model.

    Attributes:
        key: its name in events and report.json; ``KEY_low`` and ``KEY_high`` are the ends of its 95 % interval.
        title: its name in the page and the report.
        formula: in a line.
        extent: least and largest value, with the unit.
        direction: which values are better.
        embedder: the network or the transform that it is taken with; "" for none.
        source: a paper, or who defined it.
        digits: shown after the point.
        group: the report's table that shows it; "" for none.
        per_picture: whether it is the mean of the pictures' scores of this key.
    """

    key: str
    title: str
    formula: str
    extent: str
    direction: Direction
    embedder: str = ""
    source: str = "DreamGUI"
    digits: int = 2
    group: str = ""
    per_picture: bool = False

    def text(self, figures: Mapping[str, float | None]) -> str:
        """Return the value with its interval, as "0.62 [0.51, 0.73]", or "" where it isn't measured.

        Args:
            figures: of a model.
        """
        value = figures.get(self.key)
        if value is None:
            return ""
        low, high = (figures.get(f"{self.key}_{end}") for end in ("low", "high"))
        told = f"{value:.{self.digits}f}"
        return (
            told if low is None or high is None else f"{told} [{low:.{self.digits}f}, {high:.{self.digits}f}]"
        )

    def data(self) -> dict[str, str]:
        """Return the description as report.json holds it."""
        return {
            "title": self.title, "formula": self.formula, "range": self.extent, "direction": self.direction,
            "embedder": self.embedder, "source": self.source,
        }  # fmt: skip


_DREAMBOOTH = (
    "Ruiz et al. 2023, https://arxiv.org/abs/2208.12242, section 4.3; the paper's embedder is another"
)
_CLIP = "Radford et al. 2021, https://arxiv.org/abs/2103.00020; Ruiz et al. 2023, section 4.2"
_COSINE = "-1 to 1"
_FACE_POINTS = "mediapipe's face landmarks"


def _of(group: str, *metrics: Metric) -> tuple[Metric, ...]:
    return tuple(replace(metric, group=group) for metric in metrics)


def _similarity(key: str, name: str, embedder: str, source: str) -> tuple[Metric, ...]:
    return (
        Metric(
            key, f"Identity similarity ({name})",
            "mean cosine of face embeddings over all pairs (generated picture, reference photograph), over faces found",
            _COSINE, UP, embedder, source,
        ),
        Metric(
            f"{key}_normalised", f"Normalised similarity ({name})",
            "(similarity - floor) / (ceiling - floor): 0 is the base, 1 another photograph of the person",
            "unbounded, 0 to 1 usual", UP, embedder,
        ),
        Metric(
            f"{key}_floor", f"Floor ({name})", "the similarity of the base on the same prompts and seeds", _COSINE,
            NEITHER, embedder,
        ),
        Metric(
            f"{key}_ceiling", f"Ceiling ({name})",
            "mean cosine of each real photograph with the references other than itself", _COSINE, NEITHER, embedder,
        ),
    )  # fmt: skip


METRICS: tuple[Metric, ...] = (
    *_of(
        IDENTITY,
        *_similarity("identity", "dlib", Dlib.name, Dlib.source),
        Metric(
            "identity_centroid", "Similarity to the centroid (dlib)",
            "mean cosine with the mean direction of the references, over faces found", _COSINE, UP, Dlib.name, Dlib.source,
        ),
        Metric(
            "identity_with_zeros", "Similarity, no face as 0 (dlib)",
            "the identity similarity in which a picture without a face counts as 0", _COSINE, UP, Dlib.name, Dlib.source,
        ),
    ),
    *_of(SECOND_IDENTITY, *_similarity("sface", "second recogniser", f"{sface.NAME}, or the user's own file", sface.SOURCE)),
    Metric(
        "likeness", "Likeness", "max(0, 1 - |face - mean of the reference faces|) of raw embeddings, over faces found",
        "0 to 1", UP, "dlib ResNet-29 (raw vectors)", "DreamGUI; " + Dlib.source, per_picture=True,
    ),
    Metric("gain", "Gain over base", "mean of (likeness - the base's) of the same prompt and seed", "-1 to 1", UP,
           "dlib ResNet-29 (raw vectors)"),
    Metric("faces_found", "Faces found", "pictures with a face / pictures", "0 to 1", UP, "mediapipe's face detector"),
    *_of(
        FIDELITY,
        Metric(
            "fidelity", "Prompt fidelity",
            "mean probability of the place that the prompt names, over prompts that name one", "0 to 1", UP, SCENE_JUDGE,
            per_picture=True,
        ),
        Metric("clip_t", "CLIP-T", "mean cosine of a picture's and its prompt's CLIP embeddings, not times 100", _COSINE, UP,
               ANY_CLIP, _CLIP, 3, per_picture=True),
        Metric("clip_i", "CLIP-I", "mean cosine of CLIP embeddings over all pairs (generated picture, reference crop)",
               _COSINE, UP, ANY_CLIP, _CLIP, 3, per_picture=True),
    ),
    *_of(
        MEMORISING,
        Metric(
            "memorising", "Memorising",
            "mean of (cosine with the nearest training crop - cosine with the nearest held-out crop); read beside the base's",
            "-2 to 2", DOWN, Dlib.name, digits=3, per_picture=True,
        ),
        Metric(
            "copies", "Copies", "pictures whose hash differs from a training crop's in 15 % of the bits at most and whose "
            "face has a cosine of 0.95 and more with the crop's", "0 to the number of pictures", DOWN,
            "255-bit DCT hash; " + Dlib.name,
            "hash: Zauner 2010; copies: Somepalli et al. 2023, https://arxiv.org/abs/2212.03860", 0,
        ),
    ),
    Metric("class_likeness", "Class likeness", "mean likeness of pictures without the token to the person", "0 to 1", DOWN,
           "dlib ResNet-29 (raw vectors)"),
    Metric("class_diversity", "Class diversity", "mean distance of the faces of two pictures without the token",
           "0 to about 1.5", UP, "dlib ResNet-29 (raw vectors)"),
    *_of(
        CLASS,
        Metric("pres", "PRES", "mean cosine over all pairs (picture without the token, photograph of the person)", _COSINE,
               DOWN, Dlib.name, _DREAMBOOTH),
        Metric("div", "DIV", "mean of 1 - cosine over pairs of pictures without the token, of different seeds", "0 to 2", UP,
               Thumbnail.name, _DREAMBOOTH),
        Metric("damage", "Damage", "mean of 1 - cosine of a picture without the token and the base's of the same seed",
               "0 to 2", DOWN, Thumbnail.name),
        Metric("damage_pixels", "Damage in pixels",
               "root mean square difference of sRGB values between the same pictures", "0 to 1", DOWN, "none"),
    ),
    *_of(
        POSE,
        Metric("yaw_spread", "Spread of the turn", "standard deviation of the estimated yaw of the faces", "0 to 90 degrees",
               UP, _FACE_POINTS, digits=1),
        Metric("size_spread", "Spread of the size", "standard deviation of log2(face height / picture height)",
               "0 and above; 1 is twice as large", UP, _FACE_POINTS),
        Metric("frontal_share", "Frontal faces", "faces turned by 15 degrees at most / faces", "0 to 1", NEITHER,
               _FACE_POINTS),
        Metric("close_up_share", "Close-ups", "faces of 36 % of the picture's height and more / faces", "0 to 1", NEITHER,
               _FACE_POINTS),
        Metric("sharpness", "Face sharpness", "median variance of the Laplacian of the grey face at 150 x 150 pixels",
               "0 and above", UP, "none", "Pech-Pacheco et al. 2000, https://doi.org/10.1109/ICPR.2000.903548", 0),
    ),
)  # fmt: skip
"""Order of the tables in a report, and of the columns in a table."""

SECOND, CLIP = ("sface",), ("clip_t", "clip_i")
"""Beginnings of the keys whose embedder a comparison chooses."""


def as_taken(metric: Metric, embedders: Mapping[str, str]) -> Metric:
    """Return a metric with the embedder that it was taken with.

    Args:
        metric: of the catalogue.
        embedders: names by "sface" and "clip", where one was used.
    """
    kind = "sface" if metric.key.startswith(SECOND) else "clip" if metric.key in CLIP else ""
    return replace(metric, embedder=embedders[kind]) if kind in embedders else metric


BY_KEY: Mapping[str, Metric] = {metric.key: metric for metric in METRICS}


def metric_of(key: str) -> Metric:
    """Return the metric of a figure's key, that of ``KEY_low`` and ``KEY_high`` too.

    Raises:
        KeyError: no metric has this key.
    """
    return BY_KEY[key] if key in BY_KEY else BY_KEY[key.removesuffix("_low").removesuffix("_high")]


def measured(rows: Mapping[str, Mapping[str, float | None]]) -> tuple[Metric, ...]:
    """Return the metrics that at least one model has a value of, in the catalogue's order.

    Args:
        rows: figures by model.
    """
    return tuple(
        metric for metric in METRICS if any(row.get(metric.key) is not None for row in rows.values())
    )


def per_picture() -> Iterator[Metric]:
    """Yield the metrics that are means of the pictures' scores."""
    return (metric for metric in METRICS if metric.per_picture)


def by_group(metrics: Iterable[Metric]) -> dict[str, list[Metric]]:
    """Return metrics by the title of the report's table that shows them, without those that none shows."""
    found: dict[str, list[Metric]] = {}
    for metric in metrics:
        if metric.group:
            found.setdefault(metric.group, []).append(metric)
    return found
