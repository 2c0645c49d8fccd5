"""What the live path said of one file, and which files belong together."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

VIDEOS = frozenset({".mp4", ".mpg", ".mpeg", ".avi", ".mov", ".mkv", ".webm"})
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
SWAP = re.compile(r"(\d+)_\d+")  # FaceForensics++: the fake 183_253 was made of the real 183


@dataclass(frozen=True, slots=True)
class Item:
    """One file of a folder with real/ and fake/ in it."""

    path: Path
    name: str  # its path below the folder, with real/ or fake/, without the suffix
    fake: bool

    @property
    def picture(self) -> bool:
        """Whether it is a still picture."""
        return self.path.suffix.lower() in PICTURES

    @property
    def base(self) -> tuple[str, ...]:
        """What stands before real/ or fake/, e.g. ("c40",)."""
        parts = tuple(self.name.split("/"))
        return parts[: parts.index("fake" if self.fake else "real")]

    @property
    def kind(self) -> str:
        """The subfolders without real/ or fake/, e.g. "c40/Deepfakes": what made the fakes."""
        parts = self.name.split("/")[:-1]
        parts.remove("fake" if self.fake else "real")
        return "/".join(parts)


class Sample(NamedTuple):
    """One score of a track, and how its face stood in the picture."""

    time: float  # s
    value: float  # 0..1, the probability that it is fake
    size: float | None = None  # px, the longer side of the face's box
    sharpness: float | None = None  # as stream.quality measures it
    yaw: float | None = None  # degrees


@dataclass(frozen=True, slots=True)
class Watched:
    """What the live path said of one file. Times in s."""

    item: Item
    samples: tuple[Sample, ...]  # of the track with the most scores
    opened: int  # alerts
    seconds: float  # watched
    note: str = ""  # why there is no score, or what was wrong with the file

    @property
    def score(self) -> float | None:
        """The mean of the samples, 0..1; None where nothing was scored."""
        return sum(s.value for s in self.samples) / len(self.samples) if self.samples else None


def main_track(lines: Iterable[Sequence[Any]]) -> tuple[tuple[Sample, ...], str]:
    """The samples of the track with the most scores, and the commonest reason where there are none.

    lines: (track, time, value, reason, size, sharpness, yaw), as `facewitness watch --scores` writes them.
    """
    tracks: dict[int, list[Sample]] = defaultdict(list)
    reasons: dict[str, int] = defaultdict(int)
    for track, time, value, reason, *face in lines:
        if value is None:
            reasons[reason] += 1
        else:
            tracks[track].append(Sample(time, value, *face))
    if tracks:
        return tuple(tracks[max(tracks, key=lambda t: (len(tracks[t]), -t))]), ""
    return (), max(reasons, key=reasons.__getitem__) if reasons else "no face found"


def items_of(folder: Path) -> list[Item]:
    """The videos and pictures below a folder's real/ and fake/. Raises ValueError where a side is missing."""
    found = sided_items(folder)
    if {item.fake for item in found} != {True, False}:
        raise ValueError(f"{folder} holds no videos or pictures under both real/ and fake/")
    return found


def sided_items(folder: Path) -> list[Item]:
    """The same where a side may be missing."""
    found = []
    for path in _media(folder):
        sides = [part for part in path.relative_to(folder).parts[:-1] if part in ("real", "fake")]
        if len(sides) == 1:
            name = path.relative_to(folder).with_suffix("").as_posix()
            found.append(Item(path, name, sides == ["fake"]))
    return _told_apart(found, folder)


def real_items_of(folder: Path) -> list[Item]:
    """All videos and pictures below a folder, taken as real. Raises ValueError where there are none."""
    found = [
        Item(path, f"real/{path.relative_to(folder).with_suffix('').as_posix()}", False)
        for path in _media(folder)
    ]
    if not found:
        raise ValueError(f"{folder} holds no videos or pictures")
    return _told_apart(found, folder)


def _media(folder: Path) -> list[Path]:
    suffixes = VIDEOS | PICTURES
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())


def _told_apart(items: list[Item], folder: Path) -> list[Item]:
    names = [item.name for item in items]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{folder} holds {twice} twice, with different suffixes")
    return items


def pairs_of(watched: Iterable[Watched]) -> list[tuple[Watched, Watched]]:
    """Each fake beside its own real: the same path but for real/ and fake/, or FaceForensics++'s names."""
    listed = list(watched)
    reals = {_key(w.item): w for w in listed if not w.item.fake}
    pairs = []
    for w in listed:
        if w.item.fake:
            stem = w.item.name.split("/")[-1]
            swap = SWAP.fullmatch(stem)
            own = reals.get(_key(w.item))
            if own is None and swap:
                own = reals.get((*w.item.base, swap[1]))
            if own is not None:
                pairs.append((own, w))
    return pairs


def _key(item: Item) -> tuple[str, ...]:
    parts = item.name.split("/")
    parts.remove("fake" if item.fake else "real")
    return tuple(parts)
