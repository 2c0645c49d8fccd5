"""Puts a second eye into a detector's ONNX graph: one file, one session, and it runs only when asked."""

from pathlib import Path

import onnx
from onnx import TensorProto, compose, helper

from export.card import CARD_KEY, MAP, Card

LOOK = "closely"  # the input that tells whether it looks, a single bool
FIRST = "first"  # the first eye's own features, where there are two
MAP_PREFIX = "map/"  # of the names of what export.maps adds
_SCALAR: list[int] = []
_JOINTS = ("second_eye", "both_eyes")  # the nodes that join adds


def join(first: bytes, second: bytes, width: int) -> bytes:
    """One model of two that take the same `crops` (n, 3, s, s).

    first: gives `features` (n, d). second: gives `identity` (n, width). The result takes `crops` and
    `closely`, and gives `features` (n, d + width): the second's part is computed where `closely` is true,
    else it is 0 and costs nothing (ONNX's If).
    """
    ours, theirs = onnx.load_from_string(first), onnx.load_from_string(second)
    inside = compose.add_prefix_graph(theirs.graph, "second/", rename_inputs=False, rename_outputs=False)
    then_branch = helper.make_graph(
        list(inside.node), "looks", [], [_rows("identity", width)], list(inside.initializer)
    )
    for node in ours.graph.node:
        node.output[:] = [FIRST if name == "features" else name for name in node.output]
    look = helper.make_node(
        "If", [LOOK], ["second"], then_branch=then_branch, else_branch=_zeros(width), name=_JOINTS[0]
    )
    both = helper.make_node("Concat", [FIRST, "second"], ["features"], axis=1, name=_JOINTS[1])
    graph = helper.make_graph(
        [*ours.graph.node, look, both],
        "two_eyes",
        [*ours.graph.input, helper.make_tensor_value_info(LOOK, TensorProto.BOOL, _SCALAR)],
        [_rows("features", _width(ours.graph.output[0]) + width)],
        list(ours.graph.initializer),
    )
    needed = {"": 0}  # the operator sets of both, those that only a tool left behind apart
    for opset in (*ours.opset_import, *theirs.opset_import):
        if opset.domain in {node.domain for node in (*ours.graph.node, *theirs.graph.node)}:
            needed[opset.domain] = max(needed.get(opset.domain, 0), opset.version)
    sets = [helper.make_opsetid(domain, version) for domain, version in needed.items()]
    model = helper.make_model(graph, opset_imports=sets, ir_version=max(ours.ir_version, theirs.ir_version))
    return model.SerializeToString()


def part(model: onnx.ModelProto) -> tuple[bytes, ...]:
    """The eyes that `join` put together, each a model of its own again; a detector of one eye is that eye.

    Neither metadata nor a map (export.maps) goes with them.
    """
    graph = onnx.GraphProto.FromString(model.graph.SerializeToString())
    without_map(graph)
    look = [node for node in graph.node if node.op_type == "If" and node.input[0] == LOOK]
    if not look:
        alone = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        return (alone.SerializeToString(),)
    inside = look[0].attribute[0].g if look[0].attribute[0].name == "then_branch" else look[0].attribute[1].g
    wide, more = _width(graph.output[0]), _width(inside.output[0])
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in graph.node if n.name not in _JOINTS]
    for node in nodes:
        node.output[:] = ["features" if name == FIRST else name for name in node.output]
        node.input[:] = ["features" if name == FIRST else name for name in node.input]
    crops = [value for value in graph.input if value.name != LOOK]
    eyes = (
        helper.make_graph(nodes, "first", crops, [_rows("features", wide - more)], list(graph.initializer)),
        helper.make_graph(list(inside.node), "second", crops, list(inside.output), list(inside.initializer)),
    )
    made = (
        helper.make_model(eye, opset_imports=model.opset_import, ir_version=model.ir_version) for eye in eyes
    )
    return tuple(eye.SerializeToString() for eye in made)


def without_map(graph: onnx.GraphProto) -> None:
    """Take out what export.maps added, in place. Harmless where there is nothing."""
    for things in (graph.node, graph.initializer):
        for thing in [each for each in things if each.name.startswith(MAP_PREFIX)]:
            things.remove(thing)
    for value in [each for each in graph.output if each.name == MAP]:
        graph.output.remove(value)


def save(model: onnx.ModelProto, card: Card, out: Path) -> None:
    """The model with this card as a file, whole or not at all. Raises OSError."""
    properties = {p.key: p.value for p in model.metadata_props}
    onnx.helper.set_model_props(model, {**properties, CARD_KEY: card.to_json()})
    part = out.with_name(out.name + ".part")
    part.write_bytes(model.SerializeToString())
    part.replace(out)


def _zeros(width: int) -> onnx.GraphProto:
    """(n, width) of 0."""
    nodes = [
        helper.make_node("Shape", ["crops"], ["shape"], start=0, end=1),
        helper.make_node("Concat", ["shape", "width"], ["rows"], axis=0),
        helper.make_node("ConstantOfShape", ["rows"], ["nothing"]),
    ]
    constant = helper.make_tensor("width", TensorProto.INT64, [1], [width])
    return helper.make_graph(nodes, "looks_not", [], [_rows("nothing", width)], [constant])


def _rows(name: str, width: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])


def _width(value: onnx.ValueInfoProto) -> int:
    return value.type.tensor_type.shape.dim[1].dim_value
