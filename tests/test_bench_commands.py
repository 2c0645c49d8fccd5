"""The benchmark's commands on the CPU provider, as they are run: live, from memory, and the PyTorch rival."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stream.bench import __main__ as bench
from stream.bench.apart import BenchError, ask
from stream.bench.clips import Clip, make_clip
from stream.bench.rivals import missing

ROOT = Path(__file__).parent.parent


def test_the_whole_command_on_the_cpu(tmp_path: Path) -> None:
    """Decoded frames and the curves, as for a GPU; one JSON, one picture."""
    report, curve = tmp_path / "bench.json", tmp_path / "curve.png"
    words = ["--streams", "2", "--seconds", "2", "--size", "320x240", "--faces", "1", "--decoded"]
    words += ["--provider", "cpu", "--json", str(report), "--plot", str(curve), "--no-rivals"]
    words += ["--batching", "on", "--deadline", "2"]
    code = bench.main(words)
    found = json.loads(report.read_text())
    assert code == (0 if all(r["held"] for r in found["streams"]) else 1)
    assert [r["streams"] for r in found["streams"]] == [2]
    for r in found["streams"]:
        assert r["source"] == "decoded frames"
        assert r["provider"] == "CPU"
        assert r["analysed_fps"] > 5
        assert r["stages"]["overlay"]["runs"] > 0
        assert r["memory_mib"] > 0
        assert r["batches"]["onet"]["batches"] > 10
        assert r["batches"]["encode"]["rows"] > 5
    assert curve.read_bytes().startswith(b"\x89PNG")


def test_live_streams_are_served_watched_and_counted(tmp_path: Path) -> None:
    report = tmp_path / "bench.json"
    words = ["--streams", "2", "--seconds", "3", "--size", "320x240", "--faces", "1", "--provider", "cpu"]
    bench.main([*words, "--rate", "10", "--no-rivals", "--json", str(report)])
    (found,) = json.loads(report.read_text())["streams"]
    assert found["source"] == "live"
    assert found["server_cores"] is not None
    assert found["delivered_fps"] > 20
    assert found["analysed_fps"] < 12
    assert len(found["per_stream"]) == 2


@pytest.mark.parametrize("rung", ["torch", "mtcnn"])
def test_the_rungs_in_pytorch_find_our_faces(tmp_path: Path, rung: str) -> None:
    """A random checkpoint in the common layout; both detectors see the one face in each frame."""
    if missing():
        pytest.skip(missing())
    clip, checkpoint = tmp_path / "clip.ts", tmp_path / "rival.pth"
    make_clip(clip, Clip(320, 240, 1, seconds=1.0))
    both = (
        "import sys; from pathlib import Path; from stream.bench import torch_rungs, weights; "
        "weights.random_checkpoint(Path(sys.argv[2])); sys.exit(torch_rungs.main())"
    )
    words = [str(clip), str(checkpoint), rung, "--seconds", "0.3"]
    done = subprocess.run(
        [sys.executable, "-c", both, *words], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["faces"] == found["frames"] > 0
    assert found["stages"]["encode"] > found["stages"]["detect"] / 10 > 0


def test_a_part_may_chatter_before_it_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As onnxruntime's calibration does on stdout."""
    (tmp_path / "chatty.py").write_text("print('Collecting …'); print('{\"ms\": 3}')")
    (tmp_path / "mute.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert ask("chatty", [], 60) == {"ms": 3}
    with pytest.raises(BenchError, match="mute did not end with JSON"):
        ask("mute", [], 60)


def test_a_part_that_fails_is_an_error() -> None:
    with pytest.raises(BenchError, match=r"rungs ended with 10"):
        ask("stream.bench.rungs", ["/no/such/clip.mp4", "int8"], 120)
