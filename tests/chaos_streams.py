"""`python -m tests.chaos_streams --minutes 15`: three of eight live streams fall ill again and again.

`facewitness watch --config` in a process of its own watches eight streams of real video over loopback: RTSP,
MPEG-TS over TCP and over UDP. The clip shows a face that is swapped in its second half, so that each pass
raises an alert. First all is calm, for a fifth of the time (three minutes at most): that is the reference,
the same process under the same load. Then three streams, one of each kind, die, freeze, send junk and change
their size at random, by a seed, each anew a while after it has come back. The pictures are 640x360 with one
face, 15 a second, of which 10 are analysed: so two cores are loaded but not full. (Eight streams of 1280x720
fill them, and what is left out then is the governor's doing.) Prints a table and, with --json, a line of
JSON; exits with 1 where a demand is not met. Needs psutil and Debian's gst-rtsp-server.
"""

import argparse
import contextlib
import itertools
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from stream.bench.clips import Clip, pictures
from stream.processor_load import cores
from tests import clips
from tests.chaos_report import RETURN, Event, Record, table, verdict
from tests.chaos_watch import Observed
from tests.feeds import PacketFeed, RtspFeed, looped, wait
from tests.many import stream
from tests.servers import rtsp_missing, wait_for

PERIOD = 10.0  # s of the clip; the swap is in its second half
SIZES = ((640, 360), (480, 270))
STEP = 2  # of the clip's 30 pictures a second each second one
STEADY = ("tcp", "tcp", "udp", "rtsp", "rtsp")
ILL = ("tcp", "udp", "rtsp")
BLOWS = ("die", "freeze", "junk", "resize")
START = 120.0  # s until all must have scores
LOSS = 0.02
# An alert must be over before the next pass raises its own.
CONFIG = """
[defaults]
alert = ["jsonl:{folder}/alerts.jsonl"]
analysis-rate = 10
cooldown = 1
stall = 2
open-timeout = 8
"""

Feed = PacketFeed | RtspFeed


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and how hard. Times in s."""

    calm: float
    chaos: float
    seed: int = 1
    pause: tuple[float, float] = (12.0, 35.0)  # from a return to the next blow, at random
    outage: tuple[float, float] = (3.0, 12.0)
    weigh: float = 2.0  # between two weighings


def long_plan(minutes: float, seed: int) -> Plan:
    """That of the command; shorter runs have shorter pauses, so that there is something to see."""
    short = min(minutes / 3, 1.0)
    pause, outage = (12 * short, 35 * short), (3.0, 3.0 + 9 * short)
    return Plan(max(min(minutes * 12, 180.0), 1.5 * PERIOD), minutes * 60, seed, pause, outage)


def chaos(plan: Plan) -> tuple[Record, float]:
    """Run it; what it has left, and the share of the cores that it took."""
    with tempfile.TemporaryDirectory(prefix="facewitness-chaos-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        feeds = dict(_feeds(folder, START + plan.calm + plan.chaos + 3 * RETURN))
        for feed in feeds.values():
            stack.callback(feed.kill)
            feed.start()
        text = CONFIG.format(folder=folder) + "".join(stream(n, feed.url) for n, feed in feeds.items())
        watched = stack.enter_context(Observed(folder, text, list(feeds), plan.weigh))
        if not wait_for(lambda: all(tail.last() > 0 for tail in watched.tails.values()), START):
            raise TimeoutError(f"not all streams are scored within {START:.0f} s:\n{watched.said()}")
        time.sleep(2.0)
        return _measured(plan, watched, {n: feed for n, feed in feeds.items() if n.startswith("ill")})


def _measured(plan: Plan, watched: Observed, ill: Mapping[str, Feed]) -> tuple[Record, float]:
    first, held = watched.analysed(), watched.held()
    time.sleep(plan.calm)
    second, spent = watched.analysed(), watched.processor()
    weighed = len(watched.memory)
    events = _plague(plan, watched, ill)
    third = watched.analysed()
    after = watched.held()
    memory = watched.memory[weighed:]
    share = (watched.processor() - spent) / (third[0] - second[0]) / cores()
    code = watched.end()
    troubles = watched.troubles() + ([] if code == 143 else [f"it ended with {code}"])
    return Record(
        PERIOD,
        tuple(name for name in watched.names if name not in ill),
        _rates(first, second),
        _rates(second, third),
        {name: list(tail.times()) for name, tail in watched.tails.items()},
        events,
        watched.alerts(),
        watched.summaries(),
        memory,
        (held, after),
        troubles,
    ), share


def _rates(before: tuple[float, dict[str, int]], after: tuple[float, dict[str, int]]) -> dict[str, float]:
    seconds = after[0] - before[0]
    return {name: (count - before[1][name]) / seconds for name, count in after[1].items()}


def _plague(plan: Plan, watched: Observed, ill: Mapping[str, Feed]) -> list[Event]:
    """Let the ill streams suffer, each in a thread, until the time is over and all are back."""
    until, events, errors = time.monotonic() + plan.chaos, list[Event](), list[Exception]()

    def suffer(number: int, name: str, feed: Feed) -> None:
        rng = random.Random(f"{plan.seed} {name}")
        try:
            for kind in _kinds(rng, number):
                wait(rng.uniform(*plan.pause), until)
                outage = rng.uniform(*plan.outage)
                if time.monotonic() + outage > until:
                    return
                events.append(_blow(watched, name, feed, kind, outage))
        except Exception as error:
            errors.append(error)

    threads = [
        threading.Thread(target=suffer, args=(i, name, feed)) for i, (name, feed) in enumerate(ill.items())
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    time.sleep(max(until - time.monotonic(), 2.0))
    return events


def _kinds(rng: random.Random, number: int) -> Iterator[str]:
    """All blows in turn, shuffled anew each time; the first of each stream is another."""
    first = BLOWS[number % len(BLOWS)]
    yield first
    for turn in itertools.count():
        kinds = [kind for kind in BLOWS if turn or kind != first]
        rng.shuffle(kinds)
        yield from kinds


def _blow(watched: Observed, name: str, feed: Feed, kind: str, outage: float) -> Event:
    tail = watched.tails[name]
    began, begun = tail.last(), time.monotonic()
    if kind == "die":
        feed.kill()
        time.sleep(outage)
        feed.start()
    elif kind == "freeze":
        feed.freeze()
        time.sleep(outage)
        feed.thaw()
    elif kind == "junk":
        with feed.junk():
            time.sleep(outage)
    else:
        feed.resize()
    well, mark = time.monotonic(), tail.last()
    back = tail.next(mark, 2 * RETURN)
    return Event(name, kind, began, well - begun, back, None if back is None else time.monotonic() - well)


def _feeds(folder: Path, seconds: float) -> Iterator[tuple[str, Feed]]:
    """The eight sources, by the names of their streams."""
    small = [_clip(folder, *size) for size in SIZES]
    long = [looped(path.with_suffix(".long.ts"), path, seconds) for path in small]
    for health, kinds in (("ok", STEADY), ("ill", ILL)):
        for i, kind in enumerate(kinds):
            feed = RtspFeed(long) if kind == "rtsp" else PacketFeed(kind, small)
            yield f"{health}-{kind}-{i}", feed


def _clip(folder: Path, width: int, height: int) -> Path:
    seen = itertools.islice(pictures(Clip(width, height, 1, PERIOD)), 0, None, STEP)
    path, rate = folder / f"{width}.ts", 30 // STEP
    options = {"preset": "veryfast", "bf": "0", "threads": "1", "b": "300000"}
    return clips.write_clip(path, seen, rate=rate, gop=rate, format="mpegts", options=options)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15.0, help="of chaos; the calm comes before it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="where to leave the record")
    options = parser.parse_args()
    if why := rtsp_missing():
        print(f"chaos: {why}", file=sys.stderr)
        return 2
    record, share = chaos(long_plan(options.minutes, options.seed))
    lines = verdict(record, LOSS)
    print(table(record, lines))
    print(f"\n{options.minutes:g} minutes, seed {options.seed}: {share:.0%} of {cores():g} cores")
    if options.json:
        Path(options.json).write_text(json.dumps(asdict(record)))
    return 0 if all(line.held for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
