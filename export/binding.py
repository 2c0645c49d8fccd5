"""Runs a session through IO binding: on CUDA and TensorRT each shape keeps its input buffers on the device.

A plain `run` allocates device memory for every input of every call; here a shape that comes again is copied
into the buffer that it had before (https://onnxruntime.ai/docs/performance/tune-performance/iobinding.html).
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from export.session import ACCELERATORS

KEPT = 64  # shapes whose buffers are kept; the one that was not used for longest goes

Feed = Mapping[str, NDArray]
Run = Callable[[Feed], Sequence[NDArray]]  # one run over a feed: all outputs in the model's order


class Bound:
    """A session with buffers of its own. Safe to share between threads, which take turns."""

    def __init__(self, session: ort.InferenceSession, device: str = "cuda") -> None:
        """device: as onnxruntime names it; "cpu" runs the same way, and is what tests have."""
        self._session, self._device = session, device
        self._outputs = [output.name for output in session.get_outputs()]
        self._buffers: OrderedDict[tuple, dict[str, ort.OrtValue]] = OrderedDict()
        self._turn = threading.Lock()

    def __call__(self, feed: Feed) -> Sequence[NDArray]:
        """All outputs of one run, in host memory."""
        with self._turn:
            binding = self._session.io_binding()
            for name, buffer in self._filled({k: v for k, v in feed.items() if v.ndim}).items():
                binding.bind_ortvalue_input(name, buffer)
            for name, value in feed.items():
                if not value.ndim:  # a switch: the host decides by it
                    binding.bind_cpu_input(name, value)
            for name in self._outputs:
                binding.bind_output(name, self._device)
            self._session.run_with_iobinding(binding)
            return binding.copy_outputs_to_cpu()

    def _filled(self, arrays: Feed) -> dict[str, ort.OrtValue]:
        """The buffers of these shapes, with these values in them."""
        key = tuple((name, value.shape, value.dtype.str) for name, value in arrays.items())
        buffers = self._buffers.pop(key, None)
        if buffers is None:
            buffers = {n: ort.OrtValue.ortvalue_from_numpy(v, self._device) for n, v in arrays.items()}
        else:
            for name, value in arrays.items():
                buffers[name].update_inplace(np.ascontiguousarray(value))
        self._buffers[key] = buffers
        if len(self._buffers) > KEPT:
            self._buffers.popitem(last=False)
        return buffers


def runner(session: ort.InferenceSession) -> Run:
    """How to run a session: bound where it runs on CUDA or TensorRT, plainly elsewhere."""
    if session.get_providers()[0] in ACCELERATORS:
        return Bound(session)
    return lambda feed: session.run(None, dict(feed))
