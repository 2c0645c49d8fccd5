"""Turns a stream's timestamps, missing or broken as they may be, into seconds that strictly increase."""

TICK = 0.001  # s, the smallest step between two frames
REORDERED = 1.0  # s; a step back by less is a frame out of order, a longer one a clock that was set anew
AHEAD = 5.0  # s that live timestamps may run ahead of the packets' arrival before they are not believed


class Timeline:
    """The clock of one connection; it begins at 0 with the first frame. Pure."""

    def __init__(self, period: float) -> None:
        """period: s between two frames where nothing else tells."""
        self._period = period
        self._offset: float | None = None  # s, from the stream's timestamps to ours
        self._last: float | None = None  # s, ours
        self._arrived: float | None = None  # s, monotonic

    def place(self, stamp: float | None, arrived: float | None = None) -> float:
        """The time in s of the next frame.

        stamp: its timestamp in s, None where it has none. arrived: s on the monotonic clock when its
        packet came; None for a file, where it means nothing.
        """
        waited = None if arrived is None or self._arrived is None else arrived - self._arrived
        time = self._time(stamp, waited)
        if self._last is not None and time < self._last + TICK:
            time = self._last + TICK
        self._last, self._arrived = time, arrived
        return time

    def _time(self, stamp: float | None, waited: float | None) -> float:
        guess = 0.0 if self._last is None else self._last + (self._period if waited is None else waited)
        if stamp is None:
            return guess
        if self._offset is None:
            self._offset = guess - stamp
            return guess
        time = stamp + self._offset
        assert self._last is not None
        step = time - self._last
        if step < -REORDERED or (waited is not None and step > waited + AHEAD):
            guess = max(guess, self._last + self._period)
            self._offset, time = guess - stamp, guess
        return time


class Damage:
    """Knows which frames damage reaches: from the damaged packet to the next key packet. Pure.

    Packets are numbered in the order of decoding, so that it holds with B-frames too, which come out late.
    """

    def __init__(self) -> None:
        self._begin: int | None = None  # the packet that damage began with, None: the stream is whole
        self._healed: tuple[int, int, float | None] | None = None  # begin, key packet, its stamp in s

    def packet(self, number: int, key: bool, stamp: float | None, damaged: bool) -> None:
        """Note a packet before its frames: its number, whether a decoder can start there, its stamp in s."""
        if key and self._begin is not None:
            self._healed, self._begin = (self._begin, number, stamp), None
        if damaged:
            self.found(number)

    def found(self, number: int) -> None:
        """Damage showed while packet `number` was decoded."""
        if self._begin is None or number < self._begin:
            self._begin = number

    def reaches(self, number: int, stamp: float | None) -> bool:
        """Whether the frame of packet `number`, shown at `stamp` s, is damaged."""
        if self._begin is not None and number >= self._begin:
            return True
        if self._healed is None:
            return False
        begin, key, shown = self._healed
        # Frames shown before a key frame but decoded after it lean on what came before it (an open GOP).
        leaning = number > key and stamp is not None and shown is not None and stamp < shown
        return begin <= number < key or leaning
