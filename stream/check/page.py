"""The report as one page that needs nothing else: no script, no request; it prints as it looks."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files

from stream.check.order import Checked
from stream.check.plots import COLOURS, heat_scale, moments, timeline
from stream.check.values import FaceReport, FileReport, sentence

LIMITS = (
    "The score is the calibrated probability that the face is fake, for even odds of real and fake. Fakes "
    "are rarer than that among most people's files: read it as a rank.",
    "CLEAR is not a proof, and neither is ALERT. Good face swaps pass, and strong compression, small faces, "
    "filters and make-up mislead the detector both ways. Do not accuse anybody on its word alone.",
    "The detector was trained on research data and on fakes that its authors made; its figures on data that "
    "it has not seen stand in the project's models/README.md.",
)


def html(checks: Sequence[Checked], when: datetime | None = None) -> str:
    """The page. Everything that comes from a file is escaped. when: the time that it tells; None = now."""
    told = (when or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC")
    title = checks[0].report.name if len(checks) == 1 else f"{len(checks)} files"
    style = files("stream.check").joinpath("page.css").read_text("utf-8")
    contents = _contents(checks) if len(checks) > 1 else ""
    parts = "".join(_file(number, each) for number, each in enumerate(checks, 1))
    limits = "".join(f"<li>{escape(text)}</li>" for text in LIMITS)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        f"<title>Facewitness: {escape(title)}</title><style>{style}</style></head><body>"
        f'<header><h1>Facewitness: {escape(title)}</h1><p class="dim">checked {told}</p></header>'
        f'<main>{contents}{parts}<section class="limits"><h2>What this verdict is worth</h2>'
        f"<ul>{limits}</ul></section></main></body></html>\n"
    )


def _contents(checks: Sequence[Checked]) -> str:
    rows = "".join(
        f'<tr><td><a href="#file-{n}">{escape(c.report.name)}</a></td><td>{_badge(c.report)}</td>'
        f"<td>{_percent(c.report.fake)}</td><td>{len(c.report.faces)}</td></tr>"
        for n, c in enumerate(checks, 1)
    )
    return (
        '<section><h2>Files</h2><div class="wide"><table><thead><tr><th scope="col">File</th>'
        '<th scope="col">Verdict</th><th scope="col">Fake</th><th scope="col">Faces</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _file(number: int, checked: Checked) -> str:
    report = checked.report
    pieces = [
        f'<article id="file-{number}"><h2>{escape(report.name)}</h2>',
        f'<p class="verdict">{_badge(report)} {escape(sentence(report))}</p>',
        _shares(report),
    ]
    if report.error is not None:
        pieces.append(f'<p class="error">{escape(report.error.line)}</p>')
    pieces += [f'<p class="note">{escape(note)}</p>' for note in report.notes]
    pieces += [
        _pictures(checked),
        timeline(report),
        moments(report),
        _faces(report),
        _facts(report),
        "</article>",
    ]
    return "".join(pieces)


def _badge(report: FileReport) -> str:
    word = "ERROR" if report.error is not None and not report.faces else report.verdict.value
    return f'<strong class="badge" style="background:{COLOURS[report.verdict]}">{word}</strong>'


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _shares(report: FileReport) -> str:
    if report.fake is None or report.real is None:
        return ""
    return (
        f'<p class="shares"><span>real {_percent(report.real)}</span><svg role="img" viewBox="0 0 100 6" '
        f'preserveAspectRatio="none" aria-label="fake {_percent(report.fake)}"><rect width="100" height="6" '
        f'fill="#dfe4e8"/><rect x="{100 * report.real:.1f}" width="{100 * report.fake:.1f}" height="6" '
        f'fill="#4a5561"/></svg><span>fake {_percent(report.fake)}</span></p>'
    )


def _data(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


def _pictures(checked: Checked) -> str:
    """Key pictures with boxes, and each face with its heat map beside it."""
    report, found = checked.report, []
    if "picture" in checked.pictures:
        found.append(_framed(checked.pictures["picture"], report.faces, report, "The picture"))
    for face in report.faces:
        key = checked.pictures.get(f"key-{face.face}")
        if key is not None:
            words = f"Face {face.face} at {face.time:.1f} s, its gravest moment"
            found.append(_framed(key, (face,), report, words))
        crops = [checked.pictures.get(f"{kind}-{face.face}") for kind in ("crop", "map")]
        images = "".join(
            f'<img alt="{alt} {face.face}" src="{_data(crop)}">'
            for crop, alt in zip(crops, ("Face", "Heat map of face"), strict=True)
            if crop is not None
        )
        if images:
            scale = heat_scale() if f"map-{face.face}" in checked.pictures else ""
            words = f"Face {face.face}{scale}"
            found.append(f'<figure class="crops">{images}<figcaption>{words}</figcaption></figure>')
    return f'<div class="pictures">{"".join(found)}</div>'


def _framed(jpeg: bytes, faces: Sequence[FaceReport], report: FileReport, words: str) -> str:
    width, height = report.media.width or 1, report.media.height or 1
    pen = max(width, height) / 250
    boxes = ""
    for face in faces:
        x1, y1, x2, y2 = face.box
        colour, above = COLOURS[face.state], max(y1 - pen, 6 * pen)
        boxes += (
            f'<rect x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" fill="none" '
            f'stroke="{colour}" stroke-width="{pen:.1f}"/><text x="{x1:.1f}" y="{above:.1f}" '
            f'font-size="{6 * pen:.1f}" fill="{colour}" stroke="#fff" stroke-width="{pen:.1f}" '
            f'paint-order="stroke">{face.face}</text>'
        )
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(words)}">'
        f'<image href="{_data(jpeg)}" width="{width}" height="{height}" preserveAspectRatio="none"/>'
        f"{boxes}</svg><figcaption>{escape(words)}</figcaption></figure>"
    )


def _faces(report: FileReport) -> str:
    if not report.faces:
        return ""
    rows = "".join(
        f'<tr><td>{face.face}</td><td style="color:{COLOURS[face.state]}">{face.state.value}</td>'
        f"<td>{_percent(face.fake)}</td><td>{_percent(face.peak)}</td><td>{len(face.samples)}</td>"
        f"<td>{face.size:.0f} px</td><td>{escape(face.reason)}</td></tr>"
        for face in report.faces
    )
    heads = ("Face", "Verdict", "Fake, mean", "Highest", "Scores", "Size", "Why no score")
    head = "".join(f'<th scope="col">{word}</th>' for word in heads)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<h3>Faces</h3><div class="wide">{table}</div>'


def _facts(report: FileReport) -> str:
    media, model = report.media, report.model
    rows = [
        ("SHA-256", report.sha256 or "–"),
        ("Size", f"{report.bytes:,} bytes"),
        ("Kind", report.kind.value),
        ("Container", media.container or "–"),
        ("Codec", media.codec or "–"),
        ("Picture", f"{media.width}x{media.height} px" if media.width else "–"),
    ]
    if media.seconds is not None:
        rows.append(
            ("Length", f"{media.seconds:.1f} s, {report.analysed:.1f} s and {report.frames} frames analysed")
        )
    if media.fps:
        rows.append(("Frame rate", f"{media.fps:.4g} a second"))
    if media.bit_rate:
        rows.append(("Bit rate", f"{media.bit_rate / 1000:.0f} kbit/s"))
    rows += [(f"Tag {name}", value) for name, value in media.tags]
    provenance = report.provenance
    rows.append(("Content credentials (C2PA)", f"{provenance.status}. {provenance.text}".strip()))
    if model is not None:
        words = (
            f"{model.name} {model.version}, SHA-256 {model.sha256}; SUSPICIOUS from {model.suspicious_on:.2f}"
        )
        rows.append(("Detector", f"{words}, ALERT from {model.alert_on:.2f}; licence {model.license}"))
    cells = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows
    )
    hints = "".join(f"<li>{escape(hint)}</li>" for hint in media.hints)
    said = f"<ul>{hints}</ul>" if hints else ""
    return (
        f'<h3>The file</h3>{said}<div class="wide"><table class="facts"><tbody>{cells}</tbody></table></div>'
    )
