"""QONNX's Quant as an operator of the user's: `qdqnp run net.onnx --operators examples/qonnx_quant.py`.

Source: fastmachinelearning/qonnx 1.0.0, docs/qonnx-custom-ops/intquant_v1.md and custom_op/general/intquant.py, with
which the tests compare it bit for bit.
"""

import numpy as np


def half_up(x):
    """Halves away from zero."""
    return np.sign(x) * np.floor(np.abs(x) + np.float32(0.5))


def half_down(x):
    """Halves towards zero."""
    return np.sign(x) * np.ceil(np.abs(x) - np.float32(0.5))


ROUNDINGS = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "HALF_UP": half_up,
    "HALF_DOWN": half_down,
}


class Quant:
    """(round(clip(x / scale + zero, lowest, highest)) - zero) * scale, in float32; scale and zero broadcast.

    It is exact: each of its five operations is rounded as IEEE 754 says.
    """

    op_domain = "qonnx.custom_op.general"
    exact = True

    def _run(self, x, scale, zero, bits, signed=1, narrow=0, rounding_mode="ROUND"):
        width = int(bits.reshape(-1)[0])
        if width == 1 and signed:
            codes = np.where(x / scale + zero >= 0, np.float32(1), np.float32(-1))
        else:
            lowest = -(2 ** (width - 1)) + bool(narrow) if signed else 0
            highest = 2 ** (width - 1) - 1 if signed else 2**width - 1 - bool(narrow)
            clipped = np.clip(x / scale + zero, np.float32(lowest), np.float32(highest))
            codes = ROUNDINGS[rounding_mode.upper()](clipped)
        return ((codes - zero) * scale,)


class IntQuant(Quant):
    """The name of Quant since QONNX 1.0."""


#: Both names, in QONNX's domain and in that of Brevitas.
OPERATORS = [
    Quant,
    IntQuant,
    type("Quant", (Quant,), {"op_domain": "onnx.brevitas"}),
]
