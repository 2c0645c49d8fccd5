"""Says in the log when a face stops, or begins, to look like the person who is expected."""

import logging

from stream.values import Answer, Health, Result

log = logging.getLogger(__name__)
WORDS = {
    Answer.YES: "looks like {}: yes",
    Answer.NO: "looks like {}: no",
    Answer.UNSURE: "looks like {}: cannot tell",
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
