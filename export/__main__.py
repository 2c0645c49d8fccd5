"""`python -m export CHECKPOINT [-o FILE]`: convert a checkpoint, prove it equal, write it with its card."""

import argparse
import json
import sys
from pathlib import Path

from export.errors import ModelError

SHIPPED = Path(__file__).parent / "weights" / "detector.onnx"


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    parser.add_argument(
        "checkpoint", type=Path, help="ours, or one in the common layout (see models/README.md)"
    )
    parser.add_argument("-o", "--out", type=Path, default=SHIPPED, help="default: the shipped detector")
    parser.add_argument("--figures", type=Path, help="JSON written by models.evaluate, for the card")
    args = parser.parse_args()
    from export.convert import convert  # imports torch, which takes seconds; --help does not need it

    try:
        figures = json.loads(args.figures.read_text()) if args.figures else None
        card = convert(args.checkpoint, args.out, figures)
    except (ModelError, OSError, json.JSONDecodeError) as error:
        sys.stderr.write(f"export: {error}\n")
        return 1
    sys.stdout.write(f"{args.out}: {card.name} {card.version}, {args.out.stat().st_size / 1e6:.1f} MB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
