"""One face while it is followed: where it goes, what it looks like, how sure the tracker is of it."""

import numpy as np
from numpy.typing import NDArray

from stream.appearance import blend, likeness
from stream.motion import Motion
from stream.values import Face, Track

CONFIRM_HITS, CONFIRM_DETECTIONS = 3, 2  # frames in which it was seen, and of them by the detector
CONFIRM_AFTER = 0.2  # s since the first of them
FORGET = 1.0  # s unseen after which a face is given up
FORGET_NEW = 0.3  # s, of one that never was confirmed
VERIFY = 2.0  # s: a face that ONet still likes but the detector has not found for so long is none
# Measured on 239 faces of 19 clips: the same face a frame later is alike by 0.91 (99 % of pairs), 0.3 s
# later by 0.90 and 1 s later by 0.47 (95 %); two people by 0.18 (median), at most 0.57 (95 %), 0.75 (99 %).
SAME_NEXT = 0.6  # likeness that a face needs which was seen in the frame before, at this place
SAME_AGAIN = 0.65  # after it was out of sight
SAME_AFTER_CUT = 0.85  # after a cut, when the place says nothing
LEARN = 0.5  # s, time constant of the appearance
REACH = 0.5  # face sizes that a face may be away from where it should be; ONet finds it no farther off
WANDER = 2.0  # face sizes / s that it may stray in addition while nobody sees it
RESIZE = 1.6  # factor by which it may have grown or shrunk meanwhile


class Target:
    """The tracker's changing state of one face; `track` is what the world sees of it."""

    def __init__(self, number: int, face: Face, look: NDArray[np.float32], time: float) -> None:
        """number: the track's id. look: what it looks like, from `describe`. time: s."""
        self.id, self.motion = number, Motion(face, time)
        self.look = self.recent = look  # over the last second or so, and when last seen
        self.first = self.last_seen = self.last_detected = time
        self.hits = self.detections = 1
        self.probability = face.probability
        self.confirmed, self.seen, self.lost_scene = False, True, False

    def see(self, face: Face, look: NDArray[np.float32], time: float, apart: bool) -> None:
        """Take this face as the target's. apart: no other face is near enough to colour its looks."""
        self.motion.update(face, time)
        if apart:
            self.look = blend(self.look, look, -np.expm1(-(time - self.last_seen) / LEARN))
            self.recent = look
        self.last_seen, self.probability, self.seen, self.lost_scene = time, face.probability, True, False
        self.hits += 1
        self._judge(time)

    def detect(self, face: Face, time: float) -> None:
        """The detector has found it, as `face`, without being told where."""
        self.motion.learn(face, time)
        self.last_detected = time
        self.detections += 1
        self._judge(time)

    def miss(self) -> None:
        """Not seen in this frame."""
        self.seen = False

    def gone(self, time: float) -> bool:
        """Whether it is to be given up."""
        return time - self.last_seen > (FORGET if self.confirmed else FORGET_NEW)

    def verified(self, time: float) -> bool:
        """Whether the detector itself has found it lately."""
        return time - self.last_detected <= VERIFY

    def steady(self, time: float, within: float) -> bool:
        """Whether it was found less than `within` s ago, and nothing about it is in doubt."""
        sure = self.confirmed and self.seen and not self.lost_scene and self.verified(time)
        return sure and time - self.last_seen < within

    def distance(self, face: Face, time: float) -> float:
        """How far a face is from where this one should be, 0..1 of what it may; inf beyond that."""
        box = self.motion.smoothed(time)[0]
        side, other = _side(box), _side(face.box)
        if self.lost_scene:
            return 0.0
        if not 1 / RESIZE < other / max(side, 1e-3) < RESIZE:
            return float("inf")
        off = float(np.hypot(*((face.box[:2] + face.box[2:]) - (box[:2] + box[2:])))) / 2 / side
        # The size of the step between two frames counts as time out of sight: 5 fps needs more room than 60.
        part = off / (REACH + WANDER * (time - self.last_seen))
        return part if part <= 1 else float("inf")

    def resembles(self, look: NDArray[np.float32], crowded: bool) -> float | None:
        """How alike a face looks, -1..1; None where that is not enough to be the same.

        A head that turns changes fast but step by step, so its last look counts too; unless the place is
        crowded, where step by step one face slides over another.
        """
        alike = likeness(self.look, look)
        if not crowded:
            alike = max(alike, likeness(self.recent, look))
        needed = SAME_AFTER_CUT if self.lost_scene else SAME_NEXT if self.seen else SAME_AGAIN
        return alike if alike >= needed else None

    def track(self, time: float) -> Track:
        """The value handed on for the frame at `time`."""
        box, landmarks = self.motion.smoothed(time)
        return Track(self.id, box, landmarks, self.probability, self.confirmed, self.seen)

    def _judge(self, time: float) -> None:
        long_enough = time - self.first >= CONFIRM_AFTER
        enough = self.hits >= CONFIRM_HITS and self.detections >= CONFIRM_DETECTIONS
        self.confirmed = self.confirmed or (enough and long_enough)


def _side(box: NDArray[np.float32]) -> float:
    return float(box[2] - box[0] + box[3] - box[1]) / 2
