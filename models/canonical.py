"""Canonical correlation: what the inner face and its surroundings share, learned from real faces alone.

Hotelling, Relations Between Two Sets of Variates, Biometrika 28, 1936; the ridge as in Hardoon, Szedmak &
Shawe-Taylor, Canonical Correlation Analysis, Neural Computation 16, 2004, section 4. A recogniser's
embeddings of the two views differ by more than the person: each view has its own mean, and directions that
tell nothing of the other. Fitted on pictures of many people, one each, the projections keep what the two
share; a swap, whoever made it, breaks just that. No fake is ever seen.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

RIDGE = 1.0  # of the mean variance of an embedding's direction, added to each
DIRECTIONS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Canonical:
    """Two linear maps into one space, weighted by how well each direction agrees among real faces."""

    inner_mean: Floats  # (D,)
    around_mean: Floats  # (D,)
    inner: Floats  # (D, K)
    around: Floats  # (D, K)

    def agreement(self, inner: Floats, around: Floats) -> Floats:
        """The cosine in the common space: (…, D), (…, D) unit embeddings -> (…,), high = one person."""
        a, b = (inner - self.inner_mean) @ self.inner, (around - self.around_mean) @ self.around
        return (a * b).sum(-1) / np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-12)


def fit(inner: Floats, around: Floats, ridge: float = RIDGE, directions: int = DIRECTIONS) -> Canonical:
    """The maps from real faces: row i of both (N, D) is person i, each person once.

    Raises ValueError for fewer people than directions.
    """
    if len(inner) != len(around) or len(inner) <= directions:
        raise ValueError(f"{len(inner)} and {len(around)} faces do not fit {directions} directions")
    means = inner.mean(0), around.mean(0)
    a, b = (inner - means[0]).astype(np.float64), (around - means[1]).astype(np.float64)
    white_a, white_b = _whitener(a, ridge), _whitener(b, ridge)
    left, strengths, right = np.linalg.svd(white_a @ (a.T @ b / len(a)) @ white_b)
    weights = np.sqrt(strengths[:directions])
    maps = white_a @ left[:, :directions] * weights, white_b @ right[:directions].T * weights
    return Canonical(*(m.astype(np.float32) for m in (*means, *maps)))


def _whitener(centred: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """The symmetric inverse root of the covariance (D, D), its ridge added."""
    covariance = centred.T @ centred / len(centred)
    covariance += ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    return (vectors / np.sqrt(values)) @ vectors.T
