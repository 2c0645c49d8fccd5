"""Fakes made from real faces, seeded, in families that can be switched apart by name: one file each."""

from models.fakes.face import FacePicture
from models.fakes.families import FAMILIES, ODDS, Fakes, Family, Maker
from models.fakes.stills import Stills

__all__ = ["FAMILIES", "ODDS", "FacePicture", "Fakes", "Family", "Maker", "Stills"]
