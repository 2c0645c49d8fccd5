"""The report card: from what the live path said of files to figures, per folder and pooled. Pure.

A video's score is the mean over its main track, the one with the most scores. Files without a score stay out
of every figure but the false alarms and are listed, never hidden.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.decisions import Confusion, poisson_interval, wilson_interval
from models.faces_seen import by_face
from models.metrics import auc
from models.reliability import Reliability, even_odds, log_loss
from models.roc import auc_interval_by_video, equal_error_rate, tpr_at_fpr
from models.watched import Watched, pairs_of

RATES = (0.01, 0.05)  # false-positive rates at which hits are told
POOLED = "pooled"
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scored:
    """A file with a score, and the folder that it is of."""

    folder: str
    watched: Watched
    score: float

    @property
    def samples(self) -> Array:
        """The probabilities of its main track."""
        return np.array([s.value for s in self.watched.samples])


def report_card(folders: Mapping[str, Sequence[Watched]], threshold: float) -> dict[str, dict[str, Any]]:
    """The figures by folder name, and `pooled`. threshold: at this score a video is called fake.

    Where a figure cannot be had, because a side is empty or nothing was called fake, it is None.
    Raises ValueError for a folder called "pooled".
    """
    if POOLED in folders:
        raise ValueError(f"a folder cannot be called {POOLED!r}: that is the name of all together")
    card = {name: figures({name: watched}, threshold) for name, watched in folders.items()}
    return {**card, POOLED: figures(folders, threshold)}


def figures(folders: Mapping[str, Sequence[Watched]], threshold: float) -> dict[str, Any]:
    """The figures of some folders taken as one; names get the folder in front where there are several."""
    everything = [(name, w) for name, watched in folders.items() for w in watched]
    scored = [Scored(name, w, w.score) for name, w in everything if w.score is not None]
    real, fake = ([s for s in scored if s.watched.item.fake == side] for side in (False, True))

    def called(name: str, w: Watched) -> str:
        return f"{name}/{w.item.name}" if len(folders) > 1 else w.item.name

    found = {
        "videos_real": len(real),
        "videos_fake": len(fake),
        **_ranking(real, fake),
        **_verdicts(real, fake, threshold),
        **_probabilities(real, fake),
        **_pairs(folders),
        **_alarms([w for _, w in everything]),
        "by_kind": _by_kind(real, fake),
        "by_face": by_face([s.watched for s in real], [s.watched for s in fake]),
        "not_scored": {called(n, w): w.note for n, w in everything if w.score is None},
        "damaged": {called(n, w): w.note for n, w in everything if w.score is not None and w.note},
        "scores": {called(s.folder, s.watched): s.score for s in scored},
    }
    return rounded(found)


def _ranking(real: list[Scored], fake: list[Scored]) -> dict[str, Any]:
    r, f = [s.score for s in real], [s.score for s in fake]
    strata = [s.folder for s in real], [s.folder for s in fake]
    real_samples, fake_samples = [s.samples for s in real], [s.samples for s in fake]
    both = bool(real and fake)
    return {
        "video_auc": auc(r, f),
        "video_auc_ci": auc_interval_by_video([[x] for x in r], [[x] for x in f], *strata),
        "frame_auc": auc(np.concatenate(real_samples), np.concatenate(fake_samples)) if both else None,
        "frame_auc_ci": auc_interval_by_video(real_samples, fake_samples, *strata),
        "eer": equal_error_rate(r, f) if both else None,
        **{f"tpr_at_fpr_{rate}": tpr_at_fpr(r, f, rate) if both else None for rate in RATES},
    }


def _verdicts(real: list[Scored], fake: list[Scored], threshold: float) -> dict[str, Any]:
    confusion = Confusion.at(threshold, [s.score for s in real], [s.score for s in fake])
    return {
        "threshold": threshold,
        "accuracy": confusion.accuracy,
        "balanced_accuracy": confusion.balanced_accuracy,
        "precision": confusion.precision,
        "recall": confusion.recall,
        "f1": confusion.f1,
        "confusion": asdict(confusion),
    }


def _probabilities(real: list[Scored], fake: list[Scored]) -> dict[str, Any]:
    p = np.array([s.score for s in (*real, *fake)])
    labels = np.r_[np.zeros(len(real)), np.ones(len(fake))]
    weights = even_odds(labels) if real and fake else None
    return {
        "log_loss": log_loss(p, labels),
        "log_loss_even_odds": None if weights is None else log_loss(p, labels, weights),
        "calibration_error": Reliability.of(p, labels).error,
        "calibration_error_even_odds": None if weights is None else Reliability.of(p, labels, weights).error,
    }


def _pairs(folders: Mapping[str, Sequence[Watched]]) -> dict[str, Any]:
    """In how many pairs the fake scores higher than its own real; both must have a score.

    The AUC among them leaves out reals of whom there is no fake: other people, other cameras, easier.
    """
    pairs = [
        (real, fake, real.score, fake.score)
        for watched in folders.values()
        for real, fake in pairs_of(watched)
        if real.score is not None and fake.score is not None
    ]
    if not pairs:
        return {}
    right = sum(fake > real for _, _, real, fake in pairs)
    reals = {id(real): score for real, _, score, _ in pairs}
    return {
        "pairs": len(pairs),
        "pairs_right": right,
        "pairs_right_ci": wilson_interval(right, len(pairs)),
        "pairs_video_auc": auc(list(reals.values()), [score for *_, score in pairs]),
    }


def _alarms(watched: list[Watched]) -> dict[str, Any]:
    """Alerts of the judge; stills do not count, for they have no hours."""
    videos = [w for w in watched if not w.item.picture]
    real = [w for w in videos if not w.item.fake]
    hours, count = sum(w.seconds for w in real) / 3600, sum(w.opened for w in real)
    fakes = [w for w in videos if w.item.fake]
    found: dict[str, Any] = {
        "false_alarms": count,
        "real_hours": hours,
        "fakes_alerted": sum(w.opened > 0 for w in fakes),
        "fakes_watched": len(fakes),
    }
    if hours:
        low, high = poisson_interval(count)
        found["false_alarms_per_hour"] = count / hours
        found["false_alarms_per_hour_ci"] = (low / hours, high / hours)
    return found


def _by_kind(real: list[Scored], fake: list[Scored]) -> dict[str, Any]:
    """The video AUC of each subfolder of fakes against the reals beside it."""
    kinds = dict.fromkeys((s.folder, s.watched.item.kind) for s in fake)
    found = {}
    for folder, kind in kinds:
        of_kind = [s for s in fake if (s.folder, s.watched.item.kind) == (folder, kind)]
        base = of_kind[0].watched.item.base
        beside = [s.score for s in real if s.folder == folder and s.watched.item.base == base]
        if kind:
            value = auc(beside, [s.score for s in of_kind])
            found[f"{folder}/{kind}"] = {"video_auc": value, "videos_fake": len(of_kind)}
    return found


def rounded(value: Any, digits: int = 4) -> Any:
    """The same, fit for JSON: numbers rounded, nan as None, tuples as lists."""
    if isinstance(value, Mapping):
        return {key: rounded(inner, digits) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner, digits) for inner in value]
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else round(float(value), digits)
    return value
