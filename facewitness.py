"""The public face: the names that other programs may import. Everything else may change."""

from export.card import Card, MapScale, SecondEye, Still, Thresholds, WindowSpec
from export.detector import Detector, open_detector
from models.crop import CropSpec, crop_face
from stream.api.scorer import Scorer
from stream.api.watch import Watch, watch
from stream.check.values import FaceReport
from stream.errors import ConfigError, FacewitnessError, ModelError, ProviderError, SourceError
from stream.judge import Judge, Policy
from stream.overlay import draw
from stream.values import (
    Alert,
    Answer,
    Face,
    Frame,
    Health,
    Heat,
    Likeness,
    Phase,
    Quality,
    Result,
    Score,
    State,
    Track,
    TrackView,
)

__all__ = [
    "Alert",
    "Answer",
    "Card",
    "ConfigError",
    "CropSpec",
    "Detector",
    "Face",
    "FaceReport",
    "FacewitnessError",
    "Frame",
    "Health",
    "Heat",
    "Judge",
    "Likeness",
    "MapScale",
    "ModelError",
    "Phase",
    "Policy",
    "ProviderError",
    "Quality",
    "Result",
    "Score",
    "Scorer",
    "SecondEye",
    "SourceError",
    "State",
    "Still",
    "Thresholds",
    "Track",
    "TrackView",
    "Watch",
    "WindowSpec",
    "crop_face",
    "draw",
    "open_detector",
    "watch",
]
