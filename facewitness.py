"""The public face: the names that other programs may import. Everything else may change."""

from export.card import Card, Thresholds, WindowSpec
from export.detector import Detector, open_detector
from models.crop import CropSpec, crop_face
from stream.errors import FacewitnessError
from stream.judge import Judge, Policy
from stream.values import Alert, Face, Frame, Phase, Quality, Result, Score, State, Track, TrackView

__all__ = [
    "Alert",
    "Card",
    "CropSpec",
    "Detector",
    "Face",
    "FacewitnessError",
    "Frame",
    "Judge",
    "Phase",
    "Policy",
    "Quality",
    "Result",
    "Score",
    "State",
    "Thresholds",
    "Track",
    "TrackView",
    "WindowSpec",
    "crop_face",
    "open_detector",
]
