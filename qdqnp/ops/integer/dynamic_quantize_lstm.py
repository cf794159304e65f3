"""com.microsoft.DynamicQuantizeLSTM: an LSTM whose weights are codes; X and the hidden state become codes in a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.errors import InputError, Problem
from qdqnp.graph import MICROSOFT, Shape, Sizes
from qdqnp.numerics import float32, mlas
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.matrix import integer_matmul
from qdqnp.ops.integer.dynamic_quantize_linear import UINT8, parameters_of
from qdqnp.ops.integer.zero_points import as_zero, numbers_of
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Operand, Step
from qdqnp.quant import EIGHT_BIT, Array, Float32

F = np.float32
DIRECTIONS = ("forward", "reverse", "bidirectional")
ACTIVATIONS = ("Sigmoid", "Tanh", "Tanh")
#: Inputs that a node may leave out: B, sequence_lens, initial_h, initial_c and P.
OPTIONAL = range(3, 8)


@dataclass(frozen=True)
class LstmAttributes:
    hidden_size: int = 0
    direction: str = "forward"
    #: The limit of what the gates' functions are given; 0 for none.
    clip: float = 0.0
    input_forget: int = 0
    activations: tuple[str, ...] = ()
    #: Which of Y, Y_h and Y_c the node makes.
    _made: tuple[int, ...] = (0, 1, 2)

    @property
    def directions(self) -> int:
        return 2 if self.direction == "bidirectional" else 1


@dataclass(frozen=True, eq=False)
class LstmWeights:
    """What one direction computes with."""

    #: Codes of the input and of the recurrence, (K, 4 H), gates in the order input, output, forget, cell.
    codes: tuple[Array, Array]
    scales: tuple[Float32, Float32]
    zeros: tuple[Array, Array]
    #: (4 H,); None where there is no bias.
    bias: Float32 | None
    #: (3, H): of the input, output and forget gate.
    peepholes: Float32 | None


class DynamicQuantizeLSTM(Operator):
    """Its inputs: X, W, R, B, sequence_lens, initial_h, initial_c, P, then scale and zero point of W and of R.

    The rows of a batch are quantized together; a session with several threads quantizes the rows of each by themselves.
    """

    op = "DynamicQuantizeLSTM"
    domain = MICROSOFT
    only = "Sigmoid and Tanh"
    example = {"hidden_size": 1}  # noqa: RUF012 - is not changed
    example_shapes = (
        *((1, 1, 1), (1, 1, 4), (1, 1, 4), (1, 8), (1,), (1, 1, 1), (1, 1, 1), (1, 3)),
        *((1,), (1,), (1,), (1,)),
    )
    arity = (12, 12)
    Attributes = LstmAttributes
    reads = ("accumulate",)
    bytes_per_element = 96

    def attributes(self, check: NodeCheck) -> LstmAttributes:
        found: LstmAttributes = super().attributes(check)
        if found.hidden_size < 1:
            check.refuse("attribute 'hidden_size'", "at least 1", found.hidden_size)
        if found.direction not in DIRECTIONS:
            check.refuse("attribute 'direction'", " or ".join(DIRECTIONS), found.direction)
        if found.clip < 0:
            check.refuse("attribute 'clip'", "at least 0", found.clip)
        if found.activations not in ((), ACTIVATIONS * found.directions):
            check.refuse("attribute 'activations'", ", ".join(ACTIVATIONS), list(found.activations))
        made = tuple(index for index, name in enumerate(check.node.outputs) if name)
        return LstmAttributes(
            found.hidden_size, found.direction, found.clip, found.input_forget, found.activations, made
        )

    def infer(self, check: NodeCheck, attributes: LstmAttributes) -> Inferred:
        check.dtype_in(0, (np.float32,), "X")
        check.rank_in(0, (3,), "X")
        check.dtype_in(1, EIGHT_BIT, "W")
        check.dtype_in(2, (check.value(1).dtype,), "R")
        for index, (what, allowed) in enumerate(_wanted(attributes, check.value(0).shape), 1):
            if not check.given(index) and index in OPTIONAL:
                continue
            kind = {1: None, 2: None, 4: np.int32, 9: check.value(1).dtype, 11: check.value(2).dtype}.get(index, F)
            if kind is not None:
                check.dtype_in(index, (kind,), what)
            if not any(_fit(check.value(index).shape, shape) for shape in allowed):
                expected = " or ".join(str(list(shape)) for shape in allowed)
                check.refuse(f"input {index} ({what})", f"shape {expected}", list(check.value(index).shape))
        return tuple((FLOAT32, shape) for shape in _outputs(attributes, check.value(0).shape))

    def step(self, check: NodeCheck, attributes: LstmAttributes) -> Step:
        inputs = tuple(Operand(name) if name else None for name in check.node.inputs)
        outputs = tuple(Operand(name) for name in check.node.outputs if name)
        return self.make_step(check, attributes, inputs, outputs)

    def shapes(self, attributes: LstmAttributes, x: Shape, *others: Any) -> tuple[Shape, ...]:
        for found, (what, allowed) in zip(others, _wanted(attributes, x), strict=False):
            if found is not None and not any(_fit(found, shape) for shape in allowed):
                expected = " or ".join(str(list(shape)) for shape in allowed)
                raise ShapeError(f"{what} of shape {expected} beside X of shape {list(x)}", str(list(found)))
        made = _outputs(attributes, x)
        return tuple(made[index] for index in attributes._made)

    def macs(self, attributes: LstmAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        steps, batch, inner = inputs[0]
        gates = 4 * attributes.hidden_size * attributes.directions
        return steps * batch * gates * (inner + attributes.hidden_size)

    def work(self, attributes: LstmAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        """Count the gates, and the weights again for each step, which takes a thousand elements to set up."""
        steps, batch, _ = inputs[0]
        gates = 8 * attributes.hidden_size * attributes.directions
        return steps * (batch * gates + 1000) + math.prod(inputs[0]) + math.prod(inputs[1]) + math.prod(inputs[2])

    def compute(
        self,
        binding: Binding,
        x: Float32,
        w: Array,
        r: Array,
        b: Float32 | None,
        lengths: Array | None,
        h: Float32 | None,
        c: Float32 | None,
        p: Float32 | None,
        w_scale: Float32,
        w_zero: Array,
        r_scale: Float32,
        r_zero: Array,
    ) -> tuple[Array, ...]:
        """Compute the outputs that the node makes.

        Raises InputError where a sequence is longer than X, or has a negative length.
        """
        attributes: LstmAttributes = binding.step.attributes
        steps, batch, _ = x.shape
        size, count = attributes.hidden_size, attributes.directions
        ends = np.full(batch, steps) if lengths is None else lengths.astype(np.int64)
        if ((ends < 0) | (ends > steps)).any():
            problem = Problem("sequence_lens", f"0 to {steps}", f"{int(ends.min())} to {int(ends.max())}")
            raise InputError("a sequence has another length than X", [problem])
        y, last_h, last_c = (np.zeros(shape, F) for shape in ((steps, count, batch, size), *[(count, batch, size)] * 2))
        for at in range(count):
            bias = None if b is None else b[at, : 4 * size] + b[at, 4 * size :]
            peepholes = None if p is None else p[at].reshape(3, size)
            scales, zeros = (w_scale[at], r_scale[at]), (as_zero(w_zero[at]), as_zero(r_zero[at]))
            weights = LstmWeights((w[at], r[at]), scales, zeros, bias, peepholes)
            state = tuple(np.zeros((batch, size), F) if start is None else start[at] for start in (h, c))
            backwards = attributes.direction == "reverse" or at == 1
            given = _reversed(x, ends) if backwards else x
            made, last_c[at] = self._direction(binding, weights, given, ends, state)
            some = ends > 0
            last_h[at, some] = made[ends[some] - 1, np.flatnonzero(some)]
            y[:, at] = _reversed(made, ends) if backwards else made
        return tuple((y, last_h, last_c)[index] for index in attributes._made)

    def _direction(
        self, binding: Binding, weights: LstmWeights, x: Float32, ends: Array, state: tuple[Float32, ...]
    ) -> tuple[Float32, Float32]:
        """Return the hidden state of every step, 0 behind the end of a sequence, and the last cells, (batch, H).

        Behind the end the hidden state is quantized with the others: as 0, or as it was last where Y is not made.
        """
        attributes: LstmAttributes = binding.step.attributes
        steps, (batch, size) = int(ends.max(initial=0)), state[0].shape
        made = np.zeros((len(x), batch, size), F)
        last = np.zeros((batch, size), F)
        rows = x[:steps].reshape(steps * batch, x.shape[2])
        given = _product(binding, rows, weights, 0).reshape(steps, batch, 4 * size)
        hidden, cells = state
        for step in range(steps):
            gates = _product(binding, hidden, weights, 1) + given[step]
            found, new = _gates(attributes, weights, gates, cells)
            live = (step < ends)[:, None]
            cells = np.where(live, new, cells)
            made[step] = np.where(live, found, F(0))
            hidden = made[step] if 0 in attributes._made else np.where(live, found, hidden)
            last[step + 1 == ends] = cells[step + 1 == ends]
        return made, last

    def origin(self, step: Step, output: int, index: Index, *inputs: Array | None) -> Any:
        """Return all of X, whose range decides its scale, and all that belongs to the direction."""
        x, w, r, b, lengths, h, c, p, *scales = inputs
        direction = index[1] if step.attributes._made[output] == 0 else index[0]
        own = [None if array is None else array[direction] for array in (w, r, b, h, c, p, *scales)]
        return numbers_of(x, lengths, *own)

    def doubt(self, binding: Binding) -> str:
        if 0 not in binding.step.attributes._made and binding.step.inputs[4] is not None:
            return "where Y is not made, ONNX Runtime quantizes what memory holds with sequences of no steps"
        return binding.profile.float_sum.doubt(False)


def _wanted(attributes: LstmAttributes, x: Shape) -> list[tuple[str, tuple[Shape, ...]]]:
    """Return name and allowed shapes of each input behind X."""
    size, count = attributes.hidden_size, attributes.directions
    batch, inner = x[1:]
    several: tuple[Shape, ...] = ((count,), (count, 4 * size))
    return [
        ("W", ((count, inner, 4 * size),)),
        ("R", ((count, size, 4 * size),)),
        ("B", ((count, 8 * size),)),
        ("sequence_lens", ((batch,),)),
        ("initial_h", ((count, batch, size),)),
        ("initial_c", ((count, batch, size),)),
        ("P", ((count, 3 * size),)),
        ("W_scale", several),
        ("W_zero_point", several),
        ("R_scale", several),
        ("R_zero_point", several),
    ]


def _fit(found: Shape, wanted: Shape) -> bool:
    """Tell whether two shapes may be the same; sizes that are not known fit all."""
    pairs = zip(found, wanted, strict=False)
    return len(found) == len(wanted) and all(
        one == other or not isinstance(one, int) or not isinstance(other, int) for one, other in pairs
    )


def _outputs(attributes: LstmAttributes, x: Shape) -> tuple[Shape, Shape, Shape]:
    """Return the shapes of Y, Y_h and Y_c."""
    steps, batch, _ = x
    last = (attributes.directions, batch, attributes.hidden_size)
    return (steps, attributes.directions, batch, attributes.hidden_size), last, last


def _reversed(x: Array, ends: Array) -> Array:
    """Turn each sequence around within its length, (steps, batch, n)."""
    steps = np.arange(len(x))[:, None]
    order = np.where(steps < ends, ends - 1 - steps, steps)
    return np.take_along_axis(x, order[..., None], axis=0)


def _product(binding: Binding, rows: Float32, weights: LstmWeights, which: int) -> Float32:
    """Quantize rows by their common range, and multiply them by the weights of the input (0) or recurrence (1)."""
    scale, zero = parameters_of(rows)
    codes = float32.quantize(rows, scale, zero, UINT8)
    sums = integer_matmul(codes, weights.codes[which], as_zero(zero), weights.zeros[which], binding.profile.accumulate)
    return np.asarray(sums.astype(F) * (scale * weights.scales[which]))


def _gates(attributes: LstmAttributes, weights: LstmWeights, gates: Float32, cells: Float32) -> tuple[Float32, Float32]:
    """Return the new hidden state and the new cells; each operation is rounded to float32.

    Source: ONNX Runtime 1.32, core/providers/cpu/rnn/uni_directional_lstm.cc (GateComputations).
    """
    size = attributes.hidden_size
    peepholes = weights.peepholes

    def gate(at: int, seen: Float32 | None) -> Float32:
        """Return what the function of a gate is given; seen: the cells that it looks at through its peephole."""
        value = gates[:, at * size : (at + 1) * size]
        if peepholes is not None and seen is not None:
            value = value + seen * peepholes[at]
        if weights.bias is not None:
            value = value + weights.bias[at * size : (at + 1) * size]
        return np.clip(value, -F(attributes.clip), F(attributes.clip)) if attributes.clip else value

    taken = mlas.sigmoid(gate(0, cells))
    kept = F(1) - taken if attributes.input_forget else mlas.sigmoid(gate(2, cells))
    new = cells * kept + taken * mlas.tanh(gate(3, None))
    return np.asarray(mlas.tanh(new) * mlas.sigmoid(gate(1, new))), np.asarray(new)
