"""The command under chaos as one sees it from outside: scores as they come, analyses, memory, alerts."""

import json
import re
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from tests.many import Many
from tests.servers import wait_for


class Tail:
    """A score log that grows: the times of all scores so far, in s."""

    def __init__(self, path: Path) -> None:
        self._path, self._rest, self._at = path, b"", 0
        self._lock = threading.Lock()
        self._times: list[float] = []

    def times(self) -> list[float]:
        with self._lock:
            if self._path.exists():
                with self._path.open("rb") as file:
                    file.seek(self._at)
                    data = file.read()
                self._at += len(data)
                *lines, self._rest = (self._rest + data).split(b"\n")
                found = map(json.loads, lines)
                self._times += [line["time"] for line in found if line["value"] is not None]
            return self._times

    def last(self) -> float:
        """s, of the newest score; below 0 before the first."""
        times = self.times()
        return times[-1] if times else -1.0

    def next(self, mark: float, seconds: float) -> float | None:
        """The time of the first score after `mark`; None where none comes within so many s."""
        wait_for(lambda: self.last() > mark, seconds)
        return next((t for t in self.times() if t > mark), None)


class Observed(Many):
    """`facewitness watch` on a streams.toml, with its page; its memory is weighed all the time."""

    def __init__(self, folder: Path, text: str, names: list[str], period: float) -> None:
        """period: s between two weighings."""
        super().__init__(folder, text, "--serve", "127.0.0.1:0")
        self.names, self.tails = names, {name: Tail(folder / f"{name}.jsonl") for name in names}
        self.memory: list[float] = []  # MiB of the program's own pages
        self.readers: list[float] = []  # MiB of all reader processes'
        self._period, self._ending = period, threading.Event()
        self._proc = psutil.Process(self.process.pid)
        self._thread = threading.Thread(target=self._weigh, daemon=True)
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        super().__exit__(*error)
        self._thread.join(5)

    def analysed(self) -> tuple[float, dict[str, int]]:
        """s, monotonic, and how many frames of each stream were analysed until now."""
        found = re.search(r"facewitness: (http://\S+)", self.said())
        assert found, self.said()
        with urllib.request.urlopen(f"{found[1]}api/streams", timeout=10) as answer:
            rows = json.load(answer)["streams"]
        return time.monotonic(), {row["name"]: row["frames"] - row["dropped"] for row in rows}

    def held(self) -> tuple[int, int, int]:
        """Reader processes, threads and open files of the program."""
        return len(self._proc.children()), self._proc.num_threads(), self._proc.num_fds()

    def processor(self) -> float:
        """s of processor time so far, of the program and the readers that it has now."""
        total = 0.0
        for process in (self._proc, *self._proc.children()):
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system
        return total

    def alerts(self) -> list[dict[str, Any]]:
        """The sink's record."""
        path = self.folder / "alerts.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def summaries(self) -> list[dict[str, Any]]:
        """The meters of all streams, once it has ended."""
        return json.loads(self.meter.read_text())["streams"]

    def troubles(self) -> list[str]:
        """Lines of the log that should not be there."""
        bad = re.compile(r"Traceback|error in this program|does not end in time|could not be closed")
        return [line for line in self.said().splitlines() if bad.search(line)]

    def _weigh(self) -> None:
        while not self._ending.wait(self._period):
            try:
                self.memory.append(self._proc.memory_full_info().uss / 2**20)
                self.readers.append(sum(map(_unshared, self._proc.children())))
            except psutil.Error:
                return


def _unshared(process: psutil.Process) -> float:
    """MiB; 0 where it has just gone."""
    try:
        return process.memory_full_info().uss / 2**20
    except psutil.Error:
        return 0.0
