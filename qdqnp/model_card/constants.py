"""What a network's constants are, and what they take in flash: weights, biases, scales and zero points apart.

Elements of less than 8 bits are packed. Scales and zero points are counted as the model states them: float32, and in
the type of the codes, once for each tensor, or each channel of weights. A device stores other integers in their place,
a multiplier and a shift say, so that nobody's flash is exactly this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qdqnp.element_types import bytes_in_file
from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.quant import CODE_DTYPES, Quant


@dataclass(frozen=True)
class FlashNeed:
    """Bytes of a network's constants, by what they are."""

    #: Weights of sums of products: integer codes.
    weights: int
    #: Biases of sums of products.
    biases: int
    #: Scales of weights and of tensors, float32.
    scales: int
    #: Zero points of weights and of tensors.
    zero_points: int
    #: Weights of sums of products that stay float.
    float_weights: int
    #: All others: factors, tables, sizes.
    others: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(vars(self).values())


@dataclass(frozen=True)
class QuantizationSummary:
    """How a network is quantized."""

    #: Element types of the weights, each with the number of tensors.
    weight_types: Mapping[str, int]
    #: Weight tensors with one scale, with one for each channel, and with one for each block.
    weight_scales: Mapping[str, int]
    #: Weight tensors whose zero points are all 0, and others.
    weight_symmetry: Mapping[str, int]
    #: Element types of all other tensors, each with the number of tensors.
    tensor_types: Mapping[str, int]
    #: Other tensors of codes whose zero point is 0, and others.
    tensor_symmetry: Mapping[str, int]


def flash_need(plan: Plan) -> FlashNeed:
    """Count the bytes of a plan's constants.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> found = flash_need(qdqnp.load(shipped_model("dla46_c_int8")).plan())
    >>> found.weights, found.biases
    (1038896, 16168)
    """
    counted = dict.fromkeys(("weights", "biases", "float_weights", "others"), 0)
    for name, kind in constant_kinds(plan.steps).items():
        array = plan.consts[name]
        counted[kind] += bytes_in_file(array.dtype, array.size)
    quants = _quants(plan)
    scales = sum(quant.scale.size * 4 for quant in quants.values())
    zero_points = sum(bytes_in_file(quant.dtype, quant.zero_point.size) for quant in quants.values())
    return FlashNeed(scales=scales, zero_points=zero_points, **counted)


def constant_kinds(steps: Iterable[BoundStep]) -> Mapping[str, str]:
    """Return what each constant is, by name: 'weights', 'biases', 'float_weights' or 'others'."""
    found: dict[str, str] = {}
    for bound in steps:
        operator = bound.operator
        for index, operand in enumerate(bound.step.inputs):
            if operand is None or operand.name not in bound.consts:
                continue
            kind = "others"
            if index == operator.weight_operand:
                coded = bound.consts[operand.name].dtype in CODE_DTYPES
                kind = "weights" if coded else "float_weights"
            elif index == operator.bias_operand:
                kind = "biases"
            if found.get(operand.name, "others") == "others":
                found[operand.name] = kind
    return found


def count_parameters(plan: Plan) -> int:
    """Count the elements of weights and biases, those of float layers too; not scales, zero points and other constants.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> count_parameters(qdqnp.load(shipped_model("dla46_c_int8")).plan())
    1042938
    """
    kinds = constant_kinds(plan.steps)
    return sum(plan.consts[name].size for name, kind in kinds.items() if kind != "others")


def quantization_summary(plan: Plan) -> QuantizationSummary:
    """Summarize scales, zero points and element types of a plan's weights and tensors."""
    kinds = constant_kinds(plan.steps)
    quants = _quants(plan)
    weights = {name: quants.get(name) for name, kind in kinds.items() if kind in ("weights", "float_weights")}
    quantized = [quant for quant in weights.values() if quant is not None]
    tensors = {name: tensor for name, tensor in plan.program.tensors.items() if name not in plan.consts}
    codes = [quant for name, quant in quants.items() if name in tensors]
    return QuantizationSummary(
        weight_types=_count(str(plan.consts[name].dtype) for name in weights),
        weight_scales=_count(map(_granularity, quantized)),
        weight_symmetry=_count(map(_symmetry, quantized)),
        tensor_types=_count(str(tensor.dtype) for tensor in tensors.values()),
        tensor_symmetry=_count(map(_symmetry, codes)),
    )


def _quants(plan: Plan) -> dict[str, Quant]:
    """Return the first scale and zero point with which each tensor of codes is made or read, by name."""
    found: dict[str, Quant] = {}
    for bound in plan.steps:
        for operand in (*bound.step.inputs, *bound.step.outputs):
            if operand is not None and operand.quant is not None:
                found.setdefault(operand.name, operand.quant)
    return found


def _granularity(quant: Quant) -> str:
    if quant.block_size:
        return "per block"
    return "per tensor" if quant.per_tensor else "per channel"


def _symmetry(quant: Quant) -> str:
    return "asymmetric" if quant.zero_point.any() else "symmetric"


def _count(items: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(items).items()))
