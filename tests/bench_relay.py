"""`python -m tests.bench_relay`: how long a picture takes from a camera through the relay and back.

The real command runs in a process of its own. A plain aiortc client in this process is both the camera
(the demo's face, 640x480 at 30 fps, a time code drawn into each picture just before it is encoded) and the
viewer, which reads the code from the annotated picture once that is decoded. Both ways are real WebRTC over
UDP. `--analysis-rate 2` makes each analysis burn as much CPU as a network would that can do two a second;
the relay's delay must not grow with it. Limits on two quiet cores: 120 ms at the median, 200 ms at 95 %;
beyond them, or where the delay grows, the exit code is 1. Needs psutil (the [dev] extra).
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np
import psutil

from stream.sources import demo
from tests.relay_peers import Picture, Publisher, Viewer, closing

P50, P95 = 120.0, 200.0  # ms
GROWS = 40.0  # ms that the median of the last third may lie above that of the first
WARM = 5.0  # s that are not measured: connections, encoders and onnxruntime begin
BITS, MARK = 22, 12  # of the time code, milliseconds; px, the side of a square
NAME = "bench"
SLOW = "from tests.bench_relay import slow_relay; slow_relay({rate}, {words})"


def draw_time(picture: Picture, milliseconds: int) -> None:
    """Draw a time into the picture's right edge: a column of bits and a column of their opposites."""
    height, width = picture.shape[:2]
    top = (height - BITS * MARK) // 2
    for bit in range(BITS):
        value = 235 if milliseconds >> bit & 1 else 16
        rows = slice(top + bit * MARK, top + (bit + 1) * MARK)
        picture[rows, width - 2 * MARK : width - MARK] = value
        picture[rows, width - MARK :] = 251 - value


def read_time(picture: Picture) -> int | None:
    """The time in ms that a picture carries; None where it cannot be read."""
    height, width = picture.shape[:2]
    centres = (height - BITS * MARK) // 2 + MARK // 2 + MARK * np.arange(BITS)
    bits = picture[centres, width - 2 * MARK + MARK // 2].mean(1) > 125
    others = picture[centres, width - MARK // 2].mean(1) > 125
    return None if (bits == others).any() else int(sum(1 << int(i) for i in np.flatnonzero(bits)))


def camera(begin: float) -> Iterator[Picture]:
    """The demo's face, real, for ever; each picture carries the ms since `begin` (s, monotonic)."""
    clip = list(demo.pictures(4.0, 100.0))
    while True:
        for picture in [*clip, *clip[-2:0:-1]]:
            stamped = picture.copy()
            draw_time(stamped, round((time.monotonic() - begin) * 1000))
            yield stamped


@dataclass
class Delays:
    """What the viewer measures."""

    begin: float  # s, monotonic
    since: float = 0.0  # s, monotonic, from when on it counts
    ms: list[float] = field(default_factory=list)
    unreadable: int = 0

    def see(self, picture: Picture) -> None:
        now = time.monotonic()
        if now < self.since:
            return
        stamp = read_time(picture)
        if stamp is None:
            self.unreadable += 1
        else:
            self.ms.append((now - self.begin) * 1000 - stamp)

    def summary(self, seconds: float) -> dict[str, Any]:
        third = max(len(self.ms) // 3, 1)
        parts = {"": self.ms, "_first_third": self.ms[:third], "_last_third": self.ms[-third:]}
        figures = {
            f"p{percent}{part}_ms": round(float(np.percentile(values, percent)), 1)
            for part, values in parts.items()
            for percent in (50, 95)
        }
        rate = round(len(self.ms) / seconds, 1)
        return {"pictures": len(self.ms), "fps": rate, "unreadable": self.unreadable, **figures}


@contextlib.contextmanager
def relay(code: str | None = None) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The relay in a process of its own, and its address. code: runs it in another way, with {words}."""
    words = ["relay", "--port", "0", "--provider", "cpu", "--quiet"]
    program = ["-m", "stream.cli", *words] if code is None else ["-c", code.format(words=words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:  # a pipe that nobody reads would fill up
        with open(log.name, "w") as out:
            process = subprocess.Popen([sys.executable, *program], env=environment, stderr=out)
        try:
            while not (found := re.search(r"http://\S+", log.read())):
                if process.poll() is not None:
                    raise RuntimeError("the relay did not start")
                log.seek(0)
                time.sleep(0.1)
            log.seek(0)
            yield process, found[0].rstrip("/")
        finally:
            process.terminate()
            process.wait(15)
            log.seek(0)
            sys.stderr.write(log.read())


def slow_relay(rate: float, words: list[str]) -> None:
    """The command, with an analysis that burns CPU until 1 / rate s are over, as a large network would."""
    from stream import cli
    from stream.analysis import Analysis
    from stream.values import Frame, Result

    def step(self: Analysis, frame: Frame) -> Result:
        end = time.monotonic() + 1 / rate
        result = fast(self, frame)
        while time.monotonic() < end:
            side = self._detector.card.crop.size
            self._detector.encode(np.zeros((1, side, side, 3), np.uint8))
        return result

    fast, Analysis.step = Analysis.step, step  # type: ignore[method-assign]
    sys.exit(cli.main(words))


async def measure(
    url: str, process: psutil.Process, seconds: float, codec: str, others: int
) -> dict[str, Any]:
    """Publish, view, and read the delays for so many seconds."""
    delays = Delays(time.monotonic())
    publisher = Publisher(f"{url}/whip/{NAME}", camera(delays.begin), codec=codec)
    viewers = [Viewer(f"{url}/whep/{NAME}") for _ in range(1 + others)]
    async with closing(publisher, *viewers):
        if await publisher.connect() != 201:
            raise RuntimeError(publisher.answer)
        for viewer in viewers:
            if await viewer.connect() != 201:
                raise RuntimeError(viewer.answer)
        await viewers[0].until(1)
        viewers[0].see = delays.see
        delays.since = time.monotonic() + WARM
        await asyncio.sleep(WARM)
        busy, rows = process.cpu_times(), []
        for _ in range(max(round(seconds), 1)):
            await asyncio.sleep(1)
            async with aiohttp.ClientSession() as http, http.get(f"{url}/api/streams") as reply:
                rows.append((await reply.json())["streams"][0])
        spent = sum(process.cpu_times()[:2]) - sum(busy[:2])
        await publisher.delete()
    took = time.monotonic() - delays.since
    return {
        **delays.summary(took),
        "relay_fps": round(float(np.median([row["fps"] for row in rows])), 1),
        "relay_delay_ms": round(float(np.median([row["age"] or 0 for row in rows])) * 1000, 1),
        "analysis_fps": round(float(np.median([row["analysis_fps"] for row in rows])), 1),
        "tracks": rows[-1]["tracks"],
        "relay_cores": round(spent / took, 2),
        "relay_rss_mib": round(process.memory_info().rss / 2**20),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to measure")
    parser.add_argument("--analysis-rate", type=float, help="analyses a second that the machine can do")
    parser.add_argument("--codec", choices=("VP8", "H264"), default="VP8", help="of the camera")
    parser.add_argument("--others", type=int, default=0, help="viewers beside the one who measures")
    options = parser.parse_args()
    slow = options.analysis_rate and SLOW.replace("{rate}", str(options.analysis_rate))
    with relay(slow) as (process, url):
        figures = asyncio.run(
            measure(url, psutil.Process(process.pid), options.seconds, options.codec, options.others)
        )
    grown = figures["p50_last_third_ms"] - figures["p50_first_third_ms"]
    well = figures["p50_ms"] <= P50 and figures["p95_ms"] <= P95 and grown <= GROWS
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    print(json.dumps({"schema": 1, "type": "bench_relay", **machine, **vars(options), **figures, "ok": well}))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
