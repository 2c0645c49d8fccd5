"""What streams share: opened once, batched where that pays, met before it is ready, let go when unused."""

import dataclasses
import json
import logging
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from export import weights_path
from export.buckets import WIDE
from stream.batching import BatcherClosedError
from stream.config import Settings
from stream.faces import pyramid_scales
from stream.networks import NetworkPool
from stream.picture_sizes import PictureSizes
from stream.sinks.pool import SinkPool
from stream.stream_config import Plan
from stream.streams import Streams
from tests import clips
from tests.servers import wait_for
from tests.test_batching import Tiny
from tests.test_watched import Failing

CPU = ("CPUExecutionProvider",)
CLOSE = 1e-3  # of a score; a batch's sums are rounded in another order


@pytest.fixture(scope="module")
def four(tmp_path_factory) -> list[Path]:
    """Faces that move at different speeds."""
    folder = tmp_path_factory.mktemp("clips")
    return [
        clips.write_clip(folder / f"{i}.mp4", clips.portraits(18, step=i), rate=10, gop=9) for i in range(4)
    ]


def settings(clip: Path, name: str, **more) -> Settings:
    return Settings(str(clip), name, alert=(), provider="cpu", **more)


def scores(pool: NetworkPool, files: list[Path], folder: Path) -> dict[str, list[dict]]:
    """All scores of two streams of each file, by the stream's name."""
    folder.mkdir()
    names = {f"s{i}": files[i % len(files)] for i in range(2 * len(files))}
    plan = Plan(tuple(settings(f, n, scores=str(folder / n)) for n, f in names.items()))
    sinks = SinkPool()
    streams = Streams(plan, pool, sinks)
    streams.run(lambda: False)
    sinks.close()
    assert streams.first_error is None
    return {name: [json.loads(line) for line in (folder / name).open()] for name in names}


def test_eight_streams_score_the_same_batched_and_alone(tmp_path, four):
    alone = scores(NetworkPool(CPU, 1), four, tmp_path / "alone")
    pool = NetworkPool(CPU, 1, batched=True)
    counts = {}
    keep = pool.keep

    def counting(used) -> None:
        counts.update({name: dict(each) for shared, _ in pool._open.values() for name, each in
                       shared.counts().items()})  # fmt: skip
        keep(used)

    pool.keep = counting
    batched = scores(pool, four, tmp_path / "batched")
    pool.close()
    assert pool.turns.aside > 0  # files take the turns that live streams leave
    assert sum(map(len, alone.values())) >= 24
    for name, wanted in alone.items():
        assert len(batched[name]) == len(wanted), name
        for got, want in zip(batched[name], wanted, strict=True):
            assert (got["time"], got["track"], got["samples"]) == (
                want["time"],
                want["track"],
                want["samples"],
            )
            if want["value"] is None:
                assert got["value"] is None
            else:
                assert got["value"] == pytest.approx(want["value"], abs=CLOSE)
    # All went through the batcher; whether two calls meet there is the machine's affair (see test_batching).
    assert 0 < counts["encode"]["batches"] <= counts["encode"]["asks"]


class Stuck(Failing):
    """A detector that hangs at its first crop."""

    def __init__(self, detector, go: threading.Event) -> None:
        super().__init__(detector)
        self._go, self.hangs = go, threading.Event()

    def encode(self, crops, closely=None):
        self.hangs.set()
        self._go.wait(60)
        raise BatcherClosedError("at last")


class Hostile(NetworkPool):
    """Batched networks, but for the streams that look for faces of 99 px (dead) and of 98 px (stuck)."""

    def __init__(self) -> None:
        super().__init__(CPU, 1, batched=True)
        self.go, self.stuck = threading.Event(), []

    def get(self, model, min_face):
        networks = super().get(model, min_face)
        if min_face == 98:
            self.stuck.append(Stuck(networks.detector, self.go))
            return dataclasses.replace(networks, detector=self.stuck[-1])
        if min_face == 99:
            return dataclasses.replace(networks, detector=Failing(networks.detector))
        return networks

    def keep(self, used) -> None:
        """All: their detectors are hidden here."""


def test_a_stuck_and_a_dead_stream_hold_up_nobodys_batch(four):
    pool, sinks = Hostile(), SinkPool()
    names = {"dead": 99, "stuck": 98} | {f"sound-{i}": 60 for i in range(6)}
    plan = Plan(tuple(settings(four[0], name, min_face=face) for name, face in names.items()))
    streams = Streams(plan, pool, sinks)
    try:
        assert wait_for(lambda: streams.step(time.monotonic()) or len(streams.summaries) == 7, 120)
        assert pool.stuck[0].hangs.is_set()
        assert isinstance(streams.first_error, MemoryError)
        for name in names:
            if name.startswith("sound"):
                assert streams.summaries[name]["counts"]["frames"] == 18
    finally:
        pool.go.set()
        streams.close()
        pool.close()
        sinks.close()


@pytest.fixture
def accelerated(monkeypatch) -> NetworkPool:
    """What an accelerator gets, with networks that run on the CPU."""

    def tiny(*arguments):
        detector = open_detector(*arguments)
        light = Tiny(detector)
        light.sha256 = detector.sha256
        return light

    from export.detector import open_detector

    monkeypatch.setattr("stream.networks.pays", lambda providers: True)
    monkeypatch.setattr("stream.networks.open_detector", tiny)
    monkeypatch.setattr("stream.networks.USUAL", ((90, 120),))
    return NetworkPool(CPU, 1)


def test_ready_means_that_every_batch_size_and_every_usual_picture_was_met(accelerated):
    networks = accelerated.get("detector", 60)
    (shared, _), faces = next(iter(accelerated._open.values())), accelerated._faces
    assert shared.counts()["encode"]["rows"] == 2 * sum(WIDE)
    pnet = faces.batchers["pnet"].counts
    steps = len(pyramid_scales(90, 120, 60, 0.709))
    assert pnet["asks"] == len(WIDE) * steps
    assert faces.batchers["rnet"].counts["rows"] >= sum(WIDE)
    networks.looker.detect(np.zeros((90, 120, 3), np.uint8))
    assert pnet["asks"] == (len(WIDE) + 1) * steps  # nothing new in it
    accelerated.get("detector", 60)
    assert pnet["asks"] == (len(WIDE) + 1) * steps
    other = len(pyramid_scales(130, 100, 60, 0.709))
    for looks in (1, 2):  # another size is met at its first frame, once
        networks.looker.detect(np.zeros((130, 100, 3), np.uint8))
        assert pnet["asks"] == (len(WIDE) + 1) * steps + (len(WIDE) + looks) * other
    accelerated.close()
    with pytest.raises(BatcherClosedError):
        networks.detector.encode(np.zeros((1, 192, 192, 3), np.uint8))
    with pytest.raises(BatcherClosedError):
        networks.looker.detect(np.zeros((90, 120, 3), np.uint8))


def test_a_source_that_changes_its_size_for_ever_is_not_met_for_ever(monkeypatch):
    class Faces:
        min_face = 60
        met = 0

        def warm_up(self, sizes, batches):
            self.met += 1

    monkeypatch.setattr("stream.picture_sizes.MOST", 5)
    sizes, faces = PictureSizes(), Faces()
    for width in range(100, 120):
        sizes.meet(faces, [(100, width)])
    assert faces.met == 5


def test_a_pool_lets_go_of_what_nobody_looks_through(tmp_path):
    copied = Path(shutil.copy(weights_path("detector"), tmp_path / "other.onnx"))
    pool = NetworkPool(CPU, 1, batched=True)
    one, two = pool.get("detector", 60), pool.get(str(copied), 60)
    assert one.faces._pnet is two.faces._pnet  # batched together, whatever the detector
    pool.keep([two])
    crops = np.zeros((1, 192, 192, 3), np.uint8)
    with pytest.raises(BatcherClosedError):
        one.detector.encode(crops)
    assert two.detector.encode(crops).shape == (1, two.detector.card.features)
    assert pool.get("detector", 60).detector is not one.detector
    pool.close()


def test_an_edit_opens_its_model_beside_the_loop_and_a_broken_one_changes_nothing(
    tmp_path, caplog, monkeypatch
):
    from export.detector import open_detector

    caplog.set_level(logging.INFO)
    copied = Path(shutil.copy(weights_path("detector"), tmp_path / "other.onnx"))
    (tmp_path / "broken.onnx").write_bytes(b"nothing that onnxruntime knows")
    clip = clips.write_clip(tmp_path / "clip.mp4", clips.portraits(900, step=0), gop=30)
    go, opens = threading.Event(), threading.Event()

    def slow(path, *arguments):
        if path == copied:
            opens.set()
            assert go.wait(60)
        return open_detector(path, *arguments)

    monkeypatch.setattr("stream.networks.open_detector", slow)
    pool, sinks = NetworkPool(CPU, 1), SinkPool()
    stays = settings(clip, "stays", realtime=True)
    streams, longest = Streams(Plan((stays,), "x.toml"), pool, sinks), [0.0]

    def step() -> None:
        begin = time.monotonic()
        streams.step(begin)
        longest[0] = max(longest[0], time.monotonic() - begin)

    def until(condition) -> bool:
        return wait_for(lambda: step() or condition(), 60)

    try:
        broken = settings(clip, "new", realtime=True, model=str(tmp_path / "broken.onnx"))
        streams.take_up(Plan((stays, broken), "x.toml"))
        assert until(lambda: "new: model" in caplog.text)
        assert "nothing is changed" in caplog.text
        new = settings(clip, "new", realtime=True, model=str(copied))
        streams.take_up(Plan((stays, new), "x.toml"))
        assert until(opens.is_set)
        longest[0], end = 0.0, time.monotonic() + 0.5
        assert until(lambda: time.monotonic() > end)
        assert longest[0] < 5.0  # and not until the model is open
        assert [row.name for row in streams.rows()] == ["stays"]
        streams.take_up(Plan((stays, settings(clip, "newer", realtime=True)), "x.toml"))
        go.set()
        assert until(lambda: {row.name for row in streams.rows()} == {"stays", "newer"})
        assert "+ new\n" not in caplog.text  # of several edits the newest counts
        assert until(lambda: copied.resolve() not in pool._open)
    finally:
        go.set()
        streams.close()
        pool.close()
        sinks.close()
