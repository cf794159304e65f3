"""A reciprocal, and a product with it."""

from __future__ import annotations

import numpy as np

from qdqnp.graph import Graph
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op


def div_mul(graph: Graph, log: Log) -> Graph:
    """Div(1, x), read only by a Mul with y, becomes Div(y, x): one rounding instead of two.

    This changes results. ONNX Runtime 1.32, core/optimizer/div_mul_fusion.cc (DivMulFusion), which also drops the
    shape of the 1 without a look at it.
    """
    edit = Edit(graph)
    for div in edit.nodes():
        mul = edit.only_user(div) if is_op(div, "Div") else None
        one = edit.constant(div.input(0))
        if mul is None or not is_op(mul, "Mul") or one is None or one.size != 1 or one.reshape(-1)[0] != np.float32(1):
            continue
        other = mul.inputs[1] if mul.inputs[0] == div.outputs[0] else mul.inputs[0]
        origin = (*mul.origins, *div.origins)
        edit.replace((div, mul), div.with_(inputs=(other, div.inputs[1]), outputs=mul.outputs, origin=origin))
    return edit.done()
