"""How the face networks are called: several inputs at once, so that whoever runs them may join them."""

from collections.abc import Callable, Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from export.binding import runner

CHUNK = 64  # crops in one run of RNet or ONet; bounds memory whatever the picture holds

Floats = NDArray[np.float32]
# Inputs (N, 3, H, W), RGB in [-1, 1], each of a size of its own -> all outputs of each.
Net = Callable[[Sequence[Floats]], list[list[Floats]]]


def alone(session: ort.InferenceSession) -> Net:
    """A session that takes one input after the other."""
    run = runner(session)
    return lambda inputs: [list(run({"image": each})) for each in inputs]


def to_input(pictures: Floats) -> Floats:
    """(N, H, W, 3) BGR 0..255 to (N, 3, H, W) RGB in [-1, 1]."""
    planes = np.ascontiguousarray(pictures[..., ::-1].transpose(0, 3, 1, 2))
    planes -= np.float32(127.5)
    planes *= np.float32(0.0078125)
    return planes


def on_crops(net: Net, crops: Floats) -> list[Floats]:
    """All outputs of RNet or ONet over crops (N, S, S, 3) BGR; the last: the probability (N,) of a face."""
    chunks = [crops[i : i + CHUNK] for i in range(0, max(len(crops), 1), CHUNK)]
    parts = net([to_input(chunk) for chunk in chunks])
    *others, probabilities = (np.concatenate(part) for part in zip(*parts, strict=True))
    return [*others, probabilities[:, 1]]
