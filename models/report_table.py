"""The report card for people: a Markdown table with a column for each folder."""

from collections.abc import Callable, Mapping
from typing import Any

Figures = Mapping[str, Any]

FACE_UNITS = {"size": " px", "sharpness": "", "yaw": "°"}


def markdown(card: Mapping[str, Figures], title: str) -> str:
    """A table of all figures and a list of the files that have none. card: as models.report makes it."""
    names = list(card)
    if len(names) == 2:
        names = names[:1]  # one folder: pooled says the same
    lines = [title, "", f"| | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for label, cell in ROWS:
        lines.append(f"| {label} | {' | '.join(cell(card[name]) for name in names)} |")
    for name in [n for n in card if n != "pooled" or len(card) == 1]:
        found = card[name]
        if found["by_kind"]:
            told = "; ".join(
                f"{kind} {_number(inner['video_auc'])} ({inner['videos_fake']} fakes)"
                for kind, inner in found["by_kind"].items()
            )
            lines.append(f"\nVideo AUC by kind of fake: {told}")
        for heading, key in (("Not scored", "not_scored"), ("Damaged", "damaged")):
            if found[key]:
                told = "; ".join(f"{file} ({note})" for file, note in found[key].items())
                lines.append(f"\n{heading} in {name}: {told}")
    lines += ["", *_faces(card["pooled"])]
    return "\n".join(lines) + "\n"


def _faces(found: Figures) -> list[str]:
    """A table of the frame AUC by how the face stood in the picture."""
    lines = ["| face | frame AUC [95 %] | scores, real / fake | videos |", "| --- | --- | --- | --- |"]
    for name, bins in found["by_face"].items():
        for entry in bins:
            unit = FACE_UNITS[name]
            upto = f"to {entry['to']:g}" if entry["to"] is not None else "and more"
            counts = f"{entry['samples_real']} / {entry['samples_fake']}"
            auc = _with_interval("frame_auc")(entry)
            lines.append(f"| {name} {entry['from']:g} {upto}{unit} | {auc} | {counts} | {entry['videos']} |")
    return lines


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _plain(key: str) -> Callable[[Figures], str]:
    return lambda found: _number(found.get(key))


def _with_interval(key: str) -> Callable[[Figures], str]:
    def cell(found: Figures) -> str:
        if found[key] is None:
            return "–"
        low, high = found[f"{key}_ci"]
        return f"{_number(found[key])} [{_number(low)}, {_number(high)}]"

    return cell


def _counts(found: Figures) -> str:
    return f"{found['videos_real']} / {found['videos_fake']}"


def _confusion(found: Figures) -> str:
    c = found["confusion"]
    return f"{c['true_positives']} / {c['false_negatives']} / {c['false_positives']} / {c['true_negatives']}"


def _pairs(found: Figures) -> str:
    if "pairs" not in found:
        return "–"
    low, high = found["pairs_right_ci"]
    right, both = found["pairs_right"], found["pairs"]
    return f"{right} of {both} = {right / both:.0%} [{low:.0%}, {high:.0%}]"


def _alarms(found: Figures) -> str:
    if "false_alarms_per_hour" not in found:
        return "–"
    low, high = found["false_alarms_per_hour_ci"]
    rate = f"{found['false_alarms_per_hour']:.1f} [{low:.1f}, {high:.1f}]"
    return f"{found['false_alarms']} in {found['real_hours']:.3f} h = {rate}"


def _alerted(found: Figures) -> str:
    return f"{found['fakes_alerted']} of {found['fakes_watched']}"


ROWS: tuple[tuple[str, Callable[[Figures], str]], ...] = (
    ("scored, real / fake", _counts),
    ("video AUC [95 %]", _with_interval("video_auc")),
    ("frame AUC [95 %]", _with_interval("frame_auc")),
    ("EER", _plain("eer")),
    ("TPR at 1 % FPR", _plain("tpr_at_fpr_0.01")),
    ("TPR at 5 % FPR", _plain("tpr_at_fpr_0.05")),
    ("fake above its own real [95 %]", _pairs),
    ("video AUC among these", _plain("pairs_video_auc")),
    ("alert threshold", _plain("threshold")),
    ("accuracy", _plain("accuracy")),
    ("accuracy, both sides alike", _plain("balanced_accuracy")),
    ("precision", _plain("precision")),
    ("recall", _plain("recall")),
    ("F1", _plain("f1")),
    ("fake found / missed / real called fake / real", _confusion),
    ("log-loss", _plain("log_loss")),
    ("log-loss, even odds", _plain("log_loss_even_odds")),
    ("calibration error", _plain("calibration_error")),
    ("calibration error, even odds", _plain("calibration_error_even_odds")),
    ("fake videos with an alert", _alerted),
    ("false alarms per hour of real video [95 %]", _alarms),
    ("not scored", lambda found: str(len(found["not_scored"]))),
)
