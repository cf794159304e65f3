"""ST's ai_runner as a device: every c-node's output, from its per-layer-with-data mode.

    from stm_ai_runner import AiRunner       # of STM32Cube.AI or ST Edge AI, scripts/ai_runner
    from qdqnp.peers.devices.ai_runner import AiRunnerSource

    runner = AiRunner()
    runner.connect("serial:921600")
    board = AiRunnerSource(runner)           # in my_board.py; then: qdqnp capture net.onnx --device my_board:board ...

A compiled network has its own nodes, with names and numbers of its own: pair them with `qdqnp compare --write-mapping`,
or pass `names`. Source of the interface: the README and ai_runner.py of stm_ai_runner (BSD 3-Clause), as published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.errors import InputError, Problem, QdqnpError
from qdqnp.numerics import float32
from qdqnp.quant import Array


class AiRunnerSource:
    """A device behind ST's ai_runner.

    runner: a connected AiRunner (or a session of one).
    name: name of the compiled model, where there are several.
    names: ONNX names by c-node name, for those that are known.
    channel_last: whether device tensors are channel-last. Tensors of rank 4 are then turned to NCHW, and inputs the
        other way.
    """

    def __init__(
        self, runner: Any, name: str | None = None, names: Mapping[str, str] | None = None, channel_last: bool = True
    ) -> None:
        self._runner, self._name, self._names, self._channel_last = runner, name, dict(names or {}), channel_last

    def tensors(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the outputs of every c-node, then those of the network as 'output_0', 'output_1', ..."""
        if not self._runner.is_connected:
            raise QdqnpError(
                "the device failed", [Problem("ai_runner", "a connection", "none", "Call connect() first.")]
            )
        arguments = {} if self._name is None else {"name": self._name}
        given = self._inputs(list(inputs.items()), arguments)
        mode = self._runner.Mode.PER_LAYER_WITH_DATA
        outputs, profiler = self._runner.invoke(given, mode=mode, **arguments)
        found: dict[str, Array] = {}
        for number, node in enumerate(profiler.get("c_nodes", [])):
            for index, array in enumerate(_data(node, number)):
                found[self._called(node, number, index)] = self._logical(array)
        for number, array in enumerate(outputs):
            found[f"output_{number}"] = self._logical(np.asarray(array))
        if len(found) == len(outputs):
            hint = "Build the firmware with the observer (aiValidation), or compare the outputs only."
            raise QdqnpError("the device failed", [Problem("ai_runner", "nodes with data", "none", hint)])
        return found

    def _called(self, node: Mapping[str, Any], number: int, index: int) -> str:
        """Return the ONNX name where it is known; else the c-node's name, numbered so that order and names sort
        alike."""
        own = str(node.get("name") or f"m{node.get('m_id', number)}_{node.get('layer_desc') or node.get('layer_type')}")
        if index == 0 and own in self._names:
            return self._names[own]
        return f"{number:04d}_{own}" + (f"_{index}" if index else "")

    def _logical(self, array: Array) -> Array:
        return np.ascontiguousarray(np.moveaxis(array, -1, 1)) if self._channel_last and array.ndim == 4 else array

    def _inputs(self, given: Sequence[tuple[str, Array]], arguments: Mapping[str, str]) -> list[Array]:
        """Convert the inputs to what the runtime says it takes: dtype, scale, order of axes, shape."""
        infos = self._runner.get_input_infos(**arguments)
        if len(infos) != len(given):
            problem = Problem("ai_runner", f"{len(given)} inputs, as the model has", str(len(infos)))
            raise InputError("the compiled network is another", [problem])
        return [self._input(name, array, info) for (name, array), info in zip(given, infos, strict=True)]

    def _input(self, name: str, array: Array, info: Mapping[str, Any]) -> Array:
        kind = np.dtype(info["type"])
        if array.dtype != kind:
            if array.dtype != np.float32 or kind.kind not in "iu" or not info.get("scale"):
                problem = Problem(f"input '{name}'", str(kind), str(array.dtype), "See capture --codes.")
                raise InputError("the compiled network takes another input", [problem])
            scale, zero = np.asarray(info["scale"], np.float32), np.asarray(info["zero_point"], kind)
            array = float32.quantize(array, scale.reshape(-1)[0], zero.reshape(-1)[0], kind)
        if self._channel_last and array.ndim == 4:
            array = np.ascontiguousarray(np.moveaxis(array, 1, -1))
        shape = (array.shape[0], *tuple(info["shape"])[1:])
        if np.prod(shape) != array.size:
            problem = Problem(f"input '{name}'", f"elements of {list(shape)}", str(list(array.shape)))
            raise InputError("the compiled network takes another input", [problem])
        return array.reshape(shape)


def _data(node: Mapping[str, Any], number: int) -> list[Array]:
    """Return the node's outputs. A runtime without the capability runs all the same, and leaves them out or empty."""
    arrays = [np.asarray(array) for array in node.get("data") or []]
    if any(array.size == 0 for array in arrays):
        hint = "The runtime has no capability PER_LAYER_WITH_DATA."
        raise QdqnpError("the device failed", [Problem(f"c-node {number}", "data", "none", hint)])
    return arrays
