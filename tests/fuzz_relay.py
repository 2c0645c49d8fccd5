"""Fuzzes a running relay while it serves a publisher and a viewer: `python -m tests.fuzz_relay --cases 3000`.

Seeded: the same seed sends the same requests. Every reply has to be a clean one, the log has to stay clean,
memory has to stay bounded, and the other stream has to go on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from tests.hostile_sdp import WORDS, mutate, offers, strange
from tests.relay_peers import Client, Picture, Publisher, Viewer
from tests.relay_process import RelayProcess, Reply, request, send

Someone = TypeVar("Someone", bound=Client)

FINE = {200, 201, 204, 206, 304}
FINE |= {400, 401, 403, 404, 405, 406, 408, 409, 412, 413, 415, 416, 417, 422, 428, 429, 431}
BUSY = {503}  # with Retry-After
SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
CUT = "/whip/cut"  # where bodies go that end too early
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "CONNECT", "post", "P\x00T")
PATHS = [
    *strange("paths"), "/assets/" + "a" * 65, "/whip/" + "n" * 64, "/whip/" + "n" * 65, "/?" + "a=b&" * 1500,
    "/" + "x" * 9000, "/api/events?stream=" + "x" * 4000, "/api/events%0d%0aX:1",
]  # fmt: skip
HEADERS = [*strange("headers"), "Cookie: " + "c" * 7000, "X-Long: " + "y" * 9000]
BODIES = (
    b"{}", b"[]", b"null", b'{"sdp": "v=0", "type": "offer"}', b"[" * 20_000, b'{"a":' * 5000, b"1e999999",
    b'"\\ud800"', b"\xef\xbb\xbf{}", b"\x00" * 100,
    b"\x1f\x8b\x08\x00" + b"\x00" * 50, b"<xml/>", b"A" * 70_000,
    b"5\r\nhello\r\n0\r\n\r\n", b"fffffffffff\r\n", b"-1\r\n", b"zz\r\n",
)  # fmt: skip


@dataclass
class Outcome:
    """What a run showed."""

    replies: Counter[int] = field(default_factory=Counter)
    opened: int = 0  # sessions that mutated offers got
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0  # s for a reply


class Fuzzer:
    """Makes the requests of one seed, one after the other."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._offers = offers()
        self.session: tuple[str, str] | None = None  # URL path and ETag of a live session to trickle to

    def case(self) -> tuple[bytes, bool]:
        """A request, and whether its body is a whole one that deserves a reply."""
        chance = self._chance
        kind = chance.choices(("offer", "fragment", "path", "header", "json", "cut"), (40, 15, 15, 20, 8, 2))[
            0
        ]
        if kind == "offer":
            name = chance.choice(list(self._offers))
            path = f"/whip/x{chance.randrange(40)}" if "whip" in name else "/whep/studio"
            if chance.random() < 0.1:
                path = "/whep/nobody" if "whip" in name else "/whip/studio"
            return request("POST", path, mutate(chance, self._offers[name]), Content_Type=SDP), True
        if kind == "fragment" and self.session:
            return self._fragment(*self.session), True
        if kind == "json":
            path = chance.choice(("/whip/j", "/whep/studio", "/api/streams", "/api/alerts", "/whip/j/x"))
            type_ = chance.choice((SDP, "application/json", FRAGMENT))
            method = chance.choice(("POST", "PATCH", "PUT"))
            return request(method, path, chance.choice(BODIES), Content_Type=type_), True
        if kind == "cut":
            whole = request(
                "POST", "/whip/cut", mutate(chance, self._offers["ffmpeg_whip"]), Content_Type=SDP
            )
            return whole[: chance.randrange(1, len(whole))], False
        return self._strange(kind)

    def _fragment(self, path: str, etag: str) -> bytes:
        chance = self._chance
        text = f"a=ice-ufrag:abcd\na=ice-pwd:{'p' * 22}\nm=video 9 UDP/TLS/RTP/SAVPF 96\na=mid:0\n"
        for number in range(chance.randint(0, 5)):
            text += f"a=candidate:{number} 1 udp {number + 1} 127.0.0.1 {9 + number} typ host\n"
        body = mutate(chance, text + "a=end-of-candidates\n")
        if chance.random() < 0.1:
            body = chance.choice(BODIES)
        more = {"If_Match": chance.choice((etag, '"x"', "*", ""))} if chance.random() < 0.5 else {}
        return request("PATCH", path, body, Content_Type=chance.choice((FRAGMENT, FRAGMENT, SDP)), **more)

    def _strange(self, kind: str) -> tuple[bytes, bool]:
        """Paths, methods and headers that no client would send."""
        chance = self._chance
        method = chance.choice(METHODS if kind == "path" else METHODS[:7])
        path = chance.choice(PATHS)
        if chance.random() < 0.3:
            path = "/whip/" + "".join(chance.choice(WORDS)[:40] for _ in range(2)).replace("\n", "%0a")
        body = chance.choice((b"", b"", chance.choice(BODIES), self._offers["ffmpeg_whip"].encode()))
        lines = ["Host: 127.0.0.1", "Connection: close", f"Content-Length: {len(body)}"]
        if kind == "header":
            path = chance.choice(("/whip/h", "/whep/studio", "/api/streams", "/healthz", "/", "/api/ice"))
            extra = chance.sample(HEADERS, chance.randint(1, 3))
            names = {line.partition(":")[0] for line in extra} if chance.random() < 0.7 else set()
            lines = [line for line in lines if line.partition(":")[0] not in names] + extra
            if chance.random() < 0.05:
                lines += ["X: y"] * 300
        if not any(line.startswith("Connection: close") for line in lines):
            lines.append("Connection: close")
        version = chance.choice(("HTTP/1.1",) * 12 + ("HTTP/1.0", "HTTP/9.9", "HTTP/2.0", "X", ""))
        text = f"{method} {path} {version}\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"
        return text.encode("utf-8", "surrogatepass") + body, False


def judge(reply: Reply, raw: bytes, must_reply: bool) -> str:
    """What is wrong with a reply; "" if nothing."""
    if reply.status == 0:
        return "no reply" if must_reply else ""
    if reply.status in BUSY and "retry-after" in reply.headers:
        return ""
    if reply.status not in FINE:
        return f"status {reply.status}"
    missing = {"content-security-policy", "x-content-type-options", "cache-control"} - reply.headers.keys()
    if missing:
        return f"status {reply.status} without {', '.join(sorted(missing))}"
    if any(name.startswith("access-control-") for name in reply.headers):
        return "CORS headers for a stranger"
    # 417, and the page's 412 and 416, are aiohttp's own.
    if reply.status >= 400 and reply.status not in (412, 416, 417) and not raw.startswith(b"HEAD"):
        try:
            line = reply.error
        except (ValueError, AssertionError, TypeError):
            return f"status {reply.status} without a JSON line: {reply.body[:80]!r}"
        if "\n" in line or len(line) > 300 or "Traceback" in line:
            return f"status {reply.status} says too much: {line[:100]}"
    return ""


async def attack(relay: RelayProcess, fuzzer: Fuzzer, cases: int, outcome: Outcome) -> None:
    """Send the cases, some at once, from many addresses so that their rates do not end it all at once."""
    free = asyncio.Semaphore(12)  # some wait until the relay has lost its patience with them

    async def one(number: int, raw: bytes, whole: bool, address: str) -> None:
        async with free:
            try:
                reply = await send(
                    relay.port, raw, address, 30, half=not whole and raw.startswith(b"POST /whip/cut")
                )
            except TimeoutError:
                outcome.wrong.append(f"case {number}: no end within 30 s: {raw[:120]!r}")
                return
            outcome.replies[reply.status] += 1
            outcome.slowest = max(outcome.slowest, reply.seconds if whole else 0.0)
            if why := judge(reply, raw, whole):
                outcome.wrong.append(f"case {number}: {why}: {raw[:160]!r}")
            if reply.status == 201:
                outcome.opened += 1
                if outcome.opened % 5:  # each fifth is left half-open
                    await send(relay.port, request("DELETE", reply.headers["location"]), address)

    async with asyncio.TaskGroup() as group:
        for number in range(cases):
            address = f"127.0.{number // 8 % 250}.{2 + number % 8}"
            async with free:
                group.create_task(one(number, *fuzzer.case(), address))


def moving(width: int = 320, height: int = 240) -> Iterator[Picture]:
    """Pictures that differ, and cost little."""
    number = 0
    while True:
        number += 1
        yield np.full((height, width, 3), 60 + number % 100, np.uint8)


async def enter(make: Callable[[], Someone], seconds: float = 30.0) -> Someone:
    """A client that was let in; while there is no room, or nothing to see yet, it tries again."""
    end = time.monotonic() + seconds
    while (status := await (client := make()).connect()) != 201:
        await client.close()
        assert status in (404, 409, 429, 503), status
        assert time.monotonic() < end, f"not let in within {seconds} s: {status}"
        await asyncio.sleep(0.2)
    return client


@contextlib.asynccontextmanager
async def served(relay: RelayProcess, name: str = "studio") -> AsyncIterator[Viewer]:
    """A publisher, and a viewer of the annotated picture who counts."""
    publisher = await enter(lambda: Publisher(f"{relay.url}/whip/{name}", moving()))
    try:
        viewer = await enter(lambda: Viewer(f"{relay.url}/whep/{name}"))
        try:
            await viewer.until(10)
            yield viewer
        finally:
            await viewer.close()
    finally:
        await publisher.close()


@dataclass
class Watch:
    """How the innocent stream did."""

    rate: float = 0.0  # pictures a second
    gap: float = 0.0  # s, the longest without one


async def watch(viewer: Viewer, result: Watch) -> None:
    """Follow a viewer until cancelled."""
    begin, first, seen, last = time.monotonic(), viewer.count, viewer.count, time.monotonic()
    while True:
        await asyncio.sleep(0.05)
        now = time.monotonic()
        if viewer.count > seen:
            seen, last = viewer.count, now
        result.gap = max(result.gap, now - last)
        result.rate = (viewer.count - first) / (now - begin)


async def fuzz(relay: RelayProcess, cases: int, seed: int) -> tuple[Outcome, Watch, Watch]:
    """The whole run. Returns the replies, and how the viewer did before and during it."""
    outcome, before, during = Outcome(), Watch(), Watch()
    async with served(relay) as viewer:
        calm = asyncio.ensure_future(watch(viewer, before))
        await asyncio.sleep(2)
        calm.cancel()
        other = await enter(lambda: Viewer(f"{relay.url}/whep/studio?picture=plain"))
        fuzzer = Fuzzer(seed)
        fuzzer.session = (other.session_url.removeprefix(relay.url), "")
        watching = asyncio.ensure_future(watch(viewer, during))
        try:
            await attack(relay, fuzzer, cases, outcome)
        finally:
            watching.cancel()
            await other.close()
    return outcome, before, during


def main() -> int:
    """Run, and print what was seen. Returns 0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", action="store_true", help="print the relay's log")
    given = parser.parse_args()
    with RelayProcess() as relay:
        asyncio.run(fuzz(relay, 50, given.seed + 1))  # warm
        memory, handles, begin = relay.memory(), relay.handles(), time.monotonic()
        outcome, before, during = asyncio.run(fuzz(relay, given.cases, given.seed))
        seconds = time.monotonic() - begin
        time.sleep(12)  # half-open sessions end
        summary = {
            "cases": given.cases, "seconds": round(seconds, 1),
            "replies": dict(sorted(outcome.replies.items())), "opened": outcome.opened,
            "slowest reply, s": round(outcome.slowest, 2),
            "memory, MiB": [round(memory), round(relay.memory())], "handles": [handles, relay.handles()],
            "viewer, pictures a second": [round(before.rate, 1), round(during.rate, 1)],
            "longest gap, s": [round(before.gap, 2), round(during.gap, 2)],
            "wrong": len(outcome.wrong), "log": len(relay.troubles()),
        }  # fmt: skip
        print(json.dumps(summary, indent=1))
        for line in (*outcome.wrong[:40], *relay.troubles()[:40]):
            print(line)
        if given.log:
            print(relay.log())
        return 1 if outcome.wrong or relay.troubles() else 0


if __name__ == "__main__":
    sys.exit(main())
