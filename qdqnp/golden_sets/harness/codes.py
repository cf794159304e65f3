"""Layers that compute on single codes or pairs of them: sums, products, concatenation, clips, softmax."""

from __future__ import annotations

import math

from qdqnp.golden_sets.harness.layer import LayerCode, NoKernelError, axes_of, count, offset_of
from qdqnp.golden_sets.harness.moves import in_order, to_stored_order
from qdqnp.quant import Quant

#: The shift to the right of a multiplier of 2^31 that CMSIS-NN counts from, to the left.
LEFT = 31


def addition(code: LayerCode) -> None:
    """Write arm_elementwise_add_s8."""
    first, second = _pair(code)
    # the operator may count its operands the other way round, which no sum shows
    found = code.bound.profile.add.bind(code.quant(0), code.quant(1), code.y).parameters
    multiplier, shift = found["multipliers"].tolist(), (LEFT - found["shifts"]).tolist()
    code.call(
        "arm_elementwise_add_s8",
        *(first, second),
        *(offset_of(code.quant(0)), multiplier[0], shift[0]),
        *(offset_of(code.quant(1)), multiplier[1], shift[1]),
        *(int(found["left_shift"]), code.output(), int(code.y.zero_point), multiplier[2], shift[2], *code.y.range),
        count(code.output_shape),
    )


def product(code: LayerCode) -> None:
    """Write arm_elementwise_mul_s8."""
    first, second = _pair(code)
    found = code.numbers()
    code.call(
        "arm_elementwise_mul_s8",
        *(first, second, offset_of(code.quant(0)), offset_of(code.quant(1)), code.output(), int(code.y.zero_point)),
        *(int(found["multiplier"]), int(found["output_shift"]), *code.y.range, count(code.output_shape)),
    )


def _pair(code: LayerCode) -> tuple[str, str]:
    """Return the operands, of the output's shape."""
    for index in (0, 1):
        shape, constant = code.shape(index), code.operand(index).name in code.bound.consts
        if shape != code.output_shape and not constant:
            raise NoKernelError("two tensors of one shape", f"{list(shape)} broadcast to {list(code.output_shape)}")
    return code.input(0, "input_1", code.output_shape), code.input(1, "input_2", code.output_shape)


def concatenation(code: LayerCode) -> None:
    """Write arm_concatenation_s8_x, _y, _z or _w for each input. The library rescales none of them: what has another
    scale or zero point than the output is rescaled first."""
    shape = code.output_shape
    rank = len(shape)
    if not 1 <= rank <= 4:
        raise NoKernelError("at most four axes", str(rank))
    places = axes_of(rank)
    axis = places.index(code.step.attributes.axis % rank)
    letter = "xyzw"[rank - 1 - axis]
    rescaled = code.step.outputs[0].quant is not None
    at, found = 0, code.numbers() if rescaled else {}
    for index in range(len(code.step.inputs)):
        name = code.input(index, f"input_{index}")
        own = code.shape(index)
        if rescaled and not plain(code.quant(index), code.y):
            other = code.temporary(f"rescaled_{index}", count(own))
            numbers = (int(found["multiplier"][index]), int(found["output_shift"][index]))
            rescale(code, name, other, count(own), code.quant(index), numbers)
            name = other
        sizes = [1] * (4 - rank) + [own[place] for place in places]
        joined = [1] * (4 - rank) + [shape[place] for place in places]
        if max(joined) > 65535:
            raise NoKernelError("sizes of at most 65535", " x ".join(map(str, joined)))
        ends = (at,) if letter == "w" else (joined["wzyx".index(letter)], at)
        code.plain_call(f"arm_concatenation_s8_{letter}", name, *sizes[::-1], code.output(), *ends)
        at += sizes["wzyx".index(letter)]


def plain(x: Quant, y: Quant) -> bool:
    """Tell whether codes of x are codes of y as they are."""
    return x.same_as(y) and y.limits is None


def rescale(code: LayerCode, x: str, y: str, size: int, quant: Quant, numbers: tuple[int, int]) -> None:
    """Write the harness' own loop around arm_nn_requantize: CMSIS-NN has no kernel that rescales codes."""
    code.plain_call("qdqnp_rescale_s8", x, offset_of(quant), *numbers, y, int(code.y.zero_point), *code.y.range, size)


def clip(code: LayerCode) -> None:
    """Write arm_max_pool_s8 with windows of one code: it keeps codes between two limits."""
    attributes = code.step.attributes
    low = -128 if attributes.min is None else max(-128, math.ceil(attributes.min))
    high = 127 if attributes.max is None else min(127, math.floor(attributes.max))
    places = axes_of(len(code.output_shape))
    channels = code.output_shape[places[-1]] if places else 1
    rows = count(code.output_shape) // max(channels, 1)
    dims = code.dims("dims", (1, rows, 1, channels))
    one = code.dims("one", (1, 1, 1, 1))
    params = code.struct("cmsis_nn_pool_params", "params", "{1, 1}", "{0, 0}", f"{{{low}, {high}}}")
    code.call("arm_max_pool_s8", "scratch", params, dims, code.input(), one, dims, code.output())


def softmax(code: LayerCode) -> None:
    """Write arm_softmax_s8 for rows along one axis."""
    if float(code.y.scale) != 1 / 256 or int(code.y.zero_point) != -128:
        raise NoKernelError("codes of scale 1/256 and zero point -128", f"{code.y.scale} and {code.y.zero_point}")
    shape, rank = code.shape(0), len(code.shape(0))
    axis = code.step.attributes.axis % rank
    last = tuple(range(axis, rank)) if code.step.attributes.opset < 13 else (axis,)
    order = (*(one for one in range(rank) if one not in last), *last)
    width = count(tuple(shape[one] for one in last))
    found = code.numbers()
    x = in_order(code, code.input(), shape, order)
    y, finish = to_stored_order(code, shape, order)
    numbers = (int(found["multiplier"]), int(found["shift"]), -int(found["radius"]))
    code.plain_call("arm_softmax_s8", x, count(shape) // width, width, *numbers, y)
    finish()
