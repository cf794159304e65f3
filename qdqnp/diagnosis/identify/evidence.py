"""Evidence: what one layer was given and what the device answered, in the terms of the layer's rule.

A rule of a profile speaks of sums, of pairs of codes, of windows. Here a bound step and its arrays become exactly that,
so that any rule, named or not, can be asked for its codes without a plan, a kernel or a certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from qdqnp.executor.plan import BoundStep
from qdqnp.graph import concrete
from qdqnp.inspection.layers import RULE_OF
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rules.lookup import Identity, RealFunction
from qdqnp.numerics.rules.requantize.protocol import Requantizer, RequantizeRule, SumContext
from qdqnp.numerics.values import Value
from qdqnp.ops.geometry.taps import taps_of
from qdqnp.ops.integer.lookup import QLinearUnary
from qdqnp.ops.integer.qlinear_add import QLinearAdd
from qdqnp.ops.integer.qlinear_average_pool import covers_all
from qdqnp.ops.integer.qlinear_global_average_pool import centered_sums
from qdqnp.ops.movement.max_pool import pool_shape
from qdqnp.program import Step
from qdqnp.quant import Array, Codes, Int64, Quant


class Evidence(Protocol):
    """device: the codes that the device answered, in the shape of `codes(rule)`."""

    @property
    def label(self) -> str: ...

    @property
    def field(self) -> str:
        """The field of a profile whose rules can be asked."""
        ...

    @property
    def device(self) -> Codes: ...

    def codes(self, rule: Any) -> Codes:
        """What the rule answers. Raises ProfileError where the layer is outside its domain."""
        ...

    def stages(self, rule: Any) -> list[Value]:
        """Every value of the rule on the way to these codes. Raises ProfileError as `codes` does."""
        ...

    def part(self, elements: slice) -> Self:
        """Some of the elements in the flat order of `device`, in whole rows where rows belong together."""
        ...


@dataclass(frozen=True, eq=False)
class LinearEvidence:
    """Conv, Gemm, MatMul: sums (positions, channels), without bias."""

    label: str
    field: str
    layer: SumContext
    sums: Int64
    device: Codes

    def codes(self, rule: RequantizeRule) -> Codes:
        return rule.bind(self.layer)(self.sums)

    def stages(self, rule: RequantizeRule) -> list[Value]:
        return rule.bind(self.layer).stages(self.sums)

    def part(self, elements: slice) -> Self:
        rows = _rows(elements, self.sums.shape[-1])
        bias = self.layer.bias
        if bias is not None and bias.ndim > 1 and bias.shape[0] > 1:  # QGemm's bias by row
            bias = bias[rows]
        layer = replace(self.layer, bias=bias)
        return replace(self, layer=layer, sums=self.sums[rows], device=self.device[rows])


@dataclass(frozen=True, eq=False)
class MeanEvidence:
    """Global average: sums of (code - zero point), one for each plane of `count` elements."""

    label: str
    x: Quant
    y: Quant
    count: int
    sums: Int64
    device: Codes
    field: str = "global_average_pool"

    def codes(self, rule: Any) -> Codes:
        codes: Codes = rule.bind(self.x, self.y, self.count)(self.sums)
        return codes

    def stages(self, rule: Any) -> list[Value]:
        values: list[Value] = rule.bind(self.x, self.y, self.count).stages(self.sums)
        return values

    def part(self, elements: slice) -> Self:
        return replace(self, sums=self.sums[elements], device=self.device[elements])


@dataclass(frozen=True, eq=False)
class BinaryEvidence:
    """Add, Mul: pairs of codes, flat, in the order in which the operator takes them."""

    label: str
    field: str
    quants: tuple[Quant, Quant, Quant]
    a: Codes
    b: Codes
    device: Codes

    def codes(self, rule: Any) -> Codes:
        codes: Codes = rule.bind(*self.quants)(self.a, self.b)
        return codes

    def stages(self, rule: Any) -> list[Value]:
        values: list[Value] = rule.bind(*self.quants).stages(self.a, self.b)
        return values

    def part(self, elements: slice) -> Self:
        return replace(self, a=self.a[elements], b=self.b[elements], device=self.device[elements])


@dataclass(frozen=True, eq=False)
class LookupEvidence:
    """One input of a Concat, or a LeakyRelu or Sigmoid: codes, flat. operand: which input."""

    label: str
    field: str
    x: Quant
    y: Quant
    function: RealFunction
    x_codes: Codes
    device: Codes
    operand: int = 0

    def codes(self, rule: Any) -> Codes:
        codes: Codes = rule.bind(self.x, self.y, self.function)(self.x_codes)
        return codes

    def stages(self, rule: Any) -> list[Value]:
        values: list[Value] = rule.bind(self.x, self.y, self.function).stages(self.x_codes)
        return values

    def part(self, elements: slice) -> Self:
        return replace(self, x_codes=self.x_codes[elements], device=self.device[elements])


@dataclass(frozen=True, eq=False)
class AverageEvidence:
    """AveragePool: windows (taps, windows), which taps are inside the image, and the divisor of each window."""

    label: str
    x: Quant
    y: Quant
    taps: Codes
    inside: Array
    count: Int64
    device: Codes
    field: str = "average_pool"

    def codes(self, rule: Any) -> Codes:
        codes: Codes = rule.bind(self.x, self.y)(self.taps, self.inside, self.count)
        return codes

    def stages(self, rule: Any) -> list[Value]:
        values: list[Value] = rule.bind(self.x, self.y).stages(self.taps, self.inside, self.count)
        return values

    def part(self, elements: slice) -> Self:
        taps, inside = self.taps[:, elements], self.inside[:, elements]
        return replace(self, taps=taps, inside=inside, count=self.count[elements], device=self.device[elements])


@dataclass(frozen=True, eq=False)
class SoftmaxEvidence:
    """Rows (rows, width)."""

    label: str
    x: Quant
    y: Quant
    rows: Codes
    device: Codes
    field: str = "softmax"

    def codes(self, rule: Any) -> Codes:
        codes: Codes = rule.bind(self.x, self.y, self.rows.shape[1])(self.rows)
        return codes

    def stages(self, rule: Any) -> list[Value]:
        values: list[Value] = rule.bind(self.x, self.y, self.rows.shape[1]).stages(self.rows)
        return values

    def part(self, elements: slice) -> Self:
        rows = _rows(elements, self.rows.shape[1])
        return replace(self, rows=self.rows[rows], device=self.device[rows])


def _rows(elements: slice, width: int) -> slice:
    """The rows that hold the elements of a flat slice."""
    width = max(1, width)
    return slice((elements.start or 0) // width, -(-elements.stop // width))


def evidence_of(bound: BoundStep, arrays: Sequence[Array | None], device: Codes) -> list[Evidence]:
    """What one evaluation of a step says about the rule of its operator; empty for steps that no rule decides.

    bound: under any profile that defines the operator. arrays: the step's inputs, in its operands' order, and device:
    what the device made of them, of the output's dtype and shape. A Concat gives one for each input it rescales.
    """
    field = RULE_OF.get(bound.step.op)
    if field is None or device.dtype.kind not in "iu":
        return []
    return _COLLECTORS[field](bound, arrays, device)


# -- one collector for each kind of rule -------------------------------------------------------------------------------
def _linear(bound: BoundStep, arrays: Sequence[Array | None], device: Codes) -> list[Evidence]:
    if not set(bound.step.input_names[1:]) <= set(bound.consts):
        return []  # weights that are computed: a rule may look at them, and each matrix has its own
    layer, sums = layer_and_sums(bound, arrays)
    axis = -1 if bound.step.op == "QLinearMatMul" else 1
    channels = sums.shape[-1]
    answers = np.moveaxis(device, axis, -1)
    field = RULE_OF[bound.step.op]
    flat = sums.reshape(-1, channels), np.ascontiguousarray(answers).reshape(-1, channels)
    return [LinearEvidence(bound.step.label, field, layer, *flat)]


@dataclass
class _Recorder:
    """A rule that notes the layer it is bound to, and is otherwise the rule it stands for."""

    rule: RequantizeRule
    status: str = ""
    layer: SumContext | None = None

    def bind(self, layer: SumContext) -> Requantizer:
        self.layer = layer
        return self.rule.bind(layer)


def layer_and_sums(bound: BoundStep, arrays: Sequence[Array | None]) -> tuple[SumContext, Int64]:
    """The SumContext that a linear step hands to its rule, and its sums with channels last, shape of the output.

    ONNX Runtime's rule computes the sums: it is defined for every layer.
    """
    field = RULE_OF[bound.step.op]
    recorder = _Recorder(getattr(PROFILES["ort"], field))
    again = bound.operator.bind(bound.step, bound.consts, with_rule(PROFILES["ort"], field, recorder))
    assert again.detail is not None
    sums, _ = again.detail(arrays)
    assert recorder.layer is not None
    return recorder.layer, sums


def with_rule(profile: Profile, field: str, rule: Any) -> Profile:
    """The profile with another rule in one of its fields."""
    changed: dict[str, Any] = {field: rule}
    return replace(profile, **changed)


def _binary(bound: BoundStep, arrays: Sequence[Array | None], device: Codes) -> list[Evidence]:
    quants, a, b = ordered_pair(bound, arrays)
    shape = device.shape
    left, right = (np.broadcast_to(codes, shape).reshape(-1) for codes in (a, b))
    return [BinaryEvidence(bound.step.label, RULE_OF[bound.step.op], quants, left, right, device.reshape(-1))]


def ordered_pair(bound: BoundStep, arrays: Sequence[Array | None]) -> tuple[tuple[Quant, Quant, Quant], Codes, Codes]:
    """The operands in the order in which the rule gets them: the operator may exchange them."""
    a, b = _inputs(bound.step)
    left, right = arrays
    assert left is not None and right is not None
    if isinstance(bound.operator, QLinearAdd) and bound.operator.swaps(left.shape, right.shape):
        return (b, a, _output(bound.step)), right, left
    return (a, b, _output(bound.step)), left, right


def _concat(bound: BoundStep, arrays: Sequence[Array | None], device: Codes) -> list[Evidence]:
    y = _output(bound.step)
    axis = bound.step.attributes.axis
    sizes = [array.shape[axis] for array in arrays if array is not None]
    parts = np.split(device, np.cumsum(sizes)[:-1], axis=axis)
    found: list[Evidence] = []
    for index, (x, array, part) in enumerate(zip(_inputs(bound.step), arrays, parts, strict=True)):
        assert array is not None
        if not x.same_as(y):
            codes = (array.reshape(-1), part.reshape(-1))
            found.append(LookupEvidence(bound.step.label, "concat", x, y, Identity(), *codes, operand=index))
    return found


def _lookup(bound: BoundStep, arrays: Sequence[Array | None], device: Codes) -> list[Evidence]:
    assert isinstance(bound.operator, QLinearUnary) and arrays[0] is not None
    function = bound.operator.function(bound.step.attributes)
    (x,) = _inputs(bound.step)
    codes = (arrays[0].reshape(-1), device.reshape(-1))
    return [LookupEvidence(bound.step.label, "lookup", x, _output(bound.step), function, *codes)]


def _global_average(bound: BoundStep, arrays: Sequence[Array | None], device: Codes) -> list[Evidence]:
    assert arrays[0] is not None
    (x,) = _inputs(bound.step)
    planes = arrays[0]
    count = int(np.prod(planes.shape[2:], dtype=np.int64))
    sums = centered_sums(planes, x).reshape(-1)
    return [MeanEvidence(bound.step.label, x, _output(bound.step), count, sums, device.reshape(-1))]


def _average(bound: BoundStep, arrays: Sequence[Array | None], device: Codes) -> list[Evidence]:
    assert arrays[0] is not None
    if covers_all(bound.step.attributes, arrays[0].shape[2:]):
        return _global_average(bound, arrays, device)
    (x,) = _inputs(bound.step)
    taps, inside, count = windows(bound.step, arrays[0])
    shape = taps.shape  # (taps, N, C, rows, columns)
    flat, where = (np.broadcast_to(part, shape).reshape(shape[0], -1) for part in (taps, inside))
    divisors = np.broadcast_to(count, shape[1:]).reshape(-1)
    return [AverageEvidence(bound.step.label, x, _output(bound.step), flat, where, divisors, device.reshape(-1))]


def windows(step: Step, x: Codes) -> tuple[Codes, Array, Int64]:
    """Taps (taps, N, C, rows, columns) of an average, where they lie inside (broadcastable), and the divisors."""
    shape = concrete(pool_shape(step.attributes, x.shape))
    taps = taps_of(step.attributes, x, shape[2] if len(shape) == 4 else 1, shape[-1])
    count = taps.count
    if step.attributes.count_include_pad:
        count = np.full_like(count, len(taps.values))
    return taps.values, taps.inside[:, None, None], count


def _softmax(bound: BoundStep, arrays: Sequence[Array | None], device: Codes) -> list[Evidence]:
    x = arrays[0]
    assert x is not None
    axis = bound.step.attributes.axis % x.ndim
    (quant,) = _inputs(bound.step)
    if bound.step.attributes.opset < 13:
        width = int(np.prod(x.shape[axis:], dtype=np.int64))
        rows, answers = x.reshape(-1, width), device.reshape(-1, width)
    else:
        rows, answers = (np.moveaxis(part, axis, -1).reshape(-1, x.shape[axis]) for part in (x, device))
    return [SoftmaxEvidence(bound.step.label, quant, _output(bound.step), rows, answers)]


def _inputs(step: Step) -> list[Quant]:
    return [operand.quant for operand in step.inputs if operand is not None and operand.quant is not None]


def _output(step: Step) -> Quant:
    quant = step.outputs[0].quant
    assert quant is not None  # an integer operator's
    return quant


_Collector = Callable[[BoundStep, Sequence[Array | None], Codes], list[Evidence]]
_COLLECTORS: Mapping[str, _Collector] = {
    "conv": _linear,
    "matmul": _linear,
    "gemm": _linear,
    "add": _binary,
    "mul": _binary,
    "concat": _concat,
    "lookup": _lookup,
    "average_pool": _average,
    "global_average_pool": _global_average,
    "softmax": _softmax,
}
