"""Rewrite the nodes of an ONNX file: what styles.py needs and onnx does not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


class Rewriter:
    """A copy of a model whose node list is made anew, in order; every method returns a tensor's name."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.graph = self.model.graph
        #: The new nodes.
        self.nodes: list[onnx.NodeProto] = []
        #: Constants by name.
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.graph.initializer}
        self._made = 0

    def node(self, op: str, inputs: Sequence[str], output: str = "", domain: str = "", **attributes: Any) -> str:
        """Append a node; without a name its output gets a fresh one."""
        name = output or self._fresh(op.lower())
        self.nodes.append(helper.make_node(op, inputs, [name], f"{name}_by_{op}", domain=domain, **attributes))
        return name

    def constant(self, values: NDArray[Any], kind: int | None = None) -> str:
        """Append an initializer.

        kind: its ONNX type where NumPy has none, as for int4.
        """
        name = self._fresh("given")
        array = np.asarray(values)
        made = numpy_helper.from_array(array, name)
        if kind is not None:
            made = helper.make_tensor(name, kind, array.shape, array.reshape(-1).tolist())
        self.graph.initializer.append(made)
        return name

    def keep(self, node: onnx.NodeProto, inputs: Sequence[str] | None = None, output: str = "") -> None:
        """Append a node of the old list, with other inputs or another output where they are given."""
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        if inputs is not None:
            kept.input[:] = inputs
        if output:
            kept.output[0] = output
        self.nodes.append(kept)

    def finish(self, opset: int | None = None, microsoft: bool = False) -> onnx.ModelProto:
        """Return the model with the new nodes.

        opset: ONNX's opset, where it is to be another.
        microsoft: whether nodes of ONNX Runtime's domain are used.
        """
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        del self.graph.value_info[:]
        if opset is not None:
            next(entry for entry in self.model.opset_import if entry.domain == "").version = opset
            self.model.ir_version = max(self.model.ir_version, 10)
        if microsoft and all(entry.domain != "com.microsoft" for entry in self.model.opset_import):
            self.model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        read = {name for node in self.nodes for name in node.input}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in read]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        return self.model

    def _fresh(self, base: str) -> str:
        self._made += 1
        return f"{base}_made_{self._made}"
