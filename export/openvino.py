"""The encoder on OpenVINO, which a switch inside the network confuses.

Measured with onnxruntime-openvino 1.24.1: where one session is run with the second eye off and then, in a
batch size that it has not met so, on, the second eye's features are whatever lay in the memory. A session
that only ever sees the switch in one position is right. So each position has a session of its own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime as ort
from numpy.typing import NDArray

from export.binding import Feed, Run, runner
from export.session import open_session

SWITCH = "closely"  # the encoder's input that says whether the second eye looks too


def apart(path: str | Path, providers: Sequence[str], threads: int, session: ort.InferenceSession) -> Run:
    """Runs an encoder with a second eye; session: of this file, already open, which serves where it looks.

    Raises ModelError, ProviderError as `open_session`.
    """
    runs: Mapping[bool, Run] = {
        True: runner(session),
        False: runner(open_session(path, providers, threads)),
    }

    def run(feed: Feed) -> Sequence[NDArray]:
        return runs[bool(feed[SWITCH])](feed)

    return run
