"""Files that were cut, flipped, renamed or made to hurt, through `facewitness check`'s own process.

    python -m tests.fuzz_check --files 200 [--seed 1] [--keep DIR]

It fails on a check that takes longer than its limit, on a process that dies without a word of its own, on a
traceback, and on a report that is none.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from stream.check.checker import check_file
from stream.check.order import CheckOptions
from stream.check.page import html
from stream.check.values import FileReport, Limits
from tests import clips

ASSETS = Path(__file__).parent.parent / "stream" / "assets"
PATIENCE = 60.0  # s a file
CRASHED = 27
Rng = np.random.Generator


def originals(folder: Path) -> list[Path]:
    """One file of each kind, whole."""
    portrait = cv2.imread(str(ASSETS / "grace_hopper.jpg"))
    found = [folder / name for name in ("a.jpg", "a.png", "a.webp", "deep.png", "a.bmp", "a.tif")]
    for path in found:
        deep = path.name.startswith("deep")
        cv2.imwrite(str(path), portrait.astype(np.uint16) * 257 if deep else portrait)
    try:
        from PIL import Image

        rgb = Image.fromarray(portrait[..., ::-1])
        rgb.convert("CMYK").save(folder / "cmyk.jpg")
        rgb.convert("P").save(folder / "palette.png")
        moving = [Image.fromarray(p[..., ::-1]) for p in clips.portraits(8)]
        for name in ("moves.gif", "moves.png", "moves.webp"):
            moving[0].save(folder / name, save_all=True, append_images=moving[1:], duration=66)
            found.append(folder / name)
        found += [folder / "cmyk.jpg", folder / "palette.png"]
    except ImportError:
        sys.stderr.write("without Pillow: no CMYK, palettes and animations\n")
    for name in ("a.mp4", "a.mkv", "a.ts", "a.webm"):
        codec = {"a.webm": "libvpx"}.get(name, "libx264")
        found.append(clips.write_clip(folder / name, clips.portraits(12), codec=codec))
    return found


def truncated(data: bytes, rng: Rng) -> bytes:
    return data[: int(rng.integers(0, len(data)))]


def flipped(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 40))):
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def head_flipped(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 12))):
        changed[int(rng.integers(min(len(changed), 200)))] = int(rng.integers(256))
    return bytes(changed)


def repeated(data: bytes, rng: Rng) -> bytes:
    at = int(rng.integers(len(data)))
    return data[:at] + data[at // 2 : at] * int(rng.integers(1, 6)) + data[at:]


def huge(data: bytes, rng: Rng) -> bytes:
    """A header that promises far more pixels than there are."""
    if data.startswith(b"\x89PNG"):
        sides = int(rng.integers(20_000, 2**31 - 1)), int(rng.integers(1, 2**31 - 1))
        return data[:16] + sides[0].to_bytes(4) + sides[1].to_bytes(4) + data[24:]
    at = data.find(b"\xff\xc0")
    return data[: at + 5] + b"\xff\xff\xff\xff" + data[at + 9 :] if at > 0 else flipped(data, rng)


def as_it_is(data: bytes, rng: Rng) -> bytes:
    return data


MUTATIONS: tuple[Callable[[bytes, Rng], bytes], ...] = (
    truncated, flipped, head_flipped, repeated, huge, as_it_is,
)  # fmt: skip
SUFFIXES = (".jpg", ".png", ".mp4", ".gif", ".webp", ".heic", ".txt", "", ".mkv")


def special(folder: Path) -> list[Path]:
    """What no mutation makes."""
    made = {
        "line.png": cv2.imencode(".png", np.full((20_000, 1, 3), 99, np.uint8))[1].tobytes(),
        "wide.png": cv2.imencode(".png", np.full((1, 20_000, 3), 99, np.uint8))[1].tobytes(),
        "flat.png": cv2.imencode(".png", np.zeros((16_000, 16_000), np.uint8))[1].tobytes(),  # 256 megapixels
        "page.jpg": b"<html><script>alert(1)</script></html>",
        "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "list.m3u8": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "list.mp4": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "empty.jpg": b"",
        "nul.png": bytes(5000),
    }
    for name, data in made.items():
        (folder / name).write_bytes(data)
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    return sorted(folder.iterdir())


def judge(path: Path, options: CheckOptions) -> tuple[str, str]:
    """How the check of a file ended, and what is wrong with that; "" = nothing."""
    begin = time.monotonic()
    try:
        checked = check_file(path, options)
        report = checked.report
        if FileReport.from_json(json.loads(json.dumps(report.to_json()))).name != report.name:
            return "?", "the report does not survive JSON"
        html([checked])
    except Exception:
        return "exception", traceback.format_exc()
    spent = time.monotonic() - begin
    outcome = f"error {report.error.code}" if report.error else report.verdict.value
    if spent > options.limits.patience + 5:
        return outcome, f"took {spent:.0f} s"
    if report.error and report.error.code == CRASHED:
        return outcome, report.error.line
    if report.error and ("Traceback" in report.error.line or "\n" in report.error.line):
        return outcome, f"no clear line: {report.error.line!r}"
    return outcome, ""


def fuzz(files: int, seed: int, folder: Path) -> list[str]:
    """Run so many mutated files and the special ones; returns what is wrong."""
    sources, rng, options = (
        folder / "sources",
        np.random.default_rng(seed),
        CheckOptions(limits=Limits(patience=PATIENCE)),
    )
    sources.mkdir()
    whole = originals(sources)
    mutated, odd = folder / "mutated", folder / "odd"
    mutated.mkdir()
    odd.mkdir()
    for number in range(files):
        source = whole[number % len(whole)]
        mutation = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
        suffix = source.suffix if rng.random() < 0.7 else str(rng.choice(SUFFIXES))
        name = f"{number:03d}-{source.stem}-{mutation.__name__}{suffix}"
        (mutated / name).write_bytes(mutation(source.read_bytes(), rng))
    wrong, outcomes = [], Counter[str]()
    slowest = 0.0
    for path in [*sorted(mutated.iterdir()), *special(odd)]:
        begin = time.monotonic()
        outcome, problem = judge(path, options)
        slowest = max(slowest, time.monotonic() - begin)
        outcomes[outcome] += 1
        if problem:
            wrong.append(f"{path.name}: {problem}")
    told = ", ".join(f"{name} {count}" for name, count in sorted(outcomes.items()))
    print(f"{sum(outcomes.values())} files: {told}; the slowest took {slowest:.1f} s; {len(wrong)} wrong")
    return wrong


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="an empty folder for the files, kept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        wrong = fuzz(args.files, args.seed, args.keep or Path(name))
    print("\n".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
