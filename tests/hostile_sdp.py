"""Offers as real clients make them, and what a hostile one makes of them; seeded, for tests and fuzzing."""

import random
import re
from pathlib import Path

FOLDER = Path(__file__).with_name("offers")
NUMBERS = (
    "0",
    "-1",
    "1",
    "15",
    "64",
    "72",
    "255",
    "256",
    "65536",
    "4294967296",
    "9" * 40,
    "9" * 5000,
    "x",
    "٣",
)
WORDS = (
    "", " ", "\t", "*", "%s", "{}", "../..", "\u2028a=mid:9", "\x0ba=setup:active", "\x85m=video 9 X 96",
    "ä" * 50, "𝕏", "A" * 3000, "None", "null", "\x00", "\x7f", "a=", ":", "/", ";;;=", "=", "0 1 2 3 4",
)  # fmt: skip
LINES = [
    *FOLDER.joinpath("hostile_lines.txt").read_text("utf-8").splitlines(),
    "a=fmtp:97 apt=96;" + "x;" * 400,
    "a=fingerprint:md5 " + "00:" * 15 + "00",
]


def offers() -> dict[str, str]:
    """The offers of real clients by name; lines end with LF."""
    return {path.stem: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.sdp"))}


def strange(kind: str) -> list[str]:
    """Paths or headers that no client would send. kind: "paths" or "headers"."""
    lines = FOLDER.joinpath(f"hostile_{kind}.txt").read_text("ascii").splitlines()
    return [line.encode("ascii").decode("unicode_escape") for line in lines]


def mutate(chance: random.Random, text: str) -> bytes:
    """One to four things wrong with an offer or a fragment."""
    lines = text.splitlines()
    for _ in range(chance.choice((1, 1, 1, 1, 2, 3))):
        chance.choice(_MUTATIONS)(chance, lines)
        lines = lines or ["v=0"]
    end = chance.choice(("\r\n",) * 20 + ("\n",) * 10 + ("\r",))
    body = (end.join(lines) + end).encode()
    if chance.random() < 0.03:
        at = chance.randrange(len(body))
        body = body[:at] + chance.randbytes(chance.randint(1, 40)) + body[at:]
    if chance.random() < 0.03:
        body = body[: chance.randrange(len(body))]
    return body * chance.choice((1,) * 150 + (2, 200))


def _drop(chance: random.Random, lines: list[str]) -> None:
    del lines[chance.randrange(len(lines))]


def _drop_all(chance: random.Random, lines: list[str]) -> None:
    start = chance.choice(lines)[:7]
    lines[:] = [line for line in lines if not line.startswith(start)]


def _double(chance: random.Random, lines: list[str]) -> None:
    line = chance.choice(lines)
    for _ in range(chance.choice((1, 1, 1, 2, 40, 1200))):
        lines.insert(chance.randint(0, len(lines)), line)


def _swap(chance: random.Random, lines: list[str]) -> None:
    i, j = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[i], lines[j] = lines[j], lines[i]


def _insert(chance: random.Random, lines: list[str]) -> None:
    lines.insert(chance.randint(0, len(lines)), chance.choice(LINES))


def _replace(chance: random.Random, lines: list[str]) -> None:
    """A line by one of the same kind from the list, if there is one."""
    at = chance.randrange(len(lines))
    kind = re.match(r"[a-z]=[a-z-]*", lines[at])
    same = [line for line in LINES if kind and line.startswith(kind[0])]
    lines[at] = chance.choice(same or LINES)


def _number(chance: random.Random, lines: list[str]) -> None:
    at = chance.randrange(len(lines))
    found = list(re.finditer(r"\d+", lines[at]))
    if found:
        match = chance.choice(found)
        lines[at] = lines[at][: match.start()] + chance.choice(NUMBERS) + lines[at][match.end() :]


def _word(chance: random.Random, lines: list[str]) -> None:
    at = chance.randrange(len(lines))
    words = re.split(r"([ :=/;])", lines[at])
    words[chance.randrange(len(words))] = chance.choice(WORDS)
    lines[at] = "".join(words)


def _cut(chance: random.Random, lines: list[str]) -> None:
    at = chance.randrange(len(lines))
    lines[at] = lines[at][: chance.randint(0, len(lines[at]))]


def _repeat_section(chance: random.Random, lines: list[str]) -> None:
    starts = [i for i, line in enumerate(lines) if line.startswith("m=")]
    if starts:
        begin = chance.choice(starts)
        end = next((i for i in starts if i > begin), len(lines))
        lines.extend(lines[begin:end] * chance.choice((1, 5, 60)))


_MUTATIONS = (
    _drop, _drop_all, _double, _swap, _insert, _insert, _replace, _replace, _number, _number, _word, _word,
    _cut, _repeat_section,
)  # fmt: skip
