"""The hub's messages: what they say, that nobody waits for anybody, and server-sent events over loopback."""

import asyncio
import contextlib
import json
import threading
import time
from dataclasses import replace

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from stream.relay import events
from stream.relay.events import QUEUE, Hub, alert_message, scores_message, stream_message
from stream.relay.messages import STREAMS, Thinner
from stream.sinks import to_json
from stream.values import (
    Alert,
    Answer,
    Frame,
    Health,
    Likeness,
    Phase,
    Quality,
    Result,
    Score,
    State,
    Track,
    TrackView,
)

HEALTH = Health("webrtc", "CPU", True, 24.97, 0.0437, 100, 3)


def result(*views: TrackView, state: State = State.CLEAR, time: float = 12.3456) -> Result:
    return Result(Frame(np.zeros((480, 640, 3), np.uint8), time, 0.0, 0), state, views, ())


def view(number: int = 1, box=(64, 48, 320, 240), state=State.CLEAR, value=0.0312345, reason="") -> TrackView:
    track = Track(number, np.array(box, np.float32), np.zeros((5, 2), np.float32), 0.99, True, True)
    score = None if value is ... else Score(number, 12.3, value, 8, reason)
    return TrackView(track, state, score, Quality(80, 100, 0, 0, 1, "blurred" if reason == "" else ""), ())


def alert(number: int = 1) -> Alert:
    return Alert(
        f"a-{number}", Phase.OPENED, "webrtc", 1, 8.2, 8.7, 0.97, 0.9, "m 1", "2026-11-20T11:07:00.000+00:00"
    )


def scores(name: str, state: str = "CLEAR", **track: str) -> dict:
    tracks = [{"id": int(key[1:]), "state": value} for key, value in track.items()]
    return {"type": "scores", "stream": name, "state": state, "tracks": tracks}


def test_a_scores_message_says_what_the_contract_says():
    message = scores_message("studio", result(view()), HEALTH)
    assert message == {
        "schema": 1, "type": "scores", "stream": "studio",
        "time": 12.346, "state": "CLEAR", "fps": 25.0, "age": 0.044,
        "tracks": [
            {"id": 1, "state": "CLEAR", "score": 0.0312, "reason": "blurred", "box": [0.1, 0.1, 0.4, 0.4],
             "person": None, "likeness": None, "answer": None, "drift": None}
        ],
    }  # fmt: skip


def test_who_is_expected_stands_in_the_message():
    told = Likeness("anna", Answer.NO, 0.0123456, 0.34567, True)
    (track,) = scores_message("studio", result(replace(view(), likeness=told)), HEALTH)["tracks"]
    assert [track[key] for key in ("person", "likeness", "answer", "drift")] == [
        "anna",
        0.01235,
        "no",
        0.3457,
    ]


def test_boxes_stay_in_the_picture_and_what_json_cannot_say_is_null():
    odd = view(box=(-64, 240, 1e9, float("nan")), value=float("nan"), reason="too few samples")
    message = scores_message("a", result(odd, view(2, value=...)), HEALTH)
    assert message["tracks"][0]["box"] == [0.0, 0.5, 1.0, 0.0]
    assert message["tracks"][0]["score"] is None
    assert message["tracks"][0]["reason"] == "too few samples"
    assert message["tracks"][1]["score"] is None
    assert all(0 <= part <= 1 for track in message["tracks"] for part in track["box"])
    json.dumps(message, allow_nan=False)


def test_alert_and_stream_messages():
    assert alert_message("studio", alert()) == {**to_json(alert()), "stream": "studio"}
    assert stream_message("studio", "lost", "no picture for 5 s") == {
        "schema": 1, "type": "stream", "stream": "studio", "event": "lost", "note": "no picture for 5 s"
    }  # fmt: skip


def test_scores_are_thinned_and_a_new_state_passes_at_once():
    thinner = Thinner()
    passed = [n / 100 for n in range(300) if thinner.passes(scores("a", t1="CLEAR"), n / 100)]
    assert len(passed) == pytest.approx(15, abs=1)
    assert thinner.passes(scores("a", t1="ALERT"), 3.0)
    assert not thinner.passes(scores("a", t1="ALERT"), 3.0)
    assert thinner.passes(scores("a", t1="ALERT", t2="CLEAR"), 3.0)
    assert thinner.passes(scores("a", "ALERT", t1="ALERT", t2="CLEAR"), 3.0)
    assert thinner.passes(scores("b", t1="CLEAR"), 3.0)  # streams do not thin each other
    for number in range(3 * STREAMS):
        thinner.passes(scores(str(number)), 4.0)
    assert len(thinner._last) == STREAMS


def collect(hub: Hub, stream: str | None, work) -> list[tuple[int, dict]]:
    """What a subscriber gets that reads only after `work(hub)` ran in another thread and the hub closed."""

    async def run() -> list[tuple[int, dict]]:
        subscription = hub.subscribe(stream, asyncio.get_running_loop())
        thread = threading.Thread(target=work, args=(hub,))
        thread.start()
        await asyncio.to_thread(thread.join)
        hub.close()
        return [item async for item in subscription]

    return asyncio.run(run())


def test_subscribers_get_their_stream_in_order_and_numbered():
    def work(hub: Hub) -> None:
        for name in ("a", "b", "a"):
            hub.publish(stream_message(name, "live"))
        hub.publish(alert_message("b", alert()))

    assert [(n, m["stream"], m["type"]) for n, m in collect(Hub(), None, work)] == [
        (1, "a", "stream"), (2, "b", "stream"), (3, "a", "stream"), (4, "b", "alert")
    ]  # fmt: skip
    assert [n for n, _ in collect(Hub(), "a", work)] == [1, 3]


def test_a_slow_subscriber_loses_the_oldest_scores_first_and_is_told_how_many():
    ticks = iter(range(10**6))

    def work(hub: Hub) -> None:
        hub.publish(alert_message("a", alert(0)))
        for _ in range(QUEUE + 9):
            hub.publish(scores("a"))
        hub.publish(alert_message("a", alert(1)))

    got = collect(Hub(lambda: float(next(ticks))), None, work)
    assert len(got) == QUEUE
    assert [m["type"] for _, m in got].count("alert") == 2
    assert got[0][1]["dropped"] == 11
    assert not any("dropped" in m for _, m in got[1:])
    assert [n for n, _ in got] == [1, *range(13, QUEUE + 12)]


def test_a_flood_of_alerts_is_bounded_too():
    def work(hub: Hub) -> None:
        for number in range(5 * QUEUE):
            hub.publish(alert_message("a", alert(number)))

    got = collect(Hub(), None, work)
    assert [m["id"] for _, m in got] == [f"a-{n}" for n in range(4 * QUEUE, 5 * QUEUE)]
    assert got[0][1]["dropped"] == 4 * QUEUE


def test_the_last_alerts_are_remembered_without_subscribers():
    hub = Hub()
    for number in range(250):
        hub.publish(alert_message("a", alert(number)))
        hub.publish(stream_message("a", "live"))
    assert [m["id"] for m in hub.recent_alerts()] == [f"a-{n}" for n in range(50, 250)]


def test_publishing_never_waits_even_for_subscribers_whose_loop_has_ended():
    hub = Hub()
    asyncio.run(asyncio.sleep(0, hub))
    loop = asyncio.new_event_loop()
    subscription = hub.subscribe(None, loop)
    loop.close()
    begin = time.monotonic()
    for number in range(2000):
        hub.publish(alert_message("a", alert(number)))
    assert time.monotonic() - begin < 1.0
    subscription.close()


def test_subscribers_are_bounded_and_closing_one_makes_room(monkeypatch):
    monkeypatch.setattr(events, "SUBSCRIBERS", 2)
    hub, loop = Hub(), asyncio.new_event_loop()
    first, second = hub.subscribe(None, loop), hub.subscribe(None, loop)
    with pytest.raises(OverflowError):
        hub.subscribe(None, loop)
    first.close()
    first.close()
    third = hub.subscribe(None, loop)
    with pytest.raises(OverflowError):
        hub.subscribe(None, loop)
    assert second is not third
    del second  # dropped without being closed, as by a task that is cancelled
    hub.subscribe(None, loop)
    loop.close()


@contextlib.asynccontextmanager
async def served(hub: Hub):
    """A server with the SSE handler; gives its URL."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await events.sse(request, hub, request.query.get("stream"))

    async def on_shutdown(_: web.Application) -> None:
        hub.close()

    app = web.Application()
    app.router.add_get("/api/events", handler)
    app.on_shutdown.append(on_shutdown)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/events", runner
    finally:
        await runner.cleanup()


async def until(true, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not true():
        await asyncio.sleep(0.02)
    return true()


def test_events_reach_a_client_as_an_event_stream_with_heartbeats(monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT", 0.2)

    async def run() -> None:
        hub = Hub()
        async with served(hub) as (url, _), aiohttp.ClientSession() as session:
            async with session.get(url + "?stream=a", headers={"Last-Event-ID": "99999"}) as response:
                assert response.content_type == "text/event-stream"
                assert response.headers["Cache-Control"] == "no-store"
                assert await until(lambda: len(hub._subscriptions) == 1)
                hub.publish(stream_message("b", "live"))
                hub.publish(stream_message("a", "live", "ä\n\nevent: fake"))
                lines = [await asyncio.wait_for(response.content.readline(), 5) for _ in range(6)]
                text = b"".join(lines).decode()
                assert text.startswith(": Facewitness\n\nid: 2\nevent: stream\ndata: {")
                assert json.loads(lines[4][6:])["note"] == "ä\n\nevent: fake"
                assert await asyncio.wait_for(response.content.readline(), 5) == b":\n"
            # The client has gone: the next heartbeat notices.
            assert await until(lambda: not hub._subscriptions)

    asyncio.run(run())


def test_streams_of_events_end_when_the_server_stops():
    async def run() -> None:
        hub = Hub()
        async with (
            served(hub) as (url, runner),
            aiohttp.ClientSession() as session,
            session.get(url) as response,
        ):
            assert await until(lambda: len(hub._subscriptions) == 1)
            hub.publish(stream_message("a", "ended"))
            begin = time.monotonic()
            await runner.cleanup()
            assert time.monotonic() - begin < 3
            assert b"event: stream" in await asyncio.wait_for(response.content.read(), 5)

    asyncio.run(run())


def test_too_many_listeners_get_a_503(monkeypatch):
    monkeypatch.setattr(events, "SUBSCRIBERS", 1)

    async def run() -> None:
        hub = Hub()
        async with (
            served(hub) as (url, _),
            aiohttp.ClientSession() as session,
            session.get(url),
            session.get(url) as second,
        ):
            assert second.status == 503

    asyncio.run(run())


def test_a_listener_that_accepts_nothing_is_given_up_and_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(events, "PATIENCE", 0.3)

    async def run() -> None:
        hub = Hub()
        async with served(hub) as (url, _):
            port = int(url.split(":")[2].split("/")[0])
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            writer.transport.pause_reading()
            writer.write(b"GET /api/events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await until(lambda: len(hub._subscriptions) == 1)
            note = "x" * 200_000
            for _ in range(60):
                hub.publish(stream_message("a", "live", note))
                await asyncio.sleep(0.01)
            assert await until(lambda: not hub._subscriptions)
            writer.close()

    asyncio.run(run())
