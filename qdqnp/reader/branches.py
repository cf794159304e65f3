"""Inlines the branch that an If with a constant condition takes, as ONNX Runtime does when it folds constants.

A condition that is computed from sizes is one where no size is open: ONNX Runtime then folds it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import onnx

#: Ifs inside of each other, and one behind the other.
MAX_ROUNDS = 32
#: Conditions that are computed in one round.
MAX_COMPUTED = 16

#: What computes a tensor of a model from its sizes, if that is possible.
Compute = Callable[[onnx.ModelProto, str], bool | None]


def without_branches(model: onnx.ModelProto, compute: Compute = lambda model, name: None) -> onnx.ModelProto:
    """Return the model with the branches of its constant Ifs in their place; the model itself where there are none.

    A condition is constant where it is an initializer or a Constant node's, or where `compute` knows it. What a branch
    makes is renamed after the If, so that two of them may use one name.
    """
    for _ in range(MAX_ROUNDS):
        if not any(node.op_type == "If" for node in model.graph.node):
            break
        conditions = dict(_conditions(model.graph))
        conditions |= _computed(model, conditions, compute)
        branches = ((at, _taken(node, conditions)) for at, node in enumerate(model.graph.node))
        found = {at: branch for at, branch in branches if branch is not None}
        if not found:
            break
        model = _inlined(model, found)
    return model


def _taken(node: onnx.NodeProto, conditions: Mapping[str, bool]) -> onnx.GraphProto | None:
    """Return the graph of the branch that a node takes; None for what is no If, or has a computed condition."""
    if node.op_type != "If" or node.domain not in ("", "ai.onnx") or len(node.input) != 1:
        return None
    if node.input[0] not in conditions:
        return None
    name = "then_branch" if conditions[node.input[0]] else "else_branch"
    for item in node.attribute:
        if item.name == name and len(item.g.output) == len(node.output) and not len(item.g.input):
            branch: onnx.GraphProto = item.g
            return branch
    return None


def _conditions(graph: onnx.GraphProto) -> Iterator[tuple[str, bool]]:
    """Yield the name and value of every constant bool of one element."""
    tensors = [(tensor.name, tensor) for tensor in graph.initializer]
    for node in graph.node:
        if node.op_type == "Constant" and len(node.output) == 1:
            tensors += [(node.output[0], item.t) for item in node.attribute if item.name == "value"]
    for name, tensor in tensors:
        if tensor.data_type == onnx.TensorProto.BOOL and list(tensor.dims) in ([], [1]):
            elements = list(tensor.raw_data) if tensor.HasField("raw_data") else list(tensor.int32_data)
            if elements in ([0], [1]):
                yield name, bool(elements[0])


def _computed(model: onnx.ModelProto, known: Mapping[str, bool], compute: Compute) -> dict[str, bool]:
    """Return the conditions that follow from sizes."""
    names = [node.input[0] for node in model.graph.node if node.op_type == "If" and len(node.input) == 1]
    open_names = [name for name in dict.fromkeys(names) if name not in known][:MAX_COMPUTED]
    found = {name: compute(model, name) for name in open_names}
    return {name: value for name, value in found.items() if value is not None}


def _inlined(model: onnx.ModelProto, found: dict[int, onnx.GraphProto]) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    taken = {name for node in model.graph.node for name in (*node.output, *node.input)}
    taken |= {tensor.name for tensor in model.graph.initializer} | {info.name for info in model.graph.input}
    for at, node in enumerate(model.graph.node):
        branch = found.get(at)
        if branch is None:
            result.graph.node.add().CopyFrom(node)
            continue
        made = {name for inner in branch.node for name in inner.output if name}
        names: dict[str, str] = {}
        for info, output in zip(branch.output, node.output, strict=True):
            if info.name in made:
                names.setdefault(info.name, output)
        for name in (*made, *(tensor.name for tensor in branch.initializer)):
            names[name] = names.get(name) or _fresh(f"{node.name or node.output[0]}/{name}", taken)
        for tensor in branch.initializer:
            result.graph.initializer.add().CopyFrom(tensor)
            result.graph.initializer[-1].name = names[tensor.name]
        for inner in branch.node:
            result.graph.node.add().CopyFrom(inner)
            _rename(result.graph.node[-1], names)
        for info, output in zip(branch.output, node.output, strict=True):
            source = names.get(info.name, info.name)  # of the branch, or from outside
            if source != output:
                result.graph.node.add(op_type="Identity", input=[source], output=[output])
    return result


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _rename(node: onnx.NodeProto, names: dict[str, str]) -> None:
    """Rename what a node reads and makes, and what the graphs inside it read."""
    for item in _all(node):
        item.input[:] = [names.get(name, name) for name in item.input]
    node.output[:] = [names.get(name, name) for name in node.output]


def _all(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Yield the node, and the nodes of the graphs inside it."""
    waiting = [node]
    while waiting:
        current = waiting.pop()
        yield current
        waiting += [inner for item in current.attribute for graph in (item.g, *item.graphs) for inner in graph.node]
