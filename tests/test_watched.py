"""The engine from inside: an analysis that raises, recordings over an edit, shared sinks, networks."""

import dataclasses
import json
import logging
import time
from pathlib import Path

import pytest

from export.detector import Detector
from stream.config import Settings
from stream.errors import OutputError
from stream.governor import Effort, Governor, Rules
from stream.networks import NetworkPool
from stream.sinks import SinkOptions
from stream.sinks.pool import SinkPool
from stream.stream_config import Plan
from stream.streams import Streams, free_place
from stream.watched import WatchedStream
from tests import clips
from tests.servers import wait_for
from tests.test_sinks import alert

CPU = ("CPUExecutionProvider",)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return clips.write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", clips.portraits(45), gop=15)


class Failing:
    """A detector that fails at its first crop."""

    def __init__(self, detector: Detector) -> None:
        self.card = detector.card

    def encode(self, crops, closely=None):
        raise MemoryError("no memory left on the accelerator")


class HalfBroken(NetworkPool):
    """Real networks, but for the streams that look for faces of 99 px."""

    def get(self, model, min_face):
        networks = super().get(model, min_face)
        return (
            dataclasses.replace(networks, detector=Failing(networks.detector)) if min_face == 99 else networks
        )


def settings(clip: Path, name: str, **more) -> Settings:
    return Settings(str(clip), name, alert=(), provider="cpu", **more)


def test_an_analysis_that_raises_ends_its_stream_alone(clip):
    plan = Plan((settings(clip, "broken", min_face=99), settings(clip, "sound"), settings(clip, "other")))
    sinks = SinkPool()
    streams = Streams(plan, HalfBroken(CPU, 1), sinks)
    streams.run(lambda: False)
    sinks.close()
    assert isinstance(streams.first_error, MemoryError)
    frames = {name: each["counts"]["frames"] for name, each in streams.summaries.items()}
    assert frames["sound"] == frames["other"] == 45
    assert frames["broken"] < 45


class Slow:
    """Real face networks on a machine that a test can fill."""

    def __init__(self, faces) -> None:
        self._faces, self.delay = faces, 0.1  # s: longer than a face would do with a glance

    def detect(self, image):
        time.sleep(self.delay)
        return self._faces.detect(image)

    def refine(self, image, boxes):
        time.sleep(self.delay)
        return self._faces.refine(image, boxes)


class Filled(NetworkPool):
    faces: Slow

    def get(self, model, min_face):
        networks = super().get(model, min_face)
        if not hasattr(self, "faces"):
            self.faces = Slow(networks.faces)
        return dataclasses.replace(networks, faces=self.faces)


def test_a_full_machine_lowers_all_rates_says_so_and_recovers(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("stream.streams.GOVERN", 0.3)
    long = clips.write_clip(tmp_path / "long.mp4", clips.portraits(900, step=0), gop=30)
    names = {"a": 1.0, "b": 1.0, "first": 2.0}
    plan = Plan(tuple(settings(long, name, realtime=True, priority=p) for name, p in names.items()), "x.toml")
    networks, sinks, now = Filled(CPU, 1), SinkPool(), time.monotonic
    quick = Rules(alarm=0.6, patience=0.6, rise=5.0, cool=1.1)
    streams = Streams(plan, networks, sinks, governor=Governor(quick))
    running = {stream.name: stream for stream in streams._streams}

    def until(condition, seconds: float = 20) -> bool:
        return wait_for(lambda: streams.step(now()) or condition(), seconds)

    try:
        assert until(lambda: "the machine is full" in caplog.text), {n: s.load() for n, s in running.items()}
        assert until(lambda: all(s.health().note.startswith("analysing") for s in running.values()))
        rates = {name: stream.pump.rate for name, stream in running.items()}
        assert rates["a"] == rates["b"]
        assert rates["first"] >= rates["a"]
        assert running["a"]._governed._tracker.key_frames.stretch > 1
        networks.faces.delay = 0.0
        assert until(lambda: "has room again" in caplog.text), {n: s.load() for n, s in running.items()}
        assert until(lambda: not any(stream.health().note for stream in running.values()))
    finally:
        streams.close()
        sinks.close()


def test_a_rate_that_was_asked_for_holds_under_any_effort(clip):
    sinks = SinkPool()
    outlet = sinks.outlet((), SinkOptions())
    stream = WatchedStream(
        settings(clip, "a", analysis_rate=5.0), NetworkPool(CPU, 1).get("detector", 60), outlet
    )
    assert stream.pump.rate == 5
    for rate, expected in ((20.0, 5), (4.0, 4), (None, 5)):
        stream.apply(Effort(rate))
        assert stream.pump.rate == expected
    stream.discard()


def test_an_edit_loses_no_recording_and_no_scores(clip, tmp_path):
    outputs = {"record": str(tmp_path / "a.mp4"), "scores": str(tmp_path / "a.jsonl")}
    first = settings(clip, "a", realtime=True, **outputs)
    keeps = settings(clip, "b", realtime=True)
    sinks, now = SinkPool(), time.monotonic
    streams = Streams(Plan((first, keeps), "x.toml"), NetworkPool(CPU, 1), sinks)
    try:
        assert wait_for(lambda: streams.step(now()) or (tmp_path / "a.mp4").exists(), 20)
        streams.take_up(Plan((dataclasses.replace(first, min_face=40), keeps), "x.toml"))
        assert wait_for(lambda: streams.step(now()) or (tmp_path / "a-2.mp4").exists(), 20)
    finally:
        streams.close()
        sinks.close()
    assert clips.read_all(tmp_path / "a.mp4")
    assert clips.read_all(tmp_path / "a-2.mp4")


def test_a_free_place_is_beside_what_is_there(tmp_path):
    path = tmp_path / "a.mp4"
    assert free_place(str(path)) == str(path)
    path.touch()
    (tmp_path / "a-2.mp4").touch()
    assert free_place(str(path)) == str(tmp_path / "a-3.mp4")


def test_an_output_that_cannot_be_leaves_nothing_open(clip, tmp_path):
    networks, sinks = NetworkPool(CPU, 1), SinkPool()
    bad = settings(clip, "bad", record=str(tmp_path / "none" / "x.mp4"))
    with pytest.raises(OutputError):
        Streams(Plan((settings(clip, "good"), bad)), networks, sinks)
    outlet = sinks.outlet((), SinkOptions())
    with pytest.raises(OutputError):
        WatchedStream(bad, networks.get("detector", 60), outlet)
    sinks.close()


def test_a_model_is_opened_once_however_it_is_named(clip):
    pool = NetworkPool(CPU, 1)
    by_name = pool.get("detector", 60)
    by_path = pool.get(str(Path("export/weights/detector.onnx").absolute()), 100)
    assert by_name.detector is by_path.detector
    assert (by_name.faces.min_face, by_path.faces.min_face) == (60, 100)
    assert by_name.faces._pnet is by_path.faces._pnet
    pool.keep([])
    assert pool.get("detector", 60).detector is not by_name.detector


def test_streams_share_a_sink_which_ends_with_the_last_of_them(tmp_path):
    place, options = tmp_path / "alerts.jsonl", SinkOptions()
    pool = SinkPool()
    one, two = (pool.outlet((f"jsonl:{place}", f"jsonl:{place}"), options) for _ in range(2))
    assert one._lanes == two._lanes
    assert len(one._lanes) == 1
    one.submit(alert())
    one.close()
    one.close()
    two.submit(alert())
    (lane,) = two._lanes
    assert lane.alive
    two.close()
    assert wait_for(lambda: not lane.alive, 5)
    assert len([json.loads(line) for line in place.read_text().splitlines()]) == 2
    pool.close()


def test_of_sinks_that_cannot_all_be_none_stays(tmp_path):
    pool = SinkPool()
    with pytest.raises(OutputError):
        pool.outlet((f"jsonl:{tmp_path / 'a'}", f"jsonl:{tmp_path / 'none' / 'b'}"), SinkOptions())
    assert not pool._open
    pool.close()
