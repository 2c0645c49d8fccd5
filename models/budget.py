"""A training's budget: steps, or CPU time of its processes, so that runs beside other work are fair."""

import math
import time
from dataclasses import dataclass

ENCODER_SHARE = 0.7  # of core-minutes; the rest encodes the head's windows


@dataclass(slots=True)
class Spent:
    """What was used so far; part of every checkpoint."""

    steps: int = 0
    core_seconds: float = 0.0  # CPU s of this process, all its threads, examinations left out
    making: float = 0.0  # CPU s of the processes that made what was learnt from

    @property
    def total(self) -> float:
        """CPU s of all processes."""
        return self.core_seconds + self.making


@dataclass(frozen=True, slots=True)
class Budget:
    """Exactly one of both is given."""

    steps: int | None = None
    core_seconds: float | None = None

    def share(self, spent: Spent) -> float:
        """How much of it is used: 0 at the start, 1 or more at the end."""
        if self.steps is not None:
            return spent.steps / self.steps
        return spent.total / (self.core_seconds or math.inf)


class Stopwatch:
    """Counts CPU seconds of this process while it runs, as learning."""

    def __init__(self, spent: Spent) -> None:
        self._spent, self._from = spent, 0.0

    def __enter__(self) -> None:
        self._from = time.process_time()

    def __exit__(self, *_: object) -> None:
        self._spent.core_seconds += time.process_time() - self._from


def rate_at(share: float, highest: float, warmup: float) -> float:
    """Linear warm-up over the first `warmup` of the budget, then a cosine down to a hundredth."""
    if share < warmup:
        return highest * max(share / warmup, 0.01)
    done = min((share - warmup) / (1 - warmup), 1.0)
    return highest * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


class Progress:
    """Tells how long there is left, from the share of the work done since this process began."""

    def __init__(self, share: float) -> None:
        self._share, self._begun = share, time.monotonic()

    def minutes_left(self, share: float) -> float:
        """By the clock; infinite until something was done."""
        done = share - self._share
        return (time.monotonic() - self._begun) * max(1 - share, 0.0) / done / 60 if done > 0 else math.inf
