"""Layers that only move codes, and the order of axes in memory that they meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from qdqnp.golden_sets.harness.layer import LayerCode, NoKernelError, axes_of, count, layout_of
from qdqnp.graph import Sizes
from qdqnp.quant import Array

#: arm_transpose_s8 has four axes, and counts the elements of eight rows in 16 bits.
MOST_AXES, WIDEST_ROW = 4, 8191


def same_elements(code: LayerCode) -> None:
    """Write nothing where the memory is that of the output already, else the transpositions on the way."""
    x, y = code.shape(0), code.output_shape
    if np.array_equal(_memory_of(x, x), _memory_of(x, y)) and code.operand(0).name not in code.bound.consts:
        code.view = True
        return
    flat = in_onnx_order(code, code.input(), x)
    target, finish = to_stored_order(code, y)
    copy(code, flat, target, count(x))
    finish()


def _memory_of(x: Sizes, y: Sizes) -> Array:
    """Return which element of x lies at each place of memory, read as a tensor of shape y."""
    numbers = np.arange(count(x), dtype=np.int32).reshape(y)
    return layout_of(len(y)).stored(numbers).reshape(-1)


def transposition(code: LayerCode) -> None:
    """Write arm_transpose_s8 between the two orders in memory."""
    shape = code.shape(0)
    rank = len(shape)
    perm = code.step.attributes.perm or tuple(reversed(range(rank)))
    wanted = tuple(perm[axis] for axis in axes_of(rank))  # axes of the input, as the output has them in memory
    move(code, code.input(), code.output(), shape, axes_of(rank), wanted)


def border(code: LayerCode) -> None:
    """Write arm_pad_s8."""
    shape, out, attributes = code.shape(0), code.output_shape, code.step.attributes
    rank = len(shape)
    if attributes.mode != "constant" or not 1 <= rank <= 4:
        raise NoKernelError("a border of one code around at most four axes", f"mode {attributes.mode}, {rank} axes")
    axes = [axis % rank for axis in attributes._axes] or list(range(rank))
    low, high = [0] * rank, [0] * rank
    for at, axis in enumerate(axes):
        low[axis], high[axis] = attributes.pads[at], attributes.pads[at + len(axes)]
    if min(*low, *high, 0) < 0:
        raise NoKernelError("a border of at least 0", "elements that are cut off")
    value = int(attributes.value) if attributes._filling is None else int(attributes._filling.reshape(()))
    places, rest = axes_of(rank), [0] * (4 - rank)
    sizes = code.dims("input_dims", [1] * (4 - rank) + [shape[axis] for axis in places])
    before = code.dims("before", rest + [low[axis] for axis in places])
    after = code.dims("after", rest + [high[axis] for axis in places])
    assert count(out) >= count(shape)
    code.call("arm_pad_s8", code.input(), code.output(), value, sizes, before, after)


# -- orders ------------------------------------------------------------------------------------------------------------
def in_onnx_order(code: LayerCode, name: str, shape: Sizes) -> str:
    """Return the C name of a tensor's codes in the order of ONNX, moved there if need be."""
    return in_order(code, name, shape, tuple(range(len(shape))))


def in_order(code: LayerCode, name: str, shape: Sizes, order: Sequence[int]) -> str:
    """Return the C name of a tensor's codes with its axes in `order`, moved there if need be."""
    if moves(shape, axes_of(len(shape)), order) is None:
        return name
    made = code.temporary("input_in_order", count(shape))
    move(code, name, made, shape, axes_of(len(shape)), order)
    return made


def to_stored_order(
    code: LayerCode, shape: Sizes, order: Sequence[int] | None = None
) -> tuple[str, Callable[[], None]]:
    """Return where a layer writes its output with the axes in `order` (None for that of ONNX), and what moves the codes
    to the output's place afterwards."""
    order = range(len(shape)) if order is None else order
    output = code.output()
    if moves(shape, order, axes_of(len(shape))) is None:
        return output, lambda: None
    made = code.temporary("output_in_order", count(shape))
    return made, lambda: move(code, made, output, shape, order, axes_of(len(shape)))


def moves(shape: Sizes, order: Sequence[int], wanted: Sequence[int]) -> tuple[list[int], list[int]] | None:
    """Return the sizes and the permutation that take axes in memory from one order to another, without axes of one
    element and with neighbours that stay neighbours as one; None where the memory is the same."""
    there = [axis for axis in order if shape[axis] != 1]
    here = [axis for axis in wanted if shape[axis] != 1]
    if there == here:
        return None
    groups: list[list[int]] = []
    for axis in there:
        at = here.index(axis)
        if groups and at and here[at - 1] == groups[-1][-1]:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    groups_by_first = {group[0]: index for index, group in enumerate(groups)}
    perm = [groups_by_first[axis] for axis in here if axis in groups_by_first]
    return [count(tuple(shape[axis] for axis in group)) for group in groups], perm


def move(code: LayerCode, x: str, y: str, shape: Sizes, order: Sequence[int], wanted: Sequence[int]) -> None:
    """Write arm_transpose_s8 from one order of axes in memory to another, or a copy."""
    found = moves(shape, order, wanted)
    if found is None:
        copy(code, x, y, count(shape))
        return
    sizes, perm = found
    if len(sizes) > MOST_AXES or max(sizes) > WIDEST_ROW:
        raise NoKernelError(f"a transposition of {MOST_AXES} axes of at most {WIDEST_ROW}", " x ".join(map(str, sizes)))
    pad = MOST_AXES - len(sizes)
    full, turned = [1] * pad + sizes, [*range(pad), *(axis + pad for axis in perm)]
    number = sum(line.count("cmsis_nn_transpose_params") for line in code.structs)
    mark = "" if number == 0 else f"_{number + 1}"
    before = code.dims(f"from_dims{mark}", full)
    after = code.dims(f"to_dims{mark}", [full[axis] for axis in turned])
    code.structs.append(f"static const uint32_t turned{mark}[4] = {{{', '.join(map(str, turned))}}};")
    params = code.struct("cmsis_nn_transpose_params", f"transpose{mark}", "4", f"turned{mark}")
    code.call("arm_transpose_s8", x, y, before, after, params)


def copy(code: LayerCode, x: str, y: str, size: int) -> None:
    """Write arm_reshape_s8, which copies."""
    code.plain_call("arm_reshape_s8", x, y, size)
