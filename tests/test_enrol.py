"""Enrolment and identity: who is expected, kept encrypted, deleted wholly, told on live pictures."""

import json
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export import find_model
from export.card import Card, Likeness
from export.detector import open_detector
from stream.errors import ConfigError, OutputError
from stream.identity.gallery import Enrolled, Gallery
from stream.identity.match import AGREEING, Identity, Person, answer_of, unit
from stream.identity.teller import Teller
from stream.values import Answer
from tests import clips
from tests.test_cli import one_line, run

ASSETS = Path(__file__).parent.parent / "stream/assets"
HOPPER, COLLINS = ASSETS / "grace_hopper.jpg", ASSETS / "eileen_collins.jpg"
SCALE = Likeness(2, 4, 10.0, -4.0, 0.6, 0.3, 0.5)
E1 = np.float32([1, 0, 0, 0])


def someone(name: str = "ann", model: str = "net 1", value: int = 0) -> Enrolled:
    return Enrolled(name, model, np.eye(4, dtype=np.float32)[value], 3, 1000.0)


def window(*rows: object) -> tuple[np.ndarray, np.ndarray]:
    """Features of six, embeddings from the third number on; None: not looked."""
    features = np.ones((len(rows), 6), np.float32)
    for k, row in enumerate(rows):
        features[k, 2:] = 0 if row is None else row
    return features, np.ones(len(rows), np.float32)


def test_the_card_holds_what_tells_people_apart():
    card = open_detector(find_model("detector")).card
    assert card.likeness is not None
    assert Card.from_json(card.to_json()) == card
    assert card.likeness.no < card.likeness.yes
    assert card.likeness.start + card.likeness.width <= card.features
    told = card.validation["likeness"]
    assert told["people"] > 20
    assert told["eer"][0] < 0.1


def test_a_window_needs_two_looks_and_blind_crops_do_not_count():
    identity = Identity(SCALE, Person("ann", E1))
    assert identity.step(*window(None, None, E1)) is None
    said = identity.step(*window(E1, None, E1))
    assert said.answer is Answer.YES
    assert said.probability == pytest.approx(1 / (1 + np.exp(-6)), abs=1e-6)
    assert (said.drift, said.drifted) == (pytest.approx(0, abs=1e-6), False)


def test_an_answer_changes_once_several_in_a_row_say_so():
    other = np.float32([0, 1, 0, 0])
    identity = Identity(SCALE, Person("ann", E1))
    assert identity.step(*window(E1, E1)).answer is Answer.YES
    said = [identity.step(*window(other, other)) for _ in range(AGREEING)]
    assert [each.answer for each in said] == [Answer.YES] * (AGREEING - 1) + [Answer.NO]
    assert said[0].drifted
    assert said[0].drift == pytest.approx(1, abs=1e-6)
    assert identity.step(*window(E1, E1)).answer is Answer.NO


def test_without_anybody_expected_there_is_drift_alone():
    said = Identity(SCALE, None).step(*window(E1, E1))
    assert (said.name, said.probability, said.answer) == ("", None, Answer.UNSURE)


@given(st.floats(-1, 1))
def test_one_answer_for_each_cosine(cosine: float):
    answer = answer_of(cosine, SCALE)
    assert (answer is Answer.YES) == (cosine >= 0.6)
    assert (answer is Answer.NO) == (cosine < 0.3)


@given(st.lists(st.floats(-5, 5, width=32), min_size=4, max_size=4))
def test_any_look_gives_numbers(values: list[float]):
    said = Identity(SCALE, Person("ann", E1)).step(*window(np.float32(values), np.float32(values)))
    if said is not None:
        assert 0 <= said.probability <= 1
        assert -1e-3 <= said.drift <= 2 + 1e-3
    assert np.isfinite(unit(np.float32(values))).all()


def test_people_are_kept_replaced_and_found_by_the_same_model_alone(tmp_path: Path):
    gallery = Gallery(tmp_path / "deep" / "people.json")
    assert gallery.all() == ()
    gallery.put(someone())
    gallery.put(someone("ben", value=1))
    gallery.put(someone(value=2))
    assert {each.name: each.embedding.argmax() for each in gallery.all()} == {"ann": 2, "ben": 1}
    assert gallery.find("ann", "net 1").embedding.argmax() == 2
    with pytest.raises(ConfigError, match="enrol anew"):
        gallery.find("ann", "net 2")
    with pytest.raises(ConfigError, match="nobody is enrolled"):
        gallery.find("carl", "net 1")
    assert stat.S_IMODE((tmp_path / "deep" / "people.json").stat().st_mode) == 0o600


def test_nothing_of_who_is_deleted_is_left(tmp_path: Path):
    path = tmp_path / "people.json"
    gallery = Gallery(path)
    gallery.put(someone("unforgettable"))
    gallery.put(someone("ben"))
    with path.open("rb") as before:  # whoever still has the old file open
        gallery.delete("unforgettable")
        assert b"unforgettable" not in before.read()
    assert "unforgettable" not in path.read_text()
    assert [each.name for each in gallery.all()] == ["ben"]
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ConfigError, match="nobody"):
        gallery.delete("unforgettable")


def test_with_a_key_nothing_can_be_read_without_it(tmp_path: Path):
    path, key = tmp_path / "people.json", tmp_path / "keys" / "key"
    Gallery(path, key).put(someone("secretive"))
    text = path.read_text()
    assert "secretive" not in text
    assert "net 1" not in text
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert Gallery(path, key).all()[0].name == "secretive"
    with pytest.raises(ConfigError, match="encrypted"):
        Gallery(path).all()
    wrong = tmp_path / "wrong"
    Gallery(tmp_path / "other.json", wrong).put(someone())
    with pytest.raises(ConfigError, match="not their key"):
        Gallery(path, wrong).all()
    (tmp_path / "bad").write_text("no key")
    with pytest.raises(ConfigError, match="no Fernet key"):
        Gallery(path, tmp_path / "bad").all()
    with pytest.raises(OutputError, match="enrolment key"):
        Gallery(path, tmp_path / "none").all()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"people": [1]}', '{"sealed": 3}', '{"people": [{"name": "a"}]}']
)
def test_a_file_that_is_none_is_one_line(tmp_path: Path, text: str):
    (tmp_path / "people.json").write_text(text)
    with pytest.raises(ConfigError, match="holds none"):
        Gallery(tmp_path / "people.json").all()


def test_the_command_enrols_lists_and_deletes(tmp_path: Path):
    file = ("--file", tmp_path / "people.json")
    assert run("enrol", "grace", HOPPER, *file, "--provider", "cpu").returncode == 0
    listed = run("enrol", "--list", *file).stdout
    assert listed.startswith("grace  1 pictures")
    assert HOPPER.read_bytes()[:100] not in (tmp_path / "people.json").read_bytes()
    assert run("enrol", "--delete", "grace", *file).returncode == 0
    assert run("enrol", "--list", *file).stdout == ""


def test_pictures_that_will_not_do_are_one_line(tmp_path: Path):
    file = ("--file", tmp_path / "people.json", "--provider", "cpu")
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((240, 320, 3), 90, np.uint8))
    two = [cv2.resize(cv2.imread(str(each)), (400, 400)) for each in (HOPPER, COLLINS)]
    cv2.imwrite(str(tmp_path / "two.png"), np.hstack(two))
    one_line(run("enrol", "x", tmp_path / "wall.png", *file), 2, "no faces")
    one_line(run("enrol", "x", tmp_path / "two.png", *file), 2, "2 faces")
    one_line(run("enrol", "x", tmp_path / "none.png", *file), 10, "no such file")
    one_line(run("enrol", "x", *file), 2, "give a name and pictures")
    assert not (tmp_path / "people.json").exists()
    assert "look little alike" in run("enrol", "x", HOPPER, COLLINS, *file).stderr
    assert run("enrol", "x", HOPPER, HOPPER, *file).stderr == ""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds of a portrait of Eileen Collins."""
    path = tmp_path_factory.mktemp("clips") / "talk.mp4"
    return clips.write_clip(path, clips.portraits(150, step=0), gop=15)


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_expected_person_is_known_and_another_is_not(film: Path, tmp_path: Path):
    file = tmp_path / "people.json"
    for name, picture in (("grace", HOPPER), ("eileen", COLLINS)):
        assert run("enrol", name, picture, "--file", file, "--provider", "cpu").returncode == 0
    for name, known in (("eileen", True), ("grace", False)):
        scores = tmp_path / f"{name}.jsonl"
        done = run(
            "watch", film, "--provider", "cpu", "--expect", name, "--enrolled", file, "--scores", scores
        )
        assert done.returncode == 0, done.stderr
        last = lines_of(scores)[-1]
        assert last["person"] == name
        assert (last["answer"] == "yes") == (last["likeness"] > 0.5) == known
        assert last["drift"] < 0.2
        assert (f"looks like {name}: yes" in done.stderr) == known


def test_who_is_not_enrolled_is_one_line(film: Path, tmp_path: Path):
    words = ("watch", film, "--expect", "nobody", "--enrolled", tmp_path / "people.json", "--provider", "cpu")
    one_line(run(*words), 2, "nobody is enrolled as nobody")


def test_the_log_tells_changes_alone(caplog: pytest.LogCaptureFixture):
    from stream.values import Frame, Health, Result, State
    from stream.values import Likeness as Told
    from tests.overlay_gallery import face

    caplog.set_level("INFO")
    teller, health = Teller(), Health("cam", "CPU", True, 30.0, 0.1, 0, 0)
    view = face(1, (0.0, 0.0, 9.0, 9.0), State.CLEAR, 1.0)
    for answer in (Answer.UNSURE, Answer.YES, Answer.YES, Answer.NO, Answer.NO):
        told = Told("ann", answer, 0.5, 0.1, False)
        frame = Frame(np.zeros((9, 9, 3), np.uint8), 1.0, 0.0, 0)
        teller.see(Result(frame, State.CLEAR, (replace(view, likeness=told),), ()), health)
    assert [record.getMessage().split(": ")[-1] for record in caplog.records] == ["yes", "no"]


def test_enrolment_needs_no_training_package():
    code = "import stream.identity.command, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ASSETS.parent.parent).returncode == 0
