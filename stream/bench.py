"""`python -m stream.bench`: one live 720p30 stream with two faces, watched by the real command.

The clip is made on the spot from the portraits in stream/assets, encoded once (H.264, 2.5 Mbit/s, a key
frame every 2 s) and served as MPEG-TS over TCP on loopback, at its own pace, by a process of its own.
`facewitness watch` runs as a user would run it, with the annotated recording on, so that decoding, faces,
scoring, overlay and encoding all count. Age is measured from the arrival of a frame's packet to its overlay.
Needs psutil (the [dev] extra).
"""

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

ASSETS = Path(__file__).parent / "assets"
FPS = 30
SECONDS = 8  # of the clip that is served again and again
WIDTH, HEIGHT = 1280, 720


def make_clip(path: Path, faces: int = 2) -> None:
    """Portraits that sway before a grey wall with sensor noise; the faces are about 130 px wide."""
    portraits = [_portrait(name) for name in ("eileen_collins.jpg", "grace_hopper.jpg")]
    rng = np.random.default_rng(7)
    wall = np.linspace(90, 160, WIDTH, dtype=np.float32)[None, :, None] * np.ones((HEIGHT, 1, 3), np.float32)
    noise = rng.normal(0, 3, (8, HEIGHT, WIDTH, 1)).astype(np.float32)
    with av.open(str(path), "w", format="mpegts") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate, stream.gop_size = 2_500_000, 2 * FPS
        for i in range(SECONDS * FPS):
            picture = wall + noise[i % len(noise)]
            for k in range(faces):
                turn = 2 * math.pi * (i / (SECONDS * FPS) + k / max(faces, 1))
                centre = (k + 0.5) * WIDTH / faces + 60 * math.sin(turn), HEIGHT / 2 + 30 * math.cos(turn)
                _paste(picture, portraits[k % 2], centre)
            frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), "bgr24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _portrait(name: str) -> NDArray[np.float32]:
    picture = cv2.imread(str(ASSETS / name))
    assert picture is not None
    scale = 300 / picture.shape[1]
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)


def _paste(picture: NDArray[np.float32], portrait: NDArray[np.float32], centre: tuple[float, float]) -> None:
    height, width = portrait.shape[:2]
    x, y = round(centre[0] - width / 2), round(centre[1] - height / 2)
    top, left = max(y, 0), max(x, 0)
    bottom, right = min(y + height, HEIGHT), min(x + width, WIDTH)
    picture[top:bottom, left:right] = portrait[top - y : bottom - y, left - x : right - x]


def serve(clip: str, port: int) -> None:
    """Serve the clip to one client, again and again, at its own pace, with time stamps that go on."""
    # The client goes when it has seen enough; that is the end, not an error.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError), av.open(clip) as source:
        template = source.streams.video[0]
        base = template.time_base or Fraction(1, 90_000)
        packets = [
            (bytes(p), p.pts or 0, p.dts or 0, p.is_keyframe) for p in source.demux(template) if p.size
        ]
        period, first = round(SECONDS / base), packets[0][2]
        with av.open(f"tcp://127.0.0.1:{port}?listen=1", "w", format="mpegts") as out:
            stream = out.add_stream_from_template(template)
            begin, turn = time.monotonic(), 0
            while True:
                for data, pts, dts, key in packets:
                    due = begin + float((dts - first + turn * period) * base)
                    time.sleep(max(due - time.monotonic(), 0))
                    packet = av.Packet(data)
                    packet.pts, packet.dts = pts + turn * period, dts + turn * period
                    packet.time_base, packet.stream, packet.is_keyframe = base, stream, key
                    out.mux(packet)
                turn += 1


def measure(seconds: float, extra: list[str]) -> dict[str, Any]:
    """Watch the served clip for so long. Returns the command's own summary, with memory and CPU beside it."""
    import psutil

    with tempfile.TemporaryDirectory() as folder:
        clip, report = Path(folder, "clip.ts"), Path(folder, "report.json")
        make_clip(clip)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = multiprocessing.get_context("spawn").Process(
            target=serve, args=(str(clip), port), daemon=True
        )
        server.start()
        outputs = ["--meter", str(report), "--record", str(Path(folder, "out.mp4"))]
        address = f"tcp://127.0.0.1:{port}"
        command = [sys.executable, "-m", "stream.cli", "watch", address, "--quiet", *outputs]
        command += ["--duration", str(seconds), *extra]
        watch = subprocess.Popen(command, cwd=Path(__file__).parent.parent)
        process = psutil.Process(watch.pid)
        memory, cpu, begin = [], 0.0, time.monotonic()
        while watch.poll() is None:
            time.sleep(1)
            try:
                family = [process, *process.children(recursive=True)]
                memory.append((time.monotonic() - begin, sum(p.memory_info().rss for p in family) / 2**20))
                cpu = sum(sum(p.cpu_times()[:2]) for p in family)
            except psutil.NoSuchProcess:
                continue
        server.terminate()
        if watch.returncode:
            raise SystemExit(f"watch ended with {watch.returncode}")
        summary: dict[str, Any] = json.loads(report.read_text())
    wall = memory[-1][0]
    return {
        "machine": f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}",
        "seconds": seconds,
        "cores_used": round(cpu / wall, 2),
        "memory": _memory(memory),
        **summary,
    }


def _memory(samples: list[tuple[float, float]]) -> dict[str, float]:
    """Resident MiB of the command and its children: late in the run, and the slope after the first quarter.

    The last samples stay out: the command is closing then, its reader is gone.
    """
    times, values = np.array(samples[:-4] or samples).T
    settled = times >= times[-1] / 4
    slope = np.polyfit(times[settled] / 60, values[settled], 1)[0] if settled.sum() > 2 else float("nan")
    return {
        "end_mib": round(float(np.median(values[times >= times[-1] * 3 / 4])), 1),
        "peak_mib": round(float(values.max()), 1),
        "growth_mib_per_min": round(float(slope), 3),
    }


def main() -> int:
    """Print a table, and JSON with --json; exit 1 if the stream was not held."""
    parser = argparse.ArgumentParser(prog="python -m stream.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: 60; a soak: 1200)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    known, extra = parser.parse_known_args()  # the rest goes to `facewitness watch`
    report = measure(known.seconds, extra)
    if known.json:
        print(json.dumps(report, indent=1))
    stages, counts, memory = report["stages"], report["counts"], report["memory"]
    age = stages["age"]
    held = age["p95_ms"] <= 150 and age["last_third_ms"] <= 1.5 * age["first_third_ms"] + 10
    print(f"| {'stage':<8} | runs | p50 ms | p95 ms |\n| --- | --- | --- | --- |")
    for name, row in stages.items():
        print(f"| {name:<8} | {row['runs']} | {row['p50_ms']} | {row['p95_ms']} |")
    print(f"\n{report['machine']}, {report['model']}, {report['provider']}, {report['seconds']:.0f} s")
    print(f"frames {counts['frames']}, dropped {counts.get('dropped', 0)}, cores used {report['cores_used']}")
    print(f"age first third {age['first_third_ms']} ms, last third {age['last_third_ms']} ms")
    print(f"memory {memory['end_mib']} MiB, growth {memory['growth_mib_per_min']} MiB/min")
    print("held" if held else "NOT held")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
