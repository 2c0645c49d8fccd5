"""Whose face goes onto whom: donors of a like pose, and for hard swaps of a like look too."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.landmarks import Points

CANDIDATES = 64
HARD = 0.65  # the share of donors that must look like the face they replace, where looks are known
LOOKALIKES = 96  # the nearest embeddings, among which the nearest pose is taken
SAME_PERSON = 0.7  # cosines above it are taken for the same person, who is nobody's donor

Floats = NDArray[np.float32]


def pose_gaps(points: Points, candidates: Points) -> Floats:
    """How far each of (N, 68, 2) candidates stays from (68, 2) points after the best similarity: (N,), 0..1.

    Points are taken as complex numbers: a similarity is then one complex factor, and what it leaves over is
    1 - |<candidate, points>|^2 of the centred, normed vectors.
    """
    target, many = _shape(points[None])[0], _shape(candidates)
    return np.sqrt(np.clip(1 - np.abs(many.conj() @ target) ** 2, 0, None)).astype(np.float32)


def _shape(points: Points) -> NDArray[np.complex64]:
    z = points[..., 0] + 1j * points[..., 1]
    z = z - z.mean(-1, keepdims=True)
    return (z / np.linalg.norm(z, axis=-1, keepdims=True)).astype(np.complex64)


def nearest_donor(points: Points, candidates: Points) -> int:
    """Which of the candidates (N, 68, 2) has the pose and shape nearest to these points (68, 2)."""
    return int(np.argmin(pose_gaps(points, candidates)))


class Looks:
    """Embeddings by name, of stills and of videos, as models.likeness writes them; may know nobody."""

    def __init__(self, names: list[str], embeddings: Floats) -> None:
        self._row = {name: i for i, name in enumerate(names)}
        self._unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-9)

    @staticmethod
    def nobody() -> "Looks":
        """No looks at all: donors are then chosen by pose."""
        return Looks([], np.zeros((0, 1), np.float32))

    @staticmethod
    def open(prepared: Path) -> "Looks":
        """Read PREPARED/likeness.npz, where there is one."""
        path = prepared / "likeness.npz"
        if not path.exists():
            return Looks.nobody()
        with np.load(path) as saved:
            return Looks(saved["name"].tolist(), saved["embedding"].astype(np.float32))

    def of(self, name: str) -> Floats | None:
        """The unit vector (D,) of a name."""
        row = self._row.get(name)
        return None if row is None else self._unit[row]

    def of_all(self, names: list[str]) -> Floats:
        """Unit vectors (N, D); zeros, like nobody, for names that are not known."""
        rows = [self._row.get(name, -1) for name in names]
        return np.vstack([self._unit, np.zeros((1, self._unit.shape[1]), np.float32)])[rows]


class Donors:
    """The stills that may be donors: their names, points (N, 68, 2) and looks."""

    def __init__(self, names: list[str], points: Points, looks: Looks) -> None:
        self._names, self._points, self._looks = np.array(names), points, looks
        self._embeddings = looks.of_all(names)

    def pick(self, name: str, points: Points, rng: np.random.Generator) -> int:
        """Which donor for the face of this name (a still's or a video's) and these points: 0..N-1."""
        look = self._looks.of(name)
        if look is not None and rng.random() < HARD:
            cosines = self._embeddings @ look
            cosines[(cosines > SAME_PERSON) | (self._names == name)] = -1
            count = min(LOOKALIKES, len(cosines))
            some = np.argpartition(-cosines, count - 1)[:count]
            some = rng.permutation(some)[: max(1, count // 3)]  # not always the same donor
        else:
            some = rng.integers(len(self._points), size=CANDIDATES)
            some = some[self._names[some] != name] if (self._names[some] != name).any() else some
        return int(some[nearest_donor(points, self._points[some])])
