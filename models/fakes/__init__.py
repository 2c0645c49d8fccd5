"""Fakes made from real faces, on the fly and seeded, in families that can be switched: one file each."""

from collections.abc import Callable

import numpy as np

from models.fakes.blend import Image
from models.fakes.face import FacePicture
from models.fakes.live_swap import live_swap
from models.fakes.self_blend import self_blend
from models.fakes.two_person import nearest_donor, two_person

Family = Callable[[FacePicture, FacePicture, np.random.Generator], Image]

FAMILIES: dict[str, Family] = {"self_blend": self_blend, "live_swap": live_swap, "two_person": two_person}

__all__ = ["FAMILIES", "FacePicture", "Family", "nearest_donor"]
