"""A stream's search of the whole picture, beside its pump: no frame waits for it."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from stream.aside import Aside, timed
from stream.association import is_sound, same_place
from stream.looker import Looker, search
from stream.meter import Meter
from stream.values import Face

# s on the source's clock; a search that is not done by then is given up for one at once. Where the machine is
# full that costs the most, and known faces are verified in time (target.VERIFY) even so.
PATIENCE = 1.0

Picture = NDArray[np.uint8]  # (H, W, 3) BGR


class LateSearch:
    """What others find in one picture while its stream goes on, shown to ONet in a later one."""

    def __init__(
        self, looker: Looker, aside: Aside, note: Callable[[float], None] = lambda seconds: None
    ) -> None:
        """aside: searches. note: told, by the thread that asks, the s that a search took."""
        self._looker, self._aside, self._note = looker, aside, note
        self._future: Future[tuple[list[Face], float]] | None = None
        self.begun = -np.inf  # s on the source's clock, when the last picture was handed over

    def begin(self, image: Picture, now: float) -> bool:
        """Hand over a picture, unless one is under way. False: it is to be searched at once instead."""
        if self._future is not None and now - self.begun < PATIENCE:
            return True
        late = self._future is not None
        self.drop()
        if not late:
            self._future = self._aside.submit(partial(timed, partial(search, self._looker, image)))
            self.begun = now
        return self._future is not None

    def drop(self) -> None:
        """Nobody wants to know any more."""
        if self._future is not None:
            self._future.cancel()
            self._future = None

    def found(self, image: Picture) -> list[Face | None] | None:
        """Of each face that was found then, what it is in the present picture; None: not in its place.

        None instead of a list: no search is done. Raises what the search raised.
        """
        if self._future is None or not self._future.done():
            return None
        future, self._future = self._future, None
        if future.cancelled():  # the program ends
            return None
        faces, seconds = future.result()
        self._note(seconds)
        return present(self._looker, image, faces)


def late_search(looker: Looker, aside: Aside | None, meter: Meter) -> LateSearch | None:
    """What a live stream's tracker gets where there is somebody to search beside it."""
    return None if aside is None else LateSearch(looker, aside, lambda seconds: meter.note("search", seconds))


def present(looker: Looker, image: Picture, faces: Sequence[Face]) -> list[Face | None]:
    """Faces of an earlier picture as they are in this one; None for each that is not near its place.

    The landmarks are those that ONet finds now. The box lies around them as the whole detector laid it then,
    which ONet, given one square, does not find as well.
    """
    if not faces:
        return []
    again = looker.refine(image, np.stack([face.box for face in faces]))
    now: list[Face | None] = []
    for face, new in zip(faces, again, strict=True):
        if new is None or not (is_sound(new) and same_place(face, new)):
            now.append(None)
            continue
        moved = np.tile(new.landmarks.mean(axis=0) - face.landmarks.mean(axis=0), 2)
        now.append(replace(face, box=face.box + moved, landmarks=new.landmarks))
    return now
