"""The chain of evidence: what is altered, missing, unsigned, cut off is told; what is deleted is recorded."""

import hashlib
import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from export.card import Thresholds
from models.crop import CropSpec
from stream.errors import ConfigError, OutputError
from stream.evidence import chain as chains
from stream.evidence.chain import Chain, sealed
from stream.evidence.command import verify
from stream.evidence.job import Facts, Job, Opening
from stream.evidence.key import Signer, open_signer
from stream.evidence.maker import Maker
from stream.evidence.manifest import size_of
from stream.evidence.store import EvidenceStore, Limits
from stream.evidence.verify import Verdict, check
from stream.values import Alert, Phase

PLENTY = 10**9


@pytest.fixture(scope="module")
def signer(tmp_path_factory) -> Signer:
    return open_signer(tmp_path_factory.mktemp("key") / "key")


def grow(folder: Path, signer: Signer, count: int, quota: int = PLENTY, days: float | None = None) -> Chain:
    """Seal so many alerts of 4 kB each in a directory; gives the chain."""
    folder.mkdir(exist_ok=True)
    chain = Chain(folder, signer, quota, days)
    for _ in range(count):
        name = f"desk-{chain.number + 1}"
        part = chain.begin(name)
        (part / "crops").mkdir()
        (part / "crops" / "1.png").write_bytes(os.urandom(4096))
        chain.seal(part, name, {"alert": name, "complete": True, "problems": []})
    return chain


def verdict(folder: Path, **words: str) -> Verdict:
    return check(folder, **words).verdict


def test_it_goes_on_after_a_restart(tmp_path, signer):
    for _ in range(3):
        chain = grow(tmp_path / "e", signer, 2)
    report = check(tmp_path / "e", signer.public.decode())
    assert report.verdict is Verdict.GOOD
    assert (report.number, report.head) == (6, chain.head)
    assert verdict(tmp_path / "e", key=signer.fingerprint) is Verdict.GOOD


def test_each_kind_of_harm_has_its_verdict(tmp_path, signer):
    other = open_signer(tmp_path / "other")

    def sign_anew(folder: Path) -> None:
        text = (folder / "manifest.json").read_bytes()
        (folder / "manifest.sig").write_bytes(other.sign(text))
        (folder / "public.pem").write_bytes(other.public)

    harms = {
        "altered": (lambda e: (e[1] / "crops/1.png").write_bytes(b"x"), Verdict.ALTERED),
        "added": (lambda e: (e[1] / "crops/2.png").write_bytes(b"x"), Verdict.ALTERED),
        "linked": (lambda e: (e[1] / "link").symlink_to(e[0]), Verdict.ALTERED),
        "renamed": (lambda e: e[3].rename(e[3].with_name("000004-other")), Verdict.ALTERED),
        "copied": (lambda e: shutil.copytree(e[1], e[1].with_name("000002-copy")), Verdict.ALTERED),
        "file gone": (lambda e: (e[1] / "crops/1.png").unlink(), Verdict.MISSING),
        "folder gone": (lambda e: shutil.rmtree(e[1]), Verdict.MISSING),
        "unsigned": (lambda e: (e[1] / "manifest.sig").unlink(), Verdict.UNSIGNED),
        "no manifest": (lambda e: (e[1] / "manifest.json").unlink(), Verdict.UNSIGNED),
        "stray": (lambda e: (e[1].parent / "notes.txt").write_text("hello"), Verdict.UNSIGNED),
        "signed anew": (lambda e: sign_anew(e[1]), Verdict.WRONG_KEY),
        "beginning gone": (lambda e: shutil.rmtree(e[0]), Verdict.TRUNCATED),
    }
    for name, (harm, found) in harms.items():
        folder = tmp_path / name.replace(" ", "-")
        grow(folder, signer, 4)
        harm(sealed(folder))
        assert verdict(folder, key=signer.fingerprint) is found, name
        assert found.code
    assert len({found.code for _, found in harms.values()}) == 5


def test_the_newest_are_missed_against_a_remembered_head_only(tmp_path, signer):
    folder = tmp_path / "e"
    grow(folder, signer, 3)
    head = check(folder).head
    assert head
    grow(folder, signer, 1)
    assert verdict(folder, head=head) is Verdict.GOOD  # it has grown since
    for path in sealed(folder)[2:]:
        shutil.rmtree(path)
    assert verdict(folder) is Verdict.GOOD
    assert verdict(folder, head=head) is Verdict.TRUNCATED


def test_another_key_signs_nothing_here(tmp_path, signer):
    folder = tmp_path / "e"
    grow(folder, signer, 1)
    other = open_signer(tmp_path / "other")
    with pytest.raises(OutputError, match="another key"):
        Chain(folder, other, PLENTY, None)
    assert verdict(folder, key=other.fingerprint) is Verdict.WRONG_KEY
    assert verdict(folder, key=other.public.decode()) is Verdict.WRONG_KEY


def test_the_quota_deletes_the_oldest_and_says_so(tmp_path, signer):
    folder, heads = tmp_path / "e", []
    for _ in range(20):
        heads.append(grow(folder, signer, 1, quota=40_000).head)
        assert size_of(folder) <= 40_000 + 2_000  # the record of deletion
    stone, *kept = sealed(folder)
    assert stone.name == f"{20 - len(kept):06d}-deleted"
    assert 2 < len(kept) < 10
    report = check(folder, signer.fingerprint)
    assert report.verdict is Verdict.GOOD, report.findings
    assert all(verdict(folder, head=head) is Verdict.GOOD for head in heads)
    shutil.rmtree(kept[0])
    assert verdict(folder) is Verdict.MISSING
    shutil.rmtree(stone)
    assert verdict(folder) is Verdict.TRUNCATED


def test_an_old_record_of_deletion_hides_nothing(tmp_path, signer):
    folder = tmp_path / "e"
    grow(folder, signer, 12, quota=40_000)
    old = sealed(folder)[0]
    shutil.copytree(old, tmp_path / old.name)
    grow(folder, signer, 6, quota=40_000)
    shutil.rmtree(sealed(folder)[0])
    shutil.copytree(tmp_path / old.name, folder / old.name)
    assert verdict(folder) is Verdict.MISSING


def test_what_is_too_old_goes(tmp_path, signer):
    folder = tmp_path / "e"
    grow(folder, signer, 4)
    for path in sealed(folder)[:2]:
        os.utime(path, (0, 0))
    grow(folder, signer, 0, days=1.0).prune()
    assert [path.name[:6] for path in sealed(folder)] == ["000002", "000003", "000004"]
    assert verdict(folder) is Verdict.GOOD
    for path in sealed(folder)[1:]:
        os.utime(path, (0, 0))
    chain = grow(folder, signer, 0, days=1.0)
    chain.prune()
    assert [path.name for path in sealed(folder)] == ["000004-deleted"]
    assert verdict(folder, head=chain.head) is Verdict.GOOD
    assert grow(folder, signer, 1).number == 5
    assert verdict(folder) is Verdict.GOOD


def test_a_crash_between_record_and_deletion_harms_nothing(tmp_path, signer, monkeypatch):
    folder = tmp_path / "e"
    grow(folder, signer, 4)

    def crash(path: Path) -> None:
        raise OSError("the power went")

    monkeypatch.setattr(chains.shutil, "rmtree", crash)
    with pytest.raises(OSError, match="power"):
        grow(folder, signer, 1, quota=15_000)
    monkeypatch.undo()
    assert verdict(folder) is Verdict.GOOD
    chain = Chain(folder, signer, PLENTY, None)
    chain.sweep()
    assert sealed(folder)[0].name.endswith("-deleted")
    assert not (folder / "000001-desk-1").exists()
    assert verdict(folder) is Verdict.GOOD


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_byte_of_any_file_counts(signer, tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "flipped"
    if not folder.exists():
        grow(folder, signer, 9, quota=40_000)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    whole = path.read_bytes()
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
    try:
        assert verdict(folder).code
    finally:
        path.write_bytes(whole)


def test_the_command_prints_a_line_an_alert(tmp_path, signer, capsys):
    folder = tmp_path / "e"
    grow(folder, signer, 3)
    assert verify(folder, key=str(sealed(folder)[0] / "public.pem")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == [path.name for path in sealed(folder)]
    assert lines[-2].startswith(f"head {check(folder).head}")
    with pytest.raises(ConfigError, match="no Ed25519 public key"):
        verify(folder, key=str(sealed(folder)[0] / "manifest.json"))
    (tmp_path / "empty").mkdir()
    assert verify(tmp_path / "empty") == Verdict.MISSING.code


def test_two_processes_do_not_share_a_directory(tmp_path, signer):
    store = EvidenceStore(tmp_path / "e", signer, Limits(PLENTY, None))
    try:
        with pytest.raises(OutputError, match="another process"):
            EvidenceStore(tmp_path / "e", signer, Limits(PLENTY, None))
    finally:
        store.close()
    EvidenceStore(tmp_path / "e", signer, Limits(PLENTY, None)).close()


def test_what_a_crash_left_is_sealed_as_it_was_found(tmp_path, signer):
    folder = tmp_path / "e"
    grow(folder, signer, 1)
    (folder / "unfinished-desk-2").mkdir()
    (folder / "unfinished-desk-2" / "event.json").write_text("{}")
    (folder / "unfinished-desk-3").mkdir()
    report = check(folder)
    assert report.verdict is Verdict.GOOD
    assert any(f.verdict is Verdict.UNFINISHED for f in report.findings)
    EvidenceStore(folder, signer, Limits(PLENTY, None)).close()
    report = check(folder)
    assert report.verdict is Verdict.GOOD
    assert [f.name for f in report.findings] == ["000001-desk-1", "000002-desk-2"]
    assert "INCOMPLETE: the program ended" in report.findings[1].text


def test_a_signed_manifest_that_is_none_of_ours_is_told(tmp_path, signer, capsys):
    for i, text in enumerate((b"[]", b'{"files": 1}', b"[" * 100_000, b"\xff")):
        folder = tmp_path / str(i) / "000001-\x1b[31m"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_bytes(text)
        (folder / "manifest.sig").write_bytes(signer.sign(text))
        (folder / "public.pem").write_bytes(signer.public)
        assert verify(folder.parent) == Verdict.ALTERED.code
        assert "\x1b" not in capsys.readouterr().out


def test_nobody_waits_for_a_slow_disk_and_what_is_lost_is_named(tmp_path, signer, monkeypatch):
    held = threading.Event()
    monkeypatch.setattr(Maker, "make", lambda *_: held.wait(60) and {"problems": []})
    limits = Thresholds(0.5, 0.4, 0.7, 0.6)
    facts = Facts("desk", "desk", {}, "{}", {}, limits, CropSpec(64, 1.3), 2.0)
    store = EvidenceStore(tmp_path / "e", signer, Limits(PLENTY, None))
    begin = time.monotonic()
    for i in range(200):
        alert = Alert(f"desk-{i}", Phase.OPENED, "desk", 1, 0.0, 1.0, 0.9, 0.9, "m", "")
        store.submit(Opening(alert, facts))
        store.submit(Job(facts, (alert,), -5.0, 6.0, (), (), own=False))
    assert time.monotonic() - begin < 2
    held.set()
    store.close()
    report = check(tmp_path / "e")
    assert report.verdict is Verdict.GOOD
    told = [json.loads((path / "manifest.json").read_text()) for path in sealed(tmp_path / "e")]
    lost = sum(each["without_evidence"]["count"] for each in told)
    assert lost > 100
    assert lost + len(told) == 200


def test_a_key_is_made_once_and_never_read_by_others(tmp_path):
    path = tmp_path / "config" / "facewitness" / "evidence.key"
    first = open_signer(path)
    assert open_signer(path).fingerprint == first.fingerprint
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["evidence.key"]
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others may read it"):
        open_signer(path)


def test_the_manifest_names_the_one_before(tmp_path, signer):
    folder = tmp_path / "e"
    grow(folder, signer, 3)
    texts = [(path / "manifest.json").read_bytes() for path in sealed(folder)]
    named = [json.loads(text)["previous"] for text in texts]
    assert named == [None, *(hashlib.sha256(text).hexdigest() for text in texts[:-1])]
