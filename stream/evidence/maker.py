"""Has the costly files of one alert made by a child process, which may crash, hang or be killed."""

import contextlib
import json
import logging
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from stream.bounded_process import BoundedProcess, StoppedError
from stream.coded import Codec
from stream.evidence.job import Job

log = logging.getLogger(__name__)

LIMIT = 120.0  # s for one alert
NO_CODEC = Codec("", Fraction(1), b"")  # stands for one that was sent before
# What a source sends is decoded again there, not here; and it gives way to everything else.
BOOT = (
    "import os, sys, json; getattr(os, 'nice', int)(19);"
    "sys.path[:] = json.loads(sys.stdin.buffer.readline());"
    "from stream.evidence.maker_child import main; main()"
)


class Maker:
    """Runs one child after the other; `stop` may be called by another thread."""

    def __init__(self) -> None:
        self._apart = BoundedProcess()

    def make(self, job: Job, folder: Path) -> dict[str, Any]:
        """Clip, annotated copy, crops and curve into a folder. Returns what the manifest says of them.

        What went wrong stands in "problems". Raises OSError where the folder cannot be written.
        """
        try:
            with self._apart.run(BOOT, LIMIT) as process:
                return self._talk(process, job, folder)
        except StoppedError:
            return {"problems": ["the program ended before the clip was made"]}

    def stop(self) -> None:
        """End what runs, and what would follow."""
        self._apart.stop()

    def _talk(self, process: "subprocess.Popen[bytes]", job: Job, folder: Path) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):  # it is dead: it says nothing then
            process.stdin.write(json.dumps(sys.path).encode() + b"\n")
            for part in _parts(job, folder):
                process.stdin.write(part)
            process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            process.wait()
            why = "ended with the program" if self._apart.stopped else f"failed or took more than {LIMIT:g} s"
            return {"problems": [f"the process that makes the clip {why}"]}
        told: dict[str, Any] = json.loads(answer)
        if (number := told.pop("errno", None)) is not None:
            raise OSError(number, told["error"])
        return told


def _parts(job: Job, folder: Path) -> Iterator[bytes]:
    """The job in pieces, so that no long one holds the interpreter; `maker_child.received` reads it."""
    codecs = list({id(coded.codec): coded.codec for coded in job.packets}.values())
    yield pickle.dumps((folder, replace(job, packets=(), notes=()), len(job.packets), len(job.notes), codecs))
    places = {id(codec): i for i, codec in enumerate(codecs)}
    for coded in job.packets:
        yield pickle.dumps((replace(coded, codec=NO_CODEC), places[id(coded.codec)]))
    for note in job.notes:
        yield pickle.dumps(note)
