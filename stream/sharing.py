"""The networks of many streams behind the stair's own interfaces, with their work joined into batches."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from export.binding import ACCELERATORS
from export.buckets import WIDE, whole
from export.card import Card
from stream.batching import Arrays, Batcher, Run
from stream.faces import FaceDetector
from stream.nets import Floats, Net
from stream.scorer import Scorer, mapper_of


class BatchedScorer:
    """A detector whose crops and windows share runs with those of other streams; it is a Scorer itself."""

    def __init__(self, detector: Scorer, deadline: float = 0.0) -> None:
        """deadline: s that a crop or a window may wait for company."""
        self._detector, self._mapper = detector, mapper_of(detector)
        self._crops = Batcher(self._encode, name="the encoder", deadline=deadline)
        # The head runs on the CPU, where padding costs and new shapes do not.
        self._windows = Batcher(self._score, name="the head", deadline=deadline, cut=whole)
        self.batchers = {"encode": self._crops, "head": self._windows}

    @property
    def card(self) -> Card:
        """What the detector expects."""
        return self._detector.card

    def encode(
        self, crops: NDArray[np.uint8], closely: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """As the detector's own `encode`; waits for company. Raises BatcherClosedError too."""
        return self._looked(crops, closely)[0]

    @property
    def grid(self) -> tuple[int, int] | None:
        """h and w of the detector's maps; None: it gives none."""
        return None if self._mapper is None else self._mapper.grid

    def encode_with_map(
        self, crops: NDArray[np.uint8], closely: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As the detector's own; waits for company. Raises BatcherClosedError too."""
        features, maps = self._looked(crops, closely)
        return features, maps

    def _looked(
        self, crops: NDArray[np.uint8], closely: NDArray[np.bool_] | None
    ) -> list[NDArray[np.float32]]:
        """Features, and maps where the detector gives any."""
        chosen = np.ones(len(crops), bool) if closely is None else closely
        if self.card.second is None:
            chosen = np.ones(len(crops), bool)
        shapes = [(self.card.features,), *([self.grid] if self.grid else [])]
        found = [np.zeros((len(crops), *shape), np.float32) for shape in shapes]
        looks = [look for look in (True, False) if (chosen == look).any()]
        answers = self._crops([(look, (crops[chosen == look],)) for look in looks])
        for look, parts in zip(looks, answers, strict=True):
            for rows, part in zip(found, parts, strict=True):
                rows[chosen == look] = part
        return found

    def score(self, features: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """As the detector's own `score`; waits for company. Raises BatcherClosedError too."""
        if features.shape[:2] != weights.shape:
            return self._detector.score(features, weights)  # which says what is wrong
        (scores,) = self._windows([(None, (features, weights))])[0]
        return scores

    def close(self) -> None:
        """End whoever waits."""
        for batcher in self.batchers.values():
            batcher.close()

    def _encode(self, key: Hashable, arrays: Arrays) -> Sequence[NDArray]:
        (crops,) = arrays
        looks = np.full(len(crops), key)
        if self._mapper is not None:
            return self._mapper.encode_with_map(crops, looks)
        return [self._detector.encode(crops, looks)]

    def _score(self, key: Hashable, arrays: Arrays) -> Sequence[NDArray]:
        return [self._detector.score(*arrays)]


class BatchedFaces:
    """MTCNN whose pyramids (by equal shapes) and candidates share runs with those of other streams."""

    def __init__(self, faces: FaceDetector, deadline: float = 0.0) -> None:
        """deadline: s that a picture may wait for company at each of the three networks."""
        self.batchers: dict[str, Batcher] = {}
        self._deadline = deadline
        self.detector = faces.through(self._wrap)

    def close(self) -> None:
        """End whoever waits."""
        for batcher in self.batchers.values():
            batcher.close()

    def _wrap(self, name: str, net: Net) -> Net:
        batcher = self.batchers[name] = Batcher(_runs(net), name=name, deadline=self._deadline)

        def joined(inputs: Sequence[Floats]) -> list[list[Floats]]:
            return [list(outputs) for outputs in batcher([(None, (each,)) for each in inputs])]

        return joined


class Shared:
    """A process's networks for all of its streams: batched, or just as they are."""

    def __init__(
        self, detector: Scorer, faces: FaceDetector | BatchedFaces, *, batched: bool, deadline: float = 0.0
    ) -> None:
        """batched: see `pays`. deadline: s, see `Batcher`.

        faces: those that are batched already serve other detectors too, and stay their maker's to close.
        """
        self.detector: Scorer = detector
        self._batched: list[BatchedScorer | BatchedFaces] = []
        if batched:
            self.detector = scorer = BatchedScorer(detector, deadline)
            self._batched.append(scorer)
            if isinstance(faces, FaceDetector):
                faces = BatchedFaces(faces, deadline)
                self._batched.append(faces)
        self.faces = faces.detector if isinstance(faces, BatchedFaces) else faces

    def counts(self) -> dict[str, dict[str, int]]:
        """What each network was asked for: asks, rows, batches; empty where nothing is batched."""
        return {name: dict(b.counts) for each in self._batched for name, b in each.batchers.items()}

    def warm_up(self, sizes: Sequence[tuple[int, int]]) -> None:
        """Meet every batch size once, pictures of `sizes` (height, width) px: none stalls a stream later."""
        if self._batched:
            card, size = self.detector.card, self.detector.card.crop.size
            for n in WIDE:
                for look in (True, False) if card.second else (True,):
                    self.detector.encode(np.zeros((n, size, size, 3), np.uint8), np.full(n, look))
            self.faces.warm_up(sizes, WIDE)

    def close(self) -> None:
        """End whoever waits. Harmless where nothing is batched."""
        for each in self._batched:
            each.close()


def pays(providers: Sequence[str]) -> bool:
    """Whether batches are faster than single crops on the first of these providers.

    On a CPU they are not, OpenVINO or not: there a crop costs the same alone (`python -m stream.bench
    --batches` counts it), and the one worker would keep the other cores idle. CUDA and TensorRT are idle but
    for large batches; CoreML was not measured.
    """
    return providers[0] in ACCELERATORS


def _runs(net: Net) -> Run:
    return lambda key, arrays: net([arrays[0]])[0]
