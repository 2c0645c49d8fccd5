"""What the overlay says, in forms from full to bare: headline, health line, banner, labels of faces."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from stream.overlay_text import (
    AMBER,
    BLACK,
    DIM,
    PLATE,
    STATE_COLOUR,
    WHITE,
    Image,
    blank,
    curve_tile,
    extent,
    shorten,
    stack,
    state_chip,
    text_tile,
    wrap,
)
from stream.values import Answer, Health, State, TrackView

SMALLEST_EM = 13  # px; capitals are 9 px high


def margin_of(width: int, em: int) -> int:
    """px between the stream's plates and the picture's edge."""
    return max(em // 2 if width > 20 * em else em // 5, 2)


def displayed(health: Health) -> Health:
    """Only what the overlay shows of it, and as it shows it: it changes less often, and can be read."""
    age = None if health.age is None else _coarse(health.age)
    return replace(health, fps=float(round(health.fps)), age=age, frames=0)


def _coarse(seconds: float) -> float:
    """An age rounded up to 10 ms, from a second on to 0.1 s."""
    step = 0.01 if seconds < 1 else 0.1
    return math.ceil(seconds / step - 1e-6) * step


def headline(state: State, faces: int, health: Health, width: int, em: int) -> Iterator[Image]:
    """The stream's state and, with room, how many faces there are."""
    large = round(1.3 * em) if em > SMALLEST_EM or width > 30 * em else em
    detail = f"{faces} face{'s' if faces != 1 else ''}" if health.connected else "before the signal was lost"
    if faces or not health.connected:
        yield stack([[state_chip(state, large), text_tile(detail, large, WHITE, PLATE)]])
    yield state_chip(state, large)
    yield state_chip(state, em)
    yield state_chip(state, em, words=False)


def health_line(health: Health, corrupt: bool, width: int, em: int) -> Iterator[Image]:
    """Source, provider, rate, age and drops on one line, a note above it; narrow pictures show less."""
    rate, dropped = f"{health.fps:.0f} fps", f"{health.dropped} dropped"
    age = [] if health.age is None else [_age(health.age)]
    room = width - 2 * margin_of(width, em)
    note = "damaged picture, not scored" if corrupt else health.note if health.connected else ""
    note = shorten(note, em, room - em)
    above = [[text_tile(note, em, AMBER, PLATE)]] if note else []
    for parts in ([health.provider, rate, *age, dropped], [rate, *age, dropped], [rate, *age], [rate], []):
        tiles = [text_tile(shorten(part, em, 12 * em), em, DIM, PLATE) for part in parts]
        left = room - sum(tile.shape[1] for tile in tiles) - em
        name = shorten(health.source, em, min(left, 24 * em), bold=True)
        if left >= 6 * em or not parts:
            tiles = [text_tile(name, em, WHITE, PLATE, bold=True)] * bool(name) + tiles
            if tiles:
                yield stack([*above, tiles])
                yield stack([tiles])


def _age(seconds: float) -> str:
    return f"age {seconds * 1000:.0f} ms" if seconds < 1 else f"age {seconds:.1f} s"


def banner(health: Health, width: int, em: int) -> Iterator[Image]:
    """NO SIGNAL, and what is being done about it."""
    for large, lines in ((2 * em, 3), (round(1.4 * em), 2), (em, 2), (em, 0)):
        title = text_tile("NO SIGNAL", large, BLACK, AMBER, bold=True, pad=0.6)
        room = max(title.shape[1], min(width - 3 * em, 30 * em))
        rows = [
            [text_tile(line, em, WHITE, PLATE, pad=0.8)]
            for line in wrap(health.note, em, room - 2 * em, lines)
        ]
        whole = max(title.shape[1], extent(rows)[0] if rows else 0)
        head = blank(title.shape[0], whole, AMBER)
        left = (whole - title.shape[1]) // 2
        head[:, left : left + title.shape[1]] = title
        yield stack([[head], *rows])


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """One way to show a face's label: a plate of words, a curve below it or not."""

    penalty: float  # what it costs in the choice of a place; 0 for the fullest
    words: Image  # not to be written to
    curve: bool = False

    def size(self, em: int) -> tuple[int, int]:
        """Width and height, px."""
        height, width = self.words.shape[:2]
        return (max(width, 9 * em), height + 2 * em) if self.curve else (width, height)

    def tile(self, view: TrackView, now: float, em: int) -> Image:
        """The finished label. Not to be written to."""
        if not self.curve:
            return self.words
        drawn = curve_tile(view.history, now, STATE_COLOUR[view.state], self.size(em)[0], 2 * em, em)
        return stack([[self.words], [drawn]])


def label_forms(view: TrackView, em: int, curve: bool, several: bool) -> tuple[Form, ...]:
    """A face's label from full to bare. curve: there is room for one. several: tell it by its number."""
    score, likeness = view.score, view.likeness
    value = score.value if score is not None else None
    reason = (score.reason if score else "") or (view.quality.reason if view.quality else "")
    return _forms(
        view.state,
        "" if value is None else f"{value * 100:.0f} % fake",
        f"#{view.track.id}" if several else "",
        reason if value is None else "",
        (likeness.name, likeness.answer) if likeness is not None and likeness.name else None,
        em,
        curve and bool(view.history),
    )


@lru_cache(maxsize=256)
def _forms(
    state: State, number: str, name: str, reason: str, who: tuple[str, Answer] | None, em: int, curve: bool
) -> tuple[Form, ...]:
    """The words of a label change a few times a second at most."""
    chip = state_chip(state, em)
    numbers = [text_tile(number, em, WHITE, PLATE, bold=True)] if number else []
    names = [text_tile(name, em, DIM, PLATE, pad=0.3)] if name else []
    reason = shorten(reason, em, 16 * em)
    below = [[text_tile(reason, em, WHITE, PLATE)]] if reason else []
    if who is not None:
        words = shorten(f"looks like {who[0]}", em, 14 * em)
        ink = AMBER if who[1] is Answer.NO else WHITE
        below.append([text_tile(f"{words}: {who[1].value}", em, ink, PLATE)])
    full = stack([[chip, *numbers, *names], *below])
    forms = [Form(0.0, full, curve=True)] if curve else []
    forms += [Form(0.15, full), Form(0.25, stack([[chip, *numbers], *below]))]
    if numbers:
        forms.append(Form(0.3, stack([[chip], numbers])))
    return (*forms, Form(0.6, chip), Form(1.2, state_chip(state, em, words=False)))
