"""`python -m export.describe MODEL`: an exported detector's path, hash, size and card, as one JSON object."""

import argparse
import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from export import find_model
from export.detector import open_detector
from export.errors import ModelError


def describe(model: str) -> dict[str, Any]:
    """path, sha256, bytes and card of a detector, by name or path. Raises ModelError."""
    path = find_model(model)
    card = open_detector(path).card
    data = Path(path).read_bytes()
    return {
        "path": str(path),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "card": asdict(card),
    }


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m export.describe", description=__doc__)
    parser.add_argument("model", help="a name that ships, or a file.onnx")
    try:
        sys.stdout.write(json.dumps(describe(parser.parse_args().model)) + "\n")
    except ModelError as error:
        sys.stderr.write(f"describe: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
