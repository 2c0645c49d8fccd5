"""Opens what every stream shares: the detector and MTCNN, on one provider."""

from dataclasses import dataclass

from export import find_model
from export.detector import open_detector
from export.errors import ModelError as BrokenModel
from export.errors import ProviderError as WrongProvider
from stream.analysis import Scorer
from stream.errors import ModelError, ProviderError
from stream.faces import FaceDetector
from stream.providers import short


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks of a process. Both are safe to share between threads."""

    detector: Scorer
    faces: FaceDetector
    providers: tuple[str, ...]  # onnxruntime's names, the first is what runs
    sha256: str  # of the detector's file

    @property
    def label(self) -> str:
        """Name and version of the detector."""
        return f"{self.detector.card.name} {self.detector.card.version}"

    @property
    def provider(self) -> str:
        """What they run on, as a person calls it."""
        return short(self.providers)


def open_networks(model: str, providers: tuple[str, ...], threads: int, min_face: int) -> Networks:
    """Open the detector and MTCNN. Without real weights the program refuses to start.

    min_face: px. Raises ModelError, ProviderError.
    """
    try:
        faces = FaceDetector(providers, threads, min_face)
        detector = open_detector(find_model(model), providers, threads)
    except BrokenModel as error:
        raise ModelError(f"model {model}: {error}") from None
    except WrongProvider as error:
        raise ProviderError(str(error)) from None
    return Networks(detector, faces, providers, detector.sha256)
