"""LiteRT (PyPI ai-edge-litert) as an oracle: every operator of a real int8 network with the runtime's own tensors."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MODELS = Path(__file__).parents[2].parent / "shared" / "models" / "tflite"
REFERENCE, OPTIMIZED, DEFAULT = "BUILTIN_REF", "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "AUTO"


@functools.cache
def missing() -> str:
    """Why the networks can't be run here; empty where they can."""
    if not any(MODELS.glob("*.tflite")):
        return "needs the .tflite networks of ../shared/models/tflite"
    try:
        import ai_edge_litert.interpreter
    except ImportError as error:
        return f"needs ai-edge-litert: {error}"
    return "" if ai_edge_litert.interpreter else "needs ai-edge-litert"


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor's values and quantization: scales and zero points, one or one per slice of `axis`."""

    values: Array
    scale: Array
    zero_point: Array
    axis: int


@dataclass(frozen=True, eq=False)
class Operator:
    """One operator after a run. options: the flatbuffer's builtin options."""

    kind: str
    inputs: tuple[Tensor | None, ...]
    output: Tensor
    options: Any


@functools.cache
def _graph(path: Path) -> tuple[Any, list[str]]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    return model.subgraphs[0], [names[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in model.operatorCodes]


def operators(path: Path, resolver: str, seed: int) -> Iterator[Operator]:
    """The operators of a network after one inference on random codes, under the kernels that `resolver` names."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        str(path),
        num_threads=1,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType[resolver],
    )
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    info = np.iinfo(entry["dtype"])
    codes = np.random.default_rng(seed).integers(info.min, info.max + 1, entry["shape"]).astype(entry["dtype"])
    interpreter.set_tensor(entry["index"], codes)
    interpreter.invoke()
    graph, kinds = _graph(path)

    @functools.cache
    def tensor(index: int) -> Tensor:
        quantization = graph.tensors[index].quantization
        scale = np.zeros(0) if quantization is None or quantization.scale is None else quantization.scale
        zero = np.zeros(0) if quantization is None or quantization.zeroPoint is None else quantization.zeroPoint
        axis = 0 if quantization is None else quantization.quantizedDimension
        return Tensor(interpreter.get_tensor(index), np.asarray(scale, np.float32), np.asarray(zero, np.int64), axis)

    for operator in graph.operators:
        inputs = tuple(tensor(int(i)) if i >= 0 else None for i in operator.inputs)
        yield Operator(kinds[operator.opcodeIndex], inputs, tensor(int(operator.outputs[0])), operator.builtinOptions)
