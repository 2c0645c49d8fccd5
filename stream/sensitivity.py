"""How much verdicts hang on small differences: a path's scores, a little higher and lower, judged again."""

import math
from dataclasses import replace

import numpy as np

from export.explain import logit
from stream.association import SAME_PLACE
from stream.judge import Judge, Policy, verdict
from stream.suppression import overlap
from stream.values import Result, Score, State, TrackView

NUDGES = (0.02, 0.05, 0.1)  # of the logit; 0.1 is what a crop that is 1 % larger moves it by


class Nudged:
    """The states of a path whose scores all were moved by so much."""

    def __init__(self, policy: Policy, shift: float) -> None:
        """shift: added to each score's logit."""
        self._judge, self._shift = Judge(policy, "", "", ""), shift
        self.told: list[tuple[float, State]] = []  # (time s, state of the stream) of each frame

    def step(self, result: Result) -> None:
        """Judge what the path said of one frame once more."""
        now = result.frame.time
        scores = [moved(view, now, self._shift) for view in result.tracks]
        states, _ = self._judge.step(now, scores)
        self.told.append(
            (now, verdict([replace(view, state=states[view.track.id]) for view in result.tracks]))
        )


def moved(view: TrackView, now: float, shift: float) -> Score:
    """A track's last score with its logit moved."""
    if view.score is None or view.score.value is None:
        return Score(view.track.id, now, None, 0)
    value = view.score.value
    return replace(view.score, value=value / (value + (1 - value) * math.exp(-shift)))


def differences(ours: Result, theirs: Result) -> list[float]:
    """By how much two paths' new scores of the same faces differ in the logit, on the same frame."""
    now = ours.frame.time
    fresh, known = (
        [(view.track.box[None], value) for view in result.tracks if (value := _fresh(view, now)) is not None]
        for result in (ours, theirs)
    )
    return [a - b for box, a in fresh for place, b in known if overlap(box, place)[0, 0] > SAME_PLACE]


def _fresh(view: TrackView, now: float) -> float | None:
    """The logit of a score made at this very moment."""
    score = view.score
    if score is None or score.value is None or score.time != now:
        return None
    return float(logit(np.array(score.value)))
