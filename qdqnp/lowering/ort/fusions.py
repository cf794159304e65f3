"""The table of fusions: which float operator between DQs and Qs becomes which integer operator, and when not.

A guard returns None, or the sentence why the group is left as it is. ONNX Runtime 1.32,
core/optimizer/qdq_transformer/selectors_actions/{qdq_selectors,qdq_actions,qdq_selector_action_transformer}.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.element_types import FLOAT8, INT2, INT4, UINT2, UINT4
from qdqnp.graph import MICROSOFT, ONNX, AttributeValue, Node, Shape
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.ort import nbits
from qdqnp.lowering.qdq import is_shared, per_tensor, same_pair, scalar
from qdqnp.quant import EIGHT_BIT, Array

INT8, INT32 = np.dtype(np.int8), np.dtype(np.int32)


#: Types of weights that MatMulNBits packs.
WEIGHTS = (*EIGHT_BIT, INT4, UINT4, INT2, UINT2)


@dataclass(frozen=True, eq=False)
class Group:
    """A float operator with the DQs and Qs around it."""

    edit: Edit
    #: The float operator.
    node: Node
    #: The DQs that feed it, by input order.
    dqs: tuple[Node, ...]
    #: The Qs that read it.
    qs: tuple[Node, ...]
    #: A redundant Relu or Clip between the operator and its Q; None where none is there.
    clip: Node | None
    #: Whether the session allows int8 activations.
    int8_allowed: bool
    #: The types of activations that there are integer kernels of.
    kinds: tuple[np.dtype[Any], ...] = EIGHT_BIT

    def code_in(self, index: int) -> np.dtype[Any] | None:
        return self.edit.dtype(self.dqs[index].input(0))

    @property
    def code_out(self) -> np.dtype[Any] | None:
        return self.edit.dtype(self.qs[0].outputs[0])


Guard = Callable[[Group], str | None]
Inputs = Callable[[Group], tuple[str, ...]]
Taken = Callable[[Group], tuple[Node, ...]]
Attributes = Callable[[Group], Mapping[str, AttributeValue]]


@dataclass(frozen=True)
class Fusion:
    """One row: the group around `op` becomes `integer_op`, if every guard returns None."""

    op: str
    integer_op: str
    domain: str
    guards: tuple[Guard, ...]
    #: Makes the inputs of the integer node.
    inputs: Inputs
    #: Makes the attributes of the integer node.
    attributes: Attributes = lambda group: group.node.attributes
    #: Which DQs become part of the integer node.
    takes_dqs: Taken = lambda group: group.dqs
    #: Which Qs become part of the integer node.
    takes_qs: Taken = lambda group: group.qs
    #: Returns why ONNX Runtime, after it has made the integer node, refuses the model; None where it does not.
    refused: Guard = lambda group: None

    def why_not(self, group: Group) -> str | None:
        return next((reason for guard in self.guards if (reason := guard(group))), None)


# -- guards ----------------------------------------------------------------------------------------------------
def dq_inputs(count: int | None = None) -> Guard:
    """Require that `count` inputs (all of them if None) come from DQs, each DQ being for this node alone."""

    def guard(group: Group) -> str | None:
        wanted = sum(map(bool, group.node.inputs)) if count is None else count
        if len(group.dqs) != wanted:
            return f"{wanted} of its inputs must be dequantized, {len(group.dqs)} are"
        if any(group.edit.only_user(dq) is not group.node for dq in group.dqs):
            return "a DequantizeLinear before it has another use"
        return None

    return guard


def quantized_output(group: Group) -> str | None:
    """Require that every output goes to one Q and nowhere else."""
    if not group.qs:
        return "no QuantizeLinear follows"
    return _only_qs(group)


def quantized_or_float_output(group: Group) -> str | None:
    return _only_qs(group) if group.qs else None


def _only_qs(group: Group) -> str | None:
    outputs = [name for name in group.node.outputs if name]
    if group.edit.makes_output(group.node):
        return "its float output is a graph output"
    if len(group.qs) != len(outputs) or len(group.edit.users(group.node)) != len(outputs):
        return "its float output has another use than one QuantizeLinear"
    return None


def no_clip(group: Group) -> str | None:
    return "a Relu or Clip follows it" if group.clip is not None else None


def same_codes(group: Group) -> str | None:
    """Require one code type in and out, of which there are kernels."""
    kinds = [group.code_in(at) for at in range(len(group.dqs))] + [group.code_out]
    if len(set(kinds)) > 1:
        return f"its codes differ in type ({', '.join(map(str, kinds))})"
    return _without_kernel(group, kinds)


def _without_kernel(group: Group, kinds: list[np.dtype[Any] | None]) -> str | None:
    bad = [kind for kind in kinds if kind not in group.kinds]
    return f"{bad[0]} codes have no integer kernel" if bad else None


def integer_or_byte(group: Group) -> str | None:
    """Require one integer code type in and out; data movement takes 16-bit codes, too."""
    if group.code_in(0) in FLOAT8:
        return "its codes are of a float8 type"
    same = group.code_in(0) == group.code_out
    return None if same else f"its codes differ in type ({group.code_in(0)}, {group.code_out})"


def same_parameters(group: Group) -> str | None:
    if all(same_pair(group.edit, q, group.dqs[0]) for q in group.qs):
        return None
    return "its input and output are quantized with different (or not constant) parameters"


def positive_scale(group: Group) -> str | None:
    scale = scalar(group.edit, group.qs[0].input(1))
    return None if scale is not None and scale.reshape(-1)[0] > 0 else "its scale is not a positive constant"


def constant_parameters(group: Group) -> str | None:
    dq = group.dqs[0]
    fine = per_tensor(group.edit, dq) and bool(dq.input(2))
    return None if fine else "its scale or zero point is not a constant scalar"


def eight_bit_input(group: Group) -> str | None:
    return _without_kernel(group, [group.code_in(0)])


def _shapes(group: Group, node: Node) -> list[Shape]:
    return [group.edit.values[name].shape for name in node.inputs[1:3] if name]


def scalars(group: Group) -> str | None:
    """Require scales and zero points of rank 0; vectors of one element are refused as well."""
    fine = all(shape == () for node in (*group.dqs, *group.qs) for shape in _shapes(group, node))
    return None if fine else "a scale or zero point is not a scalar"


def single_parameters(*which: int) -> Guard:
    """Require one scale and zero point at these inputs (all of them without numbers) and at the output."""

    def guard(group: Group) -> str | None:
        nodes = [group.dqs[at] for at in which] if which else list(group.dqs)
        fine = all(shape in ((), (1,)) for node in (*nodes, *group.qs) for shape in _shapes(group, node))
        return None if fine else "its activations are not quantized per tensor"

    return guard


def matmul_weight(group: Group) -> str | None:
    """Require a right side that is quantized per tensor or, if it is a matrix, per column."""
    dq = group.dqs[1]
    shapes, weight = _shapes(group, dq), group.edit.values[dq.input(0)].shape
    columns = len(weight) == 2 and dq.attributes.get("axis", 1) in (1, -1)
    fine = all(shape in ((), (1,)) or (columns and shape == weight[1:]) for shape in shapes)
    return None if fine else "its right side is quantized neither per tensor nor per column"


def gemm_weight(group: Group) -> str | None:
    """Require as many scales as columns; which axis the weight's DQ names does not matter."""
    dq = group.dqs[1]
    shapes, weight = _shapes(group, dq), group.edit.values[dq.input(0)].shape
    columns = weight[0 if group.node.attributes.get("transB", 0) else 1] if len(weight) == 2 else None
    fine = len(set(shapes)) == 1 and shapes[0] in ((), (1,), (columns,))
    return None if fine else "its right side is quantized neither per tensor nor per column"


def constant_input(group: Group) -> str | None:
    dq = group.dqs[0]
    fine = per_tensor(group.edit, dq)
    return None if fine else "its input's scale or zero point is not a constant scalar"


def matrix_codes(group: Group) -> str | None:
    """Require activation and weight of which there are kernels: all but uint8 activations need int8 weights.

    A MatMul of 16-bit codes may be of two activations.
    """
    kinds = [group.code_in(0), group.code_in(1)]
    two = group.node.op == "MatMul" and kinds[0] == kinds[1]
    if kinds[0] in group.kinds and kinds[0] != np.uint8 and kinds[1] != INT8 and not two:
        return f"{kinds[0]} activations need int8 weights, not {kinds[1]}"
    return _without_kernel(group, kinds)


def int8_permitted(group: Group) -> str | None:
    if group.code_in(0) == INT8 and not group.int8_allowed:
        return "this lowering fuses no int8 activations"
    return None


def same_activations(group: Group) -> str | None:
    if not group.qs or group.code_in(0) == group.code_out:
        return None
    return f"its codes differ in type ({group.code_in(0)} in, {group.code_out} out)"


def int32_bias(group: Group) -> str | None:
    if len(group.dqs) < 3 or group.code_in(2) == INT32:
        return None
    return f"its bias is {group.code_in(2)}, not int32"


def bias_scale(group: Group) -> str | None:
    """Require the bias in units of input scale x weight scale.

    The integer operator takes the bias so, whatever its DQ says.
    """
    if len(group.dqs) < 3:
        return None
    scales = [group.edit.constant(dq.input(1)) for dq in group.dqs]
    if any(scale is None for scale in scales):
        return None
    source, weight, bias = (np.asarray(scale, np.float32).reshape(-1) for scale in scales)
    if source.size != 1:
        return None
    expected = source * weight
    if bias.size not in (1, expected.size) and expected.size != 1:
        return "its bias has another number of scales than its weight"
    if not scales_agree(bias, expected):
        return "its bias scale is not input scale x weight scale"
    zero = group.edit.constant(group.dqs[2].input(2)) if group.dqs[2].input(2) else None
    return "its bias has a zero point" if zero is not None and np.any(zero) else None


def scales_agree(scale: Array, expected: Array) -> bool:
    """Tell whether a bias's scales are input scale x weight scale, but for what exporters round."""
    return bool(np.all(np.abs(scale - expected) <= np.float32(1e-6) + np.float32(1e-2) * np.abs(expected)))


def zero_points(group: Group) -> str | None:
    """Require that the DQs of both sides have a zero point; a missing one of Q or of the bias does not matter."""
    fine = all(dq.input(2) for dq in group.dqs[:2])
    return None if fine else "a DequantizeLinear before it has no zero point"


def unit_factors(group: Group) -> str | None:
    """Require that Gemm's alpha and beta are 1 where a bias exists."""
    if len(group.dqs) < 3:
        return None
    factors = [group.node.attributes.get(key, 1.0) for key in ("alpha", "beta")]
    return None if factors == [1.0, 1.0] else "it has a bias and an alpha or beta that is not 1"


def weight_only(group: Group) -> str | None:
    """Require a float (or 16-bit) activation and output, and a constant weight that no other node reads.

    The weight has 8, 4 or 2 bits.

    ONNX Runtime quantizes the activation on the fly here, so its results are not those of a float product.
    """
    edit, node = group.edit, group.node
    dqs = [dq for dq in group.dqs if edit.dtype(dq.input(0)) in WEIGHTS and dq.outputs[0] != node.input(2)]
    if len(dqs) != 1 or edit.producer(node.input(1)) is not dqs[0] or edit.only_user(dqs[0]) is not node:
        return "not just its right side is dequantized from 8 bits or fewer"
    if any(edit.dtype(q.outputs[0]) in EIGHT_BIT for q in group.qs):
        return "an 8-bit QuantizeLinear follows"
    if not _column_scales(edit, dqs[0]):
        return "its weight is not a constant matrix with one scale or one per column"
    return _plain_gemm(group) if node.op == "Gemm" else None


def _column_scales(edit: Edit, dq: Node) -> bool:
    weight, scale = edit.constant(dq.input(0)), edit.constant(dq.input(1))
    zero = edit.constant(dq.input(2)) if dq.input(2) else scale
    if weight is None or scale is None or zero is None or weight.ndim != 2:
        return False
    if len(edit.uses(dq.input(0))) != 1 or _shared(edit, dq.input(1), scale):
        return False
    if scale.dtype != np.float32:
        return False
    block = dq.attributes.get("block_size", 0)
    if isinstance(block, int) and block:
        fits = scale.shape == zero.shape == (-(-len(weight) // block), weight.shape[1])
        return fits and dq.attributes.get("axis", 1) == 0 and block >= 16 and block & (block - 1) == 0
    if scale.ndim == 0:
        return zero.ndim == 0
    return scale.shape == zero.shape == weight.shape[1:] and dq.attributes.get("axis", 1) == 1


def _shared(edit: Edit, name: str, const: Array) -> bool:
    """Tell whether a constant has another use; small ones of equal value count as one constant."""
    if not is_shared(const):
        return len(edit.uses(name)) > 1
    equal = (other for other, value in edit.values.items() if value.const is not None and _equal(value.const, const))
    return sum(len(edit.uses(other)) for other in equal) > 1


def _equal(one: Array, other: Array) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def _plain_gemm(group: Group) -> str | None:
    node, get = group.node, group.node.attributes.get
    bias = group.edit.values[node.input(2)].shape if node.input(2) else None
    columns = group.edit.values[node.input(1)].shape[1]
    fine = get("alpha", 1.0) == 1 and not get("transA", 0) and not get("transB", 0)
    fine = fine and (bias is None or (bias == (columns,) and get("beta", 1.0) == 1))
    return None if fine else "it is more than a product and a bias vector"


def _right_dq(group: Group) -> tuple[Node, ...]:
    return tuple(dq for dq in group.dqs if dq.outputs[0] == group.node.input(1))


def _weight(group: Group) -> Node:
    (dq,) = _right_dq(group)
    return dq


def nearest(group: Group) -> str | None:
    mode = group.node.attributes.get("mode", "nearest")
    return None if mode == "nearest" else f"its mode is {mode}"


def since(opset: int) -> Guard:
    def guard(group: Group) -> str | None:
        return None if group.edit.opset >= opset else f"it is older than opset {opset}"

    return guard


# -- what ONNX Runtime makes, and then refuses -----------------------------------------------------------------------
def average_refused(group: Group) -> str | None:
    """Refuse what the operator's schema does not have: dilations, and scales or zero points of one element."""
    if "dilations" in group.node.attributes:
        return "onnxruntime 1.32 makes QLinearAveragePool of it, which has no dilations; leave the attribute out"
    if scalars(group) is not None:
        return "onnxruntime 1.32 makes QLinearAveragePool of it, which takes scales and zero points of shape [] alone"
    return None


def reduction_refused(group: Group) -> str | None:
    """Refuse codes before opset 12."""
    if group.edit.opset >= 12:
        return None
    return f"onnxruntime 1.32 makes a {group.node.op} of codes of it, which is as old as opset 12; raise the opset"


# -- inputs and attributes of the integer node -------------------------------------------------------------------
def _zero(group: Group, node: Node) -> str:
    """Return the name of a DQ's or Q's zero point; a new constant zero where it is absent."""
    if node.input(2):
        return node.input(2)
    kind = group.edit.dtype(node.input(0) if node in group.dqs else node.outputs[0])
    return group.edit.add_constant("zero_point", np.zeros((), kind))


def _full(group: Group, dq: Node) -> tuple[str, ...]:
    return (dq.input(0), dq.input(1), _zero(group, dq))


def _result(group: Group) -> tuple[str, ...]:
    return (group.qs[0].input(1), _zero(group, group.qs[0])) if group.qs else ()


def unary(group: Group) -> tuple[str, ...]:
    return (*_full(group, group.dqs[0]), *_result(group))


def binary(group: Group) -> tuple[str, ...]:
    return (*_full(group, group.dqs[0]), *_full(group, group.dqs[1]), *_result(group))


def variadic(group: Group) -> tuple[str, ...]:
    return (*_result(group), *(name for dq in group.dqs for name in _full(group, dq)))


def convolution(group: Group) -> tuple[str, ...]:
    return (*binary(group), *(dq.input(0) for dq in group.dqs[2:]))


def gemm(group: Group) -> tuple[str, ...]:
    a, b = group.dqs[:2]
    bias = group.dqs[2].input(0) if len(group.dqs) > 2 else ""
    inputs = (*_full(group, a), *_full(group, b), bias, *_result(group))
    return inputs if bias or group.qs else inputs[:6]


def integer_to_float(group: Group) -> tuple[str, ...]:
    a, b = (_full(group, dq) for dq in group.dqs)
    return tuple(name for pair in zip(a, b, strict=True) for name in pair)


def where(group: Group) -> tuple[str, ...]:
    return (group.node.input(0), *binary(group))


def codes(group: Group) -> tuple[str, ...]:
    """Return the node's own inputs, the first one as codes."""
    return (group.dqs[0].input(0), *group.node.inputs[1:])


def without_beta(group: Group) -> Mapping[str, AttributeValue]:
    return {key: value for key, value in group.node.attributes.items() if key != "beta"}


def softmax_opset(group: Group) -> Mapping[str, AttributeValue]:
    version = next(v for v in (13, 11, 1) if group.edit.opset >= v)
    axis = group.node.attributes.get("axis", -1 if version == 13 else 1)
    return {**group.node.attributes, "axis": axis, "opset": version}


# -- the table ---------------------------------------------------------------------------------------------------
def accepted(group: Group) -> str | None:
    return None


def _moved(op: str, *more: Guard, refused: Guard = accepted) -> Fusion:
    guards = (no_clip, dq_inputs(1), quantized_output, integer_or_byte, *more, same_parameters)
    return Fusion(op, op, ONNX, guards, codes, refused=refused)


def _unary(op: str, integer_op: str, refused: Guard = accepted) -> Fusion:
    return Fusion(op, integer_op, MICROSOFT, UNARY, unary, refused=refused)


UNARY = (dq_inputs(1), quantized_output, same_codes)
ALL_DQ = (dq_inputs(), quantized_output)
MATRIX = (matrix_codes, int8_permitted)

FUSIONS: tuple[Fusion, ...] = (
    _moved("Split"),
    _moved("Resize", eight_bit_input, nearest),
    _moved("MaxPool", since(12), eight_bit_input, positive_scale),
    _moved("ReduceMax", eight_bit_input, positive_scale, refused=reduction_refused),
    _moved("ReduceMin", eight_bit_input, positive_scale, refused=reduction_refused),
    _moved("DepthToSpace", eight_bit_input),
    _moved("Expand"),
    _moved("Flatten"),
    _moved("Gather"),
    _moved("GatherElements"),
    _moved("Reshape"),
    _moved("Slice"),
    _moved("Squeeze"),
    _moved("Tile"),
    _moved("Transpose"),
    _moved("Unsqueeze"),
    Fusion("ArgMax", "ArgMax", ONNX, (no_clip, dq_inputs(1), eight_bit_input, constant_parameters), codes),
    _unary("AveragePool", "QLinearAveragePool", average_refused),
    _unary("LeakyRelu", "QLinearLeakyRelu"),
    _unary("GlobalAveragePool", "QLinearGlobalAveragePool"),
    _unary("Sigmoid", "QLinearSigmoid"),
    Fusion("Softmax", "QLinearSoftmax", MICROSOFT, (*UNARY, constant_input), unary, softmax_opset),
    Fusion("Add", "QLinearAdd", MICROSOFT, (*ALL_DQ, same_codes, scalars), binary),
    Fusion("Mul", "QLinearMul", MICROSOFT, (*ALL_DQ, same_codes, scalars), binary),
    Fusion("Concat", "QLinearConcat", MICROSOFT, (*ALL_DQ, same_codes, single_parameters()), variadic),
    Fusion("Conv", "QLinearConv", ONNX, (*ALL_DQ, same_activations, *MATRIX, int32_bias, bias_scale), convolution),
    Fusion(
        "MatMul",
        "QLinearMatMul",
        ONNX,
        (*ALL_DQ, *MATRIX, same_activations, single_parameters(0), matmul_weight),
        binary,
    ),
    Fusion(
        "MatMul",
        "MatMulIntegerToFloat",
        MICROSOFT,
        (lambda g: "it is read by QuantizeLinear" if g.qs else None, dq_inputs(2), *MATRIX),
        integer_to_float,
    ),
    Fusion(
        "Gemm",
        "QGemm",
        MICROSOFT,
        (
            dq_inputs(),
            quantized_or_float_output,
            matrix_codes,
            same_activations,
            single_parameters(0),
            gemm_weight,
            zero_points,
            int32_bias,
            unit_factors,
        ),
        gemm,
        without_beta,
    ),
    *(
        Fusion(
            op,
            "MatMulNBits",
            MICROSOFT,
            (no_clip, weight_only),
            lambda g: nbits.packed(g.edit, g.node, _weight(g)),
            lambda g: nbits.attributes(g.edit, _weight(g)),
            _right_dq,
            lambda g: (),
        )
        for op in ("MatMul", "Gemm")
    ),
    Fusion("Where", "QLinearWhere", MICROSOFT, (dq_inputs(2), quantized_output, same_codes), where),
)
