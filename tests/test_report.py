"""The report card's figures: against their plain definitions, known values, and on files as they come."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.decisions import Confusion, poisson_interval, wilson_interval
from models.faces_seen import by_face
from models.metrics import auc
from models.reliability import Reliability, even_odds, log_loss
from models.report import report_card
from models.report_table import markdown
from models.roc import auc_interval_by_video, equal_error_rate, roc_curve, tpr_at_fpr
from models.watched import Item, Sample, Watched, items_of, main_track, pairs_of

# Few values, so that ties are common.
SCORES = st.lists(st.integers(0, 8).map(lambda v: v / 8), min_size=1, max_size=12)


def seen(name: str, *values: float, opened: int = 0, seconds: float = 10.0, note: str = "") -> Watched:
    item = Item(Path(f"{name}.mp4"), name, "fake" in name.split("/"))
    return Watched(item, tuple(Sample(0.25 * i, v) for i, v in enumerate(values)), opened, seconds, note)


@given(SCORES, SCORES)
def test_each_point_of_the_roc_curve_is_a_threshold(real: list[float], fake: list[float]) -> None:
    fpr, tpr, thresholds = roc_curve(real, fake)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    for x, y, t in zip(fpr, tpr, thresholds, strict=True):
        assert x == pytest.approx(sum(v >= t for v in real) / len(real))
        assert y == pytest.approx(sum(v >= t for v in fake) / len(fake))
    assert np.trapezoid(tpr, fpr) == pytest.approx(auc(real, fake))


@given(SCORES, SCORES, st.sampled_from([0.01, 0.05, 0.2, 0.5]))
def test_hits_at_a_false_positive_rate(real: list[float], fake: list[float], rate: float) -> None:
    best = 0.0
    for t in [*real, *fake, 2.0]:
        if sum(v >= t for v in real) / len(real) <= rate:
            best = max(best, sum(v >= t for v in fake) / len(fake))
    assert tpr_at_fpr(real, fake, rate) == pytest.approx(best)


@given(SCORES, SCORES)
def test_the_equal_error_rate_lies_between_the_thresholds_around_it(
    real: list[float], fake: list[float]
) -> None:
    found = equal_error_rate(real, fake)
    fpr, tpr, _ = roc_curve(real, fake)
    below = fpr + tpr <= 1
    assert fpr[below].max() - 1e-9 <= found <= fpr[~below].min(initial=1.0) + 1e-9
    assert 1 - tpr[~below].max(initial=1.0) - 1e-9 <= found <= 1 - tpr[below].max() + 1e-9
    turned = equal_error_rate([-v for v in fake], [-v for v in real])  # the sides and the sign changed over
    assert found == pytest.approx(turned)


def test_equal_error_rates_that_are_known() -> None:
    assert equal_error_rate([0.1, 0.2], [0.8, 0.9]) == 0
    assert equal_error_rate([0.8, 0.9], [0.1, 0.2]) == 1
    assert equal_error_rate([0.5], [0.5]) == 0.5
    assert equal_error_rate([1, 2, 3, 6], [4, 5, 7, 8]) == 0.25
    with pytest.raises(ValueError, match="both sides"):
        equal_error_rate([], [1])


@settings(max_examples=25, deadline=None)
@given(st.lists(SCORES, min_size=1, max_size=5), st.lists(SCORES, min_size=1, max_size=5))
def test_the_bootstrap_draws_whole_videos(real: list[list[float]], fake: list[list[float]]) -> None:
    low, high = auc_interval_by_video(real, fake, draws=100, seed=3)
    # The same draws, done by hand.
    rng = np.random.default_rng(3)
    often = rng.multinomial(len(real), [1 / len(real)] * len(real), 100)
    fake_often = rng.multinomial(len(fake), [1 / len(fake)] * len(fake), 100)
    values = []
    for a, b in zip(often, fake_often, strict=True):
        r = [v for video, n in zip(real, a, strict=True) for v in video * int(n)]
        f = [v for video, n in zip(fake, b, strict=True) for v in video * int(n)]
        values.append(auc(r, f))
    assert (low, high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))


def test_the_bootstrap_draws_each_stratum_apart() -> None:
    # In every stratum all videos are alike: whatever is drawn, the AUC is the same.
    real, fake = [[0.1], [0.1], [0.9], [0.9]], [[0.5], [0.5], [0.5]]
    low, high = auc_interval_by_video(real, fake, ["a", "a", "b", "b"], ["a", "a", "b"])
    assert low == high == 0.5
    together = auc_interval_by_video(real, fake)
    assert together[0] < 0.5 < together[1]
    assert together == auc_interval_by_video(real, fake)  # seeded
    assert all(math.isnan(v) for v in auc_interval_by_video([], fake))
    with pytest.raises(ValueError, match="without a sample"):
        auc_interval_by_video([[]], fake)


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng, truth, hits = np.random.default_rng(0), 0.7602, 0  # of two normals, one apart: Phi(1 / sqrt 2)
    for seed in range(100):
        real, fake = rng.normal(0, 1, (40, 1)), rng.normal(1, 1, (40, 1))
        low, high = auc_interval_by_video(list(real), list(fake), draws=400, seed=seed)
        hits += low <= truth <= high
    assert 88 <= hits <= 100


@given(SCORES, SCORES, st.integers(0, 8).map(lambda v: v / 8))
def test_the_confusion_matrix_counts(real: list[float], fake: list[float], threshold: float) -> None:
    found = Confusion.at(threshold, real, fake)
    called = [(v >= threshold, False) for v in real] + [(v >= threshold, True) for v in fake]
    tp, fp = called.count((True, True)), called.count((True, False))
    fn, tn = called.count((False, True)), called.count((False, False))
    assert found == Confusion(tp, fp, fn, tn)
    assert found.accuracy == pytest.approx(sum(a == b for a, b in called) / len(called))
    assert found.recall == pytest.approx(tp / len(fake))
    assert found.balanced_accuracy == pytest.approx((tp / len(fake) + tn / len(real)) / 2)
    if tp:
        p, r = tp / (tp + fp), tp / (tp + fn)
        assert (found.precision, found.f1) == (pytest.approx(p), pytest.approx(2 * p * r / (p + r)))
    elif not fp:
        assert math.isnan(found.precision)


def test_intervals_of_counts_that_are_known() -> None:
    # Garwood's table of exact Poisson limits.
    for count, low, high in ((0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.39), (100, 81.36, 121.6)):
        assert poisson_interval(count) == (pytest.approx(low, abs=5e-3), pytest.approx(high, rel=1e-3))
    assert wilson_interval(0, 10) == (0.0, pytest.approx(0.2775, abs=1e-4))
    assert wilson_interval(5, 10) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
    assert all(math.isnan(v) for v in wilson_interval(0, 0))


@given(st.lists(st.tuples(st.integers(0, 20).map(lambda v: v / 20), st.booleans()), min_size=1, max_size=40))
def test_log_loss_and_calibration_error_by_their_definitions(samples: list[tuple[float, bool]]) -> None:
    p, y = [s for s, _ in samples], [label for _, label in samples]
    given_to_truth = [max(s if label else 1 - s, 1e-6) for s, label in samples]
    assert log_loss(p, y) == pytest.approx(-sum(map(math.log, given_to_truth)) / len(p))
    error = 0.0
    for k in range(10):
        inside = [(s, label) for s, label in samples if min(int(s * 10), 9) == k]
        if inside:
            predicted = sum(s for s, _ in inside) / len(inside)
            observed = sum(label for _, label in inside) / len(inside)
            error += abs(predicted - observed) * len(inside) / len(p)
    assert Reliability.of(p, y).error == pytest.approx(error)


def test_even_odds_do_not_depend_on_how_many_fakes_there_are() -> None:
    p, y = [0.2, 0.4, 0.9], [False, True, True]
    many, labels = [0.2] + [0.4, 0.9] * 7, [False] + [True] * 14
    weights, more = even_odds(y), even_odds(labels)
    assert log_loss(p, y, weights) == pytest.approx(log_loss(many, labels, more))
    assert Reliability.of(p, y, weights).error == pytest.approx(Reliability.of(many, labels, more).error)
    assert weights.mean() == pytest.approx(1)
    with pytest.raises(ValueError, match="both classes"):
        even_odds([True])
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        log_loss([1.2], [True])


def test_a_videos_score_is_the_mean_of_its_longest_track() -> None:
    lines = [(1, 0.0, 0.9, ""), (2, 0.0, 0.2, ""), (2, 0.25, 0.4, ""), (3, 0.5, None, "too small")]
    samples, why = main_track(lines)
    assert (samples, why) == ((Sample(0.0, 0.2), Sample(0.25, 0.4)), "")
    assert seen("real/a", 0.2, 0.4).score == pytest.approx(0.3)
    assert main_track(
        [(1, 0.0, None, "blurred"), (1, 0.2, None, "too small"), (1, 0.4, None, "blurred")]
    ) == (
        (),
        "blurred",
    )
    assert main_track([]) == ((), "no face found")


def test_who_is_whose_real() -> None:
    watched = [
        seen("real/kim", 0.1), seen("fake/kim", 0.2),
        seen("c40/real/183", 0.1), seen("c40/fake/Deepfakes/183_253", 0.3),
        seen("c40/fake/FaceSwap/253_183", 0.3),
        seen("c23/fake/Deepfakes/183_253", 0.3), seen("fake/alone", 0.3),
    ]  # fmt: skip
    found = [(real.item.name, fake.item.name) for real, fake in pairs_of(watched)]
    assert found == [("real/kim", "fake/kim"), ("c40/real/183", "c40/fake/Deepfakes/183_253")]


def test_the_card_of_two_folders() -> None:
    first = [
        seen("real/a", 0.1, 0.3), seen("real/b", 0.6, opened=2, seconds=1800.0),
        seen("real/c", note="no face found"),
        seen("fake/a", 0.9, 0.7, opened=1), seen("fake/b", 0.4),
    ]  # fmt: skip
    second = [seen("real/x", 0.2), seen("fake/Swap/x", 0.8), seen("fake/Mask/y", 0.1, note="cut off")]
    card = report_card({"one": first, "two": second}, 0.5)
    assert list(card) == ["one", "two", "pooled"]
    one, pooled = card["one"], card["pooled"]
    assert (one["videos_real"], one["videos_fake"], one["video_auc"]) == (2, 2, 0.75)
    assert one["frame_auc"] == round(auc([0.1, 0.3, 0.6], [0.9, 0.7, 0.4]), 4)
    assert one["confusion"] == {
        "true_positives": 1, "false_positives": 1, "false_negatives": 1, "true_negatives": 1,
    }  # fmt: skip
    assert (one["accuracy"], one["precision"], one["recall"], one["f1"]) == (0.5, 0.5, 0.5, 0.5)
    assert (one["pairs"], one["pairs_right"], one["pairs_video_auc"]) == (2, 1, 0.75)
    more = report_card({"one": [*first, seen("real/someone", 0.99)]}, 0.5)["one"]
    assert more["video_auc"] < more["pairs_video_auc"] == 0.75  # of someone there is no fake
    swaps = [seen("real/1", 0.5), seen("fake/A/1_2", 0.6), seen("fake/B/1_2", 0.4), seen("fake/C/1_3", 0.7)]
    assert report_card({"one": swaps}, 0.5)["one"]["pairs_video_auc"] == round(2 / 3, 4)
    assert one["not_scored"] == {"real/c": "no face found"}
    hours = (10 + 1800 + 10) / 3600
    assert (one["false_alarms"], one["real_hours"]) == (2, round(hours, 4))
    assert one["false_alarms_per_hour"] == round(2 / hours, 4)
    assert (one["fakes_alerted"], one["fakes_watched"]) == (1, 2)
    assert card["two"]["by_kind"]["two/Swap"] == {"video_auc": 1.0, "videos_fake": 1}
    assert card["two"]["by_kind"]["two/Mask"]["video_auc"] == 0
    assert card["two"]["damaged"] == {"fake/Mask/y": "cut off"}
    assert pooled["videos_real"] == 3
    assert pooled["not_scored"] == {"one/real/c": "no face found"}
    assert pooled["scores"]["two/fake/Swap/x"] == 0.8
    assert pooled["video_auc"] == round(auc([0.2, 0.6, 0.2], [0.8, 0.4, 0.8, 0.1]), 4)
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    table = markdown(card, "a title")
    assert "| | one | two | pooled |" in table
    assert "Not scored in one: real/c (no face found)" in table
    first, faces = table.split("| face |")
    for part in (first, "|" + faces):
        assert len({line.count("|") for line in part.splitlines()[1:] if line.startswith("|")}) == 1


def test_a_card_of_what_cannot_be_scored() -> None:
    card = report_card({"one": [seen("real/a", note="too small"), seen("fake/a", 0.9)]}, 0.5)
    assert card["one"]["video_auc"] is None
    assert card["one"]["video_auc_ci"] == [None, None]
    assert card["one"]["eer"] is None
    assert card["one"]["recall"] == 1
    assert "–" in markdown(card, "t")
    empty = report_card({"one": [seen("real/a", note="too small"), seen("fake/a", note="blurred")]}, 0.5)
    assert empty["one"]["log_loss"] is None
    assert "too small" in markdown(empty, "t")
    with pytest.raises(ValueError, match="pooled"):
        report_card({"pooled": []}, 0.5)


def test_folders_and_their_files(tmp_path: Path) -> None:
    for name in (
        "c40/real/183.mp4",
        "c40/fake/Swap/183_253.MP4",
        "real/face.png",
        "notes.txt",
        "other/z.mp4",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = {item.name: item for item in items_of(tmp_path)}
    assert set(found) == {"c40/real/183", "c40/fake/Swap/183_253", "real/face"}
    swap = found["c40/fake/Swap/183_253"]
    assert (swap.fake, swap.kind, swap.base, swap.picture) == (True, "c40/Swap", ("c40",), False)
    assert found["real/face"].picture
    (tmp_path / "real" / "face.jpg").touch()
    with pytest.raises(ValueError, match="twice"):
        items_of(tmp_path)
    (tmp_path / "real" / "face.jpg").unlink()
    (tmp_path / "c40" / "fake" / "Swap" / "183_253.MP4").unlink()
    with pytest.raises(ValueError, match="real/ and fake/"):
        items_of(tmp_path)


def test_faces_are_compared_with_faces_of_their_size_and_pose() -> None:
    def at(name: str, *samples: tuple[float, float, float]) -> Watched:
        """samples: value, size, yaw."""
        item = Item(Path(name), name, "fake" in name)
        return Watched(item, tuple(Sample(0, v, size, 40.0, yaw) for v, size, yaw in samples), 0, 1.0)

    real = [at("real/a", (0.1, 50, 0), (0.9, 200, 40)), *(at("real/b", (0.2, 70, -3)) for _ in range(2))]
    fake = [at("fake/a", (0.5, 60, 7), (0.1, 300, -30)), *(at("fake/c", (0.15, 99, 7)) for _ in range(2))]
    found = by_face(real, [*fake, seen("fake/b", 0.4)])
    first = auc([0.1, 0.2, 0.2], [0.5, 0.15, 0.15])
    assert [(e["from"], e["frame_auc"], e["samples_real"], e["samples_fake"]) for e in found["size"]] == [
        (0, first, 3, 3), (100, None, 0, 0), (150, None, 1, 0), (220, None, 0, 1),
    ]  # fmt: skip
    assert [e["videos"] for e in found["size"]] == [6, 0, 1, 1]
    assert found["size"][0]["to"] == 100
    assert found["size"][-1]["to"] is None
    assert found["yaw"][0]["frame_auc"] == first
    assert sum(e["samples_real"] for e in found["yaw"]) == 4  # turned left or right is the same
    assert by_face([], [])["yaw"][0]["frame_auc"] is None
