"""Which windows the head learns from and is calibrated on, each by its number, so that one can resume."""

from dataclasses import dataclass, fields, replace
from enum import Enum

import numpy as np

from models.clips import Window, labelled_window, still_windows, video_windows
from models.dataset import Clip, Pairs, held_stills
from models.splits import is_fake, is_own, is_training

SECONDS, RATE, STRIDE = 2.0, 8.0, 0.25  # s of a window, crops a second, s between two verdicts
LEAST, LENGTH = 4, round(SECONDS * RATE)  # crops in the shortest window that is scored, and in a full one
PER_VIDEO = 4  # windows of each labelled video; half of them degraded once more
MADE_PER_VIDEO = 3  # pairs of real and made-fake windows of each real video


class Kind(Enum):
    """Where a window comes from."""

    STILL = "still"  # a still in motion, real and made fake
    MADE = "made"  # a part of a real video, real and made fake
    LABELLED = "labelled"  # a part of a labelled video, degraded once more
    PLAIN = "plain"  # a part of a labelled video as it is


@dataclass(frozen=True, slots=True)
class Job:
    """One or two windows to be made."""

    kind: Kind
    index: int  # of the still or the clip
    begin: int | None = None  # first crop of the clip; None: at random, as is the length


def training_jobs(pairs: Pairs, stills: int, seed: int) -> list[Job]:
    """Moving stills, real videos with made fakes, labelled videos, shuffled; no held-apart people.

    Where there are fewer stills than asked for, one's own real videos, each in turn, stand in for the others.
    """
    rng = np.random.default_rng((seed, 1))
    held = set(held_stills(pairs.stills, pairs.mix.held_stills).tolist())
    usable = [i for i in range(len(pairs.stills)) if i not in held]
    chosen = rng.choice(usable, min(stills, len(usable)), replace=False)
    jobs = [Job(Kind.STILL, int(i)) for i in chosen]
    for i, clip in enumerate(pairs.clips):
        if is_training(clip.name):
            jobs += [Job((Kind.PLAIN, Kind.LABELLED)[k % 2], i) for k in range(PER_VIDEO)]
            jobs += [Job(Kind.MADE, i)] * (0 if is_fake(clip.name) else MADE_PER_VIDEO)
    own = [
        i for i, c in enumerate(pairs.clips) if is_own(c.name) and is_training(c.name) and not is_fake(c.name)
    ]
    jobs += [Job(Kind.MADE, own[k % len(own)]) for k in range(stills - len(chosen) if own else 0)]
    return [jobs[i] for i in rng.permutation(len(jobs))]


def held_jobs(pairs: Pairs, stills: int) -> list[Job]:
    """Of people never trained on: each second of the labelled videos as it is, and moving stills.

    Of one's own real videos each second with a made fake too: there may be no labelled ones.
    """
    jobs = [Job(Kind.STILL, int(i), 0) for i in held_stills(pairs.stills, pairs.mix.held_stills)[:stills]]
    for i, clip in enumerate(pairs.clips):
        if not is_training(clip.name):
            begins = range(0, max(1, len(clip.crops) - LENGTH + 1), round(RATE))
            jobs += [Job(Kind.PLAIN, i, begin) for begin in begins]
            if is_own(clip.name) and not is_fake(clip.name):
                jobs += [Job(Kind.MADE, i, begin) for begin in begins]
    return jobs


def all_jobs(stills: int, held: int, seed: int, pairs: Pairs) -> tuple[list[Job], list[Job]]:
    """The training jobs and the held-apart ones."""
    return training_jobs(pairs, stills, seed), held_jobs(pairs, held)


def nth(jobs: list[Job], seed: int, pairs: Pairs, number: int) -> list[Window]:
    """Job `number`, made: the same for every network."""
    return make(pairs, jobs[number], (seed, 2, number))


def make(pairs: Pairs, job: Job, seed: tuple[int, ...]) -> list[Window]:
    """A job's windows; with a `begin` they are of full length."""
    rng = np.random.default_rng(seed)
    count = LENGTH if job.begin is not None else int(rng.integers(LEAST, LENGTH + 1))
    if job.kind is Kind.STILL:
        return still_windows(pairs, job.index, count, rng)
    clip = pairs.clips[job.index]
    if job.begin is not None:
        clip = part(clip, job.begin, count)
    if job.kind is Kind.MADE:
        return video_windows(pairs, clip, count, rng)
    label, plain = float(is_fake(clip.name)), job.kind is Kind.PLAIN
    return [labelled_window(clip, label, pairs.spec, count, rng, plain)]


def part(clip: Clip, begin: int, count: int) -> Clip:
    """Some crops of a clip with all that belongs to them."""
    arrays = {f.name: getattr(clip, f.name) for f in fields(clip) if f.name != "name"}
    return replace(clip, **{name: array[begin : begin + count] for name, array in arrays.items()})
