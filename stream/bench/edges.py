"""What stands at both ends of a stream, timed apart on one thread: decoding, and encoding what was drawn."""

import time
from itertools import islice
from pathlib import Path

import numpy as np

from stream.bench.clips import FPS
from stream.relay.encode import Encoder, to_yuv
from stream.sources import SourceOptions, find

FRAMES = 90  # timed; three seconds, with a key frame among them


def edges(clip: Path, frames: int = FRAMES) -> dict[str, dict[str, float]]:
    """CPU ms a frame of "decode" (to BGR) and of "encode-out" (H.264 as the relay does it), as stages."""
    times: dict[str, list[float]] = {"decode, apart": [], "encode-out, apart": []}
    encoder, last = Encoder("H264"), time.process_time()
    for frame in islice(find(str(clip)).frames(str(clip), SourceOptions()), frames):
        decoded = time.process_time()
        encoder.encode(to_yuv(frame.image), frame.index / FPS, frame.index == 0)
        times["decode, apart"].append(decoded - last)
        last = time.process_time()
        times["encode-out, apart"].append(last - decoded)
    return {name: _stage(values[1:]) for name, values in times.items()}  # the first opens file and codec


def _stage(seconds: list[float]) -> dict[str, float]:
    p50, p95 = np.percentile(np.array(seconds) * 1000, (50, 95))
    return {"runs": len(seconds), "p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2)}
