"""How much of the processor the program uses, its reader processes included."""

import contextlib
import os
import sys
import time
from pathlib import Path


class ProcessorLoad:
    """The share of the cores that this process may run on, since it was asked last."""

    def __init__(self) -> None:
        self._cores = cores()
        self._when, self._spent = time.monotonic(), spent()

    def share(self, aside: float = 0.0) -> float:
        """0..1; never less than 0 where children have come and gone.

        aside: s of processor time, in all, of what gives way to the rest and therefore does not count.
        """
        now, used = time.monotonic(), spent() - aside
        share = (used - self._spent) / max(now - self._when, 1e-3) / self._cores
        self._when, self._spent = now, used
        return min(max(share, 0.0), 1.0)


def spent() -> float:
    """s of processor time of this process and, on Linux, of the children that it has now."""
    total = time.process_time()
    if sys.platform == "linux":
        tick = os.sysconf("SC_CLK_TCK")
        total += sum(_ticks(child) for child in children()) / tick
    return total


def children() -> list[int]:
    """The ids of the processes that threads of this one have started."""
    found: list[int] = []
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError, ValueError):  # the thread has ended meanwhile
            found += [int(word) for word in path.read_text("ascii").split()]
    return found


def _ticks(process: int) -> int:
    """Clock ticks in user and system mode, fields 14 and 15 of proc(5)'s stat."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        words = Path(f"/proc/{process}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return int(words[11]) + int(words[12])
    return 0


def cores() -> float:
    """How many this process may use: those that it is bound to, and no more than its control group allows."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(
        OSError, ValueError
    ):  # not Linux, another version of cgroups, or "max": no limit
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
        return max(min(bound, int(quota) / int(period)), 0.1)
    return bound
