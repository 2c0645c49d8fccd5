"""The families of fakes by name, their usual odds, and how those are opened that need prepared files."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from models.fakes.blend import Image
from models.fakes.face import FacePicture
from models.fakes.generated import Generated
from models.fakes.live_swap import live_swap
from models.fakes.regions import eyes, mouth
from models.fakes.self_blend import self_blend
from models.fakes.two_person import two_person

log = logging.getLogger(__name__)

# A face and its donor to the same picture, changed; and to a picture with a face of its own place.
Family = Callable[[FacePicture, FacePicture, np.random.Generator], Image]
Maker = Callable[[FacePicture, FacePicture, np.random.Generator], FacePicture]

FAMILIES: dict[str, Family] = {
    "self_blend": self_blend,
    "live_swap": live_swap,
    "two_person": two_person,
    "mouth": mouth,
    "eyes": eyes,
}

# The attack is a live neural swap: its like come first. Self-blending keeps the detector general, and the
# rest is there so that nothing else passes unseen.
ODDS: dict[str, float] = {
    "neural_swap": 0.30,
    "two_person": 0.22,
    "live_swap": 0.18,
    "self_blend": 0.16,
    "mouth": 0.06,
    "generated": 0.05,
    "eyes": 0.03,
}


@dataclass(frozen=True, slots=True, eq=False)
class Fakes:
    """The chosen families, opened, with their odds."""

    makers: dict[str, Maker]
    odds: dict[str, float]  # by the same names, of any sum

    @staticmethod
    def open(
        prepared: Path,
        families: tuple[str, ...] | None = None,
        odds: tuple[float, ...] | None = None,
        held: bool = False,
    ) -> "Fakes":
        """Open families by name; None takes all whose files are there, and says which are not.

        odds: one for each of `families`, of any sum; None takes the usual ones.
        held: the faces held apart for validation, where a family has such (generated).
        Raises FileNotFoundError where a named family's files are missing, ValueError for an unknown name or
        odds that do not fit.
        """
        makers: dict[str, Maker] = {}
        for name in families if families is not None else ODDS:
            try:
                makers[name] = open_family(prepared, name, held)
            except FileNotFoundError as missing:
                if families is not None:
                    raise
                log.warning("fakes are made without the family %s: %s", name, missing)
        if odds is None:
            return Fakes.of(makers)
        if families is None or len(odds) != len(families) or min(odds) < 0 or not sum(odds):
            raise ValueError(f"odds {odds} do not fit the families {families}")
        return Fakes(makers, dict(zip(families, odds, strict=True)))

    @staticmethod
    def plain() -> "Fakes":
        """All families that need no files."""
        return Fakes.of({name: on_the_same_head(family) for name, family in FAMILIES.items()})

    @staticmethod
    def of(makers: dict[str, Maker]) -> "Fakes":
        """These families at their usual odds. Raises ValueError where there is none."""
        if not makers:
            raise ValueError("no family of fakes was chosen")
        return Fakes(makers, {name: ODDS[name] for name in makers})

    def draw(self, rng: np.random.Generator, without: tuple[str, ...] = ()) -> str:
        """A family's name by the odds. Raises ValueError where `without` leaves none."""
        names = [name for name, odds in self.odds.items() if odds and name not in without]
        if not names:
            raise ValueError(f"of the families {', '.join(self.makers)} none is left")
        chances = np.array([self.odds[name] for name in names])
        return names[rng.choice(len(names), p=chances / chances.sum())]


def open_family(prepared: Path, name: str, held: bool = False) -> Maker:
    """One family by name.

    Raises FileNotFoundError where its files are missing, ValueError for an unknown name.
    """
    if name in FAMILIES:
        return on_the_same_head(FAMILIES[name])
    if name == "generated":
        return Generated(prepared / "generated", held)
    if name == "neural_swap":
        folder = prepared / "swapper"
        if not folder.is_dir():
            raise FileNotFoundError(f"no trained swapper in {folder}: see models.fakes.swapper")
        # By name, and only when asked for: it loads onnxruntime and its networks.
        return on_the_same_head(import_module("models.fakes.neural_swap").open_neural_swap(folder))
    raise ValueError(f"no family of fakes is called {name!r}; there are {', '.join(ODDS)}")


def on_the_same_head(family: Family) -> Maker:
    """A family that changes a picture, as one that gives a picture with its face: in the same place."""

    def make(face: FacePicture, donor: FacePicture, rng: np.random.Generator) -> FacePicture:
        return face.with_image(family(face, donor, rng))

    return make
