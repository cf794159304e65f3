"""ONNX Runtime's layer normalization and its kin, row by row, bit for bit.

Long rows have a kernel of their own on x86-64 with AVX2 and FMA, and another one where they were float16; short ones,
and those that are added to a skip connection, go one by one.
Source: ONNX Runtime 1.32, core/mlas/lib/layernorm_kernel_avx2.cpp and core/providers/cpu/nn/layer_norm_impl.cc;
compared with it bit for bit.
"""

from __future__ import annotations

import numpy as np

from qdqnp.numerics.float32 import Float64, fma32
from qdqnp.quant import Float32

F = np.float32
#: The shortest rows that have the kernel: of layer normalization, of float16 too, and of the normalization by the root
#: mean square.
LONG, LONG_HALF, LONG_ROOT = 8, 16, 16


def layer_norm(
    rows: Float32, scale: Float32, bias: Float32 | None, epsilon: float, halves: bool = False
) -> tuple[Float32, Float32, Float32]:
    """Compute (x - mean) / deviation * scale + bias of each row of (R, n).

    halves: whether the rows were float16, whose kernel starts at longer rows and squares the last elements another way;
        LONG_HALF and the fused tail were found by comparison, which no other candidate passed.
    The answer is the result, the means and the reciprocals of the deviations, (R,), all float32.
    """
    if rows.shape[1] < (LONG_HALF if halves else LONG):
        return layer_norm_one_by_one(rows, scale, bias, epsilon)
    mean = (_double_sums(rows.astype(np.float64)) / rows.shape[1]).astype(F)
    centered = rows - mean[:, None]
    inverse = F(1) / np.sqrt(_square_sums(centered, fours=not halves) / F(rows.shape[1]) + F(epsilon))
    normal = centered * inverse[:, None]
    return (normal * scale if bias is None else fma32(normal, scale, bias)), mean, np.asarray(inverse)


def layer_norm_one_by_one(
    rows: Float32, scale: Float32, bias: Float32 | None, epsilon: float
) -> tuple[Float32, Float32, Float32]:
    """Do the same with mean and variance updated by one element after the other (Welford)."""
    mean = squares = np.zeros(rows.shape[0], F)
    for index in range(rows.shape[1]):
        difference = rows[:, index] - mean
        mean = mean + difference / F(index + 1)
        squares = squares + difference * (rows[:, index] - mean)
    deviation = np.sqrt(squares / F(rows.shape[1]) + F(epsilon))
    result = (rows - mean[:, None]) / deviation[:, None] * scale
    return (result if bias is None else result + bias), mean, np.asarray(F(1) / deviation)


def root_norm(rows: Float32, scale: Float32, epsilon: float) -> Float32:
    """Compute x / root mean square * scale of each row of (R, n)."""
    if rows.shape[1] < LONG_ROOT:
        return root_norm_one_by_one(rows, scale, epsilon)
    inverse = F(1) / np.sqrt(_square_sums(rows) / F(rows.shape[1]) + F(epsilon))
    return np.asarray(rows * inverse[:, None] * scale)


def root_norm_one_by_one(rows: Float32, scale: Float32, epsilon: float) -> Float32:
    squares = np.add.accumulate(rows * rows, axis=1)[:, -1]  # one after the other, unlike np.sum
    return np.asarray(rows / np.sqrt(squares / F(rows.shape[1]) + F(epsilon))[:, None] * scale)


def _double_sums(rows: Float64) -> Float64:
    """Add up rows of float64: four lanes, (0 + 2) + (1 + 3), then what is left one by one."""
    whole = rows.shape[1] // 4 * 4
    lanes = np.zeros((rows.shape[0], 4))
    for start in range(0, whole, 4):
        lanes = lanes + rows[:, start : start + 4]
    total = (lanes[:, 0] + lanes[:, 2]) + (lanes[:, 1] + lanes[:, 3])
    for index in range(whole, rows.shape[1]):
        total = total + rows[:, index]
    return np.asarray(total)


def _square_sums(rows: Float32, fours: bool = True) -> Float32:
    """Add up squares: eight lanes of fused multiply-adds, then across the lanes, then one by one what is left.

    fours: whether the compiler squares four of the last ones at once and adds the squares; the others are fused too.
    """
    whole = rows.shape[1] // 8 * 8
    lanes = np.zeros((rows.shape[0], 8), F)
    for start in range(0, whole, 8):
        lanes = fma32(rows[:, start : start + 8], rows[:, start : start + 8], lanes)
    four = lanes[:, :4] + lanes[:, 4:]
    total = (four[:, 0] + four[:, 2]) + (four[:, 1] + four[:, 3])
    unfused = whole + (rows.shape[1] - whole) // 4 * 4 if fours else whole
    for index in range(whole, rows.shape[1]):
        x = rows[:, index]
        total = total + x * x if index < unfused else fma32(x, x, total)
    return np.asarray(total)
