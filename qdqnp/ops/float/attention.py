"""Attention in float32: scores of queries and keys, their Softmax, and what it takes of the values, head by head.

Source: ONNX Runtime 1.32, core/providers/cpu/llm/{attention.cc,attention_helper.h}.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.graph import Dim, Shape, Sizes
from qdqnp.numerics.questions.sums import Index
from qdqnp.numerics.rules.float_sum import FloatSumRule, GemmCall
from qdqnp.ops.geometry.broadcast import may_equal
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array, Float32

F = np.float32
#: What is added to the score of a position that is masked: the lowest number.
MASKED = np.finfo(F).min
#: What output 3 shows: scores, scores within the softcap, those with the mask, their Softmax.
SCORES, CAPPED, WITH_MASK, CHANCES = range(4)
#: The places of the inputs behind Q, K and V, and of output 3.
MASK, PAST_KEY, PAST_VALUE, LENGTHS = range(3, 7)
SHOWN = 3


@dataclass(frozen=True)
class AttentionAttributes:
    is_causal: int = 0
    q_num_heads: int = 0
    kv_num_heads: int = 0
    #: The factor of scores; 0 stands for 1 / sqrt(head size).
    scale: float = 0.0
    #: Scores become softcap * tanh(score / softcap); 0 stands for none.
    softcap: float = 0.0
    qk_matmul_output_mode: int = SCORES
    #: Which of the possible outputs the node has.
    _kept: tuple[int, ...] = (0,)


class Attention(Operator):
    """Its inputs: Q, K, V, mask, past key, past value, and the lengths of keys and values in each batch."""

    op = "Attention"
    only = "a mask of all positions"
    arity = (3, 7)
    Attributes = AttentionAttributes
    ignored = frozenset({"softmax_precision"})
    example = {"q_num_heads": 1, "kv_num_heads": 1}  # noqa: RUF012 - is not changed
    example_shapes = ((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1), (1, 1, 0, 1), (1, 1, 0, 1))
    reads = ("float_sum",)
    bytes_per_element = 64

    def attributes(self, check: NodeCheck) -> AttentionAttributes:
        kept = tuple(number for number, name in enumerate(check.node.outputs) if name)
        found: AttentionAttributes = replace(super().attributes(check), _kept=kept)
        if "scale" in check.node.attributes and not found.scale > 0:
            check.refuse("attribute 'scale'", "more than 0", found.scale)
        if found.qk_matmul_output_mode not in range(4):
            check.refuse("attribute 'qk_matmul_output_mode'", "0, 1, 2 or 3", found.qk_matmul_output_mode)
        for name in ("q_num_heads", "kv_num_heads"):
            if getattr(found, name) < 0:
                check.refuse(f"attribute '{name}'", "at least 0", getattr(found, name))
        return found

    def infer(self, check: NodeCheck, attributes: AttentionAttributes) -> Inferred:
        rank = check.rank_in(0, (3, 4), "Q")
        for index, what in enumerate(("Q", "K", "V")):
            check.dtype_in(index, (np.float32,), what)
            check.rank_in(index, (rank,), what)
        if rank == 3 and not (attributes.q_num_heads and attributes.kv_num_heads):
            check.refuse("attributes", "q_num_heads and kv_num_heads, as Q has rank 3", "one of them at most")
        if check.given(MASK):
            check.dtype_in(MASK, (np.float32, np.bool_), "attn_mask")
            check.rank_in(MASK, (2, 3, 4), "attn_mask")
        if check.given(PAST_KEY) != check.given(PAST_VALUE):
            check.refuse("inputs", "past_key and past_value together", "one of them")
        for index, what in ((PAST_KEY, "past_key"), (PAST_VALUE, "past_value")):
            if check.given(index):
                check.dtype_in(index, (np.float32,), what)
                check.rank_in(index, (4,), what)
        if check.given(PAST_KEY) and not {1, 2} <= set(attributes._kept):
            check.refuse("outputs", "present_key and present_value, as there is a past", "not both")
        if check.given(LENGTHS):
            check.dtype_in(LENGTHS, (np.int64,), "nonpad_kv_seqlen")
            if check.given(PAST_KEY):
                check.refuse("input 6 (nonpad_kv_seqlen)", "none, as there is a past", "a tensor")
        given = (check.value(index).shape if check.given(index) else None for index in range(7))
        return tuple((FLOAT32, shape) for shape in self._all_shapes(attributes, *given))

    def shapes(self, attributes: AttentionAttributes, *inputs: Any, **_: Any) -> tuple[Shape, ...]:
        shapes = self._all_shapes(attributes, *inputs)
        return tuple(shapes[number] for number in attributes._kept)

    def _all_shapes(self, attributes: AttentionAttributes, *inputs: Any) -> tuple[Shape, ...]:
        q, k, v, mask, past_key, past_value, lengths = _seven(inputs)
        q4, k4, v4 = (
            _by_heads(attributes, shape, heads)
            for shape, heads in ((q, "q_num_heads"), (k, "kv_num_heads"), (v, "kv_num_heads"))
        )
        batch, heads, queries, size = q4
        _must(k4, (batch, None, None, size), "K")
        _must(v4, (batch, k4[1], k4[2], None), "V")
        for shape, name in ((q4, "q_num_heads"), (k4, "kv_num_heads")):
            said = getattr(attributes, name)
            if said and isinstance(shape[1], int) and shape[1] != said:
                raise ShapeError(f"{name} to be the number of heads, {shape[1]}", str(said))
        if isinstance(heads, int) and isinstance(k4[1], int) and (k4[1] == 0 or heads % k4[1]):
            raise ShapeError("heads of Q that are a multiple of those of K", f"{heads} and {k4[1]}")
        past: Dim = 0
        if past_key is not None:
            past = past_key[2]
            _must(past_key, (batch, k4[1], None, size), "past_key")
            _must(past_value, (batch, k4[1], past, v4[3]), "past_value")
        known = isinstance(past, int) and isinstance(k4[2], int)
        total = past + k4[2] if known else k4[2] if past == 0 else None  # type: ignore[operator]
        if mask is not None:
            wanted = (batch, heads, queries, total)[-len(mask) :]
            _must((*(None if dim == 1 else dim for dim in mask[:-2]), *mask[-2:]), wanted, "attn_mask")
        if lengths is not None:
            _must(lengths, (batch,), "nonpad_kv_seqlen")
        value_size = v4[3]
        y: Shape = (batch, heads, queries, value_size)
        if len(q) == 3:
            columns = heads * value_size if isinstance(heads, int) and isinstance(value_size, int) else None
            y = (batch, queries, columns)
        return (y, (batch, k4[1], total, size), (batch, k4[1], total, value_size), (batch, heads, queries, total))

    def macs(self, attributes: AttentionAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        queries, keys = inputs[0], self._keys(inputs)
        return math.prod(queries) * keys + math.prod(output) * keys

    def work(self, attributes: AttentionAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        """Count K and V with their past, the scores, and a thousand elements for each head."""
        q = inputs[0]
        batch, heads = q[0], attributes.q_num_heads or q[1]
        scores = q[-2] * self._keys(inputs)
        return sum(map(math.prod, inputs[:3])) * 2 + batch * heads * (scores + 1000)

    def _keys(self, inputs: Sequence[Sizes]) -> int:
        past = inputs[PAST_KEY][2] if len(inputs) > PAST_KEY and inputs[PAST_KEY] else 0
        return int(inputs[1][-2] + past)

    def compute(self, binding: Binding, *inputs: Any, **_: Any) -> tuple[Array, ...]:
        attributes: AttentionAttributes = binding.step.attributes
        q, k, v, mask, past_key, past_value, lengths = _seven(inputs)
        keys = _with_past(k, attributes.kv_num_heads, past_key)
        values = _with_past(v, attributes.kv_num_heads, past_value)
        queries = _split(q, attributes.q_num_heads)
        (batch, heads, rows, _size), columns = queries.shape, keys.shape[2]
        past = 0 if past_key is None else past_key.shape[2]
        added = _added(attributes, mask, (rows, columns, past), lengths)
        if lengths is not None and ((lengths < 0) | (lengths > columns)).any():
            wrong = lengths[(lengths < 0) | (lengths > columns)][0]
            problem = Problem(f"step {binding.step.label}, nonpad_kv_seqlen", f"in [0, {columns}]", str(wrong))
            raise ProfileError("a length is more than there is", [problem])
        y: Array = np.zeros((batch, heads, rows, values.shape[3]), F)
        shown = np.zeros((batch, heads, rows, columns), F)
        if shown.size:
            if added is not None:
                added = np.broadcast_to(added, shown.shape)
            for at in np.ndindex(batch, heads):
                group = (at[0], at[1] * keys.shape[1] // heads)
                bias = None if added is None else added[at]
                length = None if lengths is None else int(lengths[at[0]])
                chances, shown[at] = _chances(
                    attributes, binding.profile.float_sum, queries[at], keys[group], bias, length
                )
                apart = q.ndim == 3 and heads > 1
                y[at] = _product(binding.profile.float_sum, chances, np.ascontiguousarray(values[group]), apart)
        if q.ndim == 3:
            y = y.transpose(0, 2, 1, 3).reshape(batch, rows, -1)
        outputs = (y, keys, values, shown)
        return tuple(np.ascontiguousarray(outputs[number]) for number in attributes._kept)

    def origin(self, step: Step, output: int, index: Index, *inputs: Any, **_: Any) -> Any:
        attributes: AttentionAttributes = step.attributes
        q, k, v, mask, past_key, past_value, lengths = _seven(inputs)
        keys = _with_past(k, attributes.kv_num_heads, past_key)
        values = _with_past(v, attributes.kv_num_heads, past_value)
        queries, number = _split(q, attributes.q_num_heads), attributes._kept[output]
        if number in (1, 2):
            return (keys, values)[number - 1][index]
        heads = queries.shape[1]
        batch, head, row, element = index if number == SHOWN or q.ndim == 4 else (
            index[0], index[2] // values.shape[3], index[1], index[2] % values.shape[3]
        )  # fmt: skip
        group = head * keys.shape[1] // heads
        found = [*queries[batch, head, row]]
        whole = number == 0 or attributes.qk_matmul_output_mode == CHANCES
        seen = slice(None) if whole else slice(element, element + 1)
        found += [*keys[batch, group, seen].reshape(-1)]
        if number == 0:
            found += [*values[batch, group, :, element]]
        if mask is not None:
            found += [*np.broadcast_to(mask, (*queries.shape[:3], keys.shape[2]))[batch, head, row, seen]]
        return found if lengths is None else [*found, lengths[batch]]

    def doubt(self, binding: Binding) -> str:
        if binding.step.attributes.softcap > 0:
            return "its softcap is the C library's tanhf, whose last bits are not reproduced"
        if len(binding.step.inputs) > LENGTHS and binding.step.inputs[LENGTHS] is not None:
            return "its order of sums over keys of which only some count (nonpad_kv_seqlen) is not reproduced yet"
        return binding.profile.float_sum.doubt(False)


def _seven(inputs: Sequence[Any]) -> list[Any]:
    """Return all inputs that there may be; None for those that are absent."""
    return [*inputs, *[None] * (7 - len(inputs))]


def _by_heads(attributes: AttentionAttributes, shape: Shape, name: str) -> Shape:
    """Return a shape as (batch, heads, positions, element). Raises ShapeError."""
    if len(shape) == 4:
        return shape
    batch, positions, columns = shape
    heads = getattr(attributes, name)
    if isinstance(columns, int) and columns % heads:
        raise ShapeError(f"columns for {heads} heads", str(columns))
    return (batch, heads, positions, columns // heads if isinstance(columns, int) else None)


def _must(shape: Shape, wanted: Shape, what: str) -> None:
    if not may_equal(shape, wanted):
        raise ShapeError(f"{what} of sizes {list(wanted)}", str(list(shape)))


def _split(x: Array, heads: int) -> Array:
    """Return an array as (batch, heads, positions, element)."""
    if x.ndim == 4:
        return x
    return x.reshape(x.shape[0], x.shape[1], heads, x.shape[2] // heads).transpose(0, 2, 1, 3)


def _with_past(x: Array, heads: int, past: Array | None) -> Array:
    """Return keys or values by heads, behind those of the past."""
    return _split(x, heads) if past is None else np.concatenate([past, _split(x, heads)], axis=2)


def _added(
    attributes: AttentionAttributes, mask: Array | None, places: tuple[int, int, int], lengths: Array | None
) -> Array | None:
    """Return what is added to the scores; None where nothing is.

    places: how many queries, keys, and keys of the past there are. Where lengths are given, the last query meets the
    last of the keys that count.
    """
    rows, columns, past = places
    added = None if mask is None else np.where(mask, F(0), MASKED) if mask.dtype == np.bool_ else mask
    if not attributes.is_causal or (lengths is None and rows == 1 and past > 0):
        return added
    first: Any = past if lengths is None else (lengths - rows)[:, None, None, None]
    later = np.arange(columns) > first + np.arange(rows)[:, None]
    return np.where(later, MASKED, F(0) if added is None else added)


def _chances(
    attributes: AttentionAttributes,
    rule: FloatSumRule,
    queries: Float32,
    keys: Float32,
    added: Float32 | None,
    length: int | None,
) -> tuple[Float32, Float32]:
    """Return the Softmax of a head's scores, and what output 3 shows of them."""
    mode = attributes.qk_matmul_output_mode if SHOWN in attributes._kept else None
    factor = attributes.scale or float(F(1 / math.sqrt(queries.shape[1]))) if queries.shape[1] else 1.0
    call = GemmCall(False, factor, transposed=(False, True))
    folded = added is not None and attributes.softcap <= 0 and mode not in (SCORES, CAPPED)
    start = np.ascontiguousarray(added) if folded and added is not None else None
    with np.errstate(all="ignore"):
        scores = rule.gemm(np.ascontiguousarray(queries), np.ascontiguousarray(keys).T, start, call)
        shown = {SCORES: scores}
        if attributes.softcap > 0:
            cap = F(attributes.softcap)
            scores = np.tanh(scores / cap) * cap
        shown[CAPPED] = scores
        if added is not None and not folded:
            scores = scores + added
        if length is not None:
            scores = np.where(np.arange(scores.shape[1]) < length, scores, MASKED)
        shown[WITH_MASK] = scores
        chances = rule.softmax(scores, False)
        shut = np.zeros((len(scores), 1), bool) if added is None else (added <= MASKED).all(axis=1, keepdims=True)
        shown[CHANCES] = np.where(shut | (scores == MASKED).all(axis=1, keepdims=True), F(0), chances)
    return shown[CHANCES], shown[CHANCES if mode is None else mode]


def _product(rule: FloatSumRule, chances: Float32, values: Float32, apart: bool) -> Float32:
    """Multiply chances by values. A single column is no vector to MLAS where its elements lie apart in the output."""
    if not apart or values.shape[1] != 1:
        return rule.gemm(chances, values, None, GemmCall(False))
    return rule.gemm(chances, np.repeat(values, 2, axis=1), None, GemmCall(False))[:, :1]
