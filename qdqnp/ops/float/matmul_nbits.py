"""com.microsoft.MatMulNBits: a float32 product with weights of 2, 4 or 8 bits, quantized in blocks along K."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape, Sizes
from qdqnp.numerics.block_products import TILE, dequantized, integer_products, real_products
from qdqnp.numerics.questions.sums import Index
from qdqnp.numerics.rules.float_sum import GemmCall
from qdqnp.ops.float.apart import sums_apart
from qdqnp.ops.integer.zero_points import numbers_of
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array, Codes, Float32

#: The accuracy level at which the activation is quantized as it arrives.
INT8 = 4


@dataclass(frozen=True)
class MatMulNBitsAttributes:
    K: int = 0
    N: int = 0
    block_size: int = 0
    bits: int = 4
    accuracy_level: int = 0
    weight_prepacked: int = 0
    #: Whether columns have an order of their own (g_idx), and whether the zero points are float32.
    _ordered: bool = False
    _real_zeros: bool = False

    @property
    def blocks(self) -> int:
        return -(-self.K // self.block_size)

    @property
    def plain(self) -> bool:
        """Whether ONNX Runtime dequantizes the weights, and multiplies as MatMul does."""
        return self.without_kernel or (self.bits == 8 and self.accuracy_level != INT8)

    @property
    def without_kernel(self) -> bool:
        """Whether ONNX Runtime does so because it has no kernel for blocks."""
        return self._ordered or self._real_zeros or self.bits == 2


class MatMulNBits(Operator):
    """Its inputs: a, b (N, blocks, bytes), scales, zero points, g_idx, bias; b and its parameters are constants."""

    op = "MatMulNBits"
    domain = MICROSOFT
    only = "2, 4 and 8 bits"
    arity = (3, 6)
    Attributes = MatMulNBitsAttributes
    example = {"K": 1, "N": 1, "block_size": 16}  # noqa: RUF012 - is not changed
    reads = ("float_sum", "accumulate")
    bytes_per_element = 64

    def attributes(self, check: NodeCheck) -> MatMulNBitsAttributes:
        found: MatMulNBitsAttributes = super().attributes(check)
        for name in ("K", "N"):
            if getattr(found, name) < 1:
                check.refuse(f"attribute '{name}'", "at least 1", getattr(found, name))
        if found.bits not in (2, 4, 8):
            check.refuse("attribute 'bits'", "2, 4 or 8", found.bits)
        if found.block_size < 16 or found.block_size & (found.block_size - 1):
            check.refuse("attribute 'block_size'", "a power of two, at least 16", found.block_size)
        if not 0 <= found.accuracy_level <= INT8:
            check.refuse("attribute 'accuracy_level'", "0 to 4", found.accuracy_level)
        if found.accuracy_level == INT8 and found.block_size > 256:
            check.refuse("attribute 'block_size'", "at most 256 at accuracy_level 4", found.block_size)
        if found.weight_prepacked:
            check.refuse("attribute 'weight_prepacked'", "0", found.weight_prepacked, "Save the model unpacked.")
        found = replace(
            found, _ordered=check.given(4), _real_zeros=check.given(3) and check.value(3).dtype == np.float32
        )
        if (found._ordered and found.bits != 4) or (found._real_zeros and found.bits == 8):
            check.refuse("attribute 'bits'", "4 with g_idx, 2 or 4 with real zero points", found.bits)
        return found

    def infer(self, check: NodeCheck, attributes: MatMulNBitsAttributes) -> Inferred:
        check.dtype_in(0, (np.float32,), "a")
        check.dtype_in(1, (np.uint8,), "b")
        check.dtype_in(2, (np.float32,), "scales")
        bytes_each = attributes.block_size * attributes.bits // 8
        packed = -(-attributes.blocks * attributes.bits // 8)
        zeros, zeros_each = (np.float32, attributes.blocks) if attributes._real_zeros else (np.uint8, packed)
        sizes = {1: attributes.blocks * bytes_each, 2: attributes.blocks, 3: zeros_each, 5: 1}
        for index, (what, kinds) in {
            1: ("b", (np.uint8,)),
            2: ("scales", (np.float32,)),
            3: ("zero points", (zeros,)),
            5: ("bias", (np.float32,)),
        }.items():
            if check.given(index):
                check.dtype_in(index, kinds, what)
                shape = check.const(index, what).shape if index < 5 else check.value(index).shape
                if any(not isinstance(size, int) for size in shape) or math.prod(shape) != attributes.N * sizes[index]:
                    expected = f"{attributes.N * sizes[index]} elements, {sizes[index]} for each of N columns"
                    check.refuse(f"input {index} ({what})", expected, f"shape {list(shape)}")
        if attributes._ordered:
            check.dtype_in(4, (np.int32,), "g_idx")
            order = check.const(4, "g_idx")
            if order.size not in (attributes.K, attributes.blocks * attributes.block_size):
                check.refuse("input 4 (g_idx)", f"{attributes.K} numbers", order.size)
            if ((order < 0) | (order >= attributes.blocks)).any():
                check.refuse("input 4 (g_idx)", f"numbers in [0, {attributes.blocks - 1}]", "one beyond")
        return ((FLOAT32, self.shapes(attributes, check.value(0).shape)[0]),)

    def shapes(self, attributes: MatMulNBitsAttributes, a: Shape, *others: Any) -> tuple[Shape, ...]:
        if not a or (isinstance(a[-1], int) and a[-1] != attributes.K):
            raise ShapeError(f"a with K = {attributes.K} columns", str(list(a)))
        return ((*a[:-1], attributes.N),)

    def macs(self, attributes: MatMulNBitsAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        return math.prod(output) * attributes.K

    def work(self, attributes: MatMulNBitsAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        """Count the weights unpacked, and one tile of products."""
        unpacked = attributes.N * attributes.blocks * attributes.block_size
        return unpacked + min(4 * TILE, math.prod(output) * attributes.blocks * attributes.block_size)

    def compute(
        self,
        binding: Binding,
        a: Float32,
        b: Array,
        scales: Float32,
        zero_points: Array | None = None,
        g_idx: Array | None = None,
        bias: Float32 | None = None,
    ) -> tuple[Array, ...]:
        attributes: MatMulNBitsAttributes = binding.step.attributes
        rows = a.reshape(math.prod(a.shape[:-1]), attributes.K)
        added = None if bias is None else bias.reshape(-1)
        codes, each, zeros = unpacked(attributes, b, scales, zero_points)
        if not attributes.plain and attributes.accuracy_level == INT8:
            made = integer_products(rows, codes, each, zeros, added, attributes.bits)
        else:
            real = dequantized(codes, each, zeros, attributes.K)
            if attributes._ordered or attributes._real_zeros:
                real = self._by_groups(attributes, codes, each, zeros, g_idx)
            if attributes.plain:
                start = None if added is None else np.broadcast_to(added, (len(rows), attributes.N))
                call = GemmCall(packed=False, transposed=(False, True))
                made = binding.profile.float_sum.gemm(rows, real.T, start, call)
            else:
                made = real_products(rows, real, added)
        return (made.reshape(*a.shape[:-1], attributes.N),)

    def _by_groups(
        self, attributes: MatMulNBitsAttributes, codes: Codes, scales: Float32, zeros: Float32, g_idx: Array | None
    ) -> Float32:
        """Dequantize codes whose groups are named, or whose zero points are real: product and shift round.

        ONNX Runtime 1.32 reads integer zero points with g_idx, and takes 8 in their place
        (contrib_ops/cpu/quantization/matmul_nbits_impl.cc).
        """
        terms = attributes.K
        groups = np.arange(terms) // attributes.block_size if g_idx is None else g_idx.reshape(-1)[:terms]
        shift = zeros if attributes._real_zeros else np.full_like(zeros, 8)
        scale, zero = scales[:, groups], shift[:, groups]
        return np.asarray(codes.reshape(len(codes), -1)[:, :terms].astype(np.float32) * scale + -scale * zero)

    def origin(
        self,
        step: Step,
        output: int,
        index: Index,
        a: Array,
        b: Array,
        scales: Array,
        zero_points: Array | None = None,
        g_idx: Array | None = None,
        bias: Array | None = None,
    ) -> Any:
        """Return the row of a, whose largest elements decide its codes, and all that belongs to the column."""
        columns = (b, scales, zero_points, bias)
        own = [None if array is None else array.reshape(step.attributes.N, -1)[index[-1]] for array in columns]
        return numbers_of(a[index[:-1]], *own)

    def doubt(self, binding: Binding) -> str:
        attributes: MatMulNBitsAttributes = binding.step.attributes
        reason = binding.profile.float_sum.doubt(False)
        if attributes.bits == 2 and attributes.accuracy_level == INT8 and not attributes._real_zeros:
            return "ONNX Runtime's products of codes of 2 bits by quantized activations are not reproduced"
        if reason or attributes.plain:
            return reason
        if binding.profile.accumulate.saturates(np.dtype(np.uint8), np.dtype(np.int8), False):
            return "a CPU without AVX512-VNNI adds up products of blocks in another order"
        return ""

    def error(
        self,
        binding: Binding,
        a: Float32,
        b: Array,
        scales: Float32,
        zero_points: Array | None = None,
        g_idx: Array | None = None,
        bias: Float32 | None = None,
    ) -> Array:
        """Bound the error of sums of K products, of codes without their zero points, and of a bias."""
        attributes: MatMulNBitsAttributes = binding.step.attributes
        codes, each, zeros = unpacked(attributes, b, scales, zero_points)
        real = dequantized(codes + zeros[..., None], np.abs(each), np.zeros_like(zeros), attributes.K)
        magnitude = np.abs(a).astype(np.float64) @ real.T.astype(np.float64)
        added = 0.0 if bias is None else np.abs(bias.astype(np.float64))
        return sums_apart(magnitude + added, attributes.K + 4)


def unpacked(
    attributes: MatMulNBitsAttributes, b: Array, scales: Float32, zero_points: Array | None
) -> tuple[Codes, Float32, Float32]:
    """Return codes (N, blocks, L), scales and zero points (N, blocks) of each column.

    A byte holds two codes of 4 bits, or four of 2.
    Without zero points the middle of the codes' range is 0.
    """
    shape = (attributes.N, attributes.blocks)
    zeros = np.full(shape, 2 ** (attributes.bits - 1), np.float32)
    if zero_points is not None and attributes._real_zeros:
        zeros = zero_points.reshape(shape)
    elif zero_points is not None:
        zeros = _codes(zero_points.reshape(attributes.N, -1), attributes.bits)[:, : shape[1]].astype(np.float32)
    codes = _codes(b.reshape(*shape, -1), attributes.bits)
    return codes, scales.reshape(shape), zeros


def _codes(packed: Array, bits: int) -> Codes:
    if bits == 8:
        return packed
    parts = [packed >> shift & (1 << bits) - 1 for shift in range(0, 8, bits)]
    return np.asarray(np.stack(parts, axis=-1).reshape(*packed.shape[:-1], -1))
