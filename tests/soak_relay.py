"""`python -m tests.soak_relay`: one stream, three viewers and fifty that come and go; what stays behind?

The relay runs in a process of its own with one more page, which counts its tasks, peers and threads. Half of
the guests publish under other names, half view; half of them say DELETE, half are cut off. What is there at
the begin and at the end, once all guests have gone, must be the same; memory must stay flat. Needs psutil.
"""

import argparse
import asyncio
import functools
import gc
import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import numpy as np
import psutil
from aiohttp import web

from stream.sources import demo
from tests.bench_relay import relay
from tests.relay_peers import Client, Picture, Publisher, Viewer

GROWTH = 30  # MiB that the median of the last quarter may lie above that of the second
SETTLE = 15.0  # s after the last guest has gone
NAME = "soak"
COUNTED = "from tests.soak_relay import counted_relay; counted_relay({words})"


def counted_relay(words: list[str]) -> None:
    """The command with one more page, /soak."""
    from stream import cli
    from stream.relay import command

    def make(*parts: Any) -> web.Application:
        app = plain(*parts)
        app.router.add_get("/soak", _count)
        return app

    plain, command.make_app = command.make_app, make
    sys.exit(cli.main(words))


async def _count(request: web.Request) -> web.Response:
    gc.collect()
    kinds = [type(thing).__name__ for thing in gc.get_objects()]
    return web.json_response(
        {
            "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            "peers": kinds.count("RTCPeerConnection"),
            "channels": kinds.count("Channel"),
            "encoders": kinds.count("Encoder"),
            "objects": len(kinds),
        }
    )


@functools.cache
def pictures() -> list[Picture]:
    made = list(demo.pictures(2.0, 100.0))
    return made + made[-2:0:-1]


def clip() -> Iterator[Picture]:
    """The demo's face, for ever."""
    return (pictures()[i % len(pictures())] for i in itertools.count())


async def guest(url: str, number: int, seconds: float) -> None:
    """Come, stay for a while, go; every other one without a word."""
    client: Client
    if number % 2:
        client = Viewer(
            f"{url}/whep/{NAME}?picture={'plain' if number % 4 == 1 else 'annotated'}", sound=True
        )
    else:
        client = Publisher(f"{url}/whip/guest{number}", clip(), sound=True)
    status = await client.connect()
    if status != 201:
        raise RuntimeError(f"guest {number}: {status} {client.answer}")
    await asyncio.sleep(seconds)
    if number % 4 < 2:
        await client.delete()
    else:
        await client.vanish()
    await client.close()


async def soak(url: str, process: psutil.Process, minutes: float, guests: int) -> dict[str, Any]:
    """Run it; what was there at the begin and at the end."""
    rss: list[float] = []

    async def ask() -> dict[str, Any]:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/soak") as reply:
            return await reply.json() | {"files": process.num_fds()}

    async def weigh() -> None:
        while True:
            rss.append(process.memory_info().rss / 2**20)
            await asyncio.sleep(2)

    host = Publisher(f"{url}/whip/{NAME}", clip(), sound=True)
    await host.connect()
    viewers = [Viewer(f"{url}/whep/{NAME}", sound=True) for _ in range(3)]
    for viewer in viewers:
        await viewer.connect()
    await asyncio.gather(*(viewer.until(60, 60) for viewer in viewers))
    weighing = asyncio.ensure_future(weigh())
    begin, end = await ask(), time.monotonic() + minutes * 60
    period = max(minutes * 60 - SETTLE, 1) / guests
    came = 0
    for number in range(guests):
        due = time.monotonic() + period
        await guest(url, number, min(period * 0.6, 8.0))
        came += 1
        await asyncio.sleep(max(due - time.monotonic(), 0))
    await asyncio.sleep(max(end - time.monotonic(), SETTLE))
    before = [viewer.count for viewer in viewers]
    await asyncio.sleep(3)
    flowing = [round((viewer.count - n) / 3, 1) for viewer, n in zip(viewers, before, strict=True)]
    after = await ask()
    weighing.cancel()
    await asyncio.gather(*(client.close() for client in (host, *viewers)))
    quarter = max(len(rss) // 4, 1)
    parts = [round(float(np.median(rss[i * quarter : (i + 1) * quarter])), 1) for i in range(4)]
    return {"guests": came, "viewers_fps": flowing, "begin": begin, "end": after, "rss_mib_by_quarter": parts}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--guests", type=int, default=50)
    options = parser.parse_args()
    with relay(COUNTED) as (process, url):
        figures = asyncio.run(soak(url, psutil.Process(process.pid), options.minutes, options.guests))
    same = all(
        figures["end"][key] <= figures["begin"][key] for key in ("peers", "channels", "encoders", "tasks")
    )
    threads = figures["end"]["threads"] - figures["begin"]["threads"]
    parts = figures["rss_mib_by_quarter"]
    flows = min(figures["viewers_fps"]) > 10
    well = flows and same and threads <= 2 and parts[3] - parts[1] <= GROWTH
    print(json.dumps({"schema": 1, "type": "soak_relay", **vars(options), **figures, "ok": well}))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
