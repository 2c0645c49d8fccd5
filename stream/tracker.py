"""Follows faces over frames: the detector on key frames, ONet or a glance between, ids that stay with people.

Decides only; it has no clock, and the networks are handed in. All times are seconds on the source's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stream.appearance import describe, is_cut, likeness, scene_of
from stream.association import SAME_PLACE, assign, closest, is_sound, same_place
from stream.key_frames import USUAL, Intervals, KeyFrames
from stream.late_search import LateSearch
from stream.looker import Looker
from stream.suppression import overlap
from stream.target import FORGET, Target
from stream.values import Face, Frame, Track

BIRTH = 0.9  # probability that a new face needs; a known one may fall to the detector's own threshold
MAX_TRACKS = 16
BIGGER = 1.2  # a new face this much larger takes the place of the smallest where all are taken
NEAR = 0.05  # overlap from which one face shows in the other's thumbnail
CLEARLY = 0.1  # difference in likeness that decides whose a face is
# Likeness to its last sight from which a face is in its place. At 0.93 a glance overlooks 4 % of the face's
# size where a camera pans, and boxes shake; at 0.98 their speed changes no more than without (8 clips).
UNMOVED = 0.98
TWIN = 0.8  # likeness from which a face disputed by two tracks belongs to both: they are one

Looks = NDArray[np.float32]


class Tracker:
    """Feed it every frame; it says which faces there are. One per source."""

    def __init__(self, looker: Looker, intervals: Intervals = USUAL, late: LateSearch | None = None) -> None:
        """looker: finds faces. intervals: how often it may look over the whole picture. late: does so beside
        this, and what it finds comes a moment later; None: frames wait for it, and all can be repeated.
        """
        self._looker, self._intervals = looker, intervals
        self.key_frames = KeyFrames(looker, intervals, late)
        self._targets: list[Target] = []
        self._next_id = 1
        self._time = -np.inf
        self._scene: Looks | None = None
        self.last_look: Literal["detect", "refine", "glance", "none"] = "none"

    def update(self, frame: Frame) -> tuple[Track, ...]:
        """The faces of a frame, the oldest track first; those out of sight are predicted.

        A corrupt frame is not looked at. Time that runs backwards (a new connection) ends all tracks.
        """
        time, gap = frame.time, frame.time - self._time
        if gap <= 0:
            self._targets, self._scene = [], None
            self.key_frames.forget()
        self._time, self.last_look = time, "none"
        if frame.corrupt:
            for target in self._targets:
                target.miss()
        else:
            self._watch_scene(frame.image, gap)
            self._look(frame.image, time)
        self._targets = [target for target in self._targets if not target.gone(time)]
        return tuple(target.track(time) for target in self._targets)

    def _watch_scene(self, image: NDArray[np.uint8], gap: float) -> None:
        """After a cut, or a gap in the stream, no face is where it was: its looks alone must tell it."""
        scene = scene_of(image)
        if self._scene is not None and (gap > FORGET or is_cut(self._scene, scene)):
            for target in self._targets:
                target.lost_scene = True
        self._scene = scene

    def _look(self, image: NDArray[np.uint8], time: float) -> None:
        """A key frame where one is due, or where a face has just gone out of sight."""
        faces = self._searched(image, time)
        self._follow(image, time, faces)
        faces = self._searched(image, time) if faces is None else faces
        if faces is not None:
            self._look_over(faces, image, time)

    def _searched(self, image: NDArray[np.uint8], time: float) -> list[Face] | None:
        faces = self.key_frames.faces(image, time, self._targets)
        if faces is not None:
            self.last_look = "detect" if self.key_frames.at_once else "refine"
        return faces

    def _follow(self, image: NDArray[np.uint8], time: float, faces: Sequence[Face] | None) -> None:
        """Find the known faces among those of a key frame, else by a glance or ONet where they should be."""
        crowded = self._crowded(time)
        steady = self._glance(image, time, crowded) if faces is None else []
        known = [t for t in self._targets if t not in steady and not t.lost_scene and t.verified(time)]
        claims = self._settle(self._claims(known, image, time, faces or [], crowded))
        boxes = np.array([claim.face.box for claim in claims], np.float32).reshape(-1, 4)
        for target in self._targets:
            claim = next((claim for claim in claims if claim.target is target), None)
            if claim is not None:
                apart = int((overlap(claim.face.box[None], boxes) > NEAR).sum()) == 1
                target.see(claim.face, claim.look, time, apart)
            elif target not in steady:
                target.miss()

    def _glance(self, image: NDArray[np.uint8], time: float, crowded: set[int]) -> list[Target]:
        """The targets found a moment ago that look the same where they should be now: they need no ONet."""
        steady = []
        for target in self._targets:
            if target.id not in crowded and target.steady(time, self._intervals.glance):
                look = describe(image, target.motion.smoothed(time)[1])
                if likeness(target.recent, look) >= UNMOVED:
                    steady.append(target)
        self.last_look = "glance" if steady else self.last_look
        return steady

    def _claims(
        self,
        known: list[Target],
        image: NDArray[np.uint8],
        time: float,
        faces: Sequence[Face],
        crowded: set[int],
    ) -> list["_Claim"]:
        """What each target may take for its face; two may want the same one."""
        claims = []
        sought = self._sought(image, _boxes(known, time), faces) if known else []
        for target, face in zip(known, sought, strict=True):
            if face is None or not is_sound(face) or not np.isfinite(target.distance(face, time)):
                continue
            look = describe(image, face.landmarks)
            alike = target.resembles(look, target.id in crowded)
            if alike is not None:
                claims.append(_Claim(target, face, look, alike))
        return claims

    def _sought(
        self, image: NDArray[np.uint8], places: NDArray[np.float32], faces: Sequence[Face]
    ) -> list[Face | None]:
        """For each place the face there: of those already found, else what ONet sees."""
        found = closest(places, faces)
        missing = [i for i, face in enumerate(found) if face is None]
        if missing:
            self.last_look = "detect" if self.last_look == "detect" else "refine"
            for i, face in zip(missing, self._looker.refine(image, places[missing]), strict=True):
                found[i] = face
        return found

    def _settle(self, claims: list["_Claim"]) -> list["_Claim"]:
        """Of claims to one face the best: of the likest, or else the one in sight, or else the oldest."""
        settled: list[_Claim] = []
        for claim in claims:  # the oldest first
            rival = next((c for c in settled if same_place(c.face, claim.face)), None)
            if rival is None:
                settled.append(claim)
                continue
            same = likeness(rival.target.look, claim.target.look) >= TWIN
            if same or not claim.target.confirmed:
                self._targets.remove(claim.target)
                rival.target.last_detected = max(rival.target.last_detected, claim.target.last_detected)
            elif claim.alike - rival.alike > CLEARLY * (1 if rival.target.seen else -1):
                settled[settled.index(rival)] = claim
        return settled

    def _look_over(self, faces: list[Face], image: NDArray[np.uint8], time: float) -> None:
        """What the detector found on a key frame: verifies what is known, finds again, finds new."""
        looks = [describe(image, face.landmarks) for face in faces]
        pairs = {j: self._targets[i] for i, j in assign(self._costs(faces, looks, time))}
        for j, target in sorted(pairs.items(), key=lambda pair: not pair[1].seen):
            if not target.seen:
                if self._taken(faces[j], time):
                    continue
                target.see(faces[j], looks[j], time, apart=True)
            target.detect(faces[j], time)
        for face, look in zip(faces, looks, strict=True):
            if face.probability >= BIRTH and not self._taken(face, time):
                self._bear(face, look, time)

    def _taken(self, face: Face, time: float) -> bool:
        """Whether a face is that of a target in sight."""
        boxes = _boxes([target for target in self._targets if target.seen], time)
        return bool(overlap(face.box[None], boxes).max(initial=0) > SAME_PLACE)

    def _costs(self, faces: list[Face], looks: list[Looks], time: float) -> NDArray[np.float64]:
        """(targets, faces): 0 = there and alike; inf = cannot be the same."""
        costs = np.full((len(self._targets), len(faces)), np.inf)
        crowded = self._crowded(time)
        for i, target in enumerate(self._targets):
            for j, (face, look) in enumerate(zip(faces, looks, strict=True)):
                alike = target.resembles(look, target.id in crowded)
                if alike is not None:
                    costs[i, j] = target.distance(face, time) + 1 - alike
        return costs

    def _crowded(self, time: float) -> set[int]:
        """The ids of targets that should be where another one is too."""
        if len(self._targets) < 2:
            return set()
        boxes = _boxes(self._targets, time)
        several = (overlap(boxes, boxes) > NEAR).sum(axis=1) > 1
        return {target.id for target, many in zip(self._targets, several, strict=True) if many}

    def _bear(self, face: Face, look: Looks, time: float) -> None:
        if len(self._targets) >= MAX_TRACKS:
            smallest = min(self._targets, key=lambda target: (target.confirmed, target.motion.size))
            side = float(face.box[2:].sum() - face.box[:2].sum()) / 2
            if side < BIGGER * smallest.motion.size:
                return
            self._targets.remove(smallest)
        self._targets.append(Target(self._next_id, face, look, time))
        self._next_id += 1


@dataclass(frozen=True, slots=True, eq=False)
class _Claim:
    """A face that a target may take for its own."""

    target: Target
    face: Face
    look: Looks
    alike: float


def _boxes(targets: list[Target], time: float) -> NDArray[np.float32]:
    """Where targets should be: (N, 4)."""
    return np.array([target.motion.smoothed(time)[0] for target in targets], np.float32).reshape(-1, 4)
