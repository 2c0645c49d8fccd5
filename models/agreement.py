"""Does the inner face belong to its head? What a recogniser saw of a window's crops, as one logit.

The plain cosine of two views tells mostly how the views differ. Canonical correlation (models.canonical)
keeps what they share, learned from pictures of many people, and no fake takes part. There are two fits.
`fit` sees each picture through several degradations and sets one view of one beside the other view of
another: what the camera and the encoder did to both is then no common ground, the person is. `fit_plain`
adds the plain cosines to a canonical correlation of the pictures as they are. models/README.md tells what
each is worth, and where they disagree.
"""

from collections.abc import Sequence
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.canonical import Canonical
from models.canonical import fit as fit_canonical
from models.inception_resnet_v1 import EMBEDDING

Floats = NDArray[np.float32]
Versions = Sequence[tuple[int, int]]

WHOLE, INNER, AROUND = 0, 1, 2  # the order of the views (models.identity)
PAIRS = ((INNER, AROUND), (INNER, WHOLE))  # canonical; surroundings and whole say least of a swap
RIDGE, DIRECTIONS = 0.3, 64  # chosen on swaps that were made of stills (models/README.md)
PLAIN_RIDGE, PLAIN_DIRECTIONS = 1.0, 32


class Agreement(nn.Module):
    """Compares the views of a window; high = another person's face. Its buffers come from a fit.

    Three figures count, each in units of its spread among real faces: the sum of the three plain cosines, and
    the canonical cosine of each of PAIRS.
    """

    one_mean: Tensor
    one_map: Tensor
    other_mean: Tensor
    other_map: Tensor
    usual: Tensor
    spread: Tensor
    shares: Tensor

    def __init__(self, embedding: int = EMBEDDING, directions: int = DIRECTIONS) -> None:
        super().__init__()
        pairs = len(PAIRS)
        for side in ("one", "other"):
            self.register_buffer(f"{side}_mean", torch.zeros(pairs, embedding))
            self.register_buffer(f"{side}_map", torch.zeros(pairs, embedding, directions))
        self.register_buffer("usual", torch.zeros(1 + pairs))  # the figures' mean among real faces
        self.register_buffer("spread", torch.ones(1 + pairs))  # and deviation
        self.register_buffer("shares", torch.zeros(1 + pairs))  # what each counts; sum 1

    def forward(self, embeddings: Tensor, weights: Tensor) -> Tensor:
        """embeddings (B, T, 3, E), each at unit length; weights (B, T), 0 = not looked at -> logit (B,).

        In units of the spread among real faces, 0 = as usual; 0 too where no crop counts.
        """
        seen = (weights.sum(1) > 0).to(embeddings.dtype)
        mean = (embeddings * weights[..., None, None]).sum(1)
        mean = functional.normalize(mean, dim=-1, eps=1e-6)  # (B, 3, E)
        beside = mean[:, [INNER, AROUND, WHOLE]]
        plain = (mean[:, [AROUND, WHOLE, INNER]] * beside).sum((1, 2))  # each with each other
        one = mean[:, [a for a, _ in PAIRS]] - self.one_mean  # (B, P, E)
        other = mean[:, [b for _, b in PAIRS]] - self.other_mean
        one, other = (
            torch.einsum("bpe,ped->bpd", x, m) for x, m in ((one, self.one_map), (other, self.other_map))
        )
        cosines = functional.cosine_similarity(one, other, dim=-1, eps=1e-6)  # (B, P)
        figures = (torch.cat([plain[:, None], cosines], 1) - self.usual) / self.spread
        return -(figures * self.shares).sum(1) * seen

    @staticmethod
    def load(path: Path) -> "Agreement":
        """Read what models.fit_agreement wrote. Raises OSError, or ValueError for another file."""
        with np.load(path) as saved:
            state = {name: torch.from_numpy(saved[name]) for name in saved.files if name in _NAMES}
        if set(state) != set(_NAMES):
            raise ValueError(f"{path} lacks {', '.join(sorted(set(_NAMES) - set(state)))}")
        made = Agreement(*state["one_map"].shape[1:])
        made.load_state_dict(state)
        return made.eval()


_NAMES = ("one_mean", "one_map", "other_mean", "other_map", "usual", "spread", "shares")


def fit(seen: Floats, ridge: float = RIDGE, directions: int = DIRECTIONS) -> dict[str, Floats]:
    """The buffers of an Agreement by canonical correlation across versions, from real faces alone.

    seen: (V, N, 3, E), the embeddings at unit length of N people, one picture each, in V versions: the
    picture as it is, and degraded. Raises ValueError for one version or fewer people than directions.
    """
    if len(seen) < 2:
        raise ValueError("one version of each picture cannot tell the person from the camera")
    across = list(permutations(range(len(seen)), 2))
    return _buffers(seen, across, (0.0, 0.5, 0.5), ridge, directions, directions)


def fit_plain(seen: Floats, directions: int = DIRECTIONS) -> dict[str, Floats]:
    """The buffers of an Agreement by the plain cosines and inner face against surroundings, weighed alike.

    seen: as for `fit`; the maps are fitted on the first version, the pictures as they are. `directions` is
    the width of the buffers. Raises ValueError for fewer people than directions.
    """
    return _buffers(
        seen, [(0, 0)], (0.5, 0.5, 0.0), PLAIN_RIDGE, min(PLAIN_DIRECTIONS, directions), directions
    )


def _buffers(
    seen: Floats,
    versions: Versions,
    shares: tuple[float, ...],
    ridge: float,
    directions: int,
    width: int,
) -> dict[str, Floats]:
    """The usual figures and their spread are those of people that the maps were not fitted on, both views of
    one version, as live."""
    halves = np.arange(seen.shape[1]) % 2 == 0
    plain = sum((seen[:, :, a] * seen[:, :, b]).sum(-1) for a, b in combinations((WHOLE, INNER, AROUND), 2))
    figures, found = [np.ravel(plain)], []
    for one, other in PAIRS:
        found.append(_fit(seen, versions, (one, other), ridge, directions))
        apart = []
        for half in (halves, ~halves):
            blind = _fit(seen[:, half], versions, (one, other), ridge, directions)
            apart.append(blind.agreement(seen[:, ~half, one], seen[:, ~half, other]).ravel())
        figures.append(np.concatenate(apart))
    room = ((0, 0), (0, width - directions))
    made = {
        "one_mean": [m.inner_mean for m in found],
        "one_map": [np.pad(m.inner, room) for m in found],
        "other_mean": [m.around_mean for m in found],
        "other_map": [np.pad(m.around, room) for m in found],
        "usual": [f.mean() for f in figures],
        "spread": [f.std() for f in figures],
        "shares": list(shares),
    }
    return {name: np.array(values, np.float32) for name, values in made.items()}


def _fit(
    seen: Floats, versions: Versions, views: tuple[int, int], ridge: float, directions: int
) -> Canonical:
    """The maps of one pair of views, over pairs of versions."""
    one = np.concatenate([seen[a, :, views[0]] for a, _ in versions])
    other = np.concatenate([seen[b, :, views[1]] for _, b in versions])
    return fit_canonical(one, other, ridge=ridge, directions=directions)
