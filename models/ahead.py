"""Makes training data ahead of time in processes of their own, piece by number, always in order."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar

import cv2
from torch.utils.data import DataLoader, Dataset

from models.dataset import Pairs

Piece = TypeVar("Piece")


class _Made(Dataset[tuple[Piece, float]], Generic[Piece]):
    """Pieces by number: resuming at number n is starting the sampler at n."""

    def __init__(self, open_pairs: Callable[[], Pairs], make: Callable[[Pairs, int], Piece]) -> None:
        self._open, self._make = open_pairs, make
        self._pairs: Pairs | None = None

    def __getitem__(self, number: int) -> tuple[Piece, float]:
        if self._pairs is None:  # opened in the worker: a spawned process would else be sent all pictures
            cv2.setNumThreads(0)
            self._pairs = self._open()
        begun = time.process_time()
        return self._make(self._pairs, number), time.process_time() - begun


def _as_it_is(made: Any) -> Any:
    return made


def _asked(ask: Callable[[Pairs], Piece], pairs: Pairs, number: int) -> Piece:
    return ask(pairs)


def elsewhere(open_pairs: Callable[[], Pairs], ask: Callable[[Pairs], Piece]) -> Piece:
    """ask(pairs) in a process of its own, so that this one never holds the videos, which take gigabytes."""
    ((answer, _),) = ahead(open_pairs, partial(_asked, ask), range(1))
    return answer


def ahead(
    open_pairs: Callable[[], Pairs],
    make: Callable[[Pairs, int], Piece],
    numbers: range,
    workers: int = 1,
) -> Iterator[tuple[Piece, float]]:
    """make(pairs, n) and its CPU seconds, for each n of `numbers`, in order, made by `workers` processes.

    0 workers: in this process.

    They are spawned, not forked: OpenCV's, FFmpeg's and OpenMP's threads do not survive a fork. So both
    functions have to be picklable: named ones, or functools.partial of such.
    """
    if len(numbers):
        yield from DataLoader(
            _Made(open_pairs, make),
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            prefetch_factor=6 if workers else None,
            collate_fn=_as_it_is,
            multiprocessing_context="spawn" if workers else None,
        )
