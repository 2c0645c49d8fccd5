"""Compares a track's face with an enrolled person's and with its own beginning. Pure.

The embedding is that of the detector's second eye, which looks at some crops of a window: nothing more is
computed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.card import Likeness as Scale
from stream.values import Answer, Likeness

Floats = NDArray[np.float32]

LOOKS = 2  # of the second eye that an answer needs
AGREEING = 4  # scores in a row that change an answer: a second, live


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Who should be on screen."""

    name: str
    embedding: Floats  # (E,), unit length


class Identity:
    """What is known of one track's identity; feed it the latest looks at each score."""

    def __init__(self, scale: Scale, expected: Person | None) -> None:
        """scale: the card's. expected: None asks about drift alone."""
        self._scale, self._expected = scale, expected
        self._first: Floats | None = None
        self._answer, self._turning, self._since = Answer.UNSURE, Answer.UNSURE, 0

    def step(self, features: Floats, weights: Floats) -> Likeness | None:
        """The latest looks at it: features (T, D), weights (T,) 0..1. None: too few of them so far."""
        scale = self._scale
        looks = features[:, scale.start : scale.start + scale.width]
        seen = looks.any(1) & (weights > 0)
        if seen.sum() < LOOKS:
            return None
        mean = unit((unit(looks[seen]) * weights[seen, None]).sum(0))
        if self._first is None:
            self._first = mean
        drift = float(1 - mean @ self._first)
        if self._expected is None:
            return Likeness("", Answer.UNSURE, None, drift, drift > scale.drift)
        cosine = float(mean @ self._expected.embedding)
        probability = 1 / (1 + np.exp(-np.clip(scale.weight * cosine + scale.bias, -60, 60)))
        self._turn(answer_of(cosine, scale))
        return Likeness(self._expected.name, self._answer, float(probability), drift, drift > scale.drift)

    def _turn(self, now: Answer) -> None:
        """An answer changes once several in a row say so: one turned head is no stranger."""
        self._since = self._since + 1 if now is self._turning else 1
        self._turning = now
        if self._since >= AGREEING or self._answer is Answer.UNSURE:
            self._answer = now


def answer_of(cosine: float, scale: Scale) -> Answer:
    """What one comparison says; between the thresholds it cannot be told."""
    if cosine >= scale.yes:
        return Answer.YES
    return Answer.NO if cosine < scale.no else Answer.UNSURE


def unit(vectors: Floats) -> Floats:
    """(…, E) at unit length; what is 0 stays 0."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
