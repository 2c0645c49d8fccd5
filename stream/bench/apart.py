"""Runs a part of the benchmark in a process of its own, so that it is measured alone; it answers in JSON."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stream.errors import FacewitnessError

ROOT = Path(__file__).parent.parent.parent


class BenchError(FacewitnessError):
    """A part of the benchmark ended badly."""


def ask(module: str, words: Sequence[str], limit: float) -> Any:
    """What `python -m module words…` says: JSON on its last line. limit: s that it may take.

    What libraries print before that is passed over; complaints go straight to stderr. Raises BenchError.
    """
    command = [sys.executable, "-m", module, *words]
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{module} did not end within {limit:.0f} s") from None
    if done.returncode:
        raise BenchError(f"{module} ended with {done.returncode}")
    try:
        return json.loads(done.stdout.strip().rpartition("\n")[2])
    except ValueError:
        raise BenchError(f"{module} did not end with JSON") from None
