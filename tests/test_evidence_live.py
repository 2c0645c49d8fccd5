"""`facewitness watch --evidence` on a live stream, on a full disk, on two streams, and killed at work."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from stream.evidence.chain import sealed
from stream.evidence.verify import Verdict, check
from tests import clips
from tests.servers import RtspServer, wait_for
from tests.test_cli import ENVIRONMENT, run
from tests.test_evidence import ALARM, manifest
from tests.test_watch_live import Watch

FILM = "filesrc location={film} ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1"


def slices(path: Path) -> list[bytes]:
    """The NAL units of an MP4 that carry pictures (types 1 and 5), in order."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        prefix = (stream.codec_context.extradata[4] & 3) + 1  # bytes of a unit's length
        for packet in container.demux(stream):
            data, at = bytes(packet), 0
            while at < len(data):
                size = int.from_bytes(data[at : at + prefix])
                found.append(data[at + prefix : at + prefix + size])
                at += prefix + size
    return [unit for unit in found if unit[0] & 31 in (1, 5)]


def faces_from(first: int, count: int) -> Iterator[clips.Picture]:
    """Numbered pictures, so that no two are coded alike; from the `first` on there is a face in them."""
    face = clips.portrait()
    for i, picture in enumerate(clips.numbered(count)):
        if i >= first:
            picture[clips.MARK :] = face[: -clips.MARK]
        yield picture


def length(path: Path) -> float:
    """s from the first picture to the last."""
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    return times[-1] - times[0]


def test_the_evidence_of_a_live_alert_is_ten_seconds_of_the_source(tmp_path):
    film = clips.write_clip(tmp_path / "film.mp4", faces_from(80, 2000), rate=10, gop=10)
    server = RtspServer("guard", "s3cr3t", "basic", launch=FILM.replace("{film}", str(film)))
    evidence = tmp_path / "evidence"
    words = ("--evidence", str(evidence), "--evidence-key", str(tmp_path / "key"), *ALARM)
    url = server.url.replace("://", "://guard:s3cr3t@")
    with server, Watch(tmp_path, url, *words) as watch:
        assert wait_for(lambda: evidence.exists() and sealed(evidence), 240), watch.log.read_text()
        assert watch.end() == 128 + signal.SIGTERM
    folder = sealed(evidence)[0]
    told = manifest(folder)
    assert told["complete"], told["problems"]
    scores = json.loads((folder / "scores.json").read_text())
    assert told["clip"]["from"] <= scores["start"] - 5
    assert told["clip"]["to"] >= scores["opened"] + 4.8
    assert length(folder / "clip.mp4") > 10
    assert length(folder / "annotated.mp4") > 10
    mine, source = slices(folder / "clip.mp4"), slices(film)
    assert len(mine) > 100
    at = source.index(mine[0])
    assert mine == source[at : at + len(mine)]  # bit for bit, and none is missing
    assert check(evidence).verdict is Verdict.GOOD
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.parent != tmp_path:
            assert b"s3cr3t" not in path.read_bytes()
    data = bytearray((folder / "clip.mp4").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "clip.mp4").write_bytes(data)
    assert check(evidence).verdict is Verdict.ALTERED


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of so many bytes; skips where none can be mounted."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_does_not_stop_watching(tmp_path):
    face, grey = list(clips.portraits(40, step=0)), [np.full((240, 320, 3), 128, np.uint8)] * 40
    clip = clips.write_clip(tmp_path / "two.mp4", [*face, *grey, *face], rate=10, gop=10)
    alerts = tmp_path / "alerts.jsonl"
    with small_disk(tmp_path / "disk", "200k") as disk:
        words = ("--evidence", disk, "--evidence-key", tmp_path / "key", "--alert", f"jsonl:{alerts}")
        done = run("watch", clip, *words, *ALARM, "--provider", "cpu", timeout=280)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("was not kept: No space left on device; watching goes on") == 1
        assert "Traceback" not in done.stderr
        opened = [line for line in alerts.read_text().splitlines() if '"opened"' in line]
        assert len(opened) == 2
        assert sealed(disk) == []
        assert [path.name for path in disk.iterdir()] == [".lock"]  # what did not fit was taken away again


def test_two_streams_share_one_chain(tmp_path):
    first, second = (
        clips.write_clip(tmp_path / f"{name}.mp4", clips.portraits(30, step=0), rate=10, gop=10)
        for name in "ab"
    )
    evidence = tmp_path / "evidence"
    words = ("--evidence", evidence, "--evidence-key", tmp_path / "key")
    done = run("watch", first, second, *words, *ALARM, "--provider", "cpu", timeout=280)
    assert done.returncode == 0, done.stderr
    report = check(evidence)
    assert report.verdict is Verdict.GOOD
    assert report.number == 2
    sources = {manifest(folder)["source"] for folder in sealed(evidence)}
    assert sources == {str(first), str(second)}


def test_a_killed_process_says_what_is_unfinished(tmp_path):
    clip = clips.write_clip(tmp_path / "long.mp4", clips.portraits(600, step=0), rate=10, gop=10)
    evidence = tmp_path / "evidence"
    words = ["--evidence", str(evidence), "--evidence-key", str(tmp_path / "key"), *ALARM]
    command = [
        sys.executable,
        "-m",
        "stream.cli",
        "watch",
        str(clip),
        "--realtime",
        "--provider",
        "cpu",
        *words,
    ]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    try:
        assert wait_for(lambda: list(evidence.glob("unfinished-*/event.json")), 60)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (left,) = evidence.glob("unfinished-*")
    assert json.loads((left / "event.json").read_text())["events"][0]["phase"] == "opened"
    done = run("verify", evidence)
    assert f"{left.name}: unfinished: not sealed" in done.stdout
    short = clips.write_clip(tmp_path / "short.mp4", clips.portraits(5, step=0), rate=10)
    assert run("watch", short, *words, "--provider", "cpu", timeout=280).returncode == 0
    done = run("verify", evidence)
    assert done.returncode == 0, done.stdout
    assert f"000001-{left.name.removeprefix('unfinished-')}: good" in done.stdout
    assert "INCOMPLETE: the program ended while it was made" in done.stdout


def test_a_signal_seals_what_there_is(tmp_path):
    clip = clips.write_clip(tmp_path / "long.mp4", clips.portraits(600, step=0), rate=10, gop=10)
    evidence = tmp_path / "evidence"
    words = ("--evidence", str(evidence), "--evidence-key", str(tmp_path / "key"), *ALARM)
    with Watch(tmp_path, str(clip), "--realtime", *words) as watch:
        assert wait_for(lambda: list(evidence.glob("unfinished-*/event.json")), 60)
        os.kill(watch.process.pid, signal.SIGTERM)
        assert watch.process.wait(timeout=40) == 128 + signal.SIGTERM
        assert "Traceback" not in watch.log.read_text()
    assert len(sealed(evidence)) == 1
    report = check(evidence)
    assert report.verdict is Verdict.GOOD
    assert len(report.findings) == 1  # nothing is unfinished
