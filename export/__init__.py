"""From a checkpoint to an ONNX file with a card, proven equal; and opening such a file, without torch."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"


def weights_path(name: str) -> Path:
    """Where the file of a network that ships lies, by name: "detector", "mtcnn_pnet" …; it may not exist."""
    return WEIGHTS / f"{name}.onnx"


def shipped_detectors() -> list[str]:
    """The names of the detectors that ship: every file of weights that is not one of MTCNN's."""
    return sorted(path.stem for path in WEIGHTS.glob("*.onnx") if not path.stem.startswith("mtcnn_"))


def find_model(model: str) -> Path:
    """The file that a user's word for a model means: a path, or the name of one that ships."""
    given = Path(model)
    return given if given.suffix == ".onnx" or given.exists() else weights_path(model)
