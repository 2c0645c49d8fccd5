"""Who is one person among the prepared videos."""

import pytest

from models.splits import person_of


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("faceforensics__c40__real__08__podium_speech_happy", "08"),
        ("faceforensics__c23__real__519", "519"),
        ("real_talking__sign__signquest__angry", "signer"),
        ("real_talking__sign__signquest__dog", "signer"),
        ("real_talking__grid__lbax4n", "lbax4n"),
        ("real_talking__grid__id2_vcd_swwp2s", "pwij3p"),
    ],
)
def test_a_video_shows_one_person(name: str, person: str) -> None:
    assert person_of(name) == person
