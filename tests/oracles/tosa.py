"""The TOSA reference model (PyPI tosa-tools) as an oracle of RESCALE: int32 to int8, per channel."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@functools.cache
def missing() -> str:
    """Why the reference model can't be run here; empty where it can."""
    try:
        import tosa_reference_model
        import tosa_serializer
    except ImportError as error:
        return f"needs tosa-tools: {error}"
    return "" if tosa_reference_model and tosa_serializer else "needs tosa-tools"


def rescale(acc: Array, multiplier: Array, shift: Array, zero: int, double: bool) -> Array:
    """RESCALE of int32 (n, channels) by a multiplier (int32) and a shift (int8) per channel to int8 codes."""
    import tosa_reference_model
    import tosa_serializer as ts

    graph = ts.TosaSerializer()
    names = []
    x = ts.TosaSerializerTensor("x", list(acc.shape), ts.DType.INT32)
    graph.addInputTensor(x)
    for name, dtype, values in (
        ("multiplier", ts.DType.INT32, multiplier.astype(np.int32)),
        ("shift", ts.DType.INT8, shift.astype(np.int8)),
        ("input_zp", ts.DType.INT32, np.zeros(1, np.int32)),
        ("output_zp", ts.DType.INT8, np.array([zero], np.int8)),
    ):
        names.append(graph.addConst([values.size], dtype, values, name).name)
    y = graph.addOutput(list(acc.shape), ts.DType.INT8)
    mode = ts.RoundingMode.DOUBLE_ROUND if double else ts.RoundingMode.SINGLE_ROUND
    attribute = ts.TosaSerializerAttribute()
    attribute.RescaleAttribute(True, mode, True, False, False)  # 32-bit scale, per channel, both sides signed
    graph.addOperator(ts.Op.RESCALE, [x.name, *names], [y.name], attribute)
    outputs, status = tosa_reference_model.run(graph.serialize(), [acc.astype(np.int32)])
    if status != tosa_reference_model.GraphStatus.TOSA_VALID:
        raise ValueError(f"the reference model says {status}")
    return np.asarray(outputs[0])
