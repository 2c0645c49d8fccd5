"""Opens what every stream shares: the detector and MTCNN, on one provider."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from export import find_model
from export.detector import Detector, open_detector
from export.errors import ModelError as BrokenModel
from export.errors import ProviderError as WrongProvider
from export.session import CPU
from stream.analysis import Scorer
from stream.errors import ModelError, ProviderError
from stream.faces import FaceDetector
from stream.processor_load import cores
from stream.providers import short
from stream.work import Turns


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks of a process. Both are safe to share between threads."""

    detector: Scorer
    faces: FaceDetector
    providers: tuple[str, ...]  # onnxruntime's names, the first is what runs
    sha256: str  # of the detector's file
    turns: Turns | None = None  # of the pumps that look through them; None: all work at once

    @property
    def label(self) -> str:
        """Name and version of the detector."""
        return f"{self.detector.card.name} {self.detector.card.version}"

    @property
    def provider(self) -> str:
        """What they run on, as a person calls it."""
        return short(self.providers)


class NetworkPool:
    """Opens each network once, however many streams look through it. Used from one thread."""

    def __init__(self, providers: tuple[str, ...], threads: int) -> None:
        """providers: onnxruntime's names. threads: of each network."""
        self._providers, self._threads = providers, threads
        # On the CPU more pumps at work than cores gain nothing; an accelerator wants as many as there are.
        alone = providers[0] == CPU
        self._turns = Turns(max(int(cores()), 1)) if alone else None
        self._detectors: dict[Path, Detector] = {}
        self._faces: FaceDetector | None = None

    def get(self, model: str, min_face: int) -> Networks:
        """A detector and MTCNN. Without real weights the program refuses to start.

        min_face: px; it is no part of the networks. Raises ModelError, ProviderError.
        """
        path = find_model(model).resolve()
        try:
            if self._faces is None:
                self._faces = FaceDetector(self._providers, self._threads, min_face)
            if path not in self._detectors:
                self._detectors[path] = open_detector(path, self._providers, self._threads)
        except BrokenModel as error:
            raise ModelError(f"model {model}: {error}") from None
        except WrongProvider as error:
            raise ProviderError(str(error)) from None
        faces = copy.copy(self._faces)
        faces.min_face = min_face
        detector = self._detectors[path]
        return Networks(detector, faces, self._providers, detector.sha256, self._turns)

    def keep(self, models: Iterable[str]) -> None:
        """Let go of the detectors that are none of these; they are freed with their last stream."""
        wanted = {find_model(model).resolve() for model in models}
        self._detectors = {path: each for path, each in self._detectors.items() if path in wanted}


def open_networks(model: str, providers: tuple[str, ...], threads: int, min_face: int) -> Networks:
    """Open a detector and MTCNN for one use. min_face: px. Raises ModelError, ProviderError."""
    return NetworkPool(providers, threads).get(model, min_face)
