"""Mutate ONNX models for tools/fuzz/fuzz.py: a model's structure, and its bytes."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, TensorProto, helper

from qdqnp.ops.registry import operators
from tools.fuzz.fuzz_seeds import EXTERNAL_FILES, EXTERNAL_TRAPS

Rng = random.Random
Model = onnx.ModelProto
Mutation = Callable[[Rng, Model], object]

INTEGERS = (
    -1,
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    16,
    -2,
    -3,
    127,
    128,
    255,
    256,
    1023,
    65536,
    2**20,
    2**20 + 1,
    2**24,
    2**28,
    2**31 - 1,
    -(2**31),
    2**31,
    2**32,
    2**40,
    2**62,
    2**63 - 1,
    -(2**63),
)
FLOATS = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    0.5,
    2.0,
    float("nan"),
    float("inf"),
    float("-inf"),
    1e-45,
    1e-39,
    1.1754944e-38,
    3.4028235e38,
    -0.3,
    1e-20,
    1e20,
    255.0,
    1 / 256,
    6 / 255,
)
SIZES = (0, 1, 1, 2, 3, 4, 5, 6, 8, 64)
ATTRIBUTES = (
    "axis",
    "axes",
    "pads",
    "kernel_shape",
    "strides",
    "dilations",
    "group",
    "auto_pad",
    "ceil_mode",
    "count_include_pad",
    "transA",
    "transB",
    "alpha",
    "beta",
    "epsilon",
    "perm",
    "keepdims",
    "block_size",
    "output_dtype",
    "saturate",
    "allowzero",
    "storage_order",
    "noop_with_empty_axes",
    "channels_last",
    "channels",
    "opset",
    "to",
    "min",
    "max",
    "momentum",
    "training_mode",
    "value",
    "body",
    "then_branch",
    "p",
    "value_ints",
    "value_float",
    "precision",
)
TEXTS = (
    "NOTSET",
    "VALID",
    "SAME_UPPER",
    "SAME_LOWER",
    "",
    "x",
    "NHWC",
    "\x1b[31m",
    "[red]",
    "a" * 5000,
    "\u202e",
    "None",
)
OPS = sorted(operators())
FOREIGN = (
    "If",
    "Loop",
    "Scan",
    "Constant",
    "Cast",
    "Split",
    "ConstantOfShape",
    "DynamicQuantizeLinear",
    "Resize",
    "Pad",
    "SequenceConstruct",
    "Optional",
    "ConvInteger",
    "relu",
    "",
)
KINDS = (*range(24), 99, -1)
ATTRIBUTE_KINDS = tuple(AttributeProto.AttributeType.values())
MANY = 300  # of what a file repeats to be large


def mutate(rng: Rng, seeds: Sequence[Model]) -> bytes:
    """Return the bytes of a mutated model."""
    model = Model()
    model.CopyFrom(rng.choice(seeds))
    if rng.random() < 0.15:
        return mutate_bytes(rng, model.SerializeToString())
    mutate_model(rng, model, seeds)
    data = model.SerializeToString()
    return mutate_bytes(rng, data) if rng.random() < 0.03 else data


def mutate_model(rng: Rng, model: Model, seeds: Sequence[Model]) -> None:
    for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 4))):
        mutation = rng.choice(MUTATIONS)
        if mutation is splice:
            splice(rng, model, rng.choice(seeds))
        else:
            mutation(rng, model)


# -- picking -------------------------------------------------------------------------------------------------------
def _pick(rng: Rng, items: Sequence[Any]) -> Any:
    return items[rng.randrange(len(items))] if len(items) else None


def _bodies(model: Model) -> list[Any]:
    """List what holds nodes: the graph, functions, subgraphs one level down."""
    inner = [a.g for node in model.graph.node for a in node.attribute if a.HasField("g")]
    return [model.graph, model.graph, model.graph, *model.functions, *inner]


def _node(rng: Rng, model: Model) -> Any:
    return _pick(rng, rng.choice(_bodies(model)).node)


def _names(model: Model) -> list[str]:
    graph = model.graph
    names = [item.name for part in (graph.initializer, graph.input, graph.output) for item in part]
    return [*names, *(name for node in graph.node for name in (*node.input, *node.output)), "", "new"]


def _tensor(rng: Rng, model: Model) -> Any:
    inside = [a.t for node in model.graph.node for a in node.attribute if a.type == AttributeProto.TENSOR]
    return _pick(rng, [*model.graph.initializer, *inside])


def _integer(rng: Rng) -> int:
    return rng.choice(INTEGERS) if rng.random() < 0.6 else rng.randrange(-8, 9)


def _float(rng: Rng) -> float:
    return rng.choice(FLOATS) if rng.random() < 0.7 else rng.uniform(-3, 3)


def _text(rng: Rng) -> str:
    return rng.choice(TEXTS)


# -- nodes ---------------------------------------------------------------------------------------------------------
def rewire(rng: Rng, model: Model) -> None:
    node = _node(rng, model)
    if node is not None and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(_names(model))


def add_input(rng: Rng, model: Model) -> None:
    node = _node(rng, model)
    if node is not None:
        node.input.append(rng.choice(_names(model)))


def drop_input(rng: Rng, model: Model) -> None:
    node = _node(rng, model)
    if node is not None and node.input:
        del node.input[rng.randrange(len(node.input))]


def rename_output(rng: Rng, model: Model) -> None:
    node = _node(rng, model)
    if node is not None and node.output:
        node.output[rng.randrange(len(node.output))] = rng.choice(_names(model))


def add_output(rng: Rng, model: Model) -> None:
    node = _node(rng, model)
    if node is not None:
        node.output.append(rng.choice(_names(model)))


def swap_operator(rng: Rng, model: Model) -> None:
    node = _node(rng, model)
    if node is not None:
        node.domain, node.op_type = rng.choice(OPS)


def foreign_operator(rng: Rng, model: Model) -> None:
    node = _node(rng, model)
    if node is not None:
        node.op_type = rng.choice(FOREIGN)
        if rng.random() < 0.3:
            node.domain = rng.choice(("com.microsoft", "ai.onnx", "ai.onnx.ml", "local", "x" * 5000))


def rename_node(rng: Rng, model: Model) -> None:
    node = _node(rng, model)
    if node is not None:
        node.name = _text(rng)


def delete_node(rng: Rng, model: Model) -> None:
    nodes = rng.choice(_bodies(model)).node
    if nodes:
        del nodes[rng.randrange(len(nodes))]


def duplicate_node(rng: Rng, model: Model) -> None:
    nodes = rng.choice(_bodies(model)).node
    if nodes:
        copy = nodes.add()
        copy.CopyFrom(rng.choice(nodes))
        if rng.random() < 0.8:
            for index in range(len(copy.output)):
                copy.output[index] += "_copy"
            if rng.random() < 0.5 and isinstance(model.graph, onnx.GraphProto):
                model.graph.output.add(name=copy.output[0] if copy.output else "none")


def swap_nodes(rng: Rng, model: Model) -> None:
    nodes = model.graph.node
    if len(nodes) > 1:
        one, other = rng.sample(range(len(nodes)), 2)
        kept = onnx.NodeProto()
        kept.CopyFrom(nodes[one])
        nodes[one].CopyFrom(nodes[other])
        nodes[other].CopyFrom(kept)


def append_node(rng: Rng, model: Model) -> None:
    """Append another operator to an output: the most likely way to a graph that is still valid."""
    if not model.graph.output:
        return
    output = rng.choice(model.graph.output)
    domain, op = rng.choice(OPS)
    node = model.graph.node.add(op_type=op, domain=domain)
    node.input.extend([output.name, *rng.choices(_names(model), k=rng.choice((0, 0, 1, 2, 3)))])
    node.output.append("appended")
    output.Clear()
    output.name = "appended"


def chain(rng: Rng, model: Model) -> None:
    """Append many nodes; each doubles the tensor, or merely reads the one before."""
    if not model.graph.output:
        return
    output = model.graph.output[0]
    last = output.name
    kind = rng.choice(("Identity", "Concat", "Relu", "Add", "MatMul", "Mul", "Transpose"))
    for index in range(rng.choice((3, 20, 40, MANY))):
        node = model.graph.node.add(op_type=kind)
        node.input.extend([last, last] if kind in ("Concat", "Add", "MatMul", "Mul") else [last])
        if kind == "Concat":
            node.attribute.append(helper.make_attribute("axis", rng.choice((0, 1, -1))))
        last = f"chain{index}"
        node.output.append(last)
    output.Clear()
    output.name = last


def splice(rng: Rng, model: Model, other: Model) -> None:
    """Insert nodes and constants of another seed, their input joined to a tensor of this one."""
    model.graph.node.extend(other.graph.node)
    known = {tensor.name for tensor in model.graph.initializer}
    model.graph.initializer.extend(tensor for tensor in other.graph.initializer if tensor.name not in known)
    model.graph.output.extend(other.graph.output)
    if rng.random() < 0.5:
        model.graph.input.extend(other.graph.input)
    elif other.graph.input and model.graph.node:
        model.graph.node.add(op_type="Identity", input=[rng.choice(_names(model))], output=[other.graph.input[0].name])


# -- attributes ----------------------------------------------------------------------------------------------------
def _attribute(rng: Rng, model: Model) -> Any:
    node = _node(rng, model)
    return None if node is None else _pick(rng, node.attribute)


def change_attribute(rng: Rng, model: Model) -> None:
    attribute = _attribute(rng, model)
    if attribute is None:
        return add_attribute(rng, model)
    match attribute.type:
        case AttributeProto.INT:
            attribute.i = _integer(rng)
        case AttributeProto.FLOAT:
            attribute.f = _float(rng)
        case AttributeProto.STRING:
            attribute.s = _text(rng).encode() if rng.random() < 0.9 else b"\xff\xfe"
        case AttributeProto.INTS:
            _change_list(rng, attribute.ints, _integer(rng))
        case AttributeProto.FLOATS:
            _change_list(rng, attribute.floats, _float(rng))
        case _:
            attribute.type = rng.choice(ATTRIBUTE_KINDS)


def _change_list(rng: Rng, items: Any, value: Any) -> None:
    way = rng.randrange(5)
    if way == 0:
        items.append(value)
    elif way == 1 and items:
        items.pop()
    elif way == 2:
        items.extend([value] * rng.choice((1, 3, MANY)))
    elif items:
        items[rng.randrange(len(items))] = value
    else:
        items.append(value)


def add_attribute(rng: Rng, model: Model) -> None:
    node = _node(rng, model)
    if node is None:
        return
    value: Any = rng.choice((_integer, _float, _text, _integers))(rng)
    node.attribute.append(helper.make_attribute(rng.choice(ATTRIBUTES), value))


def _integers(rng: Rng) -> list[int]:
    return [_integer(rng) for _ in range(rng.choice((1, 2, 4, 4, 6)))]


def drop_attribute(rng: Rng, model: Model) -> None:
    node = _node(rng, model)
    if node is not None and node.attribute:
        del node.attribute[rng.randrange(len(node.attribute))]


def retype_attribute(rng: Rng, model: Model) -> None:
    attribute = _attribute(rng, model)
    if attribute is not None:
        attribute.type = rng.choice(ATTRIBUTE_KINDS)


def double_attribute(rng: Rng, model: Model) -> None:
    node = _node(rng, model)
    if node is not None and node.attribute:
        node.attribute.add().CopyFrom(rng.choice(node.attribute))


def refer_attribute(rng: Rng, model: Model) -> None:
    attribute = _attribute(rng, model)
    if attribute is not None:
        attribute.ref_attr_name = rng.choice(ATTRIBUTES)


# -- declarations --------------------------------------------------------------------------------------------------
def change_size(rng: Rng, model: Model) -> None:
    info = _pick(rng, [*model.graph.input, *model.graph.input, *model.graph.output, *model.graph.value_info])
    dims = info.type.tensor_type.shape.dim if info is not None else ()
    if not dims:
        return
    dim = rng.choice(dims)
    way = rng.random()
    if way < 0.5:
        dim.dim_value = rng.choice(SIZES)
    elif way < 0.7:
        dim.dim_value = _integer(rng)
    elif way < 0.9:
        dim.dim_param = rng.choice(("N", "M", "", "K"))
    else:
        dim.Clear()


def change_rank(rng: Rng, model: Model) -> None:
    info = _pick(rng, model.graph.input)
    if info is None:
        return
    dims = info.type.tensor_type.shape.dim
    way = rng.randrange(4)
    if way == 0 and dims:
        del dims[rng.randrange(len(dims))]
    elif way == 1:
        info.type.tensor_type.ClearField("shape")
    else:
        for _ in range(rng.choice((1, 1, 2, 40))):
            dims.add(dim_value=rng.choice(SIZES))


def change_type(rng: Rng, model: Model) -> None:
    info = _pick(rng, [*model.graph.input, *model.graph.output])
    if info is None:
        return
    if rng.random() < 0.8:
        info.type.tensor_type.elem_type = rng.choice(KINDS[:-1])
    else:
        info.type.sequence_type.elem_type.tensor_type.elem_type = 1


def change_lists(rng: Rng, model: Model) -> None:
    """Drop or double inputs and outputs, or replace them by other tensors."""
    part = rng.choice((model.graph.input, model.graph.output, model.graph.value_info))
    way = rng.randrange(3)
    if way == 0 and part:
        del part[rng.randrange(len(part))]
    elif way == 1 and part:
        part.add().CopyFrom(rng.choice(part))
    else:
        part.add(name=rng.choice(_names(model)))


# -- tensors -------------------------------------------------------------------------------------------------------
def change_kind(rng: Rng, model: Model) -> None:
    tensor = _tensor(rng, model)
    if tensor is not None:
        tensor.data_type = rng.choice(KINDS)


def change_dims(rng: Rng, model: Model) -> None:
    tensor = _tensor(rng, model)
    if tensor is None:
        return
    way = rng.randrange(5)
    if way == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = _integer(rng)
    elif way == 1 and tensor.dims:
        tensor.dims.reverse()
    elif way == 2 and tensor.dims:
        tensor.dims.pop()
    else:
        tensor.dims.extend([rng.choice((1, 1, 0, 2))] * rng.choice((1, 1, 2, 40)))


def change_data(rng: Rng, model: Model) -> None:
    """Change elements in a tensor of the same size: such a model stays valid and reaches the arithmetic."""
    tensor = _tensor(rng, model)
    if tensor is None or not tensor.raw_data:
        return
    data = bytearray(tensor.raw_data)
    if tensor.data_type == TensorProto.FLOAT and len(data) >= 4:
        at = 4 * rng.randrange(len(data) // 4)
        data[at : at + 4] = struct.pack("<f", _float(rng))
    elif tensor.data_type == TensorProto.INT64 and len(data) >= 8:
        at = 8 * rng.randrange(len(data) // 8)
        data[at : at + 8] = struct.pack("<q", _integer(rng))
    elif rng.random() < 0.3:
        data[:] = bytes([rng.choice((0, 1, 127, 128, 255))]) * len(data)
    else:
        data[rng.randrange(len(data))] = rng.randrange(256)
    tensor.raw_data = bytes(data)


def scales(rng: Rng, model: Model) -> None:
    """Set all elements of a float tensor to one value: most float tensors are scales."""
    tensor = _pick(rng, [item for item in model.graph.initializer if item.data_type == TensorProto.FLOAT])
    if tensor is not None and tensor.raw_data:
        tensor.raw_data = struct.pack("<f", _float(rng)) * (len(tensor.raw_data) // 4)


def cut_data(rng: Rng, model: Model) -> None:
    tensor = _tensor(rng, model)
    if tensor is not None:
        size = rng.choice((0, 1, 2, 4, 8))
        tensor.raw_data = tensor.raw_data[:-size] if rng.random() < 0.5 else tensor.raw_data + bytes(size)


def resize_tensor(rng: Rng, model: Model) -> None:
    """Change the dims and fit zeros to them: valid by itself, maybe wrong where the tensor is read."""
    tensor = _tensor(rng, model)
    size = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 10: 2, 11: 8}.get(tensor.data_type if tensor is not None else 0)
    if tensor is None or size is None:
        return
    dims = [rng.choice(SIZES[:-1]) for _ in range(rng.choice((0, 1, 1, 2, 4)))]
    count = 1
    for dim in dims:
        count *= dim
    del tensor.dims[:]
    tensor.dims.extend(dims)
    tensor.raw_data = bytes(rng.choice((b"\0", b"\1", b"\x7f", b"\x80"))) * (count * size)


def typed_data(rng: Rng, model: Model) -> None:
    tensor = _tensor(rng, model)
    if tensor is not None:
        if rng.random() < 0.7:
            tensor.ClearField("raw_data")
        field = rng.choice(("float_data", "int32_data", "int64_data", "double_data", "string_data"))
        value: Any = {"float_data": _float, "double_data": _float}.get(field, lambda rng: rng.randrange(-300, 300))(rng)
        getattr(tensor, field).extend([b"text" if field == "string_data" else value] * rng.choice((1, 1, 4, 12)))


def external(rng: Rng, model: Model) -> None:
    tensor = _tensor(rng, model)
    if tensor is None:
        return
    if not tensor.external_data or rng.random() < 0.2:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        del tensor.external_data[:]
        tensor.external_data.add(key="location", value=rng.choice(EXTERNAL_FILES + EXTERNAL_TRAPS))
    key = rng.choice(("location", "offset", "length", "checksum", "location"))
    files = EXTERNAL_TRAPS if rng.random() < 0.5 else EXTERNAL_FILES
    value = rng.choice(files) if key == "location" else str(rng.choice((0, 1, 4, 8, 48, 4096, _integer(rng))))
    for entry in tensor.external_data:
        if entry.key == key and rng.random() < 0.9:
            entry.value = value
            return
    tensor.external_data.add(key=key, value=value)


def rename_tensor(rng: Rng, model: Model) -> None:
    tensor = _tensor(rng, model)
    if tensor is not None:
        tensor.name = rng.choice((*_names(model), _text(rng)))


def change_initializers(rng: Rng, model: Model) -> None:
    part = model.graph.initializer
    if not part:
        return
    way = rng.randrange(4)
    if way == 0:
        del part[rng.randrange(len(part))]
    elif way == 1:
        part.add().CopyFrom(rng.choice(part))
    elif way == 2:
        rng.choice(part).segment.begin = 1
    else:
        sparse = model.graph.sparse_initializer.add()
        sparse.values.CopyFrom(rng.choice(part))
        sparse.dims.extend([_integer(rng)])


# -- the model around it -------------------------------------------------------------------------------------------
def opsets(rng: Rng, model: Model) -> None:
    if model.opset_import and rng.random() < 0.7:
        rng.choice(model.opset_import).version = rng.choice((*range(9, 28), _integer(rng)))
    else:
        model.opset_import.add(
            domain=rng.choice(("", "ai.onnx", "com.microsoft", "local", "x")), version=rng.randrange(30)
        )


def ir_version(rng: Rng, model: Model) -> None:
    model.ir_version = rng.choice((*range(1, 16), 2**40, -1))


def to_function(rng: Rng, model: Model) -> None:
    """Turn a node into the body of a function, which may call itself, or be called too often."""
    node = _pick(rng, model.graph.node)
    if node is None:
        return
    function = model.functions.add(name=f"f{len(model.functions)}", domain="local")
    function.input.extend(dict.fromkeys(name for name in node.input if name))
    function.output.extend(name for name in node.output if name)
    function.opset_import.extend(model.opset_import)
    function.node.add().CopyFrom(node)
    if rng.random() < 0.2:
        rng.choice(function.node).op_type = function.name
        rng.choice(function.node).domain = "local"
    if rng.random() < 0.3:
        function.attribute.append(rng.choice(ATTRIBUTES))
    node.op_type, node.domain = function.name, "local"
    del node.input[:]
    node.input.extend(function.input)
    if rng.random() < 0.8:
        del node.attribute[:]
    if not any(item.domain == "local" for item in model.opset_import):
        model.opset_import.add(domain="local", version=1)


def subgraph(rng: Rng, model: Model) -> None:
    """Put control flow around a copy of the graph, or many times around it."""
    inner = onnx.GraphProto()
    inner.CopyFrom(model.graph)
    for _ in range(rng.choice((0, 0, 3, 30))):
        outer = onnx.GraphProto()
        with contextlib.suppress(DecodeError):  # protobuf copies nothing that is nested deeper than it reads
            outer.node.add(op_type="If").attribute.append(helper.make_attribute("then_branch", inner))
            inner = outer
    node = _node(rng, model)
    if node is not None:
        with contextlib.suppress(DecodeError):
            node.attribute.append(helper.make_attribute(rng.choice(("then_branch", "body", "axis")), inner))
        if rng.random() < 0.5:
            node.op_type = rng.choice(("If", "Loop", "Scan"))


def metadata(rng: Rng, model: Model) -> None:
    model.metadata_props.add(key=_text(rng), value=_text(rng))
    model.graph.name = _text(rng)
    model.producer_name = _text(rng)


def many(rng: Rng, model: Model) -> None:
    """Repeat one part: the work for each repetition must not depend on all the others."""
    part = rng.choice((model.graph.node, model.graph.initializer, model.graph.input, model.graph.value_info))
    if part:
        item = rng.choice(part)
        with contextlib.suppress(DecodeError):  # as in `subgraph`: it may be nested too deep to copy
            part.extend([item] * rng.choice((10, MANY)))


MUTATIONS: tuple[Any, ...] = (
    rewire,
    rewire,
    add_input,
    drop_input,
    rename_output,
    add_output,
    swap_operator,
    swap_operator,
    foreign_operator,
    rename_node,
    delete_node,
    duplicate_node,
    swap_nodes,
    append_node,
    append_node,
    chain,
    splice,
    change_attribute,
    change_attribute,
    change_attribute,
    add_attribute,
    add_attribute,
    drop_attribute,
    retype_attribute,
    double_attribute,
    refer_attribute,
    change_size,
    change_size,
    change_size,
    change_rank,
    change_type,
    change_lists,
    change_kind,
    change_dims,
    change_data,
    change_data,
    change_data,
    scales,
    scales,
    cut_data,
    resize_tensor,
    resize_tensor,
    typed_data,
    external,
    rename_tensor,
    change_initializers,
    opsets,
    ir_version,
    to_function,
    subgraph,
    metadata,
    many,
)


# -- bytes ---------------------------------------------------------------------------------------------------------
def mutate_bytes(rng: Rng, data: bytes) -> bytes:
    """Flip bits; insert, remove or double bytes; overwrite bytes by lengths that promise too much; cut off ends."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not found:
            break
        at = rng.randrange(len(found))
        length = rng.choice((1, 1, 2, 4, 8, 64))
        way = rng.randrange(8)
        if way <= 1:
            found[at] ^= 1 << rng.randrange(8)
        elif way == 2:
            found[at] = rng.randrange(256)
        elif way == 3:
            del found[at : at + length]
        elif way == 4:
            found[at:at] = rng.randbytes(length)
        elif way == 5:
            found[at:at] = found[at : at + length]
        elif way == 6:
            found[at : at + length] = rng.choice((b"\xff" * 9 + b"\x01", b"\x80\x80\x80\x80\x08", b"\0" * length))
        elif rng.random() < 0.3:
            del found[at:]
        else:
            found[at:at] = b"\x0b" * length  # groups that begin and never end
    return bytes(found)
