"""Puts a report card's figures into a detector's own card: `python -m export.figures FILE.onnx FIGURES.json`.

FIGURES.json is what `python -m models.evaluate --json` wrote of that very file; the networks are not touched.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import onnx

from export.card import CARD_KEY, Card
from export.errors import ModelError


def put(file: Path, figures: Path) -> Card:
    """Write the file anew with the figures in its card. Raises ModelError for a file without a card."""
    model = onnx.load(file)
    properties = {p.key: p.value for p in model.metadata_props}
    if CARD_KEY not in properties:
        raise ModelError(f"{file} carries no card: it is no detector of ours")
    card = Card.from_json(properties[CARD_KEY])
    card = replace(card, validation={**card.validation, **json.loads(figures.read_text())})
    onnx.helper.set_model_props(model, {**properties, CARD_KEY: card.to_json()})
    part = file.with_name(file.name + ".part")
    part.write_bytes(model.SerializeToString())
    part.replace(file)
    return card


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m export.figures", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE.onnx")
    parser.add_argument("figures", type=Path, metavar="FIGURES.json")
    args = parser.parse_args()
    try:
        put(args.file, args.figures)
    except (ModelError, OSError, ValueError) as error:
        sys.stderr.write(f"figures: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
