"""Opens an exported detector and runs it: crops to features, windows of features to probabilities."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from export.binding import Run, runner
from export.buckets import BUCKETS, WIDE, Cut, exact, in_runs, padded
from export.card import CARD_KEY, HEAD_KEY, MAP, Card
from export.engine import beside, serve
from export.errors import ModelError
from export.openvino import apart
from export.session import ACCELERATORS, CPU, OPENVINO, open_session
from models.crop import to_input


class Detector:
    """An encoder that runs once on each crop, and a head that runs over a window. Holds no stream's state."""

    def __init__(
        self,
        encoder: ort.InferenceSession,
        head: ort.InferenceSession,
        card: Card,
        sha256: str,
        run: Run | None = None,
    ) -> None:
        """run: how the encoder is run, where that is not just by its session."""
        self._encoder, self._head = run or runner(encoder), head
        self.card = card
        self.sha256 = sha256  # of the file, hexadecimal
        self.provider: str = encoder.get_providers()[0]  # the encoder's; the small head is on the CPU
        # On a CPU each padded crop costs as much as a real one; on an accelerator each further run does.
        wide = self.provider in ACCELERATORS
        self.buckets: tuple[int, ...] = WIDE if wide else BUCKETS
        self._cut: Cut = padded if wide else exact
        outputs = {output.name: output.shape for output in encoder.get_outputs()}
        # h and w of its class-activation maps; None: it gives none (python -m export.maps).
        self.grid: tuple[int, int] | None = tuple(outputs[MAP][1:]) if MAP in outputs else None

    def encode(
        self, crops: NDArray[np.uint8], closely: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Crops (N, S, S, 3) uint8 BGR as models.crop.crop_face cuts them -> features (N, D).

        closely: (N,), which crops the card's second eye looks at too; all of them if not told, and no matter
        where the card has none. N may be 0. Raises ValueError for any other shape.
        """
        return self._looked(crops, closely, 1)[0]

    def encode_with_map(
        self, crops: NDArray[np.uint8], closely: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As `encode`, and the first eye's class-activation maps (N, h, w), which cost next to nothing.

        The mean of a map is the logit of `score_still`, positive for a fake (export.maps). Raises ModelError
        where the file has none.
        """
        if self.grid is None:
            card = self.card
            raise ModelError(f"{card.name} {card.version} gives no maps: python -m export.maps adds them")
        features, maps = self._looked(crops, closely, 2)
        return features, maps

    def _looked(
        self, crops: NDArray[np.uint8], closely: NDArray[np.bool_] | None, outputs: int
    ) -> list[NDArray[np.float32]]:
        """The first so many of the encoder's outputs."""
        size = self.card.crop.size
        if crops.ndim != 4 or crops.shape[1:] != (size, size, 3) or crops.dtype != np.uint8:
            raise ValueError(f"wanted crops (N, {size}, {size}, 3) uint8, got {crops.shape} {crops.dtype}")
        if self.card.second is None and len(crops):
            return self._run(crops, {}, outputs)
        shapes = [(self.card.features,), self.grid or ()][:outputs]
        found = [np.zeros((len(crops), *shape), np.float32) for shape in shapes]
        chosen = np.ones(len(crops), bool) if closely is None else closely
        for look in (True, False):
            if (chosen == look).any():
                parts = self._run(crops[chosen == look], {"closely": np.array(look)}, outputs)
                for whole, part in zip(found, parts, strict=True):
                    whole[chosen == look] = part
        return found

    def _run(
        self, crops: NDArray[np.uint8], more: dict[str, NDArray], outputs: int
    ) -> list[NDArray[np.float32]]:
        def run(part: NDArray[np.uint8]) -> Sequence[NDArray]:
            return self._encoder({"crops": to_input(part, self.card.crop), **more})[:outputs]

        return in_runs(run, [crops], self._cut)

    def score(self, features: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (B, T, D), weights (B, T) in 0..1, 0 = padding -> (B,) probability that the face is fake.

        It is calibrated for even odds of real and fake. Raises ValueError for shapes that do not fit.
        """
        if (
            features.ndim != 3
            or features.shape[:2] != weights.shape
            or features.shape[2] != self.card.features
        ):
            raise ValueError(f"features {features.shape} and weights {weights.shape} do not fit together")
        feed = {"features": features.astype(np.float32), "weights": weights.astype(np.float32)}
        logit = self._head.run(["logit"], feed)[0].astype(np.float64)
        return _probability(logit / self.card.temperature + self.card.bias)

    def score_still(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (N, D) of single pictures -> (N,) probability that the face is fake, for even odds.

        Raises ModelError where the card has no judge of single pictures, ValueError for another shape.
        """
        still = self.card.still
        if still is None:
            raise ModelError(f"{self.card.name} {self.card.version} has no judge of single pictures")
        if features.ndim != 2 or features.shape[1] != self.card.features:
            raise ValueError(f"wanted features (N, {self.card.features}), got {features.shape}")
        weights = np.array(still.weights)
        return _probability(features[:, : len(weights)].astype(np.float64) @ weights + still.bias)

    def warm_up(self) -> None:
        """Run every batch size once, with and without the second eye: none is met for the first time live."""
        size = self.card.crop.size
        for n in self.buckets:
            for look in (True, False) if self.card.second else (True,):
                self.encode(np.zeros((n, size, size, 3), np.uint8), np.full(n, look))


def _probability(logit: NDArray[np.float64]) -> NDArray[np.float32]:
    return (1 / (1 + np.exp(-np.clip(logit, -60, 60)))).astype(np.float32)


def open_detector(path: str | Path, providers: Sequence[str] = (CPU,), threads: int = 1) -> Detector:
    """Open an exported detector; the encoder runs on `providers[0]` or not at all.

    TensorRT's engine may take minutes: `providers[1]` serves until it is built. Raises ModelError for a file
    that is missing, damaged or without a card, ProviderError where the provider got is not the one asked for.
    """
    session = open_session(path, beside(providers), threads)
    properties = session.get_modelmeta().custom_metadata_map
    missing = [key for key in (CARD_KEY, HEAD_KEY) if key not in properties]
    if missing:
        raise ModelError(
            f"{path} is an ONNX file, but no detector of ours: it carries no {' and no '.join(missing)}"
        )
    try:
        card = Card.from_json(properties[CARD_KEY])
        head = base64.b64decode(properties[HEAD_KEY], validate=True)
    except (ValueError, binascii.Error) as error:
        raise ModelError(f"{path} carries a damaged card or head: {error}") from error
    inputs = {i.name: i.shape for i in session.get_inputs()}
    size = card.crop.size
    wanted = ["crops", "closely"] if card.second else ["crops"]
    if list(inputs) != wanted or inputs["crops"][1:] != [3, size, size]:
        raise ModelError(f"{path} takes {inputs}, but its card promises crops of {size} px")
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    run: Run | None = serve(Path(path).resolve(), providers, threads, session)
    if card.second and session.get_providers()[0] == OPENVINO:
        run = apart(path, providers, threads, session)
    return Detector(session, open_session(head, (CPU,), threads), card, digest, run)
