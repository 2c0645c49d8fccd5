"""What a check says of one file, as frozen values that go into JSON and come back from it."""

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from stream.values import State

SCHEMA = 1


class Kind(Enum):
    """What a file is."""

    PICTURE = "picture"
    ANIMATION = "animation"  # an animated GIF, PNG or WebP; judged as a video
    VIDEO = "video"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost. Beyond them there is a clear line, and the rest of the files go on."""

    bytes: int = 2 << 30  # of the file
    pixels: int = 64_000_000  # of one picture
    seconds: float = 600.0  # of a video that are analysed; the report says where it stopped
    memory: int = 2 << 30  # bytes that the process apart may take beside its networks
    patience: float = 1800.0  # s of waiting


@dataclass(frozen=True, slots=True)
class FaceReport:
    """One face: a track of a video, or a face in a picture. `fake` and the like are probabilities 0..1."""

    face: int  # 1, 2, 3 …
    state: State  # the gravest that it reached
    fake: float | None  # mean of the samples; None where nothing was scored
    peak: float | None
    time: float  # s, of the key picture
    box: tuple[float, float, float, float]  # x1 y1 x2 y2 px of the key picture
    size: float  # px, the longer side of the box there
    samples: tuple[tuple[float, float], ...]  # (time s, score); one of a still picture
    reason: str = ""  # why nothing was scored
    # (time s, logit): what each crop of the window at the key picture added to its score; videos only.
    moments: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Media:
    """What the file says of itself."""

    container: str = ""
    codec: str = ""
    width: int = 0  # px
    height: int = 0
    seconds: float | None = None  # None: a picture, or it does not say
    fps: float | None = None
    bit_rate: int | None = None  # bits/s
    tags: tuple[tuple[str, str], ...] = ()  # name and value, as they stand in the file
    hints: tuple[str, ...] = ()  # what they suggest about its way here, in words


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Which detector judged, and where its thresholds lie for this kind of file."""

    name: str
    version: str
    sha256: str
    suspicious_on: float
    alert_on: float
    license: str = ""
    margin: float = 1.0  # the side of a face's crop, in parts of the box's longer side


@dataclass(frozen=True, slots=True)
class Provenance:
    """What content credentials (C2PA) say; a valid one tells who signed, not that a face is real."""

    status: str = "not read"  # "not read", "absent", "valid", "untrusted" or "broken"
    text: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a file could not be checked, or not to its end."""

    code: int  # as stream.errors has them
    line: str


@dataclass(frozen=True, slots=True)
class FileReport:
    """All that a check says of one file."""

    name: str  # without its folder
    sha256: str
    bytes: int
    kind: Kind
    verdict: State
    fake: (
        float | None
    )  # of the main face: that with the most samples, in a picture the largest that is scored
    faces: tuple[FaceReport, ...]
    media: Media = field(default_factory=Media)
    model: ModelFacts | None = None
    provenance: Provenance = field(default_factory=Provenance)
    notes: tuple[str, ...] = ()
    error: Failure | None = None
    analysed: float = 0.0  # s of the video that were looked at
    frames: int = 0  # likewise

    @property
    def real(self) -> float | None:
        """The rest of `fake` to 1."""
        return None if self.fake is None else 1 - self.fake

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with `schema`, `real` and the verdict in words."""
        plain: dict[str, Any] = _plain(asdict(self))
        return {"schema": SCHEMA, "type": "check", **plain, "real": self.real, "sentence": sentence(self)}

    @staticmethod
    def from_json(raw: dict[str, Any]) -> "FileReport":
        """What `to_json` gave. Raises ValueError for anything else."""
        try:
            own = {k: v for k, v in raw.items() if k not in ("schema", "type", "real", "sentence")}
            own["kind"], own["verdict"] = Kind(own["kind"]), State(own["verdict"])
            own["faces"] = tuple(_face(each) for each in own["faces"])
            media = own["media"]
            tags = tuple((str(a), str(b)) for a, b in media["tags"])
            own["media"] = Media(**{**media, "tags": tags, "hints": tuple(media["hints"])})
            own["model"] = None if own["model"] is None else ModelFacts(**own["model"])
            own["provenance"] = Provenance(**own["provenance"])
            own["error"] = None if own["error"] is None else Failure(**own["error"])
            own["notes"] = tuple(own["notes"])
            return FileReport(**own)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a report of a check: {error}") from error


def _face(raw: dict[str, Any]) -> FaceReport:
    pairs = {name: tuple((float(t), float(v)) for t, v in raw[name]) for name in ("samples", "moments")}
    return FaceReport(**{**raw, "state": State(raw["state"]), "box": tuple(raw["box"]), **pairs})


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return round(value, 5) if isinstance(value, float) else value


GRAVEST = (State.NO_FACE, State.UNCERTAIN, State.CLEAR, State.SUSPICIOUS, State.ALERT)  # the last wins


def gravest(states: "tuple[State, ...]") -> State:
    """The verdict of a file on its faces' states: one that is judged counts before one that cannot be."""
    return max(states, key=GRAVEST.index, default=State.NO_FACE)


def sentence(report: FileReport) -> str:
    """The verdict in plain words."""
    if report.error is not None and not report.faces:
        return "This file could not be checked."
    still = report.kind is Kind.PICTURE
    return {
        State.NO_FACE: "No face was found.",
        State.UNCERTAIN: "There is a face, but it cannot be judged.",
        State.CLEAR: "Nothing was found that speaks for a manipulated face. It is no proof of a real one.",
        State.SUSPICIOUS: "A face looks as if it might be manipulated.",
        State.ALERT: "A face looks manipulated."
        + ("" if still else " The score stayed above the alert threshold for a while."),
    }[report.verdict]
