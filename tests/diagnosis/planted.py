"""The faults that are planted: those of `devices`, and more, each computed in plain NumPy again.

A world has a memory, NCHW or NHWC: a fault of memory befalls the bytes in its order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy

import numpy as np

from qdqnp.model import Model, load
from tests.diagnosis import devices
from tests.diagnosis.devices import (
    Array,
    Convolution,
    Device,
    F,
    Fault,
    NoEffectError,
    World,
    _addition,
    _any_tensor,
    _changed,
    _conv,
    _draw,
    _made,
    _pair,
    clipped,
    half,
)
from tests.networks import dla
from tests.oracles import fixed_point, integers

MEMORIES = ("nchw", "nhwc")


def in_memory(world: World, memory: str) -> World:
    """The same world, whose buffers lie in this order."""
    made = copy(world)
    made.memory = memory
    return made


def flat(world: World, array: Array) -> Array:
    return np.moveaxis(array, 1, -1).reshape(-1).copy() if last(world, array) else array.reshape(-1).copy()


def shaped(world: World, memory: Array, like: Array) -> Array:
    if not last(world, like):
        return memory.reshape(like.shape)
    n, c, h, w = like.shape
    return np.ascontiguousarray(np.moveaxis(memory.reshape(n, h, w, c), -1, 1))


def last(world: World, array: Array) -> bool:
    return world.memory == "nhwc" and array.ndim == 4


# -- memory ------------------------------------------------------------------------------------------------------------
def stale_line(world: World, rng: np.random.Generator) -> Device:
    """The last line still has what lay there before."""
    label = _any_tensor(world, rng, lambda a: a.size >= 256)

    def change(array: Array) -> Array:
        made = flat(world, array)
        made[-32:] = rng.integers(-128, 128, 32)
        return shaped(world, made, array)

    return _changed(world, rng, "stale cache line", label, change)


def shifted(world: World, rng: np.random.Generator) -> Device:
    """A pointer that is some elements off."""
    label = _any_tensor(world, rng, lambda a: a.size >= 256)
    by, zero = int(rng.choice([1, 3, 5, 7, -1, -3])), bool(rng.integers(2))

    def change(array: Array) -> Array:
        made = np.roll(flat(world, array), by)
        if zero:
            made[:by] = 0 if by > 0 else made[:by]
            made[by:] = 0 if by < 0 else made[by:]
        return shaped(world, made, array)

    return _changed(world, rng, "shifted by elements or bytes", label, change)


def truncated(world: World, rng: np.random.Generator) -> Device:
    """Only the first part of the buffer was written."""
    label = _any_tensor(world, rng, lambda a: a.size >= 256)
    share, fill = float(rng.uniform(0.3, 0.9)), int(rng.choice([0, -128]))

    def change(array: Array) -> Array:
        made = flat(world, array)
        made[int(share * made.size) :] = fill
        return shaped(world, made, array)

    return _changed(world, rng, "truncated", label, change)


def other_layer(world: World, rng: np.random.Generator) -> Device:
    """A buffer that is used twice: it begins with what another layer's does."""
    label = _any_tensor(world, rng)
    name = world.steps[label].step.output_names[0]
    size = world.right[0][name].size
    others = [other for other, a in world.right[0].items() if a.dtype == np.int8 and a.size >= size and other != name]
    if not others:
        raise NoEffectError
    other = str(rng.choice(others))
    wrong = [shaped(world, flat(world, case[other])[:size], case[name]) for case in world.right]
    return world.device("another layer's tensor", label, other, wrong, bool(rng.integers(2)))


def clamp_of_another(world: World, rng: np.random.Generator) -> Device:
    """The lowest code is another layer's zero point, or its limit."""
    label = _any_tensor(world, rng)
    name = world.steps[label].step.output_names[0]
    codes = np.concatenate([case[name].reshape(-1) for case in world.right])
    bounds = {
        int(bound.step.outputs[0].quant.zero_point) for bound in world.steps.values() if bound.step.outputs[0].quant
    }
    fits = [b for b in sorted(bounds) if np.quantile(codes, 0.02) < b < np.quantile(codes, 0.98)]
    if not fits:
        raise NoEffectError
    bound, lower = int(rng.choice(fits)), bool(rng.integers(2))
    limit = np.maximum if lower else np.minimum
    return _changed(world, rng, "wrong clamp", label, lambda a: limit(a, np.int8(bound)))


# -- channels and kernels ----------------------------------------------------------------------------------------------
def permuted_output(world: World, rng: np.random.Generator) -> Device:
    label = _any_tensor(world, rng, lambda a: a.ndim == 4 and a.shape[2] > 1)
    name = world.steps[label].step.output_names[0]
    order = rng.permutation(world.right[0][name].shape[1])
    return _changed(world, rng, "channels permuted", label, lambda a: np.ascontiguousarray(a[:, order]))


def groups_of_input(world: World, rng: np.random.Generator) -> Device:
    """A convolution that reads its input's channels in groups, in another order."""
    label, layer, xs = _conv(world, rng, lambda c: c.w.shape[1] % 4 == 0)
    count, groups = xs[0].shape[1], int(rng.choice([2, 4]))
    parts = np.arange(count).reshape(groups, -1)
    order = [parts[::-1].reshape(-1), parts.T.reshape(-1), np.arange(count)[::-1]][int(rng.integers(3))]
    return _made(
        world, "channels permuted", rng, f"{groups}", label, layer, [x[:, order] for x in xs], layer.right_sums
    )


def _kernel(kind: str, turn: Callable[[Array, np.random.Generator], Array]) -> Fault:
    def fault(world: World, rng: np.random.Generator) -> Device:
        label, layer, xs = _conv(world, rng, lambda c: c.w.shape[2] > 1)
        layer.w = np.ascontiguousarray(turn(layer.w, rng))
        return _made(world, kind, rng, "", label, layer, xs, layer.right_sums)

    return fault


def transposed(w: Array, rng: np.random.Generator) -> Array:
    return w.transpose(0, 1, 3, 2)


def flipped(w: Array, rng: np.random.Generator) -> Array:
    return w[:, :, ::-1, ::-1] if rng.integers(2) else (w[:, :, ::-1] if rng.integers(2) else w[:, :, :, ::-1])


def relaid(w: Array, rng: np.random.Generator) -> Array:
    o, i, h, width = w.shape
    if rng.integers(2):
        return np.ascontiguousarray(w.transpose(0, 2, 3, 1)).reshape(w.shape)
    return w.reshape(o, h, width, i).transpose(0, 3, 1, 2)


# -- constants ---------------------------------------------------------------------------------------------------------
def others_weights(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng)
    fits = [
        other.w
        for other in map(Convolution.of, (b for b in world.steps.values() if b.step.op == "QLinearConv"))
        if other.w.size >= layer.w.size and not np.array_equal(other.w.reshape(-1)[: layer.w.size], layer.w.reshape(-1))
    ]
    if not fits:
        raise NoEffectError
    layer.w = fits[int(rng.integers(len(fits)))].reshape(-1)[: layer.w.size].reshape(layer.w.shape)
    return _made(world, "another layer's constants", rng, "weights", label, layer, xs, layer.right_sums)


def others_bias(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng)
    fits = [
        other.bias[: layer.bias.size]
        for other in map(Convolution.of, (b for b in world.steps.values() if b.step.op == "QLinearConv"))
        if other.bias.size >= layer.bias.size and not np.array_equal(other.bias[: layer.bias.size], layer.bias)
    ]
    if not fits:
        raise NoEffectError
    bias = fits[int(rng.integers(len(fits)))]
    return _made(world, "another layer's constants", rng, "bias", label, layer, xs, layer.right_sums, bias)


def _multipliers(kind: str, which: int) -> Fault:
    """The neighbour's multiplier with the own shift, or the other way round, in plain fixed point."""

    def fault(world: World, rng: np.random.Generator) -> Device:
        if world.profile == "ort":
            raise NoEffectError  # its scales are float32
        label, layer, xs = _conv(world, rng)
        found = [
            list(fixed_point.quantize_multiplier(float(layer.x[0]) * float(s) / float(layer.y[0])))
            for s in layer.w_scale.tolist()
        ]
        numbers = [np.array([pair[i] for pair in found], np.int64) for i in (0, 1)]
        numbers[which] = np.roll(numbers[which], int(rng.choice([1, -1])))
        m, shift = (array.reshape(1, -1, 1, 1) for array in numbers)
        wrong = []
        for x in xs:
            acc = layer.right_sums(x) + layer.bias.reshape(1, -1, 1, 1)
            high, right = (acc * m + (1 << 30)) >> 31, shift - 31
            codes = (high + half(right) - ((high < 0) & (right > 0))) >> right
            wrong.append(clipped(codes + layer.y[1]))
        return world.device(kind, label, "", wrong)

    return fault


# -- zero points and operands ------------------------------------------------------------------------------------------
def zero_off(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng)
    by = int(rng.choice([1, -1]))
    kind = "zero point off by one"
    if rng.integers(2) or not -127 < layer.x[1] < 127:
        layer.y = (layer.y[0], layer.y[1] + by)
        if not -128 <= layer.y[1] <= 127:
            raise NoEffectError
        return _made(world, kind, rng, f"output {by:+d}", label, layer, xs, layer.right_sums)
    zero = layer.x[1] + by
    pad = zero if rng.integers(2) else layer.x[1]
    sums = lambda x: layer.sums(x, zero, pad, layer.pads, layer.strides)  # noqa: E731
    return _made(world, kind, rng, f"input {by:+d}", label, layer, xs, sums)


def no_output_zero(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng, lambda c: c.y[1] != 0)
    layer.y = (layer.y[0], 0)
    return _made(world, "missing output zero point", rng, "", label, layer, xs, layer.right_sums)


def _sum(world: World, label: str, operands: Callable[[Array, Array, int, int], tuple[Array, Array]]) -> list[Array]:
    """An addition of other codes than its operands'."""
    step = world.steps[label].step
    a, b, y = (_pair(operand.quant) for operand in (*step.inputs, *step.outputs))
    wrong = []
    for case in world.right:
        left, right = operands(*(case[name] for name in step.input_names), a[1], b[1])
        if world.profile == "ort":
            arguments = [left, F(a[0]), np.int8(a[1]), right, F(b[0]), np.int8(b[1]), F(y[0]), np.int8(y[1])]
            wrong.append(integers.qlinear_add(arguments, {}))
        else:
            add = _addition(world, *((float(scale), zero) for scale, zero in (a, b, y)))
            wrong.append(integers.elementwise(add, left, right))
    return wrong


def exchanged(world: World, rng: np.random.Generator) -> Device:
    """An addition or a Concat whose pointers were exchanged; of equal zero points it is the scales that were."""
    if rng.integers(2):
        label = _draw(world, rng, "QLinearAdd")
        zeros = [int(operand.quant.zero_point) for operand in world.steps[label].step.inputs]
        kind = "exchanged operands" if zeros[0] != zeros[1] else "swapped operands' scales"
        return world.device(kind, label, "", _sum(world, label, lambda a, b, *_: (b, a)))
    label = _draw(world, rng, "QLinearConcat")
    step = world.steps[label].step
    first, second = rng.choice(len(step.inputs), 2, replace=False)
    names = list(step.input_names)
    if world.right[0][names[first]].shape != world.right[0][names[second]].shape:
        raise NoEffectError
    wrong = []
    for case in world.right:
        read = {**case, names[first]: case[names[second]], names[second]: case[names[first]]}
        wrong.append(world.steps[label].evaluate(read)[step.output_names[0]])
    return world.device("exchanged operands", label, f"{first}, {second}", wrong)


def no_operand(world: World, rng: np.random.Generator) -> Device:
    label, first = _draw(world, rng, "QLinearAdd"), bool(rng.integers(2))

    def operands(a: Array, b: Array, za: int, zb: int) -> tuple[Array, Array]:
        return (np.full_like(a, za), b) if first else (a, np.full_like(b, zb))

    return world.device("missing operand", label, "", _sum(world, label, operands))


def left_shift(world: World, rng: np.random.Generator) -> Device:
    """An addition in fixed point whose operands are shifted by other bits than TFLite's 20."""
    if world.profile == "ort":
        raise NoEffectError
    label = _draw(world, rng, "QLinearAdd")
    step = world.steps[label].step
    a, b, y = (_pair(operand.quant) for operand in (*step.inputs, *step.outputs))
    knows = bool(rng.integers(2))  # where the output's multiplier does not, values are powers of two too small
    bits = int(rng.choice([0, 3, 7, 15] if knows else [17, 18, 19, 21, 22]))
    twice = 2 * max(float(a[0]), float(b[0]))
    fixed = [fixed_point.quantize_multiplier(float(q[0]) / twice) for q in (a, b)]
    out = fixed_point.quantize_multiplier(twice / ((1 << (bits if knows else 20)) * float(y[0])))

    def rescaled(value: Array, number: tuple[int, int]) -> Array:
        m, shift = number
        high = (value * m + (1 << 30)) >> 31
        right = np.int64(shift - 31)
        return (high + half(right) - ((high < 0) & (right > 0))) >> right

    wrong = []
    for case in world.right:
        left, right = (case[name].astype(np.int64) for name in step.input_names)
        total = rescaled((left - a[1]) << bits, fixed[0]) + rescaled((right - b[1]) << bits, fixed[1])
        wrong.append(clipped(rescaled(total, out) + y[1]))
    return world.device("left_shift of Add", label, f"{bits}, multipliers know: {knows}", wrong)


# -- averages ----------------------------------------------------------------------------------------------------------
def _average(world: World, rng: np.random.Generator) -> tuple[str, tuple[F, int], tuple[F, int], list[Array], int]:
    """A global average: its label, scales and zero points, the raw sums of its planes, and how many they add up."""
    label = _draw(world, rng, "QLinearGlobalAveragePool")
    step = world.steps[label].step
    planes = [case[step.input_names[0]].astype(np.int64) for case in world.right]
    sums = [plane.sum(axis=(2, 3), keepdims=True) for plane in planes]
    return label, _pair(step.inputs[0].quant), _pair(step.outputs[0].quant), sums, planes[0][0, 0].size


def truncating(world: World, rng: np.random.Generator) -> Device:
    label, x, y, sums, count = _average(world, rng)
    cut = np.trunc if rng.integers(2) else np.floor
    ratio = float(x[0]) / float(y[0])
    wrong = [clipped((cut((s - x[1] * count) * ratio / count)).astype(np.int64) + y[1]) for s in sums]
    return world.device("truncating average", label, cut.__name__, wrong)


def narrow_sums(world: World, rng: np.random.Generator) -> Device:
    label, x, y, sums, count = _average(world, rng)
    zero = x[1] if rng.integers(2) else 0
    wrong = []
    for s in sums:
        kept = (s - zero * count).astype(np.int8).astype(np.int64) + (zero - x[1]) * count
        wrong.append(_mean(world, kept, x, y, count))
    return world.device("int8 pooling sums", label, f"zero {zero}", wrong)


def _mean(world: World, sums: Array, x: tuple[F, int], y: tuple[F, int], count: int) -> Array:
    """The code of a mean of sums of codes less their zero point, as the profile has it."""
    if world.profile == "ort":
        real = sums.astype(F) * F(x[0] / F(y[0] * F(count)))
        return clipped(np.rint(real).astype(np.int64) + y[1])
    mean = fixed_point.Operators("tflite").mean((float(x[0]), x[1]), (float(y[0]), y[1]), count)
    return np.vectorize(lambda s: mean(int(s)), otypes=[np.int8])(sums)


MORE: Mapping[str, Fault] = {
    "clamp limit of another layer": clamp_of_another,
    "neighbour's multiplier": _multipliers("neighbour's multiplier", 0),
    "neighbour's shift": _multipliers("neighbour's shift", 1),
    "kernel transposed": _kernel("kernel transposed", transposed),
    "kernel flipped": _kernel("kernel flipped", flipped),
    "kernel in another layout": _kernel("kernel in another layout", relaid),
    "channels permuted": permuted_output,
    "groups of an input's channels permuted": groups_of_input,
    "exchanged operands": exchanged,
    "zero point off by one": zero_off,
    "missing output zero point": no_output_zero,
    "another layer's weights": others_weights,
    "another layer's biases": others_bias,
    "stale cache line": stale_line,
    "shifted by elements": shifted,
    "truncated": truncated,
    "another layer's tensor": other_layer,
    "missing operand": no_operand,
    "truncating average": truncating,
    "int8 pooling sums": narrow_sums,
    "left_shift of Add": left_shift,
}
#: Faults of averages over a plane: DLA-46-C's last plane of a CIFAR-10 picture has one element.
OF_AVERAGES = ("truncating average", "int8 pooling sums")
PLANTED: Mapping[str, Fault] = {**devices.FAULTS, **MORE}


def averaging(rng: np.random.Generator, cases: int) -> tuple[Model, list[dict[str, Array]]]:
    """A network whose global average is over 36 elements, and inputs of it."""
    model = load(dla(int(rng.integers(1000)), size=48))
    return model, [{"input": rng.standard_normal((1, 3, 48, 48), dtype=np.float32)} for _ in range(cases)]


def simulate(world: Callable[[], World], name: str, rng: np.random.Generator, tries: int = 200) -> Device:
    """A device with a fault that shows: layers, channels and places are drawn until it changes something."""
    for _ in range(tries):
        try:
            return {**PLANTED, **devices.CONTROLS}[name](world(), rng)
        except NoEffectError:
            continue
    raise AssertionError(f"no place found where '{name}' shows")
