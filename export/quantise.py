"""Makes a detector smaller: int8 (static, QDQ), or float32 with its weights stored as float16.

    python -m export.quantise MODEL.onnx --crops CROPS -o OUT            # int8
    python -m export.quantise MODEL.onnx --crops CROPS -o OUT --half     # float16 on the disk only

CROPS comes from `python -m stream.crops FOLDER --out CROPS`. Each eye is calibrated apart; the head stays as
it is. How far the features moved, on crops that took no part in the calibration, goes into the card.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from export.card import CARD_KEY, Card
from export.errors import ModelError
from export.join import join, part, save
from export.session import open_session
from models.crop import CropSpec, cut_again, to_input

CALIBRATION, CHECK = 128, 64  # crops
BATCH = 4
PERCENTILE = 99.999  # of the activations' histogram that the int8 range covers
FEW = 256  # numbers: smaller constants stay float32

Pixels = NDArray[np.uint8]
Shrink = Callable[[bytes, NDArray[np.float32]], bytes]


def to_int8(model: bytes, inputs: NDArray[np.float32]) -> bytes:
    """Static QDQ, uint8 activations, int8 weights with a scale for each channel.

    inputs: (N, 3, S, S), what the model's single input is fed while the ranges are watched. What comes before
    the first convolution and after the last stays float32: pixels, and the scaling of the features.
    """
    name = onnx.load_from_string(model).graph.input[0].name
    with tempfile.TemporaryDirectory() as folder:
        given, ready, done = (Path(folder) / f"{stage}.onnx" for stage in ("given", "ready", "done"))
        given.write_bytes(model)
        quant_pre_process(given, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            done,
            _Batches(name, inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_outside(onnx.load(ready)),
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE},
        )
        return done.read_bytes()


def to_half(model: bytes, inputs: NDArray[np.float32] | None = None) -> bytes:
    """The weights stored as float16 and cast back when the session opens: half the size, the same speed.

    inputs: not needed; here so that it can stand for to_int8.
    """
    proto = onnx.load_from_string(model)
    casts, kept = [], []
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < FEW or np.abs(values).max() > 6e4:
            kept.append(tensor)
            continue
        kept.append(numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}/half"))
        casts.append(helper.make_node("Cast", [f"{tensor.name}/half"], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.initializer[:], proto.graph.node[:]
    proto.graph.initializer.extend(kept)
    proto.graph.node.extend(nodes)
    return proto.SerializeToString()


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Hands the calibration its inputs."""

    def __init__(self, name: str, inputs: NDArray[np.float32]) -> None:
        self._left = iter([{name: inputs[i : i + BATCH]} for i in range(0, len(inputs), BATCH)])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next feed, None at the end."""
        return next(self._left, None)


def _outside(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes before the first and after the last convolution."""
    nodes = list(model.graph.node)
    convolutions = [i for i, node in enumerate(nodes) if node.op_type == "Conv"]
    if not convolutions:
        return []
    return [node.name for node in nodes[: convolutions[0]] + nodes[convolutions[-1] + 1 :]]


def gap(before: bytes, after: bytes, inputs: NDArray[np.float32]) -> dict[str, float]:
    """How far the outputs moved: mean and least cosine, largest difference in units of their spread."""
    old, new = (
        np.concatenate([s.run(None, {s.get_inputs()[0].name: x[None]})[0] for x in inputs])
        for s in (open_session(before), open_session(after))
    )
    cosine = (old * new).sum(1) / np.maximum(np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1), 1e-12)
    largest = np.abs(new - old).max() / old.std()
    figures = {"cosine_mean": cosine.mean(), "cosine_min": cosine.min(), "largest_gap": largest}
    return {key: round(float(value), 5) for key, value in figures.items()}


def quantise(path: Path, crops: Path, out: Path, how: str) -> Card:
    """Write `out`, the detector of `path` with smaller eyes; `how` is "int8" or "float16".

    Raises ModelError for a file without a card, ValueError where there are too few crops.
    """
    model = onnx.load(path)
    properties = {p.key: p.value for p in model.metadata_props}
    if CARD_KEY not in properties:
        raise ModelError(f"{path} carries no card: it is no detector of ours")
    card = Card.from_json(properties[CARD_KEY])
    inputs = to_input(some_crops(crops, card.crop, CALIBRATION + CHECK), card.crop)
    shrink: Shrink = {"int8": to_int8, "float16": to_half}[how]
    eyes = part(model)
    smaller = [shrink(eye, inputs[CHECK:]) for eye in eyes]
    moved = [gap(eye, small, inputs[:CHECK]) for eye, small in zip(eyes, smaller, strict=True)]
    joined = smaller[0] if card.second is None else join(smaller[0], smaller[1], card.second.features)
    told = {"eyes": moved, "crops": CHECK}
    if how == "int8":
        told |= {"calibrated_on": f"{CALIBRATION} crops, percentile {PERCENTILE}", "scheme": "QDQ U8S8"}
    card = replace(
        card,
        map=None,  # export.maps adds it anew
        training={**card.training, "weights": how},
        validation={**card.validation, how: told},
    )
    result = onnx.load_from_string(joined)
    onnx.helper.set_model_props(result, properties)
    out.parent.mkdir(parents=True, exist_ok=True)
    save(result, card, out)
    return card


def some_crops(folder: Path, spec: CropSpec, count: int) -> Pixels:
    """(count, S, S, 3) uint8 BGR, evenly from all tracks below a folder, in an order of their own.

    Raises ValueError where there are fewer that the live system would score.
    """
    tracks = []
    for path in sorted(folder.rglob("*.track*.npz")):
        with np.load(path) as saved:
            usable = np.flatnonzero(saved["weights"] > 0)
            if len(usable):
                at = usable[np.linspace(0, len(usable) - 1, min(count, len(usable))).astype(int)]
                tracks.append(saved["crops"][at])
    share = -(-count // max(len(tracks), 1))
    found = [crop for track in tracks for crop in track[np.linspace(0, len(track) - 1, share).astype(int)]]
    if sum(map(len, tracks)) < count:
        raise ValueError(f"{folder} holds fewer than the {count} crops that are needed")
    order = np.random.default_rng(0).permutation(len(found))[:count]
    return cut_again(np.stack([found[i] for i in order]), spec)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m export.quantise",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="a detector that `python -m export` wrote")
    parser.add_argument("--crops", type=Path, required=True, help="what stream.crops wrote")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--half", action="store_true", help="store the weights as float16 instead")
    args = parser.parse_args()
    try:
        card = quantise(args.model, args.crops, args.out, "float16" if args.half else "int8")
    except (ModelError, OSError, ValueError) as error:
        sys.stderr.write(f"quantise: {error}\n")
        return 1
    how = card.training["weights"]
    size = args.out.stat().st_size / 1e6
    sys.stdout.write(f"{args.out}: {how}, {size:.1f} MB, {card.validation[how]['eyes']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
