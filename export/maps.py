"""Adds class-activation maps to a detector: which places of a crop speak for a fake, as one more ONNX output.

    python -m export.maps DETECTOR.onnx --data DIR --prepared PREPARED -o DETECTOR.onnx

Class-activation mapping (Zhou et al., CVPR 2016, https://arxiv.org/abs/1512.04150) carried through the
encoder's end: pooling, a linear layer and a layer normalisation. With A (N, C, h, w) the last feature map,
f = W mean(A) + b the embedding, and x = gamma (f - mean f) / s + beta what the judge of single pictures
(export.still) weighs with w,

    logit = mean over places of (u . A + b . v) / s + beta . w + bias
    with v = gamma w - mean(gamma w) and u = W' v

which is exact. The new output `map` (N, h, w) holds that sum without the mean: the logit that a face
would have if all of it looked as this place does. Its mean is the logit of `Detector.score_still`.

Places differ in what is usual: a chin always speaks more strongly than a corner. So the card also holds the
mean and the standard deviation of each place over real faces of the training people, and people are shown how
many standard deviations a place lies above its own usual. Neither the features nor any score is changed by
all that.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.card import MAP, Card, MapScale
from export.detector import Detector, open_detector
from export.errors import ModelError
from export.join import FIRST, MAP_PREFIX, save, without_map
from models.dataset import Pairs

PAIRS, SEED = 16, 20261127
AXES_AS_INPUT = 18  # the opset from which on ReduceMean takes its axes so
LEAST_SPREAD = 1e-3  # of the logit; a place that never varies would divide by nothing


@dataclass(frozen=True, slots=True)
class _End:
    """The last nodes of an encoder: pooling, linear layer, normalisation."""

    features: str  # (N, C, h, w), the last feature map
    embedding: str  # (N, E), before the normalisation
    weight: NDArray[np.float64]  # (E, C)
    bias: NDArray[np.float64]  # (E,)
    gamma: NDArray[np.float64]  # (E,)
    beta: NDArray[np.float64]  # (E,)
    epsilon: float


def add_map(model: onnx.ModelProto, card: Card) -> None:
    """Give the model the output `map`, in place; one that it had is replaced.

    Raises ModelError for a card without a judge of single pictures, and for an encoder that ends otherwise.
    """
    if card.still is None:
        raise ModelError(f"{card.name} has no judge of single pictures: python -m export.still adds one")
    graph = model.graph
    without_map(graph)
    end = _end(graph)
    w = np.array(card.still.weights)
    if len(w) != len(end.gamma):
        raise ModelError(f"the judge weighs {len(w)} features, the encoder gives {len(end.gamma)}")
    v = end.gamma * w - (end.gamma * w).mean()
    constants = {
        "u": (end.weight.T @ v)[None, :, None, None].astype(np.float32),  # (1, C, 1, 1)
        "offset": np.array([end.bias @ v], np.float32),
        "rest": np.float32(end.beta @ w + card.still.bias),
        "epsilon": np.float32(end.epsilon),
        "places": np.array([1], np.int64),
    }
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), MAP_PREFIX + name) for name, value in constants.items()
    )
    opset = max(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    graph.node.extend(_nodes(end, opset))
    shape: list[str | int] = ["n", *_grid(model, end.features)]
    graph.output.append(helper.make_tensor_value_info(MAP, TensorProto.FLOAT, shape))
    onnx.checker.check_model(model)


def _nodes(end: _End, opset: int) -> list[onnx.NodeProto]:
    """From the last feature map and the embedding to the map."""
    late = opset >= AXES_AS_INPUT
    axes = ["places"] if late else []
    mean: dict[str, Any] = {"keepdims": 1} if late else {"keepdims": 1, "axes": [1]}
    chain: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Conv", [end.features, "u", "offset"], "spoken", {}),  # (N, 1, h, w)
        ("Squeeze", ["spoken", "places"], "flat", {}),  # (N, h, w)
        ("ReduceMean", [end.embedding, *axes], "middle", mean),
        ("Sub", [end.embedding, "middle"], "centred", {}),
        ("Mul", ["centred", "centred"], "squares", {}),
        ("ReduceMean", ["squares", *axes], "variance", mean),  # (N, 1)
        ("Add", ["variance", "epsilon"], "variance_and", {}),
        ("Sqrt", ["variance_and"], "spread", {}),
        ("Unsqueeze", ["spread", "places"], "spread_of", {}),  # (N, 1, 1)
        ("Div", ["flat", "spread_of"], "parts", {}),
        ("Add", ["parts", "rest"], MAP, {}),
    ]
    own = {"u", "offset", "rest", "epsilon", "places"} | {out for _, _, out, _ in chain} - {MAP}

    def named(value: str) -> str:
        return MAP_PREFIX + value if value in own else value

    return [
        helper.make_node(kind, [named(i) for i in inputs], [named(out)], name=MAP_PREFIX + out, **attributes)
        for kind, inputs, out, attributes in chain
    ]


def _end(graph: onnx.GraphProto) -> _End:
    """What the encoder's first eye ends with. Raises ModelError where that is something else."""
    makers = {out: node for node in graph.node for out in node.output}
    values = {each.name: each for each in graph.initializer}
    try:
        name = FIRST if FIRST in makers else graph.output[0].name
        norm = _one(makers[name], "LayerNormalization")
        linear = _one(makers[norm.input[0]], "Gemm")
        pool = _pooling(makers, linear.input[0])
        options = {a.name: helper.get_attribute_value(a) for a in linear.attribute}
        if options.get("transA") or options.get("alpha", 1.0) != 1 or options.get("beta", 1.0) != 1:
            raise ModelError("its last linear layer is scaled")
        weight, bias = (numpy_helper.to_array(values[i]).astype(np.float64) for i in linear.input[1:3])
        gamma, beta = (numpy_helper.to_array(values[i]).astype(np.float64) for i in norm.input[1:3])
    except KeyError as missing:
        raise ModelError(f"its end is not known: no {missing}") from None
    epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
    return _End(
        pool.input[0],
        linear.output[0],
        weight if options.get("transB") else weight.T,
        bias,
        gamma,
        beta,
        epsilon,
    )


def _one(node: onnx.NodeProto, kind: str) -> onnx.NodeProto:
    if node.op_type != kind:
        raise ModelError(f"its end is not known: {node.op_type} where {kind} was looked for")
    return node


def _pooling(makers: dict[str, onnx.NodeProto], value: str) -> onnx.NodeProto:
    """The pooling that a value comes from, through flattening."""
    node = makers[value]
    while node.op_type in ("Flatten", "Squeeze", "Reshape"):
        node = makers[node.input[0]]
    if node.op_type not in ("ReduceMean", "GlobalAveragePool"):
        raise ModelError(f"its end is not known: {node.op_type} where a pooling was looked for")
    return node


def _grid(model: onnx.ModelProto, value: str) -> tuple[int, int]:
    """h and w of a feature map, by running the model on a blank crop."""
    import onnxruntime as ort

    probe = onnx.ModelProto.FromString(model.SerializeToString())
    del probe.graph.output[:]
    probe.graph.output.append(helper.make_empty_tensor_value_info(value))
    session = ort.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    feed: dict[str, NDArray] = {}
    for each in session.get_inputs():
        shape = [1, *each.shape[1:]] if each.shape else []
        feed[each.name] = np.zeros(shape, np.float32) if each.shape else np.array(False)
    height, width = session.run(None, feed)[0].shape[2:]
    return int(height), int(width)


def usual(detector: Detector, pairs: Pairs, batches: int) -> MapScale:
    """Mean and spread of each place over real crops of the training people, degraded as in training."""
    found = []
    for step in range(batches):
        crops, labels = pairs.batch(step)
        real = crops[labels == 0]
        found.append(detector.encode_with_map(real, np.zeros(len(real), bool))[1])
        sys.stderr.write(f"\r{step + 1} of {batches} batches ")
    sys.stderr.write("\n")
    maps = np.concatenate(found).astype(np.float64)
    spread = np.maximum(maps.std(0), LEAST_SPREAD)
    return MapScale(_rows(maps.mean(0)), _rows(spread), len(maps))


def _rows(values: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(float(v), 4) for v in row) for row in values)


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m export.maps",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", type=Path, metavar="DETECTOR.onnx")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--batches", type=int, default=100, help=f"of {PAIRS} real crops (default 100)")
    args = parser.parse_args()
    cv2.setNumThreads(0)
    try:
        card = open_detector(args.model).card
        model = onnx.load(args.model)
        add_map(model, card)
        save(model, replace(card, map=None), args.out)
        detector = open_detector(args.out)
        pairs = Pairs.open(args.data, args.prepared, card.crop, PAIRS, SEED)
        scale = usual(detector, pairs, args.batches)
        save(model, replace(card, map=scale), args.out)
    except (ModelError, OSError, ValueError) as error:
        sys.stderr.write(f"maps: {error}\n")
        return 1
    sys.stdout.write(f"{args.out}: maps of {detector.grid}, usual over {scale.crops} real crops\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
