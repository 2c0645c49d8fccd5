"""Shows that the fast path says what the slow path says: `python -m stream.agreement FILE_OR_FOLDER…`.

The fast path is the product's own stair: detection on key frames, ONet between, 8 crops a second of each
face (4 of one that is seen well and far from any change), a frame's crops in one run, the second eye on some
of them. The slow path leaves nothing out: every frame is looked over by the whole of MTCNN, and every frame's
faces are encoded, each crop alone and with both eyes. Head, judge and thresholds are the same. A second's
state is the one that stood longest in it.

Who seeks new faces on every frame also finds more that are none, which stand as UNCERTAIN beside the real one
until they are forgotten; and the head was trained at 8 crops a second. `--slow paced` takes new faces and
crops at the product's own pace, while every frame is still looked over. Seconds that differ are told by
their two states, and those of one alarm counted apart. The interval is a bootstrap over files, as the seconds
of one hang together (Davison & Hinkley 1997, section 3.8).

`--itself` compares the slow path with the slow path, connected two frames later and so taking other crops of
the same video: how far the verdicts hang on that alone. Every run also tells how much the two paths' scores
differ, and how often the slow path's own scores, moved by a little, would have given the same state.

    python -m stream.agreement DATA/faceforensics DATA/deepfacelive DATA/dfdc --seconds 10 --json FILE
"""

import argparse
import json
import math
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from stream.config import PROVIDERS
from stream.crops import VIDEOS
from stream.errors import ConfigError, FacewitnessError, Truncated
from stream.judge import Policy
from stream.networks import open_networks
from stream.providers import choose
from stream.sensitivity import NUDGES, Nudged, differences
from stream.slow_path import Late, Stair, fast, slow
from stream.sources import SourceOptions, display_name, find
from stream.values import RISKY, Frame, Phase, State

WANTED = 0.99  # of the seconds
DRAWS = 2000  # of the bootstrap
LATE = 2  # frames by which a path that is compared with itself begins later


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the two paths agree on one video, or on all."""

    name: str
    seconds: int
    same_seconds: int
    same_alerts: int  # seconds in which both or neither are an ALERT
    same_alarms: int  # seconds in which both or neither are SUSPICIOUS or ALERT
    differ: dict[str, int]  # seconds by both states, the fast path's first
    same_frames: float  # share of all frames with the same state
    fast_alerts: tuple[float, ...]  # s, when each alert opened
    slow_alerts: tuple[float, ...]
    scores: int  # that both paths gave the same face on the same frame
    squares: float  # the sum of the squares by which their logits differ
    nudged: dict[str, int]  # seconds that the slow path's scores would tell alike, by how much they are moved


def compare(
    name: str, frames: Iterator[Frame], paths: Sequence[Callable[[], Stair]], policy: Policy
) -> Agreement:
    """Take a video through both paths, each frame decoded once.

    paths: the fast and the slow one. policy: by which the slow one's scores are judged once more.
    """
    stairs = [make() for make in paths]
    nudged = {f"{shift:+}": Nudged(policy, shift) for size in NUDGES for shift in (size, -size)}
    states: list[list[tuple[float, State]]] = [[], []]
    alerts: list[list[float]] = [[], []]
    apart: list[float] = []
    for frame in frames:
        results = [stair.step(frame) for stair in stairs]
        for result, told, opened in zip(results, states, alerts, strict=True):
            told.append((frame.time, result.state))
            opened += [round(frame.time, 2) for alert in result.alerts if alert.phase is Phase.OPENED]
        apart += differences(*results)
        for again in nudged.values():
            again.step(results[1])
    ours, theirs = (by_second(told) for told in states)
    same = sum(a is b for (_, a), (_, b) in zip(*states, strict=True))
    pairs = Counter((ours[second], theirs[second]) for second in ours)
    return Agreement(
        name,
        len(ours),
        sum(count for (a, b), count in pairs.items() if a is b),
        sum(count for (a, b), count in pairs.items() if (a is State.ALERT) == (b is State.ALERT)),
        sum(count for (a, b), count in pairs.items() if (a in RISKY) == (b in RISKY)),
        {f"{a.value}, {b.value}": count for (a, b), count in pairs.items() if a is not b},
        same / max(len(states[0]), 1),
        tuple(alerts[0]),
        tuple(alerts[1]),
        len(apart),
        sum(each**2 for each in apart),
        {shift: _alike(theirs, by_second(again.told)) for shift, again in nudged.items()},
    )


def _alike(some: dict[int, State], others: dict[int, State]) -> int:
    return sum(others[second] is state for second, state in some.items())


def interval(found: Sequence[Agreement], seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the share of seconds that agree, whole files drawn; (1, 1) where all do."""
    same, seconds = np.array([(a.same_seconds, a.seconds) for a in found], np.float64).T
    often = np.random.default_rng(seed).multinomial(len(found), [1 / len(found)] * len(found), DRAWS)
    low, high = np.quantile((often @ same) / (often @ seconds), (0.025, 0.975))
    return float(low), float(high)


def summary(found: Sequence[Agreement]) -> dict[str, float]:
    """Over all files: the seconds, those that agree, their share with its interval, files that differ.

    alerts_of_both, alerts_of_first, alerts_of_slow: files in which both paths raised one, or one alone did.
    """
    seconds, same = sum(a.seconds for a in found), sum(a.same_seconds for a in found)
    low, high = interval(found)
    differ = sum(a.same_seconds < a.seconds for a in found)
    share = {"share": same / seconds, "low": low, "high": high}
    share["same_alerts"] = sum(a.same_alerts for a in found) / seconds
    share["same_alarms"] = sum(a.same_alarms for a in found) / seconds
    raised = Counter((bool(a.fast_alerts), bool(a.slow_alerts)) for a in found)
    for who, pair in (("both", (True, True)), ("first", (True, False)), ("slow", (False, True))):
        share[f"alerts_of_{who}"] = raised[pair]
    scores, squares = sum(a.scores for a in found), sum(a.squares for a in found)
    share["apart"] = math.sqrt(squares / max(scores, 1))  # of the logits, root mean square
    for size in NUDGES:
        both = sum(a.nudged[f"{shift:+}"] for a in found for shift in (size, -size))
        share[f"nudged_{size}"] = both / 2 / seconds
    return {"files": len(found), "files_that_differ": differ, "seconds": seconds, "same": same, **share}


def by_second(told: Sequence[tuple[float, State]]) -> dict[int, State]:
    """The state that stood in most of each second's frames; of two alike the earlier."""
    counts: dict[int, Counter[State]] = defaultdict(Counter)
    for moment, state in told:
        counts[int(moment)][state] += 1
    return {second: counted.most_common(1)[0][0] for second, counted in counts.items()}


def videos_of(words: Sequence[str]) -> Iterator[str]:
    """The videos that are named, and those in folders that are."""
    for word in words:
        if not Path(word).is_dir():
            yield word
            continue
        yield from (str(p) for p in sorted(Path(word).rglob("*")) if p.suffix.lower() in VIDEOS)


def frames_of(name: str, duration: float | None) -> Iterator[Frame]:
    """A video's frames, the first `duration` s of it; one that is cut off as far as it goes.

    Raises a SourceError, ConfigError for a live source.
    """
    source = find(name)
    if source.LIVE:
        raise ConfigError(f"{display_name(name)}: a live source is never twice the same; give files")
    try:
        for frame in source.frames(name, SourceOptions()):
            if duration is not None and frame.time >= duration:
                return
            yield frame
    except Truncated as error:
        print(f"agreement: {error}", file=sys.stderr)


def row(found: Agreement, first: str = "fast") -> str:
    """One video for people. first: what the first path is called."""
    alerts = f"{first} {list(found.fast_alerts)}, slow {list(found.slow_alerts)}"
    differ = "".join(f"; {count} s {states}" for states, count in found.differ.items())
    return (
        f"{found.name}: {found.same_seconds} of {found.seconds} seconds, "
        f"{found.same_frames:.2%} of the frames; alerts at s: {alerts}{differ}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 where both agree in 99 % of all seconds, 1 where not, else an error's code."""
    given = _parser().parse_args(arguments)
    try:
        networks = open_networks(given.model, choose(given.provider), given.threads, given.min_face)
    except FacewitnessError as error:
        print(f"agreement: {error}", file=sys.stderr)
        return error.exit_code
    leisurely = slow(networks, every=given.slow == "every")
    paths = (lambda: Late(leisurely(), LATE)) if given.itself else fast(networks), leisurely
    policy = Policy(networks.detector.card.thresholds)
    report = {"schema": 1, "type": "agreement", "model": networks.label, "slow": given.slow}
    report |= {"itself": given.itself}
    found: list[Agreement] = []
    skipped: list[str] = []
    code, begin = 0, time.process_time()
    for name in videos_of(given.files):
        try:
            found.append(compare(display_name(name), frames_of(name, given.seconds), paths, policy))
        except FacewitnessError as error:
            print(f"agreement: {error}", file=sys.stderr)
            skipped, code = [*skipped, display_name(name)], error.exit_code
            continue
        print(row(found[-1], "later" if given.itself else "fast"), flush=True)
        if given.json:  # after each file: a run of hours that is ended has said what it knew
            report |= {**summary(found), "cpu_s": round(time.process_time() - begin, 1), "skipped": skipped}
            Path(given.json).write_text(json.dumps({**report, "each": [asdict(a) for a in found]}, indent=1))
    if not found:
        return code or ConfigError.exit_code
    print(told(summary(found), time.process_time() - begin))
    return 0 if summary(found)["share"] >= WANTED else 1


def told(all_files: dict[str, float], cpu: float) -> str:
    """The total for people, and how sure it is. cpu: s that it took."""
    total = "all {files} files: {same} of {seconds} seconds, {share:.2%}".format(**all_files)
    sure = "95 % interval over files {low:.2%} to {high:.2%}".format(**all_files)
    verdict = "not reached" if all_files["share"] < WANTED else "reached"
    if verdict == "reached" and all_files["low"] < WANTED:
        verdict = "reached, but not with 95 % confidence"
    differ = all_files["files_that_differ"]
    alarms = f"alert or none alike in {all_files['same_alerts']:.2%}, suspicion or none in "
    alarms += f"{all_files['same_alarms']:.2%}"
    alerts = "alerts of both paths in {alerts_of_both} files, of the first alone in {alerts_of_first}, "
    alerts = (alerts + "of the slow one alone in {alerts_of_slow}").format(**all_files)
    ending = f"wanted {WANTED:.0%}: {verdict}; {cpu / 60:.1f} CPU minutes"
    nudges = ", ".join(f"{size} {all_files[f'nudged_{size}']:.2%}" for size in NUDGES)
    apart = f"the logits differ by {all_files['apart']:.3f} (root mean square)"
    hang = f"{apart}; the slow path's own states after a move of its logits by {nudges}"
    return f"{total}; {sure}; {differ} files differ; {alarms}\n{alerts}\n{hang}\n{ending}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stream.agreement",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="videos, folders of them, or `demo`")
    add(
        "--slow",
        choices=("every", "paced"),
        default="every",
        help="new faces and crops on every frame, or paced",
    )
    add("--itself", action="store_true", help=f"the slow path beside itself, {LATE} frames later")
    add("--seconds", type=float, metavar="S", help="no more of each than its first so many")
    add("--json", metavar="FILE", help="the report")
    add("--model", default="detector")
    add("--provider", choices=PROVIDERS, default="cpu")
    add("--threads", type=int, default=1)
    add("--min-face", type=int, default=60, help="px (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
