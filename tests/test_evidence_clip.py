"""What becomes of encoded pictures: over the wire, in the ring, in a clip; and the process that makes it."""

import contextlib
import json
import os
import threading
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.card import Thresholds
from models.crop import CropSpec
from stream.coded import Codec, Coded
from stream.evidence.clip import pictures_of, remux, retimed
from stream.evidence.collector import Collector
from stream.evidence.job import Facts, Job, Opening
from stream.evidence.maker import Maker
from stream.evidence.ring import PacketRing
from stream.reader import LiveReader
from stream.sources import SourceOptions, open_frames
from stream.values import Alert, Frame, Health, Phase, Result, Score, State, Track, TrackView
from stream.wire import read, write_codec, write_packet
from tests import clips

CODEC = Codec("h264", Fraction(1, 1000), b"template", b"matrix")
LIMITS = Thresholds(0.5, 0.4, 0.7, 0.6)
FACTS = Facts("desk", "desk", {}, "{}", {}, LIMITS, CropSpec(64, 1.3, (0.0,) * 3, (1.0,) * 3), 2.0)
BOX = np.array([100, 40, 180, 140], np.float32)


def picture(at: float, key: bool = False, size: int = 10, codec: Codec = CODEC) -> Coded:
    ticks = round(at * 1000)
    return Coded(bytes(size), ticks, ticks, 0, key, at, codec)


def tapped(path: Path) -> tuple[list[Coded], list[Frame]]:
    """All packets and all frames of a file."""
    packets: list[Coded] = []
    return packets, list(open_frames(str(path), SourceOptions(), packets.append))[:]


def result(frame: Frame) -> Result:
    """One face, whose score rises."""
    value = min(0.5 + frame.time / 20, 1.0)
    track = Track(1, BOX, np.zeros((5, 2), np.float32), 1.0, True, True)
    score = Score(1, frame.time, value, 8)
    view = TrackView(track, State.ALERT, score, None, ((frame.time, value),))
    return Result(frame, State.ALERT, (view,), ())


def alert(phase: Phase, start: float, end: float) -> Alert:
    return Alert("desk-1", phase, "desk", 1, start, end, 0.9, 0.8, "m", "")


def test_packets_come_over_the_wire_as_they_were():
    ours, theirs = os.pipe()
    sent = [picture(1.5, True), Coded(b"abc", None, None, 7, False, 2.25, CODEC)]
    write_codec(theirs, CODEC)
    for each in sent:
        write_packet(theirs, each)
    os.close(theirs)
    codec = read(ours)
    assert isinstance(codec, Codec)
    assert (codec.name, codec.time_base, codec.template, codec.matrix) == (
        "h264",
        CODEC.time_base,
        b"template",
        b"matrix",
    )
    for each in sent:
        got = read(ours, codec)
        assert isinstance(got, Coded)
        assert got.codec is codec
        for name in ("data", "pts", "dts", "duration", "key", "time"):
            assert getattr(got, name) == getattr(each, name)
    assert read(ours, codec) is None
    os.close(ours)


steps = st.tuples(st.floats(0.001, 5), st.booleans(), st.integers(1, 400), st.integers(0, 30))


def test_what_is_kept_grows_old_while_pictures_come_that_cannot_be_kept():
    ring = PacketRing(keep=5, longest=20, largest=4000)
    ring.add(picture(1.0, True))
    ring.add(picture(22.0, False, codec=Codec("h264", Fraction(1, 1000), b"", b"")))
    assert ring.between(-1e9, 1e9) == []


@settings(deadline=None)
@given(st.lists(steps, max_size=200), st.floats(-5, 30))
def test_the_ring_is_bounded_and_begins_with_a_key_picture(given_steps, span):
    ring, now, codec, all_ = PacketRing(keep=5, longest=20, largest=4000), 0.0, CODEC, []
    for step, key, size, change in given_steps:
        now += step
        if change == 0:  # a new connection
            codec = Codec("h264", Fraction(1, 1000), b"", b"")
        all_.append(picture(now, key, size, codec))
        ring.add(all_[-1])
        assert ring.bytes <= 4000
        kept = ring.between(-1e9, 1e9)
        assert sum(len(each.data) for each in kept) == ring.bytes
        if not kept:
            continue
        assert kept[0].key
        assert now - kept[0].time <= 20
        before = None
        for each in kept:  # none is missing within a group, and none builds on what is not there
            if not each.key:
                assert before is all_[all_.index(each) - 1]
                assert each.codec is before.codec
            before = each
    wanted = ring.between(now - span, now)
    if wanted and wanted[0] is not ring.between(-1e9, 1e9)[0]:
        assert wanted[0].time <= now - span


stamps = st.tuples(
    st.one_of(st.none(), st.integers(-(10**6), 10**6)), st.integers(0, 80), st.floats(0.001, 3)
)


@settings(deadline=None)
@given(st.lists(stamps, min_size=1, max_size=60))
def test_any_timestamps_become_such_as_a_container_takes(given_stamps):
    now, packets = 0.0, []
    for dts, delay, step in given_stamps:
        now += step
        pts = None if dts is None else dts + delay
        packets.append(Coded(b"x", pts, dts, 0, False, now, CODEC))
    ticks, _ = retimed(packets)
    decoded = [dts for _, dts in ticks]
    assert decoded[0] >= 0
    assert all(a < b for a, b in pairwise(decoded))
    assert all(pts >= dts for pts, dts in ticks)


def test_sound_timestamps_keep_their_distances():
    packets = [
        Coded(b"x", 9000 + 40 * i + 80, 9000 + 40 * i, 40, False, 3 + 0.04 * i, CODEC) for i in range(50)
    ]
    ticks, origin = retimed(packets)
    assert ticks == [(40 * i + 80, 40 * i) for i in range(50)]
    assert origin == pytest.approx(3 - 0.08)


@pytest.mark.parametrize(
    ("suffix", "codec", "more", "out"),
    [
        (".mp4", "libx264", {"b_frames": 2}, "clip.mp4"),
        (".ts", "libx264", {"b_frames": 2}, "clip.mp4"),
        (".mkv", "mjpeg", {"pix_fmt": "yuvj420p"}, "clip.mkv"),
        (".mkv", "libvpx", {}, "clip.mkv"),
    ],
)
def test_packets_of_any_codec_become_a_clip_with_the_same_pictures(tmp_path, suffix, codec, more, out):
    path = clips.write_clip(
        tmp_path / f"in{suffix}", clips.numbered(40), rate=20, gop=10, codec=codec, **more
    )
    packets, frames = tapped(path)
    clip = remux(packets)
    assert clip.name == out
    shown = list(pictures_of(clip))
    assert len(shown) == len(frames) == 40
    for (at, image), frame in zip(shown, frames, strict=True):
        assert at == pytest.approx(frame.time, abs=0.003)
        assert (image == frame.image).all()


def test_a_turned_clip_stays_turned(tmp_path):
    plain = clips.write_clip(tmp_path / "plain.mp4", [clips.quadrants()] * 10)
    turned = clips.rotated(tmp_path / "turned.mp4", plain, (0, 1, -1, 0))
    packets, frames = tapped(turned)
    clip = remux(packets)
    (tmp_path / "clip.mp4").write_bytes(clip.data)
    _, again = tapped(tmp_path / "clip.mp4")
    assert clips.corners(frames[0].image) == clips.corners(again[0].image) != clips.corners(clips.quadrants())
    assert all(clips.corners(image) == clips.corners(frames[0].image) for _, image in pictures_of(clip))


def test_a_live_reader_hands_on_every_packet(tmp_path):
    path = clips.write_clip(tmp_path / "in.mp4", clips.numbered(30), rate=30, gop=10)
    packets: list[Coded] = []
    reader = LiveReader(str(path), SourceOptions(realtime=True), reconnect=False, tap=packets.append)
    frames = []
    with contextlib.closing(reader):
        while not reader.finished:
            if (frame := reader.newest(1.0)) is not None:
                frames.append(frame)
    assert len(packets) == 30
    assert len({id(each.codec) for each in packets}) == 1
    times = {round(each.time, 4) for each in packets}
    assert {round(frame.time, 4) for frame in frames} <= times


def test_a_source_without_packets_is_encoded_here(tmp_path):
    path = clips.write_clip(tmp_path / "in.mp4", clips.portraits(60, step=0), rate=10, gop=10)
    _, frames = tapped(path)
    given: list[Opening | Job] = []
    collector = Collector(FACTS, given.append, packets=False, live=True)
    for frame in frames:
        if frame.index == 10:
            collector.submit(alert(Phase.OPENED, 0.6, 1.0))
        collector.see(result(frame), Health("desk", "CPU", True, 10.0, 0.01, frame.index, 0))
        time.sleep(0.01)
    assert [type(each) for each in given] == [Opening]
    collector.tick(time.monotonic() + 60)  # the camera was unplugged: what is there is taken
    _, job = given
    assert isinstance(job, Job)
    collector.close()
    told = Maker().make(job, tmp_path)
    assert told["problems"] == []
    assert "encoded by this program" in told["clip"]["made"]
    assert len(clips.read_all(tmp_path / "clip.mp4")) == told["clip"]["pictures"] > 30
    assert len(told["peak"]["crops"]) == 8
    assert json.loads((tmp_path / "scores.json").read_text())["faces"]["1"]


def job_of(packets: list[Coded], frames: list[Frame]) -> Job:
    jobs: list[Opening | Job] = []
    collector = Collector(FACTS, jobs.append, packets=True, live=False)
    collector.submit(alert(Phase.OPENED, 0.5, 1.0))
    for packet in packets:
        collector.packet(packet)
    for frame in frames:
        collector.see(result(frame), Health("desk", "CPU", True, 10.0, 0.01, frame.index, 0))
    collector.close()
    assert isinstance(jobs[1], Job)
    return jobs[1]


def test_what_was_before_a_long_silence_is_kept():
    jobs: list[Opening | Job] = []
    collector = Collector(FACTS, jobs.append, packets=True, live=True)
    for i in range(100):
        collector.packet(picture(i / 10, key=i % 10 == 0))
    collector.submit(alert(Phase.OPENED, 9.0, 9.4))
    collector.packet(picture(70.0, key=True))
    collector.packet(picture(90.0, key=True))
    _, job = jobs
    assert isinstance(job, Job)
    times = [coded.time for coded in job.packets]
    assert (times[0], times[-1], len(times)) == (4.0, 9.9, 60)
    collector.close()


def test_hostile_packets_cost_the_clip_and_no_more(tmp_path):
    path = clips.write_clip(tmp_path / "in.mp4", clips.portraits(30), rate=10, gop=10)
    packets, frames = tapped(path)
    junk = [Coded(os.urandom(500), p.pts, p.dts, 0, p.key, p.time, p.codec) for p in packets]
    told = Maker().make(job_of(junk, frames), tmp_path)
    assert (tmp_path / "scores.png").exists()
    assert told["clip"]["file"] == "clip.mp4" or told["problems"]
    nothing = Maker().make(job_of([], frames), tmp_path)
    assert any("no clip" in problem for problem in nothing["problems"])


def test_the_maker_can_be_stopped(tmp_path):
    path = clips.write_clip(tmp_path / "in.mp4", clips.portraits(60, 1280, 720), rate=10, gop=10)
    maker = Maker()
    threading.Timer(0.2, maker.stop).start()
    told = maker.make(job_of(*tapped(path)), tmp_path)
    assert any("ended" in problem for problem in told["problems"])
    assert maker.make(job_of([], []), tmp_path)["problems"]


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    path = clips.write_clip(tmp_path / "in.mp4", clips.portraits(10), rate=10, gop=10)
    with pytest.raises(OSError, match="No such file"):
        Maker().make(job_of(*tapped(path)), tmp_path / "none")


def test_a_reconnection_is_bridged(tmp_path):
    path = clips.write_clip(tmp_path / "in.mp4", clips.numbered(20), rate=10, gop=10)
    first, _ = tapped(path)
    second, _ = tapped(path)
    later = [Coded(p.data, p.pts, p.dts, p.duration, p.key, p.time + 5, p.codec) for p in second]
    clip = remux([*first, *later])
    times = [at for at, _ in pictures_of(clip)]
    assert len(times) == 40
    assert times[20] == pytest.approx(later[0].time, abs=0.01)
