"""One live 720p30 stream with two faces, watched by the real command, annotated and recorded."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from stream.bench.apart import ROOT, BenchError
from stream.bench.clips import Clip, make_clip
from stream.bench.gauges import Gauges, machine
from stream.bench.serve import served


def measure(seconds: float, extra: list[str]) -> dict[str, Any]:
    """Watch the served clip for so long. Returns the command's own summary, with memory and CPU beside it.

    extra: more words for `facewitness watch`. Needs psutil (the [dev] extra).
    """
    clip = Clip()
    with tempfile.TemporaryDirectory() as folder:
        path, report = Path(folder, "clip.ts"), Path(folder, "report.json")
        make_clip(path, clip)
        with served(str(path), 1, clip.seconds) as ((address,), _):
            outputs = ["--meter", str(report), "--record", str(Path(folder, "out.mp4"))]
            command = [sys.executable, "-m", "stream.cli", "watch", address, "--quiet", *outputs]
            command += ["--alert", f"jsonl:{Path(folder, 'alerts.jsonl')}"]
            command += ["--duration", str(seconds), *extra]
            watch = subprocess.Popen(command, cwd=ROOT)
            gauges = Gauges(watch.pid)
            watch.wait()
            cost = gauges.finish()
        if watch.returncode:
            raise BenchError(f"facewitness watch ended with {watch.returncode}")
        summary: dict[str, Any] = json.loads(report.read_text())
    return {
        "machine": machine(),
        "clip": clip.label,
        "seconds": seconds,
        "cores_used": cost["cores_used"],
        "memory": cost["memory"],
        **summary,
    }


def held(report: dict[str, Any]) -> bool:
    """Whether the picture was never old, and did not grow older."""
    age = report["stages"]["age"]
    return age["p95_ms"] <= 150 and age["last_third_ms"] <= 1.5 * age["first_third_ms"] + 10


def tell(report: dict[str, Any]) -> str:
    """The table for people."""
    stages, counts, memory = report["stages"], report["counts"], report["memory"]
    rows = [f"| {'stage':<8} | runs | p50 ms | p95 ms |", "| --- | --- | --- | --- |"]
    rows += [f"| {n:<8} | {row['runs']} | {row['p50_ms']} | {row['p95_ms']} |" for n, row in stages.items()]
    told = f"{report['machine']}, {report['model']}, {report['provider']}, {report['seconds']:.0f} s"
    rows += ["", told]
    dropped, age = counts.get("dropped", 0), stages["age"]
    rows.append(f"frames {counts['frames']}, dropped {dropped}, cores used {report['cores_used']}")
    rows.append(f"age first third {age['first_third_ms']} ms, last third {age['last_third_ms']} ms")
    rows.append(f"memory {memory['end_mib']} MiB, growth {memory['growth_mib_per_min']} MiB/min")
    rows.append("held" if held(report) else "NOT held")
    return "\n".join(rows)
