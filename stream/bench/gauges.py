"""What a run costs the machine: CPU time and memory of its processes, the GPU's load and the joules."""

import contextlib
import os
import platform
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

POWERCAP = Path("/sys/class/powercap")
PERIOD = 1.0  # s between two looks
SMI = ("nvidia-smi", "--query-gpu=utilization.gpu,memory.used,power.draw", "--format=csv,noheader,nounits")


def machine() -> str:
    """The machine in words: cores, processor, Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {_processor()}, Python {platform.python_version()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@dataclass(slots=True)
class Rapl:
    """The processor's own energy counters (Intel's and AMD's RAPL), where this user may read them."""

    folder: Path = POWERCAP
    _began: dict[Path, int] = field(default_factory=dict)

    def start(self) -> None:
        """Remember where the counters stand."""
        self._began = self._read()

    def joules(self) -> float | None:
        """Since `start`, over all packages; None where nothing can be read."""
        now = self._read()
        if not self._began or now.keys() != self._began.keys():
            return None
        total = 0
        for path, begin in self._began.items():
            spent = now[path] - begin
            total += spent if spent >= 0 else spent + int((path / "max_energy_range_uj").read_text())
        return total / 1e6

    def _read(self) -> dict[Path, int]:
        found = {}
        for path in sorted(self.folder.glob("*-rapl:?")):  # packages; their parts have one number more
            try:
                found[path] = int((path / "energy_uj").read_text())
            except (OSError, ValueError):
                continue
        return found


class Gauges:
    """Looks at a process, its children and the machine, once a second, in a thread of its own."""

    def __init__(self, pid: int) -> None:
        """pid: of the process that is measured. Needs psutil (the [dev] extra)."""
        import psutil

        self._gone = psutil.NoSuchProcess
        self._process = psutil.Process(pid)
        self._memory: list[tuple[float, float]] = []  # s since the beginning, MiB
        self._gpu: list[list[float]] = []  # %, MiB, W
        self._rapl = Rapl()
        self._begin, self._cpu_begin = time.monotonic(), self._cpu()
        self._seen, self._cpu_end = self._begin, self._cpu_begin  # when it was last looked at, and what stood
        self._rapl.start()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gauges", daemon=True)
        self._thread.start()

    def finish(self) -> dict[str, Any]:
        """End, and say what was seen. What the machine does not tell is None, with the reason beside it."""
        with contextlib.suppress(self._gone):
            self._look()
        joules, seconds = self._rapl.joules(), self._seen - self._begin
        self._ending.set()
        self._thread.join(3 * PERIOD)
        return {
            "wall_s": round(seconds, 2),
            "cpu_s": round(self._cpu_end - self._cpu_begin, 2),
            "cores_used": round((self._cpu_end - self._cpu_begin) / max(seconds, 1e-6), 3),
            "memory": memory_figures(self._memory),
            "gpu": self._gpu_figures(),
            "joules_cpu": joules,
            "joules_cpu_note": "" if joules is not None else "no RAPL counter that this user may read",
        }

    def _run(self) -> None:
        smi = shutil.which(SMI[0])
        while not self._ending.is_set():
            try:
                family = [self._process, *self._process.children(recursive=True)]
                used = sum(p.memory_info().rss for p in family) / 2**20
                self._look()
            except self._gone:
                self._ending.wait(PERIOD / 4)  # one of them ended while it was looked at
                continue
            self._memory.append((time.monotonic() - self._begin, used))
            if smi:
                self._ask(smi)
            self._ending.wait(PERIOD)

    def _look(self) -> None:
        self._cpu_end, self._seen = max(self._cpu_end, self._cpu()), time.monotonic()

    def _cpu(self) -> float:
        """s of CPU of the process, its children and those that ended."""
        children = self._process.children(recursive=True)
        return sum(sum(p.cpu_times()[:2]) for p in (self._process, *children)) + sum(
            self._process.cpu_times()[2:4]
        )

    def _ask(self, smi: str) -> None:
        try:
            told = subprocess.run([smi, *SMI[1:]], capture_output=True, text=True, timeout=5).stdout
            self._gpu.append([float(word) for word in told.splitlines()[0].split(",")])
        except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
            return

    def _gpu_figures(self) -> dict[str, Any] | None:
        """Of the first GPU; None without one. Joules: the mean power times the time."""
        if not self._gpu:
            return None
        load, memory, power = np.array(self._gpu).T
        seconds = time.monotonic() - self._begin
        figures = {"load_percent": load.mean(), "memory_mib": memory.max(), "joules": power.mean() * seconds}
        return {name: round(float(value), 1) for name, value in figures.items()}


def memory_figures(samples: list[tuple[float, float]]) -> dict[str, float] | None:
    """Resident MiB of all processes: late in the run, at most, and the slope after the first quarter.

    samples: (s, MiB). None where there are too few.
    """
    if len(samples) < 2:
        return None
    times, values = np.array(samples).T
    settled = times >= times[-1] / 4
    slope = np.polyfit(times[settled] / 60, values[settled], 1)[0] if settled.sum() > 2 else float("nan")
    return {
        "end_mib": round(float(np.median(values[times >= times[-1] * 3 / 4])), 1),
        "peak_mib": round(float(values.max()), 1),
        "growth_mib_per_min": round(float(slope), 3),
    }
