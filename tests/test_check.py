"""`facewitness check`: pictures of every kind, videos as `watch` sees them, hostile files, reports."""

import csv
import io
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export import find_model
from export.detector import open_detector
from models.crop import crop_face
from stream.check.checker import Checker, check_file
from stream.check.command import COLUMNS, FOUND, SUSPECTED, csv_row, exit_code, media_in, plain
from stream.check.media import hints
from stream.check.order import Checked, CheckOptions
from stream.check.page import html
from stream.check.provenance import judge
from stream.check.sniff import sniff
from stream.check.still import judge_picture, read_picture, state_of
from stream.check.values import (
    FaceReport,
    Failure,
    FileReport,
    Kind,
    Limits,
    Media,
    ModelFacts,
    Provenance,
    gravest,
)
from stream.errors import FileMissing, NotVideo, TooSmall
from stream.faces import FaceDetector
from stream.values import State
from tests import clips

ROOT = Path(__file__).parent.parent
ASSETS = ROOT / "stream" / "assets"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
OPTIONS = CheckOptions()


def run(*words: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stream.cli", *map(str, words)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return cv2.imread(str(ASSETS / "grace_hopper.jpg"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.write_clip(tmp_path_factory.mktemp("clips") / "one.mp4", clips.portraits(75, step=1), gop=15)


def checked(path: Path, **limits: float) -> FileReport:
    return check_file(path, CheckOptions(limits=Limits(**limits))).report


def test_a_picture_is_judged_by_the_judge_of_pictures(portrait: np.ndarray):
    result = check_file(ASSETS / "grace_hopper.jpg", OPTIONS)
    report = result.report
    assert (report.kind, report.verdict, report.error) == (Kind.PICTURE, State.CLEAR, None)
    detector, looker = open_detector(find_model("detector")), FaceDetector(min_face=40)
    (face,) = looker.detect(portrait)
    crop = crop_face(portrait, face.box, detector.card.crop)
    (wanted,) = detector.score_still(detector.encode(crop[None], np.zeros(1, bool)))
    assert report.fake == pytest.approx(wanted, abs=1e-5)
    assert report.faces[0].box == pytest.approx(face.box, abs=1e-3)
    assert "still picture" in report.notes[0]
    assert report.model is not None
    assert report.model.sha256 == detector.sha256
    sizes = {
        name: cv2.imdecode(np.frombuffer(data, np.uint8), 1).shape for name, data in result.pictures.items()
    }
    assert sizes["picture"] == portrait.shape
    assert sizes["crop-1"] == sizes["map-1"] == (192, 192, 3)


def test_pictures_of_every_depth_and_kind_say_nearly_the_same(portrait: np.ndarray, tmp_path: Path):
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    rgb = image_module.fromarray(portrait[..., ::-1])
    rgb.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    rgb.convert("P").save(tmp_path / "palette.png")
    rgb.convert("RGBA").save(tmp_path / "alpha.webp", quality=95)
    rgb.save(tmp_path / "still.gif")
    rgb.save(tmp_path / "plain.bmp")
    rgb.save(tmp_path / "plain.tif")
    cv2.imwrite(str(tmp_path / "deep.png"), portrait.astype(np.uint16) * 257)
    detector, looker = open_detector(find_model("detector")), FaceDetector(min_face=40)
    whole = judge_picture(portrait, detector, looker)[0].fake
    assert whole is not None
    for path in sorted(tmp_path.iterdir()):
        if path.suffix == ".gif":
            assert sniff(path) is Kind.ANIMATION
            continue
        assert sniff(path) is Kind.PICTURE, path
        image = read_picture(path, path.name)
        assert image.dtype == np.uint8
        assert image.shape == portrait.shape
        found = judge_picture(image, detector, looker)
        assert len(found) == 1, path
        assert abs(found[0].fake - whole) < 0.25, path  # palettes and inks change the picture, not the person


def test_a_picture_is_turned_as_its_orientation_says(portrait: np.ndarray, tmp_path: Path):
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    turned = image_module.fromarray(portrait[..., ::-1]).rotate(90, expand=True)
    exif = image_module.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    report = checked(tmp_path / "turned.jpg")
    assert (report.media.width, report.media.height) == portrait.shape[1::-1]
    assert len(report.faces) == 1


def test_a_video_says_what_watch_says_of_it(clip: Path, tmp_path: Path):
    scores = tmp_path / "scores.jsonl"
    done = run("watch", clip, "--quiet", "--provider", "cpu", "--scores", scores)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in scores.read_text().splitlines()]
    values = [line["value"] for line in lines if line["value"] is not None]
    shares: list[float] = []
    result = check_file(clip, OPTIONS, shares.append)
    report = result.report
    assert report.kind is Kind.VIDEO
    assert [value for _, value in report.faces[0].samples] == pytest.approx(values, abs=1e-5)
    assert report.fake == pytest.approx(np.mean(values), abs=1e-5)
    assert report.verdict.value in {line["state"] for line in lines}
    assert report.frames == 75
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    assert {"key-1", "crop-1", "map-1"} == set(result.pictures)
    quiet = check_file(clip, replace(OPTIONS, explain=False))
    assert {"key-1", "crop-1"} == set(quiet.pictures)


def test_an_animation_is_judged_in_time(tmp_path: Path):
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    frames = [image_module.fromarray(picture[..., ::-1]) for picture in clips.portraits(30, 320, 240)]
    for name in ("moves.gif", "moves.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=66)
        report = checked(tmp_path / name)
        assert report.kind is Kind.ANIMATION, name
        assert report.error is None, report.error
        assert report.frames == 30
        assert report.faces
        assert report.faces[0].fake is not None


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        (lambda p: None, 10, "no such file"),
        (lambda p: p.mkdir(), 11, "directory"),
        (lambda p: p.write_bytes(b""), 12, "empty"),
        (lambda p: p.write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), 13, "video"),
        (lambda p: p.write_bytes(b"\xff\xd8\xff\xe0" + b"x" * 500), 13, "not a picture"),
        (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100), 13, "not a picture"),
        (lambda p: os.mkfifo(p), 10, "not a plain file"),
        (lambda p: p.symlink_to(p), 10, "symbolic"),
    ],
)
def test_what_is_no_picture_gets_one_clear_line(make, code: int, says: str, tmp_path: Path):
    path = tmp_path / "odd.jpg"
    make(path)
    report = checked(path)
    assert report.error is not None
    assert (report.error.code, report.verdict, report.faces) == (code, State.NO_FACE, ())
    assert says in report.error.line
    assert report.error.line.startswith("odd.jpg: ")
    assert str(tmp_path) not in json.dumps(report.to_json())


def test_what_is_too_much_is_refused(portrait: np.ndarray, clip: Path, tmp_path: Path):
    huge = bytearray(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    huge[16:24] = (60_000).to_bytes(4) * 2  # a header that promises 3.6 gigapixels
    (tmp_path / "bomb.png").write_bytes(huge)
    bomb = checked(tmp_path / "bomb.png").error
    assert bomb is not None
    assert bomb.code in (13, 25)
    for limits, code in (
        ({"bytes": 1000}, 25),
        ({"pixels": 10_000}, 25),
        ({"memory": 4 << 20}, 25),
        ({"patience": 0.05}, 26),
    ):
        error = checked(clip, **limits).error
        assert error is not None, limits
        assert error.code == code, (limits, error)
    short = checked(clip, seconds=1.0)
    assert short.error is None
    assert short.frames < 75
    cv2.imwrite(str(tmp_path / "line.png"), np.zeros((1, 20_000, 3), np.uint8))
    with pytest.raises(TooSmall):
        read_picture(tmp_path / "line.png", "line.png")


def test_a_truncated_video_is_told_as_far_as_it_goes(tmp_path: Path):
    mkv = clips.write_clip(tmp_path / "whole.mkv", clips.portraits(75, step=1), gop=15)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(mkv.read_bytes()[: mkv.stat().st_size * 2 // 3])
    report = checked(cut)
    assert report.error is not None
    assert report.error.code == 14
    assert report.faces
    assert 0 < report.frames < 75


def test_a_stopped_checker_ends_at_once(clip: Path):
    checker = Checker()
    checker.stop()
    assert checker.check(clip, OPTIONS).report.error is not None


def test_heif_needs_its_decoder(tmp_path: Path):
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 64)
    assert sniff(path) is Kind.PICTURE
    with pytest.raises(NotVideo):
        read_picture(path, "a.heic")


def test_a_model_without_such_a_judge_gives_no_verdict(portrait: np.ndarray):
    from dataclasses import replace

    detector = open_detector(find_model("detector"))
    detector.card = replace(detector.card, still=None)
    (face,) = judge_picture(portrait, detector, FaceDetector(min_face=40))
    assert (face.state, face.fake) == (State.UNCERTAIN, None)
    assert "no judge of still pictures" in face.reason
    assert state_of(0.99, detector) is State.UNCERTAIN


# What is pure.

words = st.text(max_size=12)
share = st.floats(0, 1).map(lambda v: round(v, 5))
states = st.sampled_from(State)
faces = st.builds(
    FaceReport,
    face=st.integers(1, 99),
    state=states,
    fake=st.none() | share,
    peak=st.none() | share,
    time=share,
    box=st.tuples(share, share, share, share),
    size=share,
    samples=st.lists(st.tuples(share, share), max_size=4).map(tuple),
    reason=words,
)
reports = st.builds(
    FileReport,
    name=words,
    sha256=words,
    bytes=st.integers(0, 2**40),
    kind=st.sampled_from(Kind),
    verdict=states,
    fake=st.none() | share,
    faces=st.lists(faces, max_size=3).map(tuple),
    media=st.builds(
        Media, container=words, codec=words, seconds=st.none() | share,
        tags=st.lists(st.tuples(words, words), max_size=2).map(tuple),
        hints=st.lists(words, max_size=2).map(tuple),
    ),
    model=st.none() | st.builds(
        ModelFacts, name=words, version=words, sha256=words, suspicious_on=share, alert_on=share,
        license=words,
    ),
    provenance=st.builds(Provenance, status=words, text=words),
    notes=st.lists(words, max_size=2).map(tuple),
    error=st.none() | st.builds(Failure, code=st.integers(1, 99), line=words),
)  # fmt: skip


@given(reports)
def test_a_report_survives_json(report: FileReport):
    assert FileReport.from_json(json.loads(json.dumps(report.to_json()))) == report
    raw = json.loads(Checked(report, {"crop-1": b"\xff\xd8"}).to_line())
    assert Checked.from_raw(raw) == Checked(report, {"crop-1": b"\xff\xd8"})


@pytest.mark.parametrize("raw", [{}, {"report": {}}, {"report": {}, "pictures": {"a": 3}}, {"pictures": []}])
def test_another_answer_is_refused(raw: dict):
    with pytest.raises(ValueError, match="not a"):
        Checked.from_raw(raw)


class _Strict(HTMLParser):
    """Every tag that opens closes, and nothing is fetched."""

    VOID = frozenset(("meta", "img", "br", "link", "rect", "line", "path", "image"))

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                assert value is not None
                assert value.startswith(("data:image/jpeg;base64,", "#file-"))
            assert not name.startswith("on")
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.stack.pop() == tag


@given(st.lists(reports, min_size=1, max_size=2))
def test_the_page_is_well_formed_whatever_the_file_is_called(given_reports: list[FileReport]):
    hostile = "<script>alert(1)</script>'\"&"
    from dataclasses import replace

    checks = [Checked(replace(r, name=r.name + hostile), {"crop-1": b"\xff"}) for r in given_reports]
    page = html(checks)
    parser = _Strict()
    parser.feed(page)
    assert parser.stack == []
    assert "script" not in parser.tags
    assert not re.search(r"https?://|url\(", page.replace(hostile, ""))


@given(st.lists(reports, max_size=4))
def test_the_exit_code_is_that_of_the_gravest(given_reports: list[FileReport]):
    code, verdicts = exit_code(given_reports), {r.verdict for r in given_reports}
    errors = [r.error.code for r in given_reports if r.error]
    if State.ALERT in verdicts:
        assert code == FOUND
    elif errors:
        assert code == errors[0]
    else:
        assert code == (SUSPECTED if State.SUSPICIOUS in verdicts else 0)


def test_the_verdict_of_a_file_is_that_of_its_gravest_face():
    assert gravest(()) is State.NO_FACE
    assert gravest((State.UNCERTAIN, State.CLEAR)) is State.CLEAR
    assert gravest((State.CLEAR, State.ALERT, State.UNCERTAIN)) is State.ALERT


@given(reports, words)
def test_a_csv_row_holds_no_formula_and_a_terminal_row_no_steering(report: FileReport, name: str):
    values = csv_row(Path(f"={name}"), report)
    assert len(values) == len(COLUMNS)
    assert not any(isinstance(v, str) and v[:1] in ("=", "+", "@") for v in values)
    assert plain(f"\x1b[2J{name}\n").isprintable()


def test_hints_are_words_about_the_way_of_a_file():
    said = hints(Media(tags=(("encoder", "Lavf61.7"), ("title", "Zoom call")), width=640, height=480, fps=30,
                       seconds=9, bit_rate=100_000))  # fmt: skip
    assert len(said) == 3
    assert "after the camera" in said[0]
    assert "screen or a call" in said[1]
    assert "bits a pixel" in said[2]
    assert hints(Media()) == ()


def test_content_credentials_are_judged_by_what_the_reader_says():
    store = {"active_manifest": "a", "manifests": {"a": {"signature_info": {"issuer": "Camera Inc"}}}}
    assert judge({**store, "validation_state": "Trusted"}).status == "valid"
    assert judge({**store, "validation_state": "Valid"}).status == "untrusted"
    status = [{"code": "assertion.dataHash.mismatch"}]
    assert judge({**store, "validation_state": "Invalid", "validation_status": status}).status == "broken"
    untrusted = [{"code": "signingCredential.untrusted"}]
    assert judge({**store, "validation_status": untrusted}).status == "untrusted"
    assert "Camera Inc" in judge(store).text


# The command.


def test_the_command_tells_a_row_a_file_and_writes_what_is_asked(clip: Path, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jpg").write_bytes((ASSETS / "eileen_collins.jpg").read_bytes())
    (folder / "notes.txt").write_text("not looked at")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = run("check", folder, clip, "--json", tmp_path / "o.json", "--csv", tmp_path / "o.csv",
               "--report", tmp_path / "o.html")  # fmt: skip
    assert done.returncode == 13, done.stderr
    assert done.stderr == ""
    rows = done.stdout.splitlines()
    assert [row.split()[0] for row in rows] == ["CLEAR", "ERROR", "CLEAR"]
    told = json.loads((tmp_path / "o.json").read_text())
    assert [each["name"] for each in told["files"]] == ["a.jpg", "broken.png", clip.name]
    for each in told["files"]:
        assert each["real"] is None or math.isclose(each["real"] + each["fake"], 1, abs_tol=1e-4)
    table = list(csv.DictReader(io.StringIO((tmp_path / "o.csv").read_text())))
    assert [each["verdict"] for each in table] == ["CLEAR", "NO FACE", "CLEAR"]
    page = (tmp_path / "o.html").read_text()
    assert page.count("<article") == 3
    assert "a.jpg" in page


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check", "x.jpg", "--json", "--csv", "-"], 2),
        (["check", "x.jpg", "--report", "/nowhere/at/all.html"], 33),
        (["check", "x.jpg", "--model", "no-such-model"], 30),
        (["check", "x.jpg"], 10),
    ],
)
def test_wrong_words_are_told(words: list[str], code: int):
    assert run(*words).returncode == code


def test_an_empty_folder_is_told(tmp_path: Path):
    with pytest.raises(FileMissing, match="no pictures or videos"):
        list(media_in([str(tmp_path)]))


def test_mutated_files_are_judged_or_refused(tmp_path: Path):
    from tests.fuzz_check import fuzz

    assert fuzz(8, 5, tmp_path) == []
