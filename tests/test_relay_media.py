"""The relay's media pieces by themselves: packets to pictures, sound, encoders, tracks on newer frames."""

import asyncio
import time

import av
import numpy as np
import pytest
from aiortc.rtp import RtpPacket
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.relay.audio import Holder, Sound
from stream.relay.channel import overlaid
from stream.relay.decoding import Decoding, is_key
from stream.relay.encode import CODECS, Encoder, to_yuv
from stream.relay.frames import Feed, Frames
from stream.relay.output import Kind, Output, VideoOut
from stream.relay.profiles import as_baseline
from stream.relay.receiving import STUCK, AudioTap, Encoded, Unwrapper, VideoTap
from stream.relay.whep import choose
from stream.values import Frame, Result, State, Track, TrackView
from tests import clips
from tests.bench_relay import BITS, draw_time, read_time


def packet(
    number: int, timestamp: int, marker: bool, data: bytes = b"x", payload_type: int = 97
) -> RtpPacket:
    made = RtpPacket(payload_type=payload_type, marker=int(marker), sequence_number=number & 0xFFFF)
    made.timestamp, made.payload, made._data = timestamp & 0xFFFFFFFF, data, data
    return made


def pictures_of(sizes: list[int], first: int = 65_500, begin: int = 2**32 - 4000) -> list[RtpPacket]:
    """Packets of pictures that have so many each; numbers and timestamps wrap around on the way."""
    packets, number = [], first
    for index, size in enumerate(sizes):
        for part in range(size):
            data = bytes([index, part])
            packets.append(packet(number, begin + index * 3000, part == size - 1, data))
            number += 1
    return packets


def tapped() -> tuple[VideoTap, list[Encoded]]:
    tap, out = VideoTap({97: "VP8"}), []
    tap.deliver = out.append
    return tap, out


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30))
@settings(deadline=None)
def test_a_picture_is_handed_on_with_its_last_packet(sizes):
    tap, out = tapped()
    for number, each in enumerate(pictures_of(sizes)):
        assert tap.add(each) == (False, None)
        done = sum(1 for i in range(len(sizes)) if sum(sizes[: i + 1]) <= number + 1)
        assert len(out) == done
    assert [round(p.time * 90_000) for p in out] == [3000 * i for i in range(len(sizes))]
    assert [p.data for p in out] == [
        b"".join(bytes([i, part]) for part in range(size)) for i, size in enumerate(sizes)
    ]
    assert all(p.whole for p in out)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=20), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_packets_out_of_order_make_the_same_pictures(sizes, chance):
    packets = pictures_of(sizes)
    first, rest = packets[0], packets[1:]
    for i in range(0, len(rest) - 3, 3):
        part = rest[i : i + 3]
        chance.shuffle(part)
        rest[i : i + 3] = part
    tap, out = tapped()
    for each in [first, *rest]:
        tap.add(each)
    assert [p.data[0] for p in out] == list(range(len(sizes)))


def test_a_sender_without_markers_is_understood_with_the_next_picture():
    tap, out = tapped()
    for each in pictures_of([2, 2, 2]):
        each.marker = 0
        tap.add(each)
    assert [p.data for p in out] == [b"\0\0\0\1", b"\1\0\1\1"]


def test_a_lost_packet_holds_the_picture_up_for_half_a_second_at_most(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("stream.relay.receiving.time.monotonic", lambda: now[0])
    tap, out = tapped()
    asked = 0
    for index, each in enumerate(pictures_of([3] * 40)):
        now[0] += 1 / 90
        if index == 4:  # lost for good
            continue
        asked += tap.add(each)[0]
    assert [p.data[0] for p in out[:1]] == [0]
    resumed = out[1].data[0]
    assert resumed <= 1 + STUCK * 30 + 2
    assert not out[1].whole
    assert all(p.whole for p in out[2:])
    assert [p.data[0] for p in out[1:]] == list(range(resumed, 40))
    assert asked == 1


def test_key_frames_are_asked_for_twice_a_second_at_most(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("stream.relay.receiving.time.monotonic", lambda: now[0])
    tap, _ = tapped()
    asked = 0
    for each in pictures_of([1] * 120):
        now[0] += 1 / 30
        tap.want_key()
        asked += tap.add(each)[0]
    assert asked in (8, 9)


def test_timestamps_that_wrap_around_or_come_late():
    clock = Unwrapper()
    given = [2**32 - 960, 0, 960, 480, 1920]
    assert [clock.place(t) for t in given] == [0, 960, 1920, 1440, 2880]


def test_only_opus_is_handed_on():
    out = []
    tap = AudioTap({96: "opus", 0: "PCMU"}, lambda payload, ticks: out.append((payload, ticks)))
    tap.add(packet(1, 2**32 - 960, True, b"a", 96))
    tap.add(packet(2, 0, True, b"b", 0))
    tap.add(packet(3, 960, True, b"c", 96))
    assert out == [(b"a", 0), (b"c", 1920)]


@given(st.permutations(range(12)))
def test_sound_goes_out_once_and_in_order(order):
    holder, out = Holder(), []
    for step, number in enumerate(order):
        holder.add(number * 960, bytes([number]), step + 4.0)
        out += holder.due(float(step))
    out += holder.due(100.0)
    ticks = [t for t, _ in out]
    assert ticks == sorted(set(ticks))
    assert all(payload == bytes([t // 960]) for t, payload in out)
    if list(order) == sorted(order):
        assert len(out) == 12


def test_sound_waits_for_the_picture_within_bounds():
    async def scenario(delay: float) -> float:
        sound = Sound(lambda: delay)
        track = sound.join()
        reading = asyncio.ensure_future(track.recv())
        await asyncio.sleep(0)
        begin = time.monotonic()
        sound.put(b"\xf8", 960)
        packet = await asyncio.wait_for(reading, 2)
        sound.leave(track)
        assert bytes(packet) == b"\xf8"
        assert packet.pts == 960
        return time.monotonic() - begin

    assert asyncio.run(scenario(0.0)) < 0.1
    assert 0.09 <= asyncio.run(scenario(0.1)) < 0.2
    assert 0.24 <= asyncio.run(scenario(30.0)) < 0.4


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_encoded_can_be_decoded_and_begins_with_a_key_when_asked(codec):
    encoder, frames, asked = Encoder(codec), Frames(), []
    decoding = Decoding("test", frames, lambda: asked.append(1))
    keys = []
    for number, image in enumerate(clips.numbered(30)):
        for made in encoder.encode(to_yuv(image), number / 30, number in (10, 20)):
            assert made.is_keyframe == is_key(codec, bytes(made))
            keys += [number] if made.is_keyframe else []
            decoding.put(Encoded(codec, bytes(made), number / 30, 50 + number / 30, True))
            frame = frames.newer(number - 1, 5)
            assert frame is not None
            assert clips.number_of(frame.image) == number
            assert not frame.corrupt
    assert keys == [0, 10, 20]
    assert not asked
    decoding.close()


def test_the_benchmarks_time_code_survives_the_encoder():
    encoder, frames = Encoder("H264"), Frames()
    decoding = Decoding("test", frames, lambda: None)
    assert read_time(clips.portrait(640, 480)) is None
    for number, moment in enumerate((0, 1, 1_234_567, 2**BITS - 1)):
        image = clips.portrait(640, 480)
        draw_time(image, moment)
        for made in encoder.encode(to_yuv(image), number / 30, False):
            decoding.put(Encoded("H264", bytes(made), number / 30, number / 30, True))
        assert read_time(frames.newer(number - 1, 5).image) == moment
    decoding.close()


def test_a_new_size_begins_a_new_picture():
    encoder = Encoder("H264")
    for size in ((320, 240), (640, 481), (321, 240)):
        made = encoder.encode(to_yuv(clips.portrait(*size)), 0.0, False)
        assert made[0].is_keyframe


def test_a_decoder_that_begins_in_the_middle_asks_for_a_key_and_marks_what_is_damaged():
    encoder, frames, asked = Encoder("H264"), Frames(), []
    decoding = Decoding("test", frames, lambda: asked.append(1))
    whole = [True] * 30
    whole[15] = False
    for number, image in enumerate(clips.numbered(30)):
        for made in encoder.encode(to_yuv(image), number / 30, number == 20):
            if number not in (13, 14):  # lost
                decoding.put(Encoded("H264", bytes(made), number / 30, number / 30, whole[number]))
        if number in (12, 15, 25):
            expected = number - (2 if number > 14 else 0)
            frame = frames.newer(expected - 1, 5)
            assert frame is not None
            assert frame.corrupt == (number == 15)
    assert asked
    decoding.put(Encoded("H264", b"\0\0\1\x65nonsense", 2.0, 2.0, True))
    decoding.close()


def frame(index: int, width: int = 64, height: int = 48) -> Frame:
    return Frame(np.zeros((height, width, 3), np.uint8), index / 30, time.monotonic(), index)


def test_readers_of_frames_do_not_wait_for_each_other():
    frames = Frames()
    fast, slow = Feed(frames), Feed(frames)
    for index in range(10):
        frames.put(frame(index))
        assert fast.newest(0).index == index
    assert slow.newest(0).index == 9
    assert slow.newest(0.01) is None
    assert (fast.frames, fast.dropped, slow.dropped) == (10, 0, 9)
    assert frames.connected
    assert not slow.finished
    frames.end()
    assert slow.finished


def test_what_is_analysed_keeps_its_size_while_the_shape_stays():
    frames = Frames()
    feed, sizes = Feed(frames), []
    for index, size in enumerate([(320, 240), (640, 480), (160, 120), (240, 320), (120, 160), (640, 480)]):
        frames.put(frame(index, *size))
        sizes.append(feed.newest(0).image.shape[1::-1])
    assert sizes == [(320, 240), (640, 480), (640, 480), (240, 320), (240, 320), (640, 480)]


def test_tracks_are_drawn_where_they_are_in_a_picture_of_another_size():
    box = np.array([10, 20, 30, 40], np.float32)
    track = Track(1, box, np.ones((5, 2), np.float32), 1.0, True, True)
    known = Result(frame(0), State.CLEAR, (TrackView(track, State.CLEAR, None, None, ()),), ())
    shown = overlaid(known, frame(1, 128, 144), 0.1)
    assert shown.tracks[0].track.box.tolist() == [20, 60, 60, 120]
    assert shown.frame.index == 1
    assert overlaid(known, frame(1), 10.0).state is State.UNCERTAIN
    assert overlaid(known, frame(1), 10.0).tracks == ()
    assert overlaid(None, frame(1), 0.0).state is State.NO_FACE


@pytest.mark.parametrize(
    ("offered", "running", "chosen"),
    [
        (("VP8", "H264"), (), "H264"),
        (("VP8", "H264"), ("VP8",), "VP8"),
        (("VP8", "H264"), ("VP8", "H264"), "H264"),
        (("VP8",), ("H264",), "VP8"),
        (("AV1",), ("H264",), None),
        ((), (), None),
    ],
)
def test_the_codec_of_a_viewer(offered, running, chosen):
    assert choose(offered, running) == chosen


def test_only_offers_that_would_be_refused_are_changed():
    line = b"a=fmtp:106 packetization-mode=1;profile-level-id=%s\r\n"
    vp8 = b"a=rtpmap:96 VP8/90000\r\n"
    assert as_baseline(line % b"64001f") == line % b"42e01f"
    for same in (line % b"42c01f", line % b"42001f" + line % b"64001f", vp8 + line % b"64001f", b"", vp8):
        assert as_baseline(same) == same


def test_a_viewer_that_falls_behind_begins_anew_with_a_key_frame():
    async def scenario():
        asked = []
        track = VideoOut(lambda: asked.append(1))
        made = []
        for key in [True] + [False] * 70 + [True, False]:
            each = av.Packet(b"x")
            each.is_keyframe = key
            made.append(each)
        reading = asyncio.ensure_future(track.recv())
        await asyncio.sleep(0)
        for each in made:
            track.offer(each)
        assert len(asked) == 2  # when it joined, and when it was too late
        first = await reading
        assert first.is_keyframe
        assert first is made[71]
        assert await track.recv() is made[72]

    asyncio.run(scenario())


def test_a_picture_that_cannot_be_painted_does_not_end_the_stream():
    async def scenario():
        frames, painted = Frames(), []

        def paint(shown: Frame) -> np.ndarray:
            painted.append(shown.index)
            if shown.index < 2:
                raise ValueError("a label that does not fit")
            return shown.image

        output = Output("test", frames, paint, asyncio.get_running_loop())
        track = output.join("H264")
        reading = asyncio.ensure_future(track.recv())
        for index in range(4):
            frames.put(frame(index))
            await asyncio.sleep(0.7 if index < 2 else 0.1)
        assert (await asyncio.wait_for(reading, 5)).is_keyframe
        assert painted[0] == 0
        output.close()

    asyncio.run(scenario())


def test_every_kind_has_a_name_in_urls():
    assert {kind.value for kind in Kind} == {"annotated", "plain"}
