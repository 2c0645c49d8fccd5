"""The card inside each exported detector: what it expects, what it was trained on, what it is worth."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from models.crop import CropSpec

CARD_KEY = "facewitness.card"  # in the ONNX file's metadata, JSON
HEAD_KEY = "facewitness.head"  # the temporal head, an ONNX model of its own, base64
MAP = "map"  # the encoder's output beside its features that export.maps adds


# Of what `min_samples` crops may weigh, the part that a window must. On the real ones of the validation clips
# an alert's score had 47 % of the 446 scored frames whose window weighed less, and 1.1 % of the other 10,181.
LEAST_WEIGHT = 0.5
WELL = 0.85  # what the crops of a face weigh that is seen well, on average


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """How features are gathered over time."""

    seconds: float  # length of the rolling window
    rate: float  # samples (crops) per second and track
    stride: float  # s between two runs of the head
    min_samples: int  # fewer crops give no score

    def enough(self, weights: Sequence[float]) -> bool:
        """Whether crops of these quality weights, each in (0, 1], are enough for a score."""
        return len(weights) >= self.min_samples and sum(weights) >= LEAST_WEIGHT * self.min_samples

    def ample(self, weights: Sequence[float]) -> bool:
        """Whether a window's crops are no fewer than every other one of a face that is seen well."""
        return sum(weights) >= WELL * self.seconds * self.rate / 2


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Pairs with hysteresis on the calibrated score; the state begins at `on` and ends below `off`."""

    suspicious_on: float
    suspicious_off: float
    alert_on: float
    alert_off: float


@dataclass(frozen=True, slots=True)
class SecondEye:
    """A dearer look at some of the crops, by another network in the same file."""

    name: str
    features: int  # of the D features the last so many are its own, all 0 where it did not look
    every: int  # it looks at each so many-th sampled crop of a track, rarer where its verdict is settled


@dataclass(frozen=True, slots=True)
class Still:
    """The judge of single pictures: probability = sigmoid(features . weights + bias), for even odds.

    It is linear, so that what each place of the picture adds can be told exactly.
    """

    weights: tuple[float, ...]  # of the first eye's features; a second eye takes no part
    bias: float
    thresholds: Thresholds  # a picture has no before and after: only the `on` ones count


@dataclass(frozen=True, slots=True)
class MapScale:
    """What is usual for each place of a class-activation map, over real faces (export.maps)."""

    mean: tuple[tuple[float, ...], ...]  # h rows of w, in logits
    spread: tuple[tuple[float, ...], ...]  # standard deviations, likewise
    crops: int  # that they were taken over


@dataclass(frozen=True, slots=True)
class Likeness:
    """How a face recogniser's embedding in the features tells people apart (export.identity).

    The probability that two are one person is sigmoid(weight * cosine + bias), for even odds.
    """

    start: int  # where in the features the embedding of the whole crop begins; all 0 where it was not looked
    width: int
    weight: float
    bias: float
    yes: float  # cosine from which it is the same person
    no: float  # cosine below which it is another one
    drift: float  # 1 - cosine to the track's first window, beyond which the identity has drifted


@dataclass(frozen=True, slots=True)
class Card:
    """A model card (Mitchell et al. 2019, https://arxiv.org/abs/1810.03993), as far as a program needs it."""

    name: str
    version: str
    crop: CropSpec
    window: WindowSpec
    features: int  # D, the width of one encoded crop, the second eye's part included
    temperature: float  # calibrated probability = sigmoid(logit / temperature + bias)
    bias: float
    thresholds: Thresholds
    second: SecondEye | None = None
    still: Still | None = None  # None: single pictures get no verdict
    map: MapScale | None = None  # None: the file gives no maps, or nothing is known of what is usual
    likeness: Likeness | None = None  # None: nobody can be enrolled
    training: dict[str, Any] = field(default_factory=dict)  # data with their terms, recipe, command
    validation: dict[str, Any] = field(default_factory=dict)  # figures by folder, with how they were got
    license: str = "MIT"

    def to_json(self) -> str:
        """The card as JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> "Card":
        """Read what `to_json` wrote. Raises ValueError for anything else."""
        try:
            raw = json.loads(text)
            crop = raw.pop("crop")
            spec = CropSpec(crop["size"], crop["margin"], tuple(crop["mean"]), tuple(crop["std"]))
            window, pairs = WindowSpec(**raw.pop("window")), Thresholds(**raw.pop("thresholds"))
            still = raw.pop("still", None)  # files from before 0.5 do not have it
            judge = _still(**still) if still else None
            scale = raw.pop("map", None)
            places = _scale(**scale) if scale else None
            person = raw.pop("likeness", None)
            likeness = Likeness(**person) if person else None
            second = raw.pop("second", None)  # files from before 0.2 do not have it
            eye = SecondEye(**second) if second else None
            return Card(
                crop=spec,
                window=window,
                thresholds=pairs,
                second=eye,
                still=judge,
                map=places,
                likeness=likeness,
                **raw,
            )
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"not a detector's card: {error}") from error


def _still(weights: list[float], bias: float, thresholds: dict[str, float]) -> Still:
    return Still(tuple(weights), bias, Thresholds(**thresholds))


def _scale(mean: list[list[float]], spread: list[list[float]], crops: int) -> MapScale:
    return MapScale(tuple(tuple(row) for row in mean), tuple(tuple(row) for row in spread), crops)
