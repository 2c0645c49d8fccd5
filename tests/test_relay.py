"""The relay from end to end with aiortc's own clients: picture, sound, results, and how they come and go."""

import asyncio
import gc
import itertools
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from stream.identity.command import embedding_of
from stream.identity.match import Person
from stream.networks import Networks, open_networks
from stream.relay.output import Kind
from stream.relay.registry import TAKEN_OVER
from stream.sinks import SinkOptions, open_sink
from stream.sources import demo
from tests import clips
from tests.relay_peers import Picture, Publisher, Relay, Viewer, closing, poll

NAME = "front"
ASSETS = Path(demo.__file__).parent.parent / "assets"


@pytest.fixture(scope="module")
def networks() -> Networks:
    return open_networks("detector", ("CPUExecutionProvider",), 1, 60)


@pytest.fixture(scope="module")
def real() -> list[Picture]:
    return list(demo.pictures(2.0, 100.0))


def forth_and_back(pictures: list[Picture]) -> Iterator[Picture]:
    """A clip without a jump, for ever."""
    return itertools.cycle(pictures + pictures[-2:0:-1])


def difference(a: Picture, b: Picture) -> float:
    return float(np.abs(a.astype(np.int16) - b).mean())


def media_threads() -> list[str]:
    """The threads of streams and peers; those of asyncio's pool stay as they are."""
    kinds = ("painter of", "decoder of", "analysis of", "video-decoder", "audio-decoder")
    return sorted(t.name for t in threading.enumerate() if t.name.startswith(kinds))


def test_the_picture_comes_back_with_its_overlay_and_untouched(networks, real):
    async def scenario():
        still = real[0]
        async with Relay(networks) as relay:
            publisher = await relay.publish(NAME, iter([still]))
            annotated, plain = await relay.watch(NAME), await relay.watch(NAME, "plain")
            async with closing(publisher, annotated, plain):
                channel = relay.registry.channels[NAME]
                assert await poll(lambda: bool(channel.row()["tracks"]))
                # The box settles within three seconds: it is told a few frames later than it was painted.
                painted, untouched = await annotated.until(90), await plain.until(90)
                assert painted.shape == untouched.shape == still.shape
                assert difference(untouched, still) < 6
                banner, below = np.s_[4:30, 6:90], np.s_[300:420, 540:620]
                assert difference(painted[banner], still[banner]) > 40
                assert difference(painted[below], still[below]) < 8
                x, y, w, h = channel.row()["tracks"][0]["box"]
                left, top = round(x * 640), round(y * 480)
                corner = np.s_[max(top - 2, 0) : top + 3, left + 4 : left + 14]
                assert difference(painted[corner], still[corner]) > 25
                assert difference(untouched[corner], still[corner]) < 10
                assert 0.2 < w < 0.5
                assert 0.3 < h < 0.8

    asyncio.run(scenario())


def test_a_swapped_face_raises_an_alert_everywhere(networks, tmp_path):
    async def scenario():
        sink = open_sink(f"jsonl:{tmp_path / 'alerts.jsonl'}", SinkOptions())
        clip = list(demo.pictures(7.0, 2.0))
        pictures = itertools.chain(clip, itertools.repeat(clip[-1]))
        async with Relay(networks, sinks=[sink]) as relay:
            publisher = await relay.publish(NAME, pictures)
            viewer = await relay.watch(NAME)
            async with closing(publisher, viewer):
                phases = {client: set() for client in (publisher, viewer)}

                def told() -> bool:
                    for client, seen in phases.items():
                        seen |= {m["phase"] for m in client.messages if m["type"] == "alert"}
                    return all("opened" in seen for seen in phases.values())

                assert await poll(told, 20), [m["tracks"] for m in viewer.messages]
                alert = (await relay.get("/api/alerts"))[0]
                assert alert | {"phase": "opened", "stream": NAME, "source": NAME} == alert
                states = [m["state"] for m in viewer.messages if m["type"] == "scores"]
                assert "ALERT" in states
                assert (await relay.get("/api/streams"))["streams"][0]["state"] == "ALERT"
        assert '"closed"' in (tmp_path / "alerts.jsonl").read_text()

    asyncio.run(scenario())


def test_each_stream_says_whether_its_own_person_is_there(networks, real):
    """Grace Hopper is in all streams, and expected in one."""

    async def scenario():
        eileen, grace = (
            Person(name, embedding_of(ASSETS / picture, networks))
            for name, picture in (("eileen", "eileen_collins.jpg"), ("grace", "grace_hopper.jpg"))
        )
        async with Relay(networks, expected={"hers": grace, "anothers": eileen}) as relay:
            publishers = [
                await relay.publish(name, forth_and_back(real)) for name in ("hers", "anothers", "open")
            ]
            async with closing(*publishers):

                def told() -> dict[str, dict]:
                    return {row["name"]: track for row in relay.registry.rows() for track in row["tracks"]}

                def all_told() -> bool:
                    tracks = told()
                    return len(tracks) == 3 and all(
                        tracks[name]["likeness"] is not None for name in ("hers", "anothers")
                    )

                assert await poll(all_told, 60), told()
                assert await poll(lambda: told()["hers"]["answer"] == "yes", 30), told()
                hers, anothers, open_to_all = (told()[name] for name in ("hers", "anothers", "open"))
                assert (hers["person"], anothers["person"], open_to_all["person"]) == (
                    "grace",
                    "eileen",
                    None,
                )
                assert hers["likeness"] > 0.5 > anothers["likeness"]
                assert anothers["answer"] != "yes"
                assert open_to_all["likeness"] is open_to_all["answer"] is None

    asyncio.run(scenario())


def test_sound_passes_untouched_in_order_and_with_the_picture(networks, real):
    async def scenario():
        async with Relay(networks) as relay:
            publisher = await relay.publish(NAME, forth_and_back(real), sound=True)
            viewer = await relay.watch(NAME, sound=True)
            async with closing(publisher, viewer):
                assert await poll(lambda: len(viewer.heard) > 150)
                output = relay.registry.channels[NAME].delay(Kind.ANNOTATED)
                sent = publisher.microphone.sent
                heard = list(viewer.heard)
                assert all(payload in sent for payload, _, _ in heard)
                numbers = [int.from_bytes(payload[1:5]) for payload, _, _ in heard]
                assert numbers == sorted(set(numbers))
                assert numbers[-1] - numbers[0] == len(numbers) - 1  # none was lost
                steps = {(b - a) & 0xFFFFFFFF for (_, a, _), (_, b, _) in itertools.pairwise(heard)}
                assert steps == {960}
                delays = sorted(moment - sent[payload] for payload, _, moment in heard)
                assert abs(delays[len(delays) // 2] - output) < 0.06

    asyncio.run(scenario())


def test_one_encoder_serves_one_three_and_ten_viewers(networks, real):
    async def scenario():
        async with Relay(networks) as relay:
            publisher = await relay.publish(NAME, forth_and_back(real))
            channel, viewers = relay.registry.channels[NAME], []
            async with closing(publisher):
                for count in (1, 3, 10):
                    viewers += await asyncio.gather(*(relay.watch(NAME) for _ in range(count - len(viewers))))
                    before, seen = (channel.encoded, channel.frames.count), [v.count for v in viewers]
                    await asyncio.sleep(1.5)
                    encoded = channel.encoded - before[0]
                    assert 5 < encoded <= channel.frames.count - before[1] + 2
                    assert all(v.count > n for v, n in zip(viewers, seen, strict=True))
                    assert channel.codecs(Kind.ANNOTATED) == ("H264",)
                    assert channel.viewers == count
                async with closing(*viewers):
                    pass
                assert await poll(lambda: channel.viewers == 0)
                assert await poll(lambda: not any("painter" in t.name for t in threading.enumerate()))

    asyncio.run(scenario())


@pytest.mark.parametrize(("first", "both_get"), [("VP8", "VP8"), ("H264", "H264")])
def test_who_takes_either_codec_gets_the_one_that_is_running(networks, real, first, both_get):
    async def scenario():
        async with Relay(networks) as relay:
            publisher = await relay.publish(NAME, forth_and_back(real), codec="H264")
            one = await relay.watch(NAME, codecs=(first,))
            either = await relay.watch(NAME)
            async with closing(publisher, one, either):
                assert relay.registry.channels[NAME].codecs(Kind.ANNOTATED) == (both_get,)
                other = "VP8" if first == "H264" else "H264"
                only = await relay.watch(NAME, codecs=(other,))
                async with closing(only):
                    assert set(relay.registry.channels[NAME].codecs(Kind.ANNOTATED)) == {"VP8", "H264"}

    asyncio.run(scenario())


def test_who_joins_late_or_lost_a_picture_gets_a_key_frame(networks, real):
    async def scenario():
        async with Relay(networks) as relay:
            publisher = await relay.publish(NAME, forth_and_back(real))
            first = await relay.watch(NAME)
            async with closing(publisher, first):
                await first.until(20)
                begin = time.monotonic()
                late = await relay.watch(NAME)
                async with closing(late):
                    assert time.monotonic() - begin < 3  # the next one by itself would come in 20 s
                output = relay.registry.channels[NAME]._outputs
                keys = next(iter(output.values()))
                before = keys.keys
                receiver = first.pc.getTransceivers()[0].receiver
                for _ in range(10):  # a flood of requests brings a few at most
                    await receiver._send_rtcp_pli(receiver.getSynchronizationSources()[0].source)
                    await asyncio.sleep(0.1)
                assert 1 <= keys.keys - before <= 4

    asyncio.run(scenario())


def test_a_name_is_taken_once_and_free_again(networks, real):
    async def scenario():
        async with Relay(networks) as relay:
            one = await relay.publish(NAME, forth_and_back(real))
            two = Publisher(f"{relay.url}/whip/{NAME}", forth_and_back(real))
            assert await two.connect() == 409
            other = await relay.publish("back", forth_and_back(real))
            viewer = await relay.watch(NAME)
            async with closing(one, two, other, viewer):
                assert await one.delete() == 200
                assert await one.delete() == 404
                assert await poll(lambda: viewer.ended)
                nobody = Viewer(f"{relay.url}/whep/{NAME}")
                assert await nobody.connect() == 404
                again = await relay.publish(NAME, forth_and_back(real))
                fresh = await relay.watch(NAME)
                async with closing(again, fresh, nobody):
                    await fresh.until(5)
                rows = (await relay.get("/api/streams"))["streams"]
                assert "back" in {row["name"] for row in rows}

    asyncio.run(scenario())


def test_peers_that_vanish_are_gone_within_ten_seconds_and_nothing_stays(networks, real):
    async def scenario():
        async with Relay(networks) as relay:
            staying = await relay.publish("back", forth_and_back(real))
            watching = await relay.watch("back")
            threads, tasks = media_threads(), len(asyncio.all_tasks())
            publisher = await relay.publish(NAME, forth_and_back(real), sound=True)
            viewer = await relay.watch(NAME, sound=True)
            lost = await relay.watch("back")
            channel = weakref.ref(relay.registry.channels[NAME])
            assert len(relay.registry.sessions) == 5
            for client in (publisher, lost):
                await client.vanish()
            begin = time.monotonic()
            assert await poll(lambda: len(relay.registry.sessions) == 2, 12)
            assert time.monotonic() - begin < 10
            assert list(relay.registry.channels) == ["back"]
            assert relay.registry.channels["back"].viewers == 1
            await asyncio.gather(*(client.close() for client in (publisher, viewer, lost)))
            assert await poll(lambda: media_threads() == threads)
            assert await poll(lambda: len(asyncio.all_tasks()) <= tasks)
            gc.collect()
            assert await poll(lambda: gc.collect() >= 0 and channel() is None, 5)
            await watching.until(5)
            await asyncio.gather(staying.close(), watching.close())

    asyncio.run(scenario())


def test_a_publisher_that_stops_sending_is_told_apart_from_one_that_sends(networks, real):
    async def scenario():
        async with Relay(networks) as relay:
            publisher = await relay.publish(NAME, iter([real[0]]))
            other = await relay.publish("back", forth_and_back(real))
            viewer, watching = await relay.watch(NAME), await relay.watch("back")
            async with closing(publisher, other, viewer, watching):
                lit = (await viewer.until(10)).mean()
                publisher.camera.paused = True
                assert await poll(lambda: viewer.picture.mean() < 0.6 * lit)  # an old picture, dimmed
                rows = {row["name"]: row for row in (await relay.get("/api/streams"))["streams"]}
                assert not rows[NAME]["connected"]
                assert rows[NAME]["note"] == "no picture"
                assert rows["back"]["connected"]
                await watching.until(5)
                events = [m["event"] for m in viewer.messages if m["type"] == "stream"]
                assert events[-1] == "lost"
                publisher.camera.paused = False
                assert await poll(lambda: viewer.picture.mean() > 0.9 * lit)
                assert await poll(lambda: relay.registry.channels[NAME].frames.connected)

    asyncio.run(scenario())


def test_another_publisher_takes_over_from_one_that_fell_silent(networks, real):
    async def scenario():
        async with Relay(networks) as relay:
            silent = await relay.publish(NAME, forth_and_back(real))
            silent.camera.paused = True
            next_one = Publisher(f"{relay.url}/whip/{NAME}", forth_and_back(real))
            assert await next_one.connect() == 409
            frames = relay.registry.channels[NAME].frames
            assert await poll(lambda: frames.silence > TAKEN_OVER)
            fresh = await relay.publish(NAME, forth_and_back(real))
            async with closing(silent, next_one, fresh):
                assert relay.registry.channels[NAME].frames is not frames

    asyncio.run(scenario())


class Slow:
    """A detector that takes its time, or fails."""

    def __init__(self, detector, seconds: float, fails: bool = False) -> None:
        self._detector, self._seconds, self._fails = detector, seconds, fails
        self.card = detector.card
        self.sha256 = detector.sha256

    def encode(self, crops, closely=None):
        time.sleep(self._seconds)
        if self._fails:
            raise ValueError("a network that is broken")
        return self._detector.encode(crops, closely)

    def score(self, features, weights):
        return self._detector.score(features, weights)


@pytest.mark.parametrize("fails", [False, True])
def test_an_analysis_that_is_slow_or_fails_does_not_touch_the_picture(networks, real, fails):
    async def scenario():
        slow = replace(networks, detector=Slow(networks.detector, 0.4, fails))
        async with Relay(slow) as relay:
            publisher = await relay.publish(NAME, forth_and_back(real))
            viewer = await relay.watch(NAME)
            async with closing(publisher, viewer):
                await asyncio.sleep(1)
                channel = relay.registry.channels[NAME]
                begin, frames, painted = time.monotonic(), channel.frames.count, channel.encoded
                await asyncio.sleep(3)
                came = channel.frames.count - frames
                assert came > 8 * (time.monotonic() - begin)
                assert channel.encoded - painted > 0.7 * came
                assert channel.delay(Kind.ANNOTATED) < 0.2
                row = channel.row()
                assert row["connected"]
                if fails:
                    assert await poll(lambda: "analysis failed" in channel.row()["note"])
                else:
                    assert row["analysis_fps"] < 0.7 * row["fps"]

    asyncio.run(scenario())


class Kept:
    """A view that keeps the newest picture."""

    closed = False

    def __init__(self) -> None:
        self.picture, self.ended = None, False

    def show(self, image, time):
        self.picture = image

    def close(self):
        self.ended = True


def test_the_painted_picture_goes_to_a_push_without_any_viewer(networks, real):
    async def scenario():
        views: dict[str, Kept] = {}

        def view(name: str) -> Kept:
            return views.setdefault(name, Kept())

        async with Relay(networks, view=view) as relay:
            publisher = await relay.publish(NAME, iter([real[0]]))
            async with closing(publisher):
                assert await poll(lambda: NAME in views and views[NAME].picture is not None)
                banner = np.s_[4:30, 6:90]
                assert difference(views[NAME].picture[banner], real[0][banner]) > 40
                viewer = await relay.watch(NAME)
                async with closing(viewer):
                    await viewer.until(3)
                await publisher.delete()
            assert await poll(lambda: views[NAME].ended)

    asyncio.run(scenario())


def test_a_publisher_that_changes_its_size_goes_on(networks, real):
    async def scenario():
        small = cv2.resize(real[0], (320, 240), interpolation=cv2.INTER_AREA)
        pictures = itertools.chain([real[0]] * 60, itertools.repeat(small))
        async with Relay(networks) as relay:
            publisher = await relay.publish(NAME, pictures)
            viewer = await relay.watch(NAME)
            async with closing(publisher, viewer):
                channel = relay.registry.channels[NAME]
                assert await poll(lambda: viewer.picture.shape == (240, 320, 3))
                assert await poll(lambda: bool(channel.row()["tracks"]))
                (track,) = channel.row()["tracks"]
                assert track["id"] == 1  # it is still the same face

    asyncio.run(scenario())


def test_numbered_pictures_come_back_fresh(networks):
    async def scenario():
        def counting() -> Iterator[Picture]:
            yield from clips.numbered(10_000)

        async with Relay(networks) as relay:
            publisher = await relay.publish(NAME, counting())
            viewer = await relay.watch(NAME, "plain")
            async with closing(publisher, viewer):
                behind = []
                for _ in range(20):
                    picture = await viewer.until(3)
                    behind.append(publisher.camera._count - clips.number_of(picture))
                assert sorted(behind)[10] <= 15  # half a second, on a machine that does other things too

    asyncio.run(scenario())
