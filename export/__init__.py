"""From a checkpoint to an ONNX file with a card, proven equal; and opening such a file, without torch."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"


def weights_path(name: str) -> Path:
    """Where the file of a network that ships lies, by name: "detector", "mtcnn_pnet" …; it may not exist."""
    return WEIGHTS / f"{name}.onnx"


def find_model(model: str) -> Path:
    """The file that a user's word for a model means: a path, or the name of one that ships."""
    given = Path(model)
    return given if given.suffix == ".onnx" or given.exists() else weights_path(model)
