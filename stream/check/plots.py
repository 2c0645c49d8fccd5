"""The report's drawings: score against time, what each moment added, the scale of the heat maps."""

import math
from collections.abc import Callable
from html import escape

import numpy as np

from stream.check.values import FaceReport, FileReport, Kind
from stream.heat import HIGH, LOW, colours
from stream.values import State

WIDTH, HEIGHT, LEFT, BOTTOM = 640, 200, 36, 22  # px of the curve, and of its margins
LOW_HEIGHT = 110  # px of the bars of moments
GAP = 1.5  # s without a score that interrupt a curve
COLOURS = {
    State.NO_FACE: "#5c6670",
    State.UNCERTAIN: "#5c6670",
    State.CLEAR: "#176b3a",
    State.SUSPICIOUS: "#8a5a00",
    State.ALERT: "#b3171d",
}
INKS = ("#1f5fa8", "#8a3ab9", "#00757a", "#7a4b00")  # of the faces' curves, with a dash pattern each
DASHES = ("", "7 3", "2 3", "9 3 2 3")


def timeline(report: FileReport) -> str:
    """Score against time, a curve a face, the thresholds as lines."""
    if report.kind is Kind.PICTURE or not any(face.samples for face in report.faces) or report.model is None:
        return ""
    end = max([report.analysed, *(t for face in report.faces for t, _ in face.samples), 1e-3])

    def at(time: float, value: float) -> tuple[float, float]:
        return LEFT + time / end * (WIDTH - LEFT - 8), 8 + (1 - value) * (HEIGHT - BOTTOM - 8)

    marks = []
    for value in (0.0, 0.5, 1.0):
        (x1, y), (x2, _) = at(0, value), at(end, value)
        marks.append(f'<line x1="{x1}" y1="{y}" x2="{x2}" y2="{y}" stroke="#d5dade"/>')
        marks.append(f'<text x="{LEFT - 4}" y="{y + 4}" text-anchor="end">{value:.0%}</text>')
    step = max(1, math.ceil(end / 10))
    for second in range(0, math.ceil(end) + 1, step):
        if second <= end:
            x, y = at(second, 0)
            marks.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{second} s</text>')
    levels = ((report.model.suspicious_on, State.SUSPICIOUS), (report.model.alert_on, State.ALERT))
    for level, state in levels:
        (x1, y), (x2, _) = at(0, level), at(end, level)
        marks.append(f'<line x1="{x1}" y1="{y:.1f}" x2="{x2}" y2="{y:.1f}" stroke="{COLOURS[state]}"/>')
    curves = "".join(_curve(number, face, at) for number, face in enumerate(report.faces))
    legend = ", ".join(f"face {face.face}" for face in report.faces)
    words = f"Score of {legend} against time; the lines are the thresholds of SUSPICIOUS and ALERT"
    return (
        f'<figure class="curve"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(words)}">'
        f"{''.join(marks)}{curves}</svg><figcaption>{escape(words)}.</figcaption></figure>"
    )


def _curve(number: int, face: FaceReport, at: Callable[[float, float], tuple[float, float]]) -> str:
    path, before = "", None
    for time, value in face.samples:
        x, y = at(time, value)
        path += f"{'L' if before is not None and time - before <= GAP else 'M'}{x:.1f} {y:.1f}"
        before = time
    ink, dash = INKS[number % len(INKS)], DASHES[number % len(DASHES)]
    return f'<path d="{path}" fill="none" stroke="{ink}" stroke-width="2" stroke-dasharray="{dash}"/>'


def moments(report: FileReport) -> str:
    """What each crop of the window at a face's gravest moment added to its score, as bars."""
    return "".join(_bars(face) for face in report.faces if face.moments)


def _bars(face: FaceReport) -> str:
    most = max(max(abs(value) for _, value in face.moments), 0.1)
    wide, middle, half = (WIDTH - LEFT) / len(face.moments), (LOW_HEIGHT - 20) / 2, (LOW_HEIGHT - 28) / 2
    bars = f'<line x1="{LEFT}" y1="{middle}" x2="{WIDTH}" y2="{middle}" stroke="#d5dade"/>'
    for number, (time, value) in enumerate(face.moments):
        x, high = LEFT + number * wide, abs(value) / most * half
        ink = COLOURS[State.ALERT] if value > 0 else COLOURS[State.CLEAR]
        bars += (
            f'<rect x="{x + wide * 0.1:.1f}" y="{middle - (high if value > 0 else 0):.1f}" '
            f'width="{wide * 0.8:.1f}" height="{high:.1f}" fill="{ink}"/>'
        )
        if number % max(len(face.moments) // 6, 1) == 0:
            bars += f'<text x="{x:.1f}" y="{LOW_HEIGHT - 4}">{time:.1f} s</text>'
    for value in (most, -most):
        y = middle - value / most * half + 4
        bars += f'<text x="{LEFT - 4}" y="{y:.1f}" text-anchor="end">{value:+.1f}</text>'
    words = (
        f"Face {face.face}, at its gravest moment: how far the score falls (up) or rises (down) without each "
        "crop of the window, in logits"
    )
    return (
        f'<figure class="curve"><svg viewBox="0 0 {WIDTH} {LOW_HEIGHT}" role="img" '
        f'aria-label="{escape(words)}">{bars}</svg><figcaption>{escape(words)}.</figcaption></figure>'
    )


def heat_scale() -> str:
    """What the colours of the heat maps mean, in words with a strip of them."""
    stops = [
        f"rgb({r},{g},{b})" for b, g, r in colours(np.linspace(0, 1, 9, dtype=np.float32)[None])[0].tolist()
    ]
    return (
        ". Heat: where the detector sees more than on real faces; "
        f'{LOW:g} <span class="scale" style="background:linear-gradient(90deg,{",".join(stops)})"></span> '
        f"{HIGH:g} standard deviations above what is usual for the place"
    )
