"""Folders of one's own videos, real/ and fake/: their names here, who is held apart, whose fake is whose."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from models.splits import HELD, KNOWN
from models.watched import Item, sided_items

APART = 5  # every fifth is held apart
LEAST_PEOPLE = 3  # two to swap between, one held apart


@dataclass(frozen=True, slots=True)
class OwnSet:
    """One data set: everything that lies below one real/ and the fake/ beside it."""

    name: str
    items: tuple[Item, ...]
    held: frozenset[Item]  # never trained on

    @staticmethod
    def of(name: str, items: Sequence[Item]) -> "OwnSet":
        """Split it by the names alone, so that whoever lists the same files gets the same split.

        Raises ValueError for fewer people than can be split.
        """
        people = {person(i, items) for i in items if not i.fake}
        if len(people) < LEAST_PEOPLE:
            raise ValueError(
                f"{name} shows {len(people)} people under real/: at least {LEAST_PEOPLE} real videos or "
                "pictures of different people are needed, two to learn from, one to hold apart; 20 are better"
            )
        return OwnSet(name, tuple(items), frozenset(held_apart(items)))

    def prepared_name(self, item: Item) -> str:
        """ "mine__real__anna__1", or "mine__held__real__anna__1"; two underscores only part what we join."""
        rest = [re.sub("_{2,}", "_", part) for part in below(item)]
        return "__".join([self.name, *([HELD] if item in self.held else []), side(item), *rest])

    def original(self, fake: Item) -> Item | None:
        """The real that a fake was made of, as far as names tell."""
        return own_real(fake, [i for i in self.items if not i.fake])


def own_sets(data: Path) -> list[OwnSet]:
    """All of one's own data sets in a folder: itself where it holds real/ or fake/, else folders below it.

    Raises ValueError for a set that cannot be split, has a name of ours, or holds a name twice.
    """
    items = [i for i in sided_items(data) if not (i.base and i.base[0] in KNOWN)]
    sets = []
    for base, group in groupby(sorted(items, key=lambda i: (i.base, i.name)), lambda i: i.base):
        name = re.sub("_{2,}", "_", "-".join(base) if base else data.resolve().name)
        if name in KNOWN:
            raise ValueError(
                f"{data}: a data set is called {name} here already; give the folder another name"
            )
        found = OwnSet.of(name, list(group))
        names = [found.prepared_name(i) for i in found.items]
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise ValueError(f"{data} has two files that would both be called {min(twice)}: rename one")
        sets.append(found)
    return sets


def side(item: Item) -> str:
    """ "real" or "fake"."""
    return "fake" if item.fake else "real"


def below(item: Item) -> tuple[str, ...]:
    """Its path below real/ or fake/."""
    return tuple(item.name.split("/"))[len(item.base) + 1 :]


def person(real: Item, items: Sequence[Item]) -> str:
    """Who a real shows: the folder that it lies in below real/, or its own name where it lies in none.

    Folders that hold all of the reals tell nothing of people.
    """
    shared, reals = 0, [below(i)[:-1] for i in items if not i.fake]
    while all(len(r) > shared and r[shared] == reals[0][shared] for r in reals):
        shared += 1
    return below(real)[shared]


def held_apart(items: Sequence[Item]) -> set[Item]:
    """Every fifth person by a hash of the name, at least one; fakes go where their real goes."""
    reals = [i for i in items if not i.fake]
    people = {r: person(r, items) for r in reals}
    filmed = {people[r] for r in reals if not r.picture}
    apart = every_fifth(filmed) | every_fifth(set(people.values()) - filmed)
    held = {r for r in reals if people[r] in apart}
    loose = []
    for fake in (i for i in items if i.fake):
        real, folders = own_real(fake, reals), set(below(fake)[:-1]) & set(people.values())
        if real is None and not folders:
            loose.append(fake)
        elif people[real] in apart if real is not None else folders & apart:
            held.add(fake)
    late = every_fifth({below(f)[-1] for f in loose})
    return held | {f for f in loose if below(f)[-1] in late}


def every_fifth(names: Iterable[str]) -> set[str]:
    """The first fifth in the order of the names' SHA-256, rounded, at least one of two."""
    order = sorted(names, key=lambda n: hashlib.sha256(n.encode()).hexdigest())
    return set(order[: max(1, round(len(order) / APART))] if len(order) > 1 else [])


def own_real(fake: Item, reals: Sequence[Item]) -> Item | None:
    """The real of the same path, else of the same name, else the "A" of which a fake "A_B" was made."""
    same = [r for r in reals if below(r) == below(fake)]
    named: dict[str, list[Item]] = {}
    for real in reals:
        named.setdefault(below(real)[-1], []).append(real)
    stem = below(fake)[-1]
    cuts = [stem, *(stem[: m.start()] for m in reversed(list(re.finditer("_", stem))))]
    return next((found[0] for found in (same, *(named.get(c, []) for c in cuts)) if len(found) == 1), None)


def beside(own: OwnSet, sizes: Mapping[str, float]) -> dict[str, str]:
    """For each fake the real to show beside it, by prepared names: its own, else one of a like size.

    sizes: px of the face, by prepared name, of all videos that have one.
    """
    names = {item: own.prepared_name(item) for item in own.items if own.prepared_name(item) in sizes}
    pairs = {}
    for fake in (i for i in names if i.fake):
        real = own.original(fake)
        if real is None or real not in names:
            others = [i for i in names if not i.fake and (i in own.held) == (fake in own.held)]
            if not others:
                continue
            real = min(others, key=lambda i: (abs(sizes[names[i]] - sizes[names[fake]]), i.name))
        pairs[names[fake]] = names[real]
    return pairs
