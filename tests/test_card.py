"""The model card: what is written is read again, and nothing else is."""

import json

import pytest

from export.card import Card, Thresholds, WindowSpec
from models.crop import CropSpec

CARD = Card(
    name="tiny",
    version="1.2.3",
    crop=CropSpec(96, 1.3),
    window=WindowSpec(2.0, 8.0, 0.25, 4),
    features=16,
    temperature=1.5,
    bias=-0.25,
    thresholds=Thresholds(0.6, 0.5, 0.8, 0.7),
    training={"folders": ["stills"]},
    validation={"dfdc": {"video_auc": 0.5}},
)


def test_a_card_survives_json() -> None:
    assert Card.from_json(CARD.to_json()) == CARD
    assert json.loads(CARD.to_json())["crop"]["size"] == 96


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"name": "x"}', '"card"'])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="card"):
        Card.from_json(text)


@pytest.mark.parametrize(
    ("weights", "enough"),
    [
        ([], False),
        ([1.0] * 3, False),
        ([1.0] * 4, True),
        ([0.5] * 4, True),
        ([0.1] * 16, False),
        ([0.4] * 4, False),
        ([0.4] * 5, True),
        ([0.1, 0.1, 0.1, 1.0, 0.75], True),
    ],
)
def test_a_score_needs_so_many_crops_and_that_they_weigh_enough(weights: list[float], enough: bool) -> None:
    assert CARD.window.enough(weights) is enough


def test_unknown_keys_are_refused() -> None:
    raw = json.loads(CARD.to_json())
    raw["colour"] = "red"
    with pytest.raises(ValueError, match="colour"):
        Card.from_json(json.dumps(raw))
