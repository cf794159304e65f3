"""float16 as ONNX Runtime's CPU session computes it: in float32, with Casts only where values must be float16.

Source: ONNX Runtime 1.32, core/optimizer/insert_cast_transformer.cc; which operators have a float16 kernel was seen in
the graphs that onnxruntime 1.32 saves.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from qdqnp.element_types import DTYPES
from qdqnp.graph import MICROSOFT, ONNX, Graph, Node, Shape
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.halves import cast_around, reads_half
from qdqnp.lowering.qdq import is_op
from qdqnp.ops.examine import HALF

#: The operators that have a float16 kernel on the CPU.
KERNELS = {
    *(
        "Attention",
        "BitCast",
        "Cast",
        "CastLike",
        "Clip",
        "Concat",
        "ConstantOfShape",
        "DequantizeLinear",
        "Expand",
        "Flatten",
        "Gather",
    ),
    *("GatherElements", "GatherND", "Identity", "IsInf", "IsNaN", "LayerNormalization", "Max", "Min", "Mod"),
    *(
        "QuantizeLinear",
        "RMSNormalization",
        "Reshape",
        "ReverseSequence",
        "RotaryEmbedding",
        "Round",
        "Scatter",
        "ScatterElements",
    ),
    *("ScatterND", "Shape", "Shrink", "Sign", "Size", "Slice", "Split", "Squeeze", "TensorScatter", "Transpose"),
    "Unsqueeze",
}
#: Later than every opset.
LATEST = 2**31
#: Those of them that take any number of inputs, of which ONNX Runtime asks about the first alone.
VARIADIC = ("Concat", "Max", "Min")
MICROSOFT_KERNELS = {"MatMulNBits", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization"}
#: Those whose float16 arithmetic is not reproduced.
OF_THEIR_OWN = {"Attention", "MatMulNBits", "RotaryEmbedding"}
#: The opset since which an operator has a float16 kernel, where older ones had none.
KERNEL_SINCE = {"Clip": 12, "Max": 12, "Min": 12}
#: The operators without a float16 kernel that a session takes apart, as ONNX defines them by others, and in which
#: opsets it does.
FUNCTIONS = {
    **dict.fromkeys(("Gelu", "CenterCropPad", "GroupNormalization", "Mish", "Swish"), range(1, LATEST)),
    **dict.fromkeys(("LeakyRelu", "PRelu"), range(16, 19)),
    **dict.fromkeys(("ReduceL1", "ReduceLogSum", "ReduceSumSquare"), range(18, LATEST)),
    **dict.fromkeys(("Elu", "HardSigmoid", "ReduceL2", "ReduceLogSumExp", "Selu"), range(18, 19)),
    **dict.fromkeys(("Softplus", "Softsign", "ThresholdedRelu"), range(18, 19)),
}
MICROSOFT_FUNCTIONS = {"FastGelu", "Gelu", "QuickGelu"}
#: The opset in which Relu is one of them, and those since which Softmax and LogSoftmax are, and ReduceMax takes axes as
#: an input.
RELU = 18
SOFTMAX = 13
AXES_INPUT = 18
INSERTED = "InsertedPrecisionFreeCast_"
#: Puts nodes out of the sight of passes.
OUT_OF_SIGHT = "out of sight: "


def insert_casts(graph: Graph, log: Log) -> Graph:
    """Run last, at every level."""
    graph = _cast_like_as_cast(graph) if "CastLike" in graph.ops else graph
    if any(reads_half(graph, node) for node in graph.nodes):
        graph = _doubted(_softmax_apart(_relu_as_max(graph)))
        graph = cast_around(graph, _without_kernel(graph), INSERTED)
    return without_round_trips(graph) if "Cast" in graph.ops else graph


#: What level BASIC rewrites, and what of float16 it does here is not reproduced: the first node, and what reads it.
REWRITTEN = {
    "Conv": ("Add", "Mul", "BatchNormalization"),
    "MatMul": ("BatchNormalization",),
    "Erf": ("Add",),
    "ReduceMean": ("Sub",),
}


def doubt_rewrites(graph: Graph, log: Log) -> Graph:
    """Take the promise back of what level BASIC may rewrite of float16: constants that it folds into a Conv or a
    MatMul, Gelu and LayerNormalization by parts."""
    edit = Edit(graph)
    for node in edit.nodes():
        reader = edit.only_user(node) if node.op in REWRITTEN and reads_half(graph, node) else None
        if reader is not None and is_op(reader, *REWRITTEN[node.op]):
            why = f"level BASIC may rewrite a {node.op} and {reader.op} of float16, which is not reproduced"
            edit.change(reader, doubt=reader.doubt or why)
    return edit.done()


def hide_halves(graph: Graph, log: Log) -> Graph:
    """Put nodes without a float16 kernel out of sight: no execution provider has them, so level EXTENDED passes over
    them."""
    hidden = {node for node in graph.nodes if reads_half(graph, node) and not _has_kernel(graph, node)}
    if not hidden:
        return graph
    moved = [node.with_(domain=OUT_OF_SIGHT + node.domain) if node in hidden else node for node in graph.nodes]
    return graph.replaced(moved, graph.values.values())


def show_halves(graph: Graph, log: Log) -> Graph:
    """Bring back what `hide_halves` put out of sight."""
    if not any(node.domain.startswith(OUT_OF_SIGHT) for node in graph.nodes):
        return graph
    moved = [node.with_(domain=node.domain.removeprefix(OUT_OF_SIGHT)) for node in graph.nodes]
    return graph.replaced(moved, graph.values.values())


def _has_kernel(graph: Graph, node: Node) -> bool:
    if node.domain == ONNX:
        return node.op in KERNELS and graph.opset >= KERNEL_SINCE.get(node.op, 0)
    return node.domain == MICROSOFT and node.op in MICROSOFT_KERNELS


def _relu_as_max(graph: Graph) -> Graph:
    """Replace Relu by the Max of it and 0, as ONNX defines it: Max has a float16 kernel, and Relu has not."""
    if graph.opset != RELU:
        return graph
    edit = Edit(graph)
    for node in edit.nodes():
        if is_op(node, "Relu") and graph.values[node.input(0)].dtype == HALF:
            zero = edit.add_constant(f"{node.outputs[0]}_zero", np.zeros((), HALF))
            edit.replace(node, node.with_(op="Max", inputs=(node.input(0), zero), origin=node.origins))
    return edit.done()


def _cast_like_as_cast(graph: Graph) -> Graph:
    """Replace CastLike by Cast, as ONNX defines it."""
    edit = Edit(graph)
    for node in edit.nodes():
        if is_op(node, "CastLike"):
            numbers = {str(dtype): number for number, dtype in DTYPES.items()}
            kept = {name: value for name, value in node.attributes.items() if name != "to"}
            to = numbers[str(edit.values[node.input(1)].dtype)]
            edit.change(node, op="Cast", inputs=node.inputs[:1], attributes={**kept, "to": to})
    return edit.done()


def _softmax_apart(graph: Graph) -> Graph:
    """Replace Softmax and LogSoftmax by what ONNX defines them by, none of which has a float16 kernel."""
    edit = Edit(graph)
    for node in edit.nodes():
        if graph.opset < SOFTMAX or not is_op(node, "Softmax", "LogSoftmax") or not reads_half(graph, node):
            continue
        x, y, axis = node.input(0), node.outputs[0], node.attributes.get("axis", -1)
        assert isinstance(axis, int)
        axes = edit.add_constant(f"{y}_axes", np.array([axis]))
        shape = edit.values[x].shape
        edit.set_shape(top := edit.fresh(f"{y}_ReduceMax", edit.values[x]), unreduced(shape, axis))
        edit.set_shape(total := edit.fresh(f"{y}_ReduceSum", edit.values[x]), unreduced(shape, axis))
        below, power = (edit.fresh(f"{y}_{op}", edit.values[x]) for op in ("Sub", "Exp"))
        by_input = graph.opset >= AXES_INPUT
        parts = [
            ("ReduceMax", (x, axes) if by_input else (x,), top, {} if by_input else {"axes": (axis,)}),
            ("Sub", (x, top), below, {}),
            ("Exp", (below,), power, {}),
            ("ReduceSum", (power, axes), total, {}),
        ]
        if node.op == "Softmax":
            parts.append(("Div", (power, total), y, {}))
        else:
            edit.set_shape(log := edit.fresh(f"{y}_Log", edit.values[x]), unreduced(shape, axis))
            parts += [("Log", (total,), log, {}), ("Sub", (below, log), y, {})]
        edit.replace(node, [Node(op, ONNX, read, (made,), given, "", node.origins) for op, read, made, given in parts])
    return edit.done()


def unreduced(shape: Shape, axis: int) -> Shape:
    """Return a shape with size 1 along an axis."""
    return tuple(1 if at == axis % len(shape) else size for at, size in enumerate(shape))


def _doubted(graph: Graph) -> Graph:
    """Take the promise back of nodes on float16 whose arithmetic there is another one."""

    def why(node: Node) -> str:
        functions = MICROSOFT_FUNCTIONS if node.domain == MICROSOFT else FUNCTIONS
        if node.op in functions and (node.domain == MICROSOFT or graph.opset in FUNCTIONS[node.op]):
            return f"ONNX Runtime takes a {node.op} of float16 apart into other operators"
        if node.op in OF_THEIR_OWN:
            return f"ONNX Runtime's {node.op} of float16 is not reproduced"
        return ""

    nodes = [
        node.with_(doubt=node.doubt or why(node)) if reads_half(graph, node) and why(node) else node
        for node in graph.nodes
    ]
    return graph.replaced(nodes, graph.values.values())


def _without_kernel(graph: Graph) -> Collection[Node]:
    """Return the nodes that compute float32 in the place of float16, in the order of the graph.

    They are those without a kernel, and those with one that lie alone between such.
    """
    found = {node: None for node in graph.nodes if reads_half(graph, node) and not _has_kernel(graph, node)}
    for node in graph.nodes:
        if node not in found and _has_kernel(graph, node) and _lies_alone(graph, node, found):
            found[node] = None
    return found


def _lies_alone(graph: Graph, node: Node, chosen: Collection[Node]) -> bool:
    """Tell whether all float16 that a node reads from nodes and makes for nodes is theirs that are chosen."""
    made = [name for name in node.outputs if name and graph.values[name].dtype == HALF]
    makers = {name: graph.producer(name) for name in node.inputs if name}
    if not made or any(name in graph.output_set for name in node.outputs):
        return False
    if not reads_half(graph, node) or not any(maker is not None for maker in makers.values()):
        return False
    asked = node.inputs[:1] if node.op in VARIADIC else node.inputs
    read = [makers[name] for name in asked if name and graph.values[name].dtype == HALF]
    readers = [reader for name in made for reader, _ in graph.consumers.get(name, ())]
    return all(maker in chosen for maker in read if maker is not None) and all(reader in chosen for reader in readers)


# -- Casts one behind the other ----------------------------------------------------------------------------------------
FLOATS = ("float16", "bfloat16", "float32", "float64")


def _loses(source: np.dtype[np.generic], target: np.dtype[np.generic], cast: Node) -> bool:
    """Tell whether ONNX Runtime takes a Cast for one that loses what it reads. Those that it inserted never do."""
    kinds = [_kind(dtype) for dtype in (source, target)]
    before, after = (0 if dtype == np.bool_ else dtype.itemsize for dtype in (source, target))
    if None in kinds:
        return True
    if (kinds[0] not in ("b", "u") and kinds[1] == "u") or (kinds[0] == "f" and kinds[1] != "f"):
        return True
    if (kinds[0] == "u" and kinds[1] == "i") or (kinds[0] in ("i", "u") and kinds[1] == "f"):
        return after <= before
    if {str(source), str(target)} == {"float16", "bfloat16"}:
        return True
    return before > after and not cast.name.startswith(INSERTED)


def _kind(dtype: np.dtype[np.generic]) -> str | None:
    if str(dtype) in FLOATS:
        return "f"
    return dtype.kind if dtype.kind in "biu" and dtype in DTYPES.values() else None


def without_round_trips(graph: Graph) -> Graph:
    """Take out Casts that another Cast undoes, or whose only readers are Casts that can read what it reads.

    The file's own come first, as ONNX Runtime takes nodes in the order in which they were made.
    """
    edit = Edit(graph)
    casts = [node for node in graph.nodes if is_op(node, "Cast")]
    for cast in sorted(casts, key=lambda node: node.name.startswith(INSERTED)):
        now = edit.now(cast)
        if now is not None:
            _shorten(edit, now)
    return edit.done()


def _shorten(edit: Edit, first: Node) -> None:
    source, target = edit.dtype(first.input(0)), edit.dtype(first.outputs[0])
    uses = edit.uses(first.outputs[0])
    casts = [reader for reader, _ in uses if is_op(reader, "Cast")]
    made = {cast: edit.dtype(cast.outputs[0]) for cast in casts}
    if source is None or target is None or not casts:
        return
    loses = _loses(source, target, first)
    if loses and any(dtype is not None and _loses(dtype, target, cast) for cast, dtype in made.items()):
        return
    kept = []
    for cast, dtype in made.items():
        if dtype == source and not edit.is_output(cast.outputs[0]):
            edit.redirect(cast.outputs[0], first.input(0))
            edit.replace(cast)
        else:
            kept.append(cast)
    whole = len(casts) == len(uses) and not edit.is_output(first.outputs[0])
    if whole and not (loses and any(made[cast] == np.bool_ for cast in kept)):
        for cast in kept:
            edit.rewire(cast, 0, first.input(0))
        edit.replace(first)
