"""One TFLite kernel at a time: a network of one operator, run by LiteRT or by TFLite Micro."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracles.tflite import DEFAULT, OPTIMIZED, REFERENCE, Operator, Tensor

Array = NDArray[Any]

MICRO = "TFLite Micro"
LITERT = (REFERENCE, OPTIMIZED, DEFAULT)
KERNELS = (*LITERT, MICRO)
CONSTANT = (1, 2)  # inputs of a layer with weights that are part of the network: weights and bias
WITH_WEIGHTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")

# operator -> its version with int8 operands; with int16 ones below
VERSIONS = {
    "ADD": 2,
    "AVERAGE_POOL_2D": 2,
    "BATCH_MATMUL": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "HARD_SWISH": 1,
    "LEAKY_RELU": 2,
    "LOGISTIC": 2,
    "MEAN": 2,
    "MUL": 2,
    "QUANTIZE": 2,
    "RESIZE_BILINEAR": 3,
    "SOFTMAX": 2,
    "SUB": 2,
    "TANH": 2,
}
VERSIONS_16X8 = {
    "ADD": 5,
    "AVERAGE_POOL_2D": 3,
    "BATCH_MATMUL": 3,
    "CONV_2D": 4,
    "DEPTHWISE_CONV_2D": 5,
    "FULLY_CONNECTED": 7,
    "MEAN": 3,
    "MUL": 5,
    "QUANTIZE": 2,
}


@functools.cache
def missing(kernels: str) -> str:
    """Why these kernels can't be run here; empty where they can."""
    try:
        import ai_edge_litert.interpreter  # noqa: F401

        if kernels == MICRO:
            from tflite_micro import runtime  # noqa: F401
    except ImportError as error:
        return f"needs {'tflite-micro' if kernels == MICRO else 'ai-edge-litert'}: {error}"
    return ""


def _constants(op: Operator) -> tuple[int, ...]:
    """The positions of inputs that are part of the network."""
    return CONSTANT if op.kind in WITH_WEIGHTS else (1,) if op.kind in ("MEAN", "RESIZE_BILINEAR") else ()


def network(op: Operator) -> bytes:
    """A .tflite file that consists of this operator. The output's values only give its shape and dtype."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model, graph, call, code = schema.ModelT(), schema.SubGraphT(), schema.OperatorT(), schema.OperatorCodeT()
    model.version, model.buffers, graph.tensors = 3, [schema.BufferT()], []
    types = {name: getattr(schema.TensorType, name.upper()) for name in ("int8", "uint8", "int16", "int32", "int64")}
    tensors = [tensor for tensor in (*op.inputs, op.output) if tensor is not None]
    for index, tensor in enumerate(tensors):
        made, made.quantization = schema.TensorT(), schema.QuantizationParametersT()
        made.name, made.shape = f"t{index}", list(tensor.values.shape)
        made.type, made.buffer = types[tensor.values.dtype.name], 0
        if tensor.scale.size:
            made.quantization.scale = tensor.scale.astype(np.float32).reshape(-1)
            made.quantization.zeroPoint = np.broadcast_to(tensor.zero_point, made.quantization.scale.shape)
            made.quantization.quantizedDimension = tensor.axis
        if index in _constants(op):
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(tensor.values.tobytes(), np.uint8)
            made.buffer = len(model.buffers)
            model.buffers.append(buffer)
        graph.tensors.append(made)
    last = len(tensors) - 1
    code.builtinCode = getattr(schema.BuiltinOperator, op.kind)
    versions = VERSIONS_16X8 if op.output.values.dtype == np.int16 else VERSIONS
    code.deprecatedBuiltinCode, code.version = code.builtinCode, versions[op.kind]
    model.operatorCodes = [code]
    call.opcodeIndex, call.inputs, call.outputs = 0, list(range(last)), [last]
    if op.options is not None:
        call.builtinOptions = op.options
        name = type(op.options).__name__.removesuffix("T")
        call.builtinOptionsType = getattr(schema.BuiltinOptions, name)
    graph.inputs, graph.outputs = [i for i in range(last) if i not in _constants(op)], [last]
    graph.operators, model.subgraphs = [call], [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def options(kind: str, **values: Any) -> Any:
    """The operator's options with their defaults, no fused activation, and these values."""
    from ai_edge_litert import schema_py_generated as schema

    names = {
        "ADD": "Add",
        "AVERAGE_POOL_2D": "Pool2D",
        "BATCH_MATMUL": "BatchMatMul",
        "CONV_2D": "Conv2D",
        "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
        "FULLY_CONNECTED": "FullyConnected",
        "LEAKY_RELU": "LeakyRelu",
        "MEAN": "Reducer",
        "MUL": "Mul",
        "QUANTIZE": "Quantize",
        "RESIZE_BILINEAR": "ResizeBilinear",
        "SOFTMAX": "Softmax",
        "SUB": "Sub",
    }
    made = getattr(schema, f"{names[kind]}OptionsT")()
    for name, value in values.items():
        assert hasattr(made, name)
        setattr(made, name, value)
    return made


def run(op: Operator, kernels: str) -> Array:
    """What these kernels compute for the operator's inputs."""
    content = network(op)
    feeds = [tensor.values for i, tensor in enumerate(op.inputs) if tensor is not None and i not in _constants(op)]
    return _micro(content, feeds) if kernels == MICRO else _litert(content, feeds, kernels)


def _litert(content: bytes, feeds: list[Array], resolver: str) -> Array:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content, num_threads=1, experimental_op_resolver_type=OpResolverType[resolver]
    )
    interpreter.allocate_tensors()
    for entry, values in zip(interpreter.get_input_details(), feeds, strict=True):
        interpreter.set_tensor(entry["index"], values)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def _micro(content: bytes, feeds: list[Array]) -> Array:
    from tflite_micro import runtime

    arena = 1 << 20
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena + 4 * sum(feed.nbytes for feed in feeds))
    for index, values in enumerate(feeds):
        interpreter.set_input(values, index)
    interpreter.invoke()
    found: Array = interpreter.get_output(0)
    return found


__all__ = ["KERNELS", "LITERT", "MICRO", "Operator", "Tensor", "missing", "network", "options", "run"]
