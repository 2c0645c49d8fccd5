"""What the stair keeps of one track."""

from collections import deque

import numpy as np

from export.card import Card
from stream.identity.match import Identity, Person
from stream.second_eye import RARELY, LateLook
from stream.values import Heat, Likeness, Quality, Score, State
from stream.window import Pacer, Window

HISTORY = 10.0  # s of scores kept for the overlay's curve


class TrackMemory:
    """Windows, paces and the latest of everything of one track. Bounded."""

    def __init__(self, card: Card, expected: Person | None) -> None:
        """card: the detector's. expected: who should be on screen."""
        spec = card.window
        self.sampling, self.scoring = Pacer(spec.rate), Pacer(1 / spec.stride)
        self.window = Window(spec.seconds, spec.rate)
        self.maps = Window(spec.seconds, spec.rate)
        self.heat: Heat | None = None
        self.history: deque[tuple[float, float]] = deque(maxlen=int(HISTORY / spec.stride + 1.5))
        self.unlooked = np.inf  # crops since the second eye looked, the next one included; inf: never yet
        self.late = LateLook()
        # As many as the window holds where none is spared; where they are, those of a longer time.
        every = card.second.every if card.second is not None else 1
        self.looks = Window(spec.seconds * RARELY, spec.rate / every / RARELY)
        self.state = State.UNCERTAIN
        self.quality: Quality | None = None
        self.score: Score | None = None
        self.moments: tuple[tuple[float, float], ...] = ()
        self.identity = Identity(card.likeness, expected) if card.likeness is not None else None
        self.likeness: Likeness | None = None

    def recognise(self, now: float) -> None:
        """Say whose face it is by the latest looks of the second eye."""
        self.looks.forget(now)
        if self.identity is not None and len(self.looks):
            self.likeness = self.identity.step(*self.looks.arrays())
