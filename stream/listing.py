"""`facewitness models`: the detectors that are installed, with the figures of their cards."""

from export import find_model, shipped_detectors
from export.detector import open_detector
from export.errors import ModelError


def list_models() -> int:
    """Print a row a detector on stdout. Returns 0, or 30 if one of them cannot be opened."""
    print(f"{'name':<12}{'version':<10}{'MB':>6}{'window':>8}  {'alert at':<10}{'sha256':<18}video AUC")
    code = 0
    for name in shipped_detectors():
        try:
            print(_row(name))
        except ModelError as error:
            code = 30
            print(f"{name:<12}cannot be used: {error}")
    return code


def _row(name: str) -> str:
    path = find_model(name)
    detector = open_detector(path)
    card = detector.card
    figures = [
        f"{folder} {found['video_auc']:.2f}"
        for folder, found in card.validation.items()
        if isinstance(found, dict) and found.get("video_auc") is not None  # a folder of reals has none
    ]
    size = f"{path.stat().st_size / 1e6:.1f}"
    window = f"{card.window.seconds:.1f} s"
    limit = f"{card.thresholds.alert_on:.2f}"
    start = f"{name:<12}{card.version:<10}{size:>6}{window:>8}  {limit:<10}{detector.sha256[:16]:<18}"
    return start + ", ".join(figures)
