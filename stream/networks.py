"""Opens what every stream shares: the detectors and MTCNN, on one provider, batched where that pays."""

import copy
import logging
import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from export import find_model
from export.detector import open_detector
from export.errors import ModelError as BrokenModel
from export.errors import ProviderError as WrongProvider
from export.session import ON_PROCESSOR
from stream.aside import Aside
from stream.errors import ModelError, ProviderError
from stream.faces import FaceDetector
from stream.looker import Looker
from stream.picture_sizes import USUAL, MeetingFaces, PictureSizes
from stream.processor_load import cores
from stream.providers import short
from stream.scorer import Scorer
from stream.sharing import BatchedFaces, Shared, pays
from stream.work import Turns

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks of a process. Both are safe to share between threads."""

    detector: Scorer
    faces: FaceDetector
    providers: tuple[str, ...]  # onnxruntime's names, the first is what runs
    sha256: str  # of the detector's file
    turns: Turns | None = None  # of the pumps that look through them; None: all work at once
    aside: Aside | None = None  # what takes the second eye's looks of live streams; None: each pump its own
    sizes: PictureSizes | None = None  # those that an accelerator has met; None: any is as good as another

    @property
    def label(self) -> str:
        """Name and version of the detector."""
        return f"{self.detector.card.name} {self.detector.card.version}"

    @property
    def provider(self) -> str:
        """What they run on, as a person calls it."""
        return short(self.providers)

    @property
    def looker(self) -> Looker:
        """The face networks as a stream's tracker should use them."""
        return self.faces if self.sizes is None else MeetingFaces(self.faces, self.sizes)


class NetworkPool:
    """Opens each network once, however many streams look through it; ready means: met every usual shape."""

    def __init__(self, providers: tuple[str, ...], threads: int, batched: bool | None = None) -> None:
        """providers: onnxruntime's names. threads: of each network. batched: where it pays, if not told."""
        self.providers, self._threads = providers, threads
        self._batched = pays(providers) if batched is None else batched
        self._sizes = PictureSizes() if self._batched and pays(providers) else None
        # On a CPU more pumps at work than cores gain nothing, and their pictures age; what a core has left
        # the second eye takes. A batch wants as many pumps as there are.
        alone = providers[0] in ON_PROCESSOR and not self._batched
        room = max(int(cores()), 1)
        self.turns = Turns(room if alone else math.inf, room)
        self.aside = Aside(room) if alone else None
        self._opening = threading.Lock()  # held while one is opened, so that it is opened once
        self._faces: FaceDetector | BatchedFaces | None = None
        self._open: dict[Path, tuple[Shared, str]] = {}  # with the file's hash

    def get(self, model: str, min_face: int) -> Networks:
        """A detector and MTCNN, from any thread. Without real weights the program refuses to start.

        It takes a second to open what is not open yet, longer on an accelerator. min_face: px; it is no part
        of the networks. Raises ModelError, ProviderError.
        """
        path = find_model(model).resolve()
        shared, digest = self._open.get(path) or self._opened(path, model)
        faces = copy.copy(shared.faces)
        faces.min_face = min_face
        if self._sizes is not None:
            self._sizes.meet(faces, USUAL)
        return Networks(shared.detector, faces, self.providers, digest, self.turns, self.aside, self._sizes)

    def keep(self, used: Iterable[Networks]) -> None:
        """Let go of the detectors that none of these looks through."""
        detectors = {id(networks.detector) for networks in used}
        for path, (shared, _) in list(self._open.items()):
            if id(shared.detector) not in detectors:
                del self._open[path]
                shared.close()

    def close(self) -> None:
        """End whoever still waits for a batch, and what is done aside."""
        self.keep(())
        if self.aside is not None:
            self.aside.close()
        if isinstance(self._faces, BatchedFaces):
            self._faces.close()

    def _opened(self, path: Path, model: str) -> tuple[Shared, str]:
        with self._opening:
            if path not in self._open:
                try:
                    self._open[path] = self._made(path)
                except BrokenModel as error:
                    raise ModelError(f"model {model}: {error}") from None
                except WrongProvider as error:
                    raise ProviderError(str(error)) from None
            return self._open[path]

    def _made(self, path: Path) -> tuple[Shared, str]:
        if self._faces is None:
            faces = FaceDetector(self.providers, self._threads)
            self._faces = BatchedFaces(faces) if self._batched else faces
        detector = open_detector(path, self.providers, self._threads)
        shared = Shared(detector, self._faces, batched=self._batched)
        if self._sizes is not None:
            log.info("warming up on %s", short(self.providers))
            shared.warm_up(())
        return shared, detector.sha256


def open_networks(model: str, providers: tuple[str, ...], threads: int, min_face: int) -> Networks:
    """Open a detector and MTCNN for one use, not batched. min_face: px. Raises ModelError, ProviderError."""
    return NetworkPool(providers, threads, batched=False).get(model, min_face)
