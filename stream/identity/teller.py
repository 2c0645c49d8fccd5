"""Tells whether a face looks like the person who is expected: in the log when that turns, and as JSON."""

import logging

from stream.values import Answer, Health, Likeness, Result

log = logging.getLogger(__name__)
WORDS = {
    Answer.YES: "looks like {}: yes",
    Answer.NO: "looks like {}: no",
    Answer.UNSURE: "looks like {}: cannot tell",
}


def likeness_json(likeness: Likeness | None) -> dict[str, str | float | None]:
    """As a track's scores and messages have it; all null while nothing is known."""
    if likeness is None:
        return {"person": None, "likeness": None, "answer": None, "drift": None}
    return {
        "person": likeness.name or None,
        "likeness": None if likeness.probability is None else round(likeness.probability, 5),
        "answer": likeness.answer.value if likeness.name else None,
        "drift": round(likeness.drift, 4),
    }


class Teller:
    """An observer of one pump."""

    def __init__(self) -> None:
        self._said: dict[int, Answer] = {}

    def see(self, result: Result, health: Health) -> None:
        """Tell what is new."""
        said = {}
        for view in result.tracks:
            if view.likeness is None or not view.likeness.name:
                continue
            number, answer = view.track.id, view.likeness.answer
            said[number] = answer
            if self._said.get(number, Answer.UNSURE) is not answer:
                words = WORDS[answer].format(view.likeness.name)
                level = logging.WARNING if answer is Answer.NO else logging.INFO
                log.log(level, "%s  %.1f s  face %d %s", health.source, result.frame.time, number, words)
        self._said = said

    def close(self) -> None:
        """Nothing is held back."""
