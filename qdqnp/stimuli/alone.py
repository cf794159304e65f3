"""Make one layer of a model a model of its own. A set of the layer's stimuli stores it, so that it can be run and
checked without the network around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from qdqnp.executor.plan import BoundStep
from qdqnp.graph import DEVICES, MICROSOFT
from qdqnp.lowering.device.clip import CODE_CLIP
from qdqnp.ops.integer.asking import IntegerOperator
from qdqnp.program import Operand, Step
from qdqnp.quant import Array, Quant
from qdqnp.version import __version__

IR_VERSION, OPSET = 10, 21


def alone(bound: BoundStep, shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    """Make an ONNX model of one node: the integer operator, its constants, and its other inputs as graph inputs. The
    node has the layer's name, so that a profile's overrides find it. Limits of an activation are a Clip of the codes.

        bound: the layer.
        shapes: the shape of each tensor by name.
    """
    step = bound.step
    parameters = _Parameters(set(step.input_names) | set(step.output_names))
    assert isinstance(bound.operator, IntegerOperator)  # only such layers are subjects
    inputs = bound.operator.arguments(step, parameters.of)
    while inputs and not inputs[-1]:
        inputs.pop()
    names = list(step.output_names)
    made = [parameters.fresh("unclipped")] if _limits(step) else names
    nodes = [helper.make_node(step.op, inputs, made, name=step.label, domain=step.domain, **_attributes(bound))]
    if made is not names:  # the limits of an activation, which the lowering takes into the layer again
        nodes.append(helper.make_node(CODE_CLIP, [*made, *parameters.limits(step.y)], names))
    moving = [name for name in dict.fromkeys(step.input_names) if name not in bound.consts]
    constants = {**bound.consts, **parameters.arrays}
    graph = helper.make_graph(
        nodes,
        "layer",
        [_info(name, step, shapes) for name in moving],
        [_info(name, step, shapes) for name in names],
        [numpy_helper.from_array(np.asarray(array, order="C"), name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
    if step.domain == DEVICES:
        opsets.append(helper.make_opsetid(DEVICES, 1))
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="qdqnp", producer_version=__version__
    )
    return bytes(model.SerializeToString(deterministic=True))


def _info(name: str, step: Step, shapes: Mapping[str, tuple[int, ...]]) -> onnx.ValueInfoProto:
    """Describe an input or output of the layer. It holds codes; without a quantization it is a bias, or the real output
    of a Gemm."""
    operands = [operand for operand in (*step.inputs, *step.outputs) if operand is not None]
    quant = next(operand.quant for operand in operands if operand.name == name)
    real = np.float32 if name in step.output_names else np.int32
    dtype: np.dtype[Any] = quant.dtype if quant is not None else np.dtype(real)
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shapes[name])


def _attributes(bound: BoundStep) -> dict[str, Any]:
    """Return the attributes as the node has them: () stands for an attribute that is left out."""
    attributes = bound.step.attributes
    values = {field.name: getattr(attributes, field.name) for field in dataclasses.fields(attributes)}
    return {name: value for name, value in values.items() if not name.startswith("_") and value != ()}


def _limits(step: Step) -> bool:
    return len(step.outputs) == 1 and step.outputs[0].quant is not None and step.y.limits is not None


class _Parameters:
    """Scales and zero points as initializers, under names that are not used elsewhere."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self.arrays: dict[str, Array] = {}

    def of(self, operand: Operand) -> tuple[str, str]:
        """Name an operand's scale and zero point."""
        assert operand.quant is not None
        return self._new("scale", operand.quant.scale), self._new("zero_point", operand.quant.zero_point)

    def limits(self, quant: Quant) -> tuple[str, ...]:
        """Name the limits of an output."""
        return tuple(self._new("limit", np.asarray(limit, quant.dtype)) for limit in quant.limits or ())

    def fresh(self, base: str) -> str:
        """Return a name that is not used elsewhere."""
        number = len(self.arrays)
        while (name := f"{base}_{number}") in self._taken:
            number += 1
        self._taken.add(name)
        return name

    def _new(self, base: str, array: Array) -> str:
        name = self.fresh(base)
        self.arrays[name] = np.asarray(array)
        return name
