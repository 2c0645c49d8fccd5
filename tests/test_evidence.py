"""Evidence of an alert on real clips: it is the source's own, it verifies, no change goes unseen."""

import json
import subprocess
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.evidence.verify import Verdict, check
from tests import clips
from tests.test_cli import QUIET, run

# Any face is an alert: what is tested is what follows.
ALARM = ("--suspicious-off", "0", "--suspicious-on", "0", "--alert-off", "0", "--alert-on", "0")


def watch(source: object, folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    evidence = ("--evidence", folder / "evidence", "--evidence-key", folder / "key")
    return run("watch", source, *evidence, *ALARM, "--provider", "cpu", *words, timeout=280)


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """A folder with the clip, the key and the evidence of its alert."""
    folder = tmp_path_factory.mktemp("kept")
    clip = clips.write_clip(folder / "face.mp4", clips.portraits(120, step=0), rate=10, gop=10)
    done = watch(clip, folder)
    assert done.returncode == 0, done.stderr
    return folder


def alerts(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "evidence").iterdir() if path.name[:6].isdigit())


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_the_folder_of_an_alert(kept):
    (folder,) = alerts(kept)
    told = manifest(folder)
    assert told["complete"], told["problems"]
    assert told["previous"] is None
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == set(told["files"]) | {"manifest.json", "manifest.sig"}
    fixed = {
        "clip.mp4",
        "annotated.mp4",
        "event.json",
        "settings.json",
        "model.json",
        "scores.json",
        "scores.png",
    }
    assert fixed <= names
    assert told["peak"]["crops"]
    assert {crop[kind] for crop in told["peak"]["crops"] for kind in ("file", "heat")} <= names
    assert told["peak"]["window"]
    assert all(set(each) == {"time", "logit"} for each in told["peak"]["window"])
    assert json.loads((folder / "event.json").read_text())["events"][0]["phase"] == "opened"
    assert json.loads((folder / "model.json").read_text())["card"]["name"]
    (face,) = json.loads((folder / "scores.json").read_text())["faces"].values()
    assert len(face) > 10


def test_the_clip_is_the_sources_own(kept):
    (folder,) = alerts(kept)
    told = manifest(folder)["clip"]
    assert "own packets" in told["made"]
    mine, source = packets(folder / "clip.mp4"), packets(kept / "face.mp4")
    assert len(mine) > 50
    assert mine == source[: len(mine)]
    with av.open(str(folder / "clip.mp4")) as clip, av.open(str(folder / "annotated.mp4")) as copy:
        assert clip.streams.video[0].codec_context.name == "h264"
        shown, drawn = (
            [(frame.time, frame.to_ndarray(format="bgr24")) for frame in each.decode(video=0)]
            for each in (clip, copy)
        )
    assert len(shown) == len(drawn) == told["pictures"]
    assert [round(t, 2) for t, _ in drawn] == [round(t - shown[0][0], 2) for t, _ in shown]
    changed = [abs(a[1].astype(int) - b[1]).max() > 60 for a, b in zip(shown, drawn, strict=True)]
    assert sum(changed) > len(changed) * 0.8  # a box stands on nearly every picture


def test_it_verifies(kept):
    done = run("verify", kept / "evidence")
    assert done.returncode == 0, done.stdout
    report = check(kept / "evidence")
    assert report.head
    assert f"head {report.head}" in done.stdout
    public = alerts(kept)[0] / "public.pem"
    assert run("verify", kept / "evidence", "--key", public, "--head", report.head).returncode == 0
    assert run("verify", kept / "evidence", "--head", "0" * 64).returncode == Verdict.TRUNCATED.code


@settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_one_flipped_bit_anywhere_is_found(kept, data):
    files = [path for path in alerts(kept)[0].rglob("*") if path.is_file()]
    path = data.draw(st.sampled_from(files))
    whole = path.read_bytes()
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
    try:
        assert check(kept / "evidence").verdict.code
    finally:
        path.write_bytes(whole)


def test_the_command_line_says_what_was_altered(kept):
    path = alerts(kept)[0] / "clip.mp4"
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    try:
        done = run("verify", kept / "evidence")
    finally:
        path.write_bytes(whole)
    assert done.returncode == Verdict.ALTERED.code
    assert f"{alerts(kept)[0].name}: ALTERED: clip.mp4" in done.stdout


def test_what_the_evidence_needs_is_refused_at_once(tmp_path, kept):
    clip = kept / "face.mp4"
    (tmp_path / "wide").write_bytes((kept / "key").read_bytes())
    (tmp_path / "wide").chmod(0o644)
    (tmp_path / "junk").write_text("no key")
    (tmp_path / "junk").chmod(0o600)
    cases = [
        (("--evidence", tmp_path / "a", "--evidence-key", tmp_path / "wide"), 2, "others may read it"),
        (("--evidence", tmp_path / "a", "--evidence-key", tmp_path / "junk"), 2, "no private key"),
        (("--evidence", clip, "--evidence-key", kept / "key"), 33, "face.mp4"),
        (("--evidence", kept / "evidence", "--evidence-key", tmp_path / "new"), 33, "another key"),
    ]
    for words, code, says in cases:
        done = run("watch", clip, *QUIET, *words)
        assert done.returncode == code, done.stderr
        assert says in done.stderr
        assert done.stderr.count("\n") == 1


def test_the_key_is_made_for_its_owner_alone(kept):
    assert (kept / "key").stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in b"".join(path.read_bytes() for path in alerts(kept)[0].rglob("*.pem"))


def test_it_is_signed_as_openssl_checks_it(kept):
    (folder,) = alerts(kept)
    words = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin"]
    try:
        done = subprocess.run(
            [*words, "-in", "manifest.json", "-sigfile", "manifest.sig"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        pytest.skip("there is no openssl here")
    assert done.returncode == 0, done.stdout + done.stderr
