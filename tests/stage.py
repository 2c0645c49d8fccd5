"""A stage for the tracker: painted actors, and what the networks would see of them."""

import cv2
import numpy as np

from stream.appearance import SHAPE
from stream.suppression import overlap
from stream.values import Face, Frame

WIDTH, HEIGHT = 640, 360


class Actor:
    """A face of its own texture that follows a path; `path(time)` is its centre and side in px, or None."""

    def __init__(self, seed, path, depth=0):
        rng = np.random.default_rng(seed)
        self.texture = cv2.resize(
            rng.integers(0, 256, (6, 6, 3), np.uint8), (96, 96), interpolation=cv2.INTER_CUBIC
        )
        self.path, self.depth = path, depth

    def face(self, time):
        place = self.path(time)
        if place is None:
            return None
        x, y, side = place
        corner = np.float32([x - side / 2, y - side / 2])
        return Face(np.float32([*corner, *(corner + side)]), corner + SHAPE * np.float32(side), 0.99)


class Stage:
    """Paints actors into frames and answers for the networks: it sees a face unless a nearer one hides it."""

    def __init__(self, *actors, scene=0):
        self.actors, self.calls = actors, []
        self.wall = cv2.resize(
            np.random.default_rng(scene + 99).integers(0, 256, (9, 16, 3), np.uint8), (WIDTH, HEIGHT)
        )
        self.visible: list[Face] = []

    def frame(self, time, index=0, corrupt=False):
        image, self.visible = self.wall.copy(), []
        for actor in sorted(self.actors, key=lambda actor: actor.depth):
            face = actor.face(time)
            if face is None:
                continue
            x1, y1, x2, y2 = (round(float(v)) for v in face.box)
            matrix = np.float32([[(x2 - x1) / 96, 0, x1], [0, (y2 - y1) / 96, y1]])
            cv2.warpAffine(actor.texture, matrix, (WIDTH, HEIGHT), image, borderMode=cv2.BORDER_TRANSPARENT)
            self.visible = [other for other in self.visible if _hidden(other, face) < 0.5] + [face]
        return Frame(image, time, time, index, corrupt)

    def detect(self, image):
        self.calls.append("detect")
        return tuple(self.visible)

    def refine(self, image, boxes):
        self.calls.append("refine")
        return [self._nearest(box) for box in boxes]

    def _nearest(self, box):
        near = [(overlap(box[None], face.box[None])[0, 0], i) for i, face in enumerate(self.visible)]
        best = max(near, default=(0, 0))
        return self.visible[best[1]] if best[0] > 0.35 else None


class Cuts:
    """One stage after the other, as the tracker's networks see them."""

    def __init__(self, stage):
        self.stage = stage

    def detect(self, image):
        return self.stage.detect(image)

    def refine(self, image, boxes):
        return self.stage.refine(image, boxes)


def _hidden(face, by):
    """The part of a face that another covers."""
    start, end = np.maximum(face.box[:2], by.box[:2]), np.minimum(face.box[2:], by.box[2:])
    return float(np.maximum(end - start, 0).prod() / (face.box[2:] - face.box[:2]).prod())


def still(x=200, y=150, side=90):
    return lambda time: (x, y, side)


def run(tracker, stage, times, corrupt=lambda time: False):
    return [tracker.update(stage.frame(t, i, corrupt(t))) for i, t in enumerate(times)]


def clock(seconds, fps=30.0, start=0.0):
    return start + np.arange(round(seconds * fps)) / fps


def of_actor(tracks, actor, time):
    """The id of the seen track on an actor's face, or None."""
    box = actor.face(time).box
    hits = [t.id for t in tracks if t.seen and overlap(t.box[None], box[None])[0, 0] > 0.5]
    assert len(hits) <= 1
    return hits[0] if hits else None
