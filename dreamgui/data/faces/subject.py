"""Subject of a set of photographs: the person who is in most of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dreamgui.data.faces.identity import SAME_PERSON_DISTANCE

_SURELY_SAME = 0.42
_ONE_OF_THEM = 0.52
_ROUNDS = 5
Embeddings = Sequence[np.ndarray | None]


def majority(photographs: Sequence[Embeddings], weights: Sequence[Sequence[float]]) -> np.ndarray | None:
    """The mean embedding of the person who is in the most photographs.

    Each face asks in how many other photographs somebody looks like it; the one with the most wins, and where
    two people are always together the one who is shown larger. Then the mean over that person's faces and the
    choice of those faces are repeated until they stay the same.

    Args:
        photographs: the embeddings [128] of each photograph's faces; None for a face without one.
        weights: how much each photograph is about each face, from 0 to 1.

    Returns:
        [128], or None where no two photographs show the same person.
    """
    faces = [
        (number, embedding, weights[number][place])
        for number, row in enumerate(photographs)
        for place, embedding in enumerate(row)
        if embedding is not None
    ]
    if not faces:
        return None
    table = np.stack([embedding for _, embedding, _ in faces])
    owners = np.array([number for number, _, _ in faces])
    shown = np.array([weight for _, _, weight in faces])
    squares = (table**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * table @ table.T, 0))
    nearness = np.stack(
        [_nearness(distances, shown, owners == number) for number in np.unique(owners)], axis=1
    )
    nearness[np.arange(len(faces)), np.unique(owners, return_inverse=True)[1]] = 0
    support = nearness.sum(axis=1)
    seed = int(support.argmax())
    if support[seed] <= 0:
        return None
    mean = table[seed]
    chosen: tuple[int, ...] = ()
    for _ in range(_ROUNDS):
        nearest = _nearest_each(np.linalg.norm(table - mean, axis=1), owners)
        if nearest == chosen or not nearest:
            break
        chosen, mean = nearest, table[list(nearest)].mean(axis=0)
    return mean


def _nearness(distances: np.ndarray, shown: np.ndarray, these: np.ndarray) -> np.ndarray:
    """Return how much each face [N] is supported by one photograph: 1 where the face in it that is most like it is
    surely the same person's, falling to 0 where it is somebody else's. It is a bit more where both are large."""
    columns = distances[:, these]
    best = columns.argmin(axis=1)
    nearest = columns[np.arange(len(columns)), best]
    alike = np.clip((SAME_PERSON_DISTANCE - nearest) / (SAME_PERSON_DISTANCE - _SURELY_SAME), 0, 1)
    return alike * (1 + 0.3 * (shown + shown[these][best]))


def _nearest_each(distances: np.ndarray, owners: np.ndarray) -> tuple[int, ...]:
    """The nearest face of each photograph, where it is near enough."""
    best: dict[int, int] = {}
    for face, owner in enumerate(owners):
        if distances[face] < _ONE_OF_THEM and distances[face] < distances[best.get(int(owner), face)] + 1e-9:
            best[int(owner)] = face
    return tuple(sorted(best.values()))


def agreement(embedding: np.ndarray | None, person: np.ndarray) -> float:
    """Return how surely a face is this person's: 1 for the same picture, 0.4 where it becomes somebody else's, 0 for
    a face without an embedding."""
    return 0.0 if embedding is None else max(0.0, 1.0 - float(np.linalg.norm(embedding - person)))


def find_person(row: Embeddings, person: np.ndarray) -> int | None:
    """The place of the face that is this person's, or None where nobody is near enough (0.6)."""
    scores = [agreement(embedding, person) for embedding in row]
    best = int(np.argmax(scores)) if scores else 0
    return best if scores and scores[best] > 1 - SAME_PERSON_DISTANCE else None
