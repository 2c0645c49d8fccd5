"""What the process apart is told and what it answers; JSON lines, so that a broken one can do no harm."""

import base64
import binascii
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from stream.check.values import FileReport, Limits

LONGEST = 64 << 20  # bytes of one answer


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How files are checked."""

    model: str = "detector"  # a name that ships, or a path
    providers: tuple[str, ...] = ("CPUExecutionProvider",)  # onnxruntime's names
    threads: int = 1
    limits: Limits = field(default_factory=Limits)
    explain: bool = True  # a heat map of each face, where the model can
    nice: int = 0  # of the process apart: how far it gives way to others

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @staticmethod
    def from_json(raw: dict[str, Any]) -> "CheckOptions":
        """What `to_json` gave."""
        limits, providers = Limits(**raw["limits"]), tuple(raw["providers"])
        return CheckOptions(**{**raw, "limits": limits, "providers": providers})


@dataclass(frozen=True, slots=True)
class Checked:
    """A report and its pictures as JPEG, by name.

    "picture" is the picture itself, "key-N" a video's at face N's gravest moment, "crop-N" the face, "map-N"
    the face with its heat map.
    """

    report: FileReport
    pictures: dict[str, bytes] = field(default_factory=dict)

    def with_report(self, **changes: Any) -> "Checked":
        """The same with some of the report's fields changed."""
        return replace(self, report=replace(self.report, **changes))

    def to_line(self) -> bytes:
        """One line of JSON."""
        pictures = {name: base64.b64encode(data).decode("ascii") for name, data in self.pictures.items()}
        return json.dumps({"report": self.report.to_json(), "pictures": pictures}).encode() + b"\n"

    @staticmethod
    def from_raw(raw: dict[str, Any]) -> "Checked":
        """What `to_line` gave, parsed. Raises ValueError for anything else."""
        try:
            pictures = {str(k): base64.b64decode(v, validate=True) for k, v in raw["pictures"].items()}
        except (KeyError, AttributeError, TypeError, binascii.Error) as error:
            raise ValueError(f"not an answer: {error}") from error
        return Checked(FileReport.from_json(raw["report"]), pictures)
