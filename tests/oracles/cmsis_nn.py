"""CMSIS-NN's own C as an oracle: a checkout, compiled for this machine with its plain C kernels.

Its caller forms the multipliers; here as TFLite Micro does, in float64.
"""

from __future__ import annotations

import ctypes
import functools
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracles.fixed_point import quantize_multiplier
from tests.oracles.tflite import Operator, Tensor

Array = NDArray[Any]
# build -> the compiler's options
BUILDS: Mapping[str, tuple[str, ...]] = {"default": (), "single rounding": ("-DCMSIS_NN_USE_SINGLE_ROUNDING",)}
ACTIVATION = (-128, 127)


@functools.cache
def library(checkout: Path, build: str) -> ctypes.CDLL:
    """The int8 and int16 kernels as a shared library."""
    sources = [
        str(path) for path in sorted((checkout / "Source").rglob("*.c")) if not path.stem.endswith(("f16", "f32"))
    ]
    made = Path(tempfile.mkdtemp()) / "cmsis_nn.so"
    options = ("-O2", "-w", "-shared", "-fPIC", *BUILDS[build], f"-I{checkout / 'Include'}")
    subprocess.run(["cc", *options, *sources, "-o", str(made)], check=True)
    return ctypes.CDLL(str(made))


class Kernels:
    """The kernels of one build. Structures whose members are all int32 are passed as arrays of int32."""

    def __init__(self, checkout: Path, build: str) -> None:
        self.library = library(checkout, build)
        self.single = build != "default"
        self.scratch = np.zeros(1 << 20, np.int8)
        self.context = np.array([self.scratch.ctypes.data, self.scratch.size], np.int64)

    def __call__(self, op: Operator) -> Array:
        """What the kernel of that operator computes; the output's values only give its shape."""
        output = np.zeros(op.output.values.shape, np.int8)
        kernels: Mapping[str, Callable[[Operator, Array], int]] = {
            "CONV_2D": self._conv,
            "DEPTHWISE_CONV_2D": self._conv,
            "FULLY_CONNECTED": self._full,
            "BATCH_MATMUL": self._matmul,
            "ADD": self._add,
            "MUL": self._mul,
            "AVERAGE_POOL_2D": self._average,
            "MEAN": self._plane,
        }
        status = kernels[op.kind](op, output)
        assert status == 0, (op.kind, status)
        return output

    def _fix(self, real: float) -> tuple[int, int]:
        """Multiplier and CMSIS-NN's shift, to the left."""
        m, shift = quantize_multiplier(real, self.single)
        return m, 31 - shift

    def _fixed(self, op: Operator) -> tuple[Array, Array]:
        """Multipliers and shifts of a layer with weights, one for each scale of the weights."""
        x, w, y = _tensor(op, 0), _tensor(op, 1), op.output
        found = [self._fix(float(x.scale[0]) * float(s) / float(y.scale[0])) for s in w.scale]
        return np.array([m for m, _ in found], np.int32), np.array([shift for _, shift in found], np.int32)

    def _conv(self, op: Operator, output: Array) -> int:
        x, w, bias = (_tensor(op, index) for index in range(3))
        channels = output.shape[-1]
        m, shift = (np.array(np.broadcast_to(numbers, channels)) for numbers in self._fixed(op))
        offsets = (-_zero(x), _zero(op.output))
        sliding = (op.options.strideW, op.options.strideH, 0, 0, 1, 1)
        depthwise = op.kind == "DEPTHWISE_CONV_2D"
        parameters = _words(*offsets, *((1,) if depthwise else ()), *sliding, *ACTIVATION)
        name = "arm_depthwise_conv_wrapper_s8" if depthwise else "arm_convolve_wrapper_s8"
        return self._call(
            name,
            self.context,
            parameters,
            np.array([m.ctypes.data, shift.ctypes.data], np.int64),
            _words(*x.values.shape),
            x.values,
            _words(*w.values.shape),
            w.values,
            _words(1, 1, 1, channels),
            bias.values,
            _words(*output.shape),
            output,
        )

    def _full(self, op: Operator, output: Array) -> int:
        x, w, bias = (_tensor(op, index) for index in range(3))
        m, shift = self._fixed(op)
        (rows, terms), channels = x.values.shape, output.shape[-1]
        return self._call(
            "arm_fully_connected_wrapper_s8",
            self.context,
            _words(-_zero(x), 0, _zero(op.output), *ACTIVATION),
            np.array([m.ctypes.data, shift.ctypes.data, m.size > 1], np.int64),
            _words(rows, 1, 1, terms),
            x.values,
            _words(terms, 1, 1, channels),
            w.values,
            _words(1, 1, 1, channels),
            bias.values,
            _words(rows, 1, 1, channels),
            output,
        )

    def _matmul(self, op: Operator, output: Array) -> int:
        a, b = _tensor(op, 0), _tensor(op, 1)
        columns = np.ascontiguousarray(b.values.T)
        fixed = self._fix(float(a.scale[0]) * float(b.scale[0]) / float(op.output.scale[0]))
        return self._call(
            "arm_batch_matmul_s8",
            self.context,
            _words(0, -_zero(a), -_zero(b), _zero(op.output), *ACTIVATION),
            _words(*fixed),
            _words(1, 1, *a.values.shape),
            a.values,
            _words(1, 1, *columns.shape),
            columns,
            _words(1, 1, *output.shape),
            output,
        )

    def _add(self, op: Operator, output: Array) -> int:
        a, b, y = _tensor(op, 0), _tensor(op, 1), op.output
        twice = 2.0 * max(float(a.scale[0]), float(b.scale[0]))
        left, right = (self._fix(float(tensor.scale[0]) / twice) for tensor in (a, b))
        last = self._fix(twice / (2**20 * float(y.scale[0])))
        operands = (-_zero(a), *left, -_zero(b), *right, 20)
        return self._call(
            "arm_elementwise_add_s8", a.values, b.values, *operands, output, _zero(y), *last, *ACTIVATION, output.size
        )

    def _mul(self, op: Operator, output: Array) -> int:
        a, b, y = _tensor(op, 0), _tensor(op, 1), op.output
        fixed = self._fix(float(a.scale[0]) * float(b.scale[0]) / float(y.scale[0]))
        offsets = (-_zero(a), -_zero(b))
        return self._call(
            "arm_elementwise_mul_s8", a.values, b.values, *offsets, output, _zero(y), *fixed, *ACTIVATION, output.size
        )

    def _average(self, op: Operator, output: Array) -> int:
        size, stride = (op.options.filterHeight, op.options.filterWidth), (op.options.strideH, op.options.strideW)
        x, pads = _tensor(op, 0), [0, 0]
        if op.options.padding == 0:  # SAME
            for axis in (0, 1):
                reach = (output.shape[1 + axis] - 1) * stride[axis] + size[axis]
                pads[axis] = max(reach - x.values.shape[1 + axis], 0) // 2
        return self._pool(x, output, size, stride, (pads[0], pads[1]))

    def _plane(self, op: Operator, output: Array) -> int:
        x = _tensor(op, 0)
        assert x.scale == op.output.scale and _zero(x) == _zero(op.output)
        return self._pool(x, output, x.values.shape[1:3], (1, 1), (0, 0))

    def _pool(
        self, x: Tensor, output: Array, size: tuple[int, ...], stride: tuple[int, int], pads: tuple[int, int]
    ) -> int:
        return self._call(
            "arm_avgpool_s8",
            self.context,
            _words(stride[1], stride[0], pads[1], pads[0], *ACTIVATION),
            _words(*x.values.shape),
            x.values,
            _words(1, *size, 1),
            _words(*output.shape),
            output,
        )

    def _call(self, name: str, *arguments: Any) -> int:
        """Arrays are passed as pointers to their elements."""
        given = [ctypes.c_void_p(a.ctypes.data) if isinstance(a, np.ndarray) else ctypes.c_int32(a) for a in arguments]
        found: int = getattr(self.library, name)(*given)
        return found


def _words(*values: int) -> Array:
    return np.array(values, np.int32)


def _tensor(op: Operator, index: int) -> Tensor:
    found = op.inputs[index]
    assert found is not None and found.values.flags.c_contiguous
    return found


def _zero(tensor: Tensor) -> int:
    return int(tensor.zero_point[0])
