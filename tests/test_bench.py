"""The benchmark: clips, feeds, gauges and verdicts, and what its parts say on a CPU."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stream.bench import __main__ as bench
from stream.bench import batches, report, rivals, rungs, streams
from stream.bench.clips import FPS, Clip, make_clip, pictures
from stream.bench.eyes import Eyes, Measured, Timed, ages_of
from stream.bench.feeds import Decoded, Looped
from stream.bench.gauges import Gauges, Rapl, memory_figures
from stream.bench.runner import Plan
from stream.networks import Networks, open_networks
from stream.values import Alert, Frame, Health, Phase, Result, State

SMALL = Clip(320, 240, 1, seconds=4.0)
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "clip.ts"
    make_clip(path, SMALL)
    return path


@pytest.fixture(scope="module")
def networks() -> Networks:
    return open_networks("detector", ("CPUExecutionProvider",), 1, 60)


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
@pytest.mark.parametrize("faces", [1, 2, 5])
def test_everybody_is_in_the_picture_and_found(networks: Networks, size: tuple[int, int], faces: int) -> None:
    clip = Clip(*size, faces)
    for x, y, tall in clip.cells():
        assert tall / 1.5 < x < size[0] - tall / 1.5
        assert tall / 2 < y < size[1] - tall / 2
    picture = next(iter(pictures(clip)))
    assert picture.shape == (size[1], size[0], 3)
    found = networks.faces.detect(picture)
    assert len(found) == faces
    assert min(face.box[2] - face.box[0] for face in found) > 75  # px: full weight, none is gated


def test_the_clip_is_what_it_says(clip: Path) -> None:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert container.format.name == "mpegts"
        assert stream.codec_context.name == "h264"
        keys = [packet.is_keyframe for packet in container.demux(stream) if packet.size]
    assert len(keys) == SMALL.seconds * FPS
    assert np.flatnonzero(keys).tolist() == [0, 2 * FPS]


def test_only_the_first_face_changes_and_only_midway() -> None:
    swapped, real = (list(pictures(Clip(640, 360, 2, 1.0, swapped))) for swapped in (True, False))
    half = len(real) // 2
    assert all(np.array_equal(a, b) for a, b in zip(swapped[:half], real[:half], strict=True))
    change = np.abs(np.mean(swapped[half:], axis=0) - np.mean(real[half:], axis=0)).max(axis=2)
    assert change[:, :320].max() > 20
    assert change[:, 320:].max() == 0


def test_a_loop_goes_on_at_its_own_pace() -> None:
    shown = Decoded([np.full((4, 4, 3), i, np.uint8) for i in range(10)], 10 / FPS)
    feed = Looped(shown, 0.0)
    begin, frames = time.monotonic(), []
    while time.monotonic() - begin < 0.6:
        if (frame := feed.newest(0.1)) is not None:
            frames.append(frame)
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    assert frames[-1].time == pytest.approx(frames[-1].index / FPS)
    assert all(frame.image[0, 0, 0] == frame.index % 10 for frame in frames)
    assert feed.dropped == indices[-1] + 1 - len(indices)
    assert all(frame.captured <= time.monotonic() for frame in frames)
    time.sleep(4 / FPS)
    late = feed.newest(0.1)
    assert late is not None
    assert late.index >= indices[-1] + 4  # the newest, not the next
    assert feed.newest(0.0) is None


def test_energy_counters_are_read_and_wrap_round(tmp_path: Path) -> None:
    assert Rapl(tmp_path).joules() is None
    for number in (0, 1):
        folder = tmp_path / f"intel-rapl:{number}"
        folder.mkdir()
        (folder / "energy_uj").write_text("9000000")
        (folder / "max_energy_range_uj").write_text("10000000")
    rapl = Rapl(tmp_path)
    rapl.start()
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("9500000")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("1000000")
    assert rapl.joules() == pytest.approx(0.5 + 2.0)


def test_gauges_see_what_this_process_burns() -> None:
    gauges, begin = Gauges(os.getpid()), time.process_time()
    while time.process_time() - begin < 0.5:
        sum(range(1000))
    time.sleep(1.1)  # until it has looked again
    told = gauges.finish()
    assert 0.4 < told["cpu_s"] < 3
    assert told["memory"]["peak_mib"] > 20
    assert (told["joules_cpu"] is None) == bool(told["joules_cpu_note"])


def test_memory_that_grows_is_told() -> None:
    told = memory_figures([(float(s), 100.0 + s) for s in range(120)])
    assert told == {"end_mib": 204.5, "peak_mib": 219.0, "growth_mib_per_min": 60.0}
    assert memory_figures([]) is None


def alert(phase: Phase) -> Alert:
    return Alert("a-1", phase, "s", 1, 0.0, 0.0, 1.0, 1.0, "m", "")


def see(eyes: Eyes, moment: float, *alerts: Alert, age: float = 0.01) -> None:
    frame = Frame(np.zeros((4, 4, 3), np.uint8), moment, time.monotonic() - age, 0)
    eyes.see(Result(frame, State.CLEAR, (), alerts), Health("s", "CPU", True, 30, None, 0, 0))


def test_delays_count_from_the_swap_and_false_alarms_apart() -> None:
    window = Measured()
    eyes, meter = Eyes(Clip(seconds=16.0), window), Timed(window)
    see(eyes, 0.0, alert(Phase.OPENED))
    meter.note("detect", 1.0)
    assert not eyes.ages
    window.open = True
    for tenth in range(5, 300):
        see(eyes, tenth / 10)
    see(eyes, 8.9, alert(Phase.OPENED), age=0.1)  # of the swap at 8 s
    see(eyes, 24.5, alert(Phase.OPENED), alert(Phase.UPDATED), age=0.0)  # of the next turn's
    see(eyes, 30.0)
    see(eyes, 35.0, alert(Phase.OPENED))  # of nobody's
    meter.note("detect", 2.0)
    assert eyes.delays == pytest.approx([1.0, 0.5], abs=0.02)
    assert eyes.alerts == 3
    assert eyes.swaps() == 2
    assert meter.summary()["stages"]["detect"]["p50_ms"] == 2000  # type: ignore[index]
    assert ages_of([0.01] * 30 + [0.2] * 30 + [0.03] * 30)["last_third"] == 30
    assert ages_of([]) == {}


def told(**changed: Any) -> dict[str, Any]:
    """What a runner says of two streams that are held for 10 s."""
    stages = {"detect": {"runs": 20, "p50_ms": 20.0, "p95_ms": 30.0}, "age": {"runs": 300, "p50_ms": 1.0}}
    stream = {
        "delivered": 300,
        "dropped": 0,
        "analysed": 299,
        "ages_ms": {"p50": 10.0, "p95": 60.0, "first_third": 10.0, "last_third": 11.0},
        "alerts": 1,
        "alert_delays_s": [0.9],
        "swaps": 1,
        "stages": stages,
        **changed,
    }
    cost = {"wall_s": 10.0, "cpu_s": 6.0, "cores_used": 0.6, "memory": None, "gpu": None}
    cost |= {"joules_cpu": None, "joules_cpu_note": "no counter"}
    return {"model": "m", "provider": "CPU", "batches": {}, "cost": cost, "streams": [stream, stream]}


def row(**changed: Any) -> dict[str, Any]:
    return streams.row_of(Plan(Clip(), 10.0, ("tcp://a", "tcp://b")), 2, told(**changed), None)


def test_two_streams_are_held() -> None:
    good = row()
    assert good["held"], good["why_not"]
    assert good["frames_per_core_second"] == pytest.approx(598 / 6, abs=0.1)
    assert good["cores_per_stream"] == 0.3
    assert good["stages"] == {"detect": {"runs": 40, "p50_ms": 20.0, "p95_ms": 30.0}}
    assert "0.3" in report.streams_table([good])
    assert "no counter" in report.streams_table([good])


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"delivered": 250}, "decoded"),
        ({"analysed": 200}, "analysed"),
        ({"ages_ms": {"p50": 10.0, "p95": 151.0, "first_third": 9.0, "last_third": 9.0}}, "p95"),
        ({"ages_ms": {"p50": 10.0, "p95": 99.0, "first_third": 9.0, "last_third": 90.0}}, "grows"),
        ({"alert_delays_s": [2.1]}, "swaps"),
        ({"alert_delays_s": []}, "swaps"),
        ({"ages_ms": {}, "analysed": 0}, "analysed"),
    ],
)
def test_what_keeps_a_row_from_being_held(changed: dict[str, Any], why: str) -> None:
    bad = row(**changed)
    assert not bad["held"]
    assert any(why in reason for reason in bad["why_not"]), bad["why_not"]
    assert why in report.streams_table([bad])


def test_where_the_governor_chooses_the_least_that_it_leaves_is_asked() -> None:
    for analysed, held in ((70, True), (39, True), (37, False)):
        governed = streams.row_of(Plan(Clip(), 10.0, governed=True), 2, told(analysed=analysed), None)
        assert governed["held"] is held, governed["why_not"]
        assert governed["governed"]
    assert not row(analysed=70)["held"]


def test_what_the_governor_decides_cannot_be_set_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["--streams", "2", "--governed", "--sparing"])
    assert "the governor decides" in capsys.readouterr().err


def test_growth_is_of_what_is_held() -> None:
    rows = [{"streams": n, "held": n < 8, "cores_per_stream": c} for n, c in ((1, 0.2), (4, 0.22), (8, 0.9))]
    assert streams.growth(rows) == 0.1
    assert streams.held_at_most(rows) == 4
    assert streams.growth(rows[:1]) is None
    assert streams.held_at_most([]) == 0


def test_the_rungs_multiply_to_the_whole_gain() -> None:
    costs = {"torch": 400.0, "mtcnn": 330.0, "onnxruntime": 150.0, "tracking": 140.0, "pacing": 45.0}
    costs |= {"int8": 18.0, "batching": 17.9}
    runs = [{"name": name, "cpu_ms": ms, "adds": name, "frames": 9} for name, ms in costs.items()]
    found = rivals.ladder([*runs, {"model": "ours 1", "cpu_ms": 10.0, "frames": 9}], "cpu_ms")
    assert found["speedup_vs_torch_pipeline"] == pytest.approx(400 / 17.9)
    assert np.prod([rung["times"] for rung in found["ladder"]]) == pytest.approx(400 / 17.9)
    assert found["ladder"][-1]["times_since_a"] == pytest.approx(400 / 17.9)
    assert found["speedup_vs_naive_onnx"] == pytest.approx(150 / 17.9)
    assert found["default_model_speedup_vs_torch_pipeline"] == pytest.approx(40)
    assert found["gave_nothing"] == ["batching"]
    told = report.ladder_table({**found, "rounds": [21.0, 24.04]})
    assert "in each round: 21.0, 24.0" in told
    assert "1.21 × 2.20 × 1.07 × 3.11 × 2.50 × 1.01 = 22.3" in told
    assert "gave nothing here (under 1.05 times): batching" in told
    assert "ours 1" in told


def test_rounds_are_added_up() -> None:
    """A round in which the host was slow weighs by the frames that it managed."""
    fast = {
        "name": "int8",
        "frames": 30,
        "faces": 60,
        "cpu_s": 0.3,
        "wall_s": 0.6,
        "cpu_ms": 10.0,
        "wall_ms": 20.0,
    }
    slow = {
        "name": "int8",
        "frames": 10,
        "faces": 20,
        "cpu_s": 0.3,
        "wall_s": 0.3,
        "cpu_ms": 30.0,
        "wall_ms": 30.0,
    }
    both = rivals.together(
        [{**fast, "stages": {"encode": 8.0}}, {**slow, "stages": {"encode": 20.0, "head": 4.0}}]
    )
    assert (both["frames"], both["faces"], both["cpu_s"], both["wall_s"]) == (40, 80, 0.6, pytest.approx(0.9))
    assert both["cpu_ms"] == pytest.approx(1000 * both["cpu_s"] / both["frames"])
    assert both["wall_ms"] == pytest.approx(1000 * both["wall_s"] / both["frames"])
    assert both["stages"] == {"encode": 11.0, "head": 1.0}
    assert both["name"] == "int8"


def test_rungs_are_climbed_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Round by round, so that no rung has the good minutes of a shared host for itself."""
    asked: list[str] = []

    def ask(module: str, words: list[str], limit: float) -> dict[str, object]:
        if module == "stream.bench.weights":
            return {}
        asked.append(words[1] if module == "stream.bench.rungs" else words[2])
        ms = 1000.0 / len(asked)
        return {"frames": 1, "faces": 2, "cpu_s": ms / 1000, "wall_s": 1.0, "cpu_ms": ms, "wall_ms": 1000.0,
                "stages": {}, "model": "ours"}  # fmt: skip

    monkeypatch.setattr(rivals, "ask", ask)
    monkeypatch.setattr(rivals, "make_clip", lambda *_: None)
    found = rivals.compare(6.0, weights=None, model="detector", provider="cpu", threads=1, min_face=60)
    a_round = ["torch", "mtcnn", "onnxruntime", "tracking", "pacing", "int8", "batching", "doubt"]
    assert asked == a_round * rivals.ROUNDS
    assert found["rounds"] == pytest.approx([7 / 1, 15 / 9, 23 / 17])
    ours = sum(1 / number for number in (7, 15, 23))
    assert found[rivals.WHOLE] == pytest.approx(sum(1 / number for number in (1, 9, 17)) / ours)


@pytest.mark.parametrize("rung", rungs.RUNGS, ids=lambda rung: rung.name)
def test_each_rung_takes_the_clip(clip: Path, networks: Networks, rung: rungs.Rung) -> None:
    timing = rungs.run(clip, rung, networks, 0.3)
    assert timing.frames > 0
    assert timing.faces == timing.frames  # one face in each
    assert timing.row()["cpu_ms"] > 0
    assert timing.stages.get("detect", 0) + timing.stages.get("refine", 0) > 0


def test_a_rung_encodes_as_many_crops_as_it_says(clip: Path, networks: Networks) -> None:
    sizes = {}
    for name in ("tracking", "pacing"):
        rung = next(rung for rung in rungs.RUNGS if rung.name == name)
        counting = _Counting(networks.detector)
        rungs.run(clip, rung, replace(networks, detector=counting), 60.0)  # type: ignore[arg-type]
        sizes[name] = counting.sizes
    assert set(sizes["tracking"]) == {1}
    assert len(sizes["tracking"]) > 3 * len(sizes["pacing"])


class _Counting:
    def __init__(self, detector: Any) -> None:
        self.card, self.score, self._detector = detector.card, detector.score, detector
        self.sizes: list[int] = []

    def encode(self, crops: np.ndarray, closely: np.ndarray | None = None) -> np.ndarray:
        self.sizes.append(len(crops))
        return np.zeros((len(crops), self.card.features), np.float32)


def test_the_curve_has_every_network_and_size(networks: Networks) -> None:
    rows = batches.curve(networks, SMALL, (1, 2), spent=0.0)
    assert {r["network"] for r in rows} == {"pnet", "rnet", "onet", "encode", "encode, second eye", "head"}
    assert all(r["items_per_s"] > 0 for r in rows)
    assert "second eye" in report.batches_table(rows)


def test_what_is_missing_is_said_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["--streams", "1", "--provider", "cuda", "--no-rivals"]) == 31
    assert "cuda" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert bench.main(["--streams", "1", "--plot", "x.png"]) == 2
    assert "facewitness[train]" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        bench.main(["--streams", "0"])


def test_suppression_for_the_rival_is_torchvisions() -> None:
    torch = pytest.importorskip("torch", reason="the [train] extra is not installed")
    from stream.bench.facenet import batched_nms

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
    scores = torch.tensor([0.8, 0.9, 0.7])
    assert batched_nms(boxes, scores, torch.zeros(3), 0.5).tolist() == [1, 2]
    with pytest.raises(ValueError, match="one picture"):
        batched_nms(boxes, scores, torch.tensor([0, 1, 0]), 0.5)
