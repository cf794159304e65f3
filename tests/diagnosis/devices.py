"""Simulated devices: a network whose one layer is wrong in one way, computed in plain NumPy from the definitions.

Nothing here uses qdqnp's recognizers, rules or kernels for the wrong layer: its sums, its rounding and its fault are
written again, so that a recognizer cannot agree with itself. The other layers are the engine's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.executor.plan import BoundStep
from qdqnp.executor.walk import walk
from qdqnp.model import Model, feeds_for
from tests.oracles import fixed_point, integers

Array = np.ndarray[Any, Any]
Codes = dict[str, Array]
F = np.float32
LAST_ROUNDING = {
    "half-away": lambda v, s: (v + half(s) - ((v < 0) & (s > 0))) >> s,
    "half-up": lambda v, s: (v + half(s)) >> s,
    "half-even": lambda v, s: np.rint(v / 2.0**s).astype(np.int64),
    "truncate": lambda v, s: np.sign(v) * (np.abs(v) >> s),
    "floor": lambda v, s: v >> s,
}
FLOAT_ROUNDING = {"half-even": np.rint, "truncate": np.trunc, "floor": np.floor}


def half(shift: Array) -> Array:
    return np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)


class NoEffectError(Exception):
    """The fault changes nothing here, or cannot occur in this layer: draw again."""


@dataclass
class Convolution:
    """A QLinearConv as numbers. pads: (top, left, bottom, right)."""

    w: Array
    bias: Array
    x: tuple[F, int]
    w_scale: Array
    y: tuple[F, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    group: int
    #: The weights as a compiler saw them.
    compiled: Array

    @classmethod
    def of(cls, bound: BoundStep) -> Convolution:
        step = bound.step
        x, w, b = step.inputs
        weights, a = bound.consts[w.name].astype(np.int64), step.attributes
        scales = np.broadcast_to(w.quant.scale, (weights.shape[0],)).astype(F)
        assert not w.quant.zero_point.any()
        top, left, bottom, right = a.pads or (0, 0, 0, 0)
        return cls(
            weights,
            bound.consts[b.name].astype(np.int64),
            _pair(x.quant),
            scales,
            _pair(step.outputs[0].quant),
            tuple(a.strides or (1, 1)),
            (top, left, bottom, right),
            a.group,
            weights,
        )

    def sums(self, x: Array, zero: int, pad: int, pads: Sequence[int], strides: Sequence[int]) -> Array:
        """Sums of w * (x - zero) with code `pad` around the image, no bias; a negative pad cuts off."""
        x = _padded(x.astype(np.int64), pads, pad) - zero
        out_channels, per_group, rows, columns = self.w.shape
        height, width = ((x.shape[2 + i] - k) // strides[i] + 1 for i, k in enumerate((rows, columns)))
        made = np.zeros((x.shape[0], out_channels, height, width), np.int64)
        each = out_channels // self.group
        for g in range(self.group):
            inner, outer = slice(g * per_group, (g + 1) * per_group), slice(g * each, (g + 1) * each)
            for i in range(rows):
                for j in range(columns):
                    tap = x[:, inner, i : i + strides[0] * height : strides[0], j : j + strides[1] * width : strides[1]]
                    made[:, outer] += np.einsum("nchw,mc->nmhw", tap, self.w[outer, :, i, j])
        return made

    def right_sums(self, x: Array) -> Array:
        return self.sums(x, self.x[1], self.x[1], self.pads, self.strides)


def _padded(x: Array, pads: Sequence[int], value: int) -> Array:
    top, left, bottom, right = pads
    x = x[:, :, max(0, -top) : x.shape[2] - max(0, -bottom), max(0, -left) : x.shape[3] - max(0, -right)]
    grow = ((0, 0), (0, 0), (max(0, top), max(0, bottom)), (max(0, left), max(0, right)))
    return np.pad(x, grow, constant_values=value)


def _pair(quant: Any) -> tuple[F, int]:
    return F(quant.scale), int(quant.zero_point)


def requantized(
    layer: Convolution,
    sums: Array,
    profile: str,
    bias: Array | None = None,
    rounding: str = "",
    scales: Array | None = None,
    register: Callable[[Array], Array] = lambda acc: acc,
) -> Array:
    """Codes that are not clipped yet, int64.

    rounding: another than the profile's last one, or Neural-ART's first.
    register: what the register of the accumulator keeps.
    """
    w_scale, bias = layer.w_scale if scales is None else scales, layer.bias if bias is None else bias
    if profile == "neural-art":
        return narrowed(layer, register(sums), bias, rounding or "half-up", w_scale)
    acc = register(sums + bias.reshape(1, -1, 1, 1))
    if profile == "ort":
        multiplier = F(F(layer.x[0]) * w_scale) / F(layer.y[0])
        real = acc.astype(F) * multiplier.astype(F).reshape(1, -1, 1, 1)
        return FLOAT_ROUNDING[rounding or "half-even"](real).astype(np.int64) + layer.y[1]
    pairs = [
        fixed_point.quantize_multiplier(float(layer.x[0]) * float(s) / float(layer.y[0])) for s in w_scale.tolist()
    ]
    m, shift = (np.array([pair[i] for pair in pairs], np.int64).reshape(1, -1, 1, 1) for i in (0, 1))
    assert (shift >= 31).all()
    high = (acc * m + (1 << 30)) >> 31
    return LAST_ROUNDING[rounding or "half-away"](high, shift - 31) + layer.y[1]


def narrowed(layer: Convolution, sums: Array, bias: Array, rounding: str, w_scale: Array) -> Array:
    """The same as a Neural-ART has it: rounded to 16 bits, then by A and BC, which has the bias and the zero point."""
    weights = layer.compiled.reshape(len(layer.w), -1).tolist()
    scales = float(layer.x[0]), [float(s) for s in w_scale.tolist()], float(layer.y[0])
    s1, s2, a, bc = fixed_point.neural_art_parameters(weights, scales, bias.tolist(), layer.y[1])
    x16 = np.clip(LAST_ROUNDING[rounding](sums, np.int64(s1)), -(2**15), 2**15 - 1)
    wide = x16 * np.array(a).reshape(1, -1, 1, 1) + np.array(bc).reshape(1, -1, 1, 1)
    return LAST_ROUNDING["half-up"](wide, np.int64(s2))


def clipped(codes: Array) -> Array:
    return np.clip(codes, -128, 127).astype(np.int8)


# -- a device --------------------------------------------------------------------------------------------------------
@dataclass
class Device:
    """What was simulated. dump: by tensor name, one array for each case."""

    kind: str
    layer: str
    tensor: str
    detail: str
    dump: dict[str, list[Array]]


class World:
    """A network, a profile and some inputs; the right tensors of each case."""

    def __init__(self, model: Model, profile: str, feeds: Sequence[Mapping[str, Array]]) -> None:
        self.model, self.profile, self.feeds = model, profile, feeds
        #: In which order its buffers lie: 'nchw' or 'nhwc'.
        self.memory = "nchw"
        self.plan = model.plan(profile)
        self.given = [feeds_for(self.plan, case) for case in feeds]
        self.right = [{**given, **walk(self.plan, given, None)} for given in self.given]
        self.steps = {bound.step.label: bound for bound in self.plan.steps}

    def device(
        self,
        kind: str,
        label: str,
        detail: str,
        wrong: list[Array],
        in_dump_only: bool = False,
        shown: list[Array] | None = None,
    ) -> Device:
        """A device whose layer makes `wrong`, one array for each case. in_dump_only: it goes on with the right
        values. shown: what its dump holds instead of the codes it goes on with."""
        name = self.steps[label].step.output_names[0]
        if all(np.array_equal(a, case[name]) for a, case in zip(shown or wrong, self.right, strict=True)):
            raise NoEffectError
        tensors: list[Codes] = []
        for given, right, codes in zip(self.given, self.right, wrong, strict=True):
            values = dict(right) if in_dump_only else walk(self.plan, {**given, name: codes}, None)
            tensors.append({**values, name: codes})
        for index, array in enumerate(shown or ()):
            tensors[index][name] = array
        names = [n for n in self.right[0] if n not in self.plan.program.inputs]
        return Device(kind, label, name, detail, {n: [case[n] for case in tensors] for n in names})


Fault = Callable[[World, np.random.Generator], Device]


def _draw(world: World, rng: np.random.Generator, op: str, fits: Callable[[BoundStep], bool] = lambda _: True) -> str:
    labels = [label for label, bound in world.steps.items() if bound.step.op == op and fits(bound)]
    if not labels:
        raise NoEffectError
    return str(rng.choice(labels))


def _conv(
    world: World, rng: np.random.Generator, fits: Callable[[Convolution], bool] = lambda _: True
) -> tuple[str, Convolution, list[Array]]:
    label = _draw(world, rng, "QLinearConv", lambda bound: fits(Convolution.of(bound)))
    bound = world.steps[label]
    return label, Convolution.of(bound), [case[bound.step.input_names[0]] for case in world.right]


def _made(
    world: World,
    kind: str,
    rng: np.random.Generator,
    detail: str,
    label: str,
    layer: Convolution,
    xs: list[Array],
    sums: Callable[[Array], Array],
    bias: Array | None = None,
    **options: Any,
) -> Device:
    """A device whose convolution has other sums, another bias, or another requantization."""
    wrong = [clipped(requantized(layer, sums(x), world.profile, bias, **options)) for x in xs]
    return world.device(kind, label, detail, wrong)


# -- the faults --------------------------------------------------------------------------------------------------------
def flipped_bit(world: World, rng: np.random.Generator) -> Device:
    kind = "one flipped bit"
    if rng.random() < 0.5:
        label, layer, xs = _conv(world, rng)
        index, bit = int(rng.integers(layer.w.size)), int(rng.integers(8))
        flipped = layer.w.astype(np.int8).reshape(-1).copy()
        flipped.view(np.uint8)[index] ^= np.uint8(1 << bit)
        layer.w = flipped.reshape(layer.w.shape).astype(np.int64)
        return _made(world, kind, rng, f"weight, bit {bit}", label, layer, xs, layer.right_sums)
    label = str(rng.choice([k for k, b in world.steps.items() if b.step.op.startswith("QLinear")]))
    name = world.steps[label].step.output_names[0]
    case = int(rng.integers(len(world.right)))
    wrong = [right[name].copy() for right in world.right]
    index, bit = int(rng.integers(wrong[case].size)), int(rng.integers(8))
    wrong[case].reshape(-1).view(np.uint8)[index] ^= np.uint8(1 << bit)
    return world.device(kind, label, f"tensor, bit {bit}", wrong, bool(rng.integers(2)))


def one_bias(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng)
    channel = int(rng.integers(len(layer.bias)))
    bias = layer.bias.copy()
    bias[channel] = 0
    return _made(
        world,
        "one channel's bias dropped",
        rng,
        f"channel {channel}",
        label,
        layer,
        xs,
        layer.right_sums,
        bias,
    )


def all_biases(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng)
    none = np.zeros_like(layer.bias)
    return _made(world, "all biases dropped", rng, "", label, layer, xs, layer.right_sums, none)


def neighbours_bias(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng)
    moved = np.roll(layer.bias, int(rng.choice([1, -1])))
    if rng.random() < 0.5:
        channel = int(rng.integers(len(moved)))
        bias, detail = layer.bias.copy(), f"channel {channel}"
        bias[channel] = moved[channel]
    else:
        bias, detail = moved, "all"
    return _made(world, "neighbour's bias", rng, detail, label, layer, xs, layer.right_sums, bias)


def per_tensor_scale(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng)
    scale = layer.w_scale[0] if rng.random() < 0.5 else layer.w_scale.max()
    return _made(
        world,
        "per-tensor for per-channel scale",
        rng,
        f"{scale}",
        label,
        layer,
        xs,
        layer.right_sums,
        scales=np.full_like(layer.w_scale, scale),
    )


def wrong_tie(world: World, rng: np.random.Generator) -> Device:
    if world.profile == "ort":
        raise NoEffectError  # a float32 product is almost never an exact half
    label, layer, xs = _conv(world, rng)
    other = "half-away" if world.profile == "neural-art" else "half-up"
    tie = str(rng.choice([other, "half-even"]))
    return _made(
        world,
        "wrong tie rule",
        rng,
        tie,
        label,
        layer,
        xs,
        layer.right_sums,
        rounding=tie,
    )


def truncation(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng)
    how = str(rng.choice(["truncate", "floor"]))
    return _made(
        world,
        "truncation instead of rounding",
        rng,
        how,
        label,
        layer,
        xs,
        layer.right_sums,
        rounding=how,
    )


def no_zero_point(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng, lambda c: c.x[1] != 0)
    pad = layer.x[1] if rng.random() < 0.5 else 0
    return _made(
        world,
        "missing input zero point",
        rng,
        f"padding {pad}",
        label,
        layer,
        xs,
        lambda x: layer.sums(x, 0, pad, layer.pads, layer.strides),
    )


def pad_zero(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng, lambda c: any(c.pads) and c.x[1] != 0)
    return _made(
        world,
        "padding with 0",
        rng,
        "",
        label,
        layer,
        xs,
        lambda x: layer.sums(x, layer.x[1], 0, layer.pads, layer.strides),
    )


def pad_off(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng, lambda c: any(c.pads))
    dy, dx = [(1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, -1)][int(rng.integers(6))]
    top, left, bottom, right = layer.pads
    pads = (top + dy, left + dx, bottom - dy, right - dx)
    return _made(
        world,
        "padding off by one",
        rng,
        f"{pads}",
        label,
        layer,
        xs,
        lambda x: layer.sums(x, layer.x[1], layer.x[1], pads, layer.strides),
    )


def stride_one(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng, lambda c: c.strides == (2, 2))
    height, width = world.right[0][world.steps[label].step.output_names[0]].shape[2:]
    return _made(
        world,
        "stride 1 in place of another",
        rng,
        "",
        label,
        layer,
        xs,
        lambda x: layer.sums(x, layer.x[1], layer.x[1], layer.pads, (1, 1))[:, :, :height, :width],
    )


def swapped_scales(world: World, rng: np.random.Generator) -> Device:
    label = _draw(world, rng, "QLinearAdd")
    step = world.steps[label].step
    a, b, y = (_pair(operand.quant) for operand in (*step.inputs, *step.outputs))
    wrong = []
    for case in world.right:
        left, right = (case[name] for name in step.input_names)
        if world.profile == "ort":
            wrong.append(
                integers.qlinear_add(
                    [left, F(b[0]), np.int8(a[1]), right, F(a[0]), np.int8(b[1]), F(y[0]), np.int8(y[1])], {}
                )
            )
        else:
            one, other, out = ((float(b[0]), a[1]), (float(a[0]), b[1]), (float(y[0]), y[1]))
            add = _addition(world, one, other, out)
            wrong.append(integers.elementwise(add, left, right))
    return world.device("swapped operands' scales", label, "", wrong)


def _addition(world: World, *scales: tuple[float, int]) -> Callable[[int, int], int]:
    if world.profile == "neural-art":
        return fixed_point.neural_art_add(*scales)
    return fixed_point.Operators("tflite").add(*scales)


def no_rescale(world: World, rng: np.random.Generator) -> Device:
    label = _draw(world, rng, "QLinearConcat")
    step = world.steps[label].step
    y = _pair(step.outputs[0].quant)
    if all(_pair(operand.quant) == y for operand in step.inputs):
        raise NoEffectError
    wrong = [np.concatenate([case[name] for name in step.input_names], axis=1) for case in world.right]
    return world.device("missing Concat rescale", label, "", wrong)


def no_clamp(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng)
    wide = [requantized(layer, layer.right_sums(x), world.profile) for x in xs]
    if layer.y[1] == -128 and not any((codes > 127).any() for codes in wide):
        raise NoEffectError  # with only the lower clamp missing it is the ReLU that is missing
    return world.device("missing clamp", label, "", [codes.astype(np.int8) for codes in wide])


def narrow_accumulator(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng)
    how = str(rng.choice(["wraps", "saturates"]))

    def register(acc: Array) -> Array:
        return acc.astype(np.int16).astype(np.int64) if how == "wraps" else np.clip(acc, -(2**15), 2**15 - 1)

    return _made(world, "16-bit accumulator", rng, how, label, layer, xs, layer.right_sums, register=register)


def no_relu(world: World, rng: np.random.Generator) -> Device:
    label, layer, xs = _conv(world, rng, lambda c: c.y[1] == -128)
    wide = [requantized(layer, layer.right_sums(x), world.profile) for x in xs]
    wrapped = [np.minimum(codes, 127).astype(np.int8) for codes in wide]
    if rng.random() < 0.5:
        return world.device("ReLU missing", label, "wrapped", wrapped)
    real = [((np.minimum(codes, 127) - layer.y[1]) * F(layer.y[0])).astype(F) for codes in wide]
    return world.device(
        "ReLU missing", label, "real values", [np.clip(c, -128, 127).astype(np.int8) for c in wide], shown=real
    )


def _any_tensor(world: World, rng: np.random.Generator, fits: Callable[[Array], bool] = lambda _: True) -> str:
    labels = [
        label
        for label, bound in world.steps.items()
        if bound.step.op.startswith(("QLinear", "MaxPool")) and fits(world.right[0][bound.step.output_names[0]])
    ]
    return str(rng.choice(labels))


def _changed(world: World, rng: np.random.Generator, kind: str, label: str, change: Callable[[Array], Array]) -> Device:
    """A buffer that is read wrongly by whoever dumps it, or by the layers that follow too."""
    name = world.steps[label].step.output_names[0]
    in_dump_only = bool(rng.integers(2))
    wrong = [change(case[name]) for case in world.right]
    return world.device(kind, label, "in the dump only" if in_dump_only else "", wrong, in_dump_only)


def nhwc(world: World, rng: np.random.Generator) -> Device:
    label = _any_tensor(world, rng, lambda a: a.ndim == 4 and a.shape[2] > 1)

    def change(a: Array) -> Array:
        n, c, h, w = a.shape
        if world.memory == "nchw":
            return np.ascontiguousarray(a.transpose(0, 2, 3, 1)).reshape(a.shape)
        return np.ascontiguousarray(a.reshape(n, h, w, c).transpose(0, 3, 1, 2))

    return _changed(world, rng, "NCHW against NHWC", label, change)


def stale(world: World, rng: np.random.Generator) -> Device:
    label = _any_tensor(world, rng)
    name = world.steps[label].step.output_names[0]
    case = int(rng.integers(1, len(world.right)))
    wrong = [right[name] for right in world.right]
    wrong[case] = wrong[case - 1]
    return world.device("stale: another input's tensor", label, f"case {case}", wrong, bool(rng.integers(2)))


def row_shifted(world: World, rng: np.random.Generator) -> Device:
    label = _any_tensor(world, rng, lambda a: a.ndim == 4 and a.shape[2] > 2)
    by = int(rng.choice([1, -1]))
    fill = str(rng.choice(["wrapped", "repeated", "zero"]))

    def change(array: Array) -> Array:
        made = np.roll(array, by, axis=2)
        edge = 0 if by == 1 else -1
        if fill == "repeated":
            made[:, :, edge] = array[:, :, edge]
        elif fill == "zero":
            made[:, :, edge] = 0
        return made

    return _changed(world, rng, "row shifted", label, change)


def signedness(world: World, rng: np.random.Generator) -> Device:
    label = _any_tensor(world, rng)
    return _changed(
        world,
        rng,
        "signed against unsigned",
        label,
        lambda a: (a.astype(np.int16) + 128).astype(np.uint8).view(np.int8),
    )


def aliased_operand(world: World, rng: np.random.Generator) -> Device:
    """An addition both of whose pointers lead to one buffer."""
    label = _draw(world, rng, "QLinearAdd")
    step = world.steps[label].step
    a, b, y = (_pair(operand.quant) for operand in (*step.inputs, *step.outputs))
    held = int(rng.integers(2))
    wrong = []
    for case in world.right:
        codes = case[step.input_names[held]]
        if world.profile == "ort":
            arguments = [codes, F(a[0]), np.int8(a[1]), codes, F(b[0]), np.int8(b[1]), F(y[0]), np.int8(y[1])]
            wrong.append(integers.qlinear_add(arguments, {}))
        else:
            add = _addition(world, *((float(scale), zero) for scale, zero in (a, b, y)))
            wrong.append(integers.elementwise(add, codes, codes))
    return world.device("aliased operand", label, f"input {held} for both", wrong)


def wrong_clamp(world: World, rng: np.random.Generator) -> Device:
    """Bounds as of another activation: a tenth of the codes or more lies beyond."""
    label = _any_tensor(world, rng)
    name = world.steps[label].step.output_names[0]
    codes = np.concatenate([case[name].reshape(-1) for case in world.right])
    bound = int(np.quantile(codes, rng.choice([0.2, 0.9])))
    lower = bound <= np.median(codes)
    if bound in (codes.min(), codes.max()):
        raise NoEffectError
    return _changed(
        world,
        rng,
        "wrong clamp",
        label,
        lambda a: np.maximum(a, np.int8(bound)) if lower else np.minimum(a, np.int8(bound)),
    )


def part_copied(world: World, rng: np.random.Generator) -> Device:
    """Half of the channels, or one row, hold the values of others."""
    label = _any_tensor(world, rng, lambda a: a.ndim == 4 and a.shape[1] > 3 and a.shape[2] > 3)
    axis = int(rng.choice([1, 2]))

    def change(array: Array) -> Array:
        made, size = array.copy(), array.shape[axis]
        count = size // 2 if axis == 1 else 1
        to, start = [slice(None)] * 4, [slice(None)] * 4
        to[axis], start[axis] = slice(size // 2, size // 2 + count), slice(size // 2 - count, size // 2)
        made[tuple(to)] = array[tuple(start)]
        return made

    return _changed(world, rng, "a part holds another part", label, change)


def off_by_one(world: World, rng: np.random.Generator) -> Device:
    """No fault of the list: one element of one case that is off by one, wherever it lies."""
    label = _any_tensor(world, rng)
    name = world.steps[label].step.output_names[0]
    wrong = [case[name].copy() for case in world.right]
    element = wrong[int(rng.integers(len(wrong)))].reshape(-1)
    at = int(rng.integers(element.size))
    element[at] += 1 if element[at] < 127 and (rng.random() < 0.5 or element[at] == -128) else -1
    return world.device("one element off by one", label, "", wrong, bool(rng.integers(2)))


def other_bias(world: World, rng: np.random.Generator) -> Device:
    """No fault of the list: one channel's bias is larger by any number of up to 3,000."""
    label, layer, xs = _conv(world, rng)
    bias, added = layer.bias.copy(), int(rng.integers(50, 3000))
    bias[int(rng.integers(len(bias)))] += added

    return _made(world, "one bias of another value", rng, f"{added:+d}", label, layer, xs, layer.right_sums, bias)


FAULTS: Mapping[str, Fault] = {
    "one flipped bit": flipped_bit,
    "one channel's bias dropped": one_bias,
    "all biases dropped": all_biases,
    "neighbour's bias": neighbours_bias,
    "per-tensor for per-channel scale": per_tensor_scale,
    "wrong tie rule": wrong_tie,
    "truncation instead of rounding": truncation,
    "missing input zero point": no_zero_point,
    "padding with 0": pad_zero,
    "padding off by one": pad_off,
    "stride 1 in place of another": stride_one,
    "swapped operands' scales": swapped_scales,
    "missing Concat rescale": no_rescale,
    "missing clamp": no_clamp,
    "16-bit accumulator": narrow_accumulator,
    "ReLU missing": no_relu,
    "NCHW against NHWC": nhwc,
    "stale: another input's tensor": stale,
    "row shifted": row_shifted,
    "signed against unsigned": signedness,
    "aliased operand": aliased_operand,
    "wrong clamp": wrong_clamp,
    "a part holds another part": part_copied,
}


#: Devices whose one wrong layer has none of the faults.
CONTROLS: Mapping[str, Fault] = {"one element off by one": off_by_one, "one bias of another value": other_bias}
