"""The engine from inside: an analysis that raises, recordings over an edit, shared sinks, networks."""

import dataclasses
import json
import time
from pathlib import Path

import pytest

from export.detector import Detector
from stream.config import Settings
from stream.errors import OutputError
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
        self.card, self.sha256 = detector.card, detector.sha256

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
    streams = Streams(plan, HalfBroken(CPU, 1), sinks, None)
    streams.run(lambda: False)
    sinks.close()
    assert isinstance(streams.first_error, MemoryError)
    frames = {name: each["counts"]["frames"] for name, each in streams.summaries.items()}
    assert frames["sound"] == frames["other"] == 45
    assert frames["broken"] < 45


def test_an_edit_loses_no_recording_and_no_scores(clip, tmp_path):
    outputs = {"record": str(tmp_path / "a.mp4"), "scores": str(tmp_path / "a.jsonl")}
    first = settings(clip, "a", realtime=True, **outputs)
    keeps = settings(clip, "b", realtime=True)
    sinks, now = SinkPool(), time.monotonic
    streams = Streams(Plan((first, keeps), "x.toml"), NetworkPool(CPU, 1), sinks, None)
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
        Streams(Plan((settings(clip, "good"), bad)), networks, sinks, None)
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
