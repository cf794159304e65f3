"""Cuts a model in front of tensors that the user names: they become the outputs, and what only the rest needs goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

import onnx
from onnx import helper

from qdqnp.errors import InputError, ModelError, Problem, shorten
from qdqnp.graph import Graph, Shape
from qdqnp.program import Step

# Names among which near ones are looked for, which takes a millisecond for ten of them.
LOOKED_AT = 5000


@dataclass(frozen=True)
class GivenInput:
    """A tensor of the graph that is an input of a part of it."""

    name: str
    #: ONNX's number of the element type.
    element: int
    shape: Shape


def given_inputs(graph: Graph, step: Step) -> tuple[GivenInput, ...]:
    """Return what a layer reads, constants left out, as inputs of a part that begins with it.

    Raises InputError for a tensor that the file does not have.
    """
    found = []
    for name in dict.fromkeys(step.input_names):
        value = graph.values.get(name)
        if value is None:
            problem = Problem(f"layer '{step.label}'", "one that reads tensors of the file", f"it reads '{name}'")
            raise InputError("no part begins there", [problem])
        if value.const is None:
            found.append(GivenInput(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape))
    return tuple(found)


def cut_model(
    model: onnx.ModelProto, outputs: Sequence[str], source: str, inputs: Sequence[GivenInput] = ()
) -> onnx.ModelProto:
    """Return a model whose outputs are these tensors, with the nodes, initializers and inputs that they need.

        outputs: names of tensors of the graph, each once.
        inputs: tensors of the graph that are inputs; what only they need goes.
        source: the name of the model in messages.

    Raises ModelError for names that no tensor of the graph has.
    """
    graph = model.graph
    given = {one.name: one for one in inputs}
    makers = {name: at for at, node in enumerate(graph.node) for name in node.output if name and name not in given}
    known = {**dict.fromkeys(_given(graph)), **makers, **given}
    _check(outputs, known, source)
    needed: set[str] = set()
    kept: set[int] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        at = makers.get(name)
        if at is not None and at not in kept:
            kept.add(at)
            waiting.extend(_read(graph.node[at]))
    result = onnx.ModelProto(
        ir_version=model.ir_version, producer_name=model.producer_name, producer_version=model.producer_version
    )
    result.opset_import.extend(model.opset_import)
    result.functions.extend(model.functions)
    result.graph.name = graph.name
    result.graph.node.extend(node for at, node in enumerate(graph.node) if at in kept)
    result.graph.initializer.extend(tensor for tensor in graph.initializer if tensor.name in needed)
    result.graph.sparse_initializer.extend(item for item in graph.sparse_initializer if item.values.name in needed)
    result.graph.input.extend(info for info in graph.input if info.name in needed and info.name not in given)
    result.graph.input.extend(
        helper.make_tensor_value_info(one.name, one.element, one.shape) for one in inputs if one.name in needed
    )
    declared = {info.name: info for info in (*graph.input, *graph.value_info, *graph.output)}
    result.graph.output.extend(declared.get(name, onnx.ValueInfoProto(name=name)) for name in outputs)
    made = {name for node in result.graph.node for name in node.output} - set(outputs)
    result.graph.value_info.extend(declared[name] for name in declared if name in made)
    return result


def _check(outputs: Sequence[str], known: dict[str, object], source: str) -> None:
    problems = []
    if not outputs:
        problems.append(Problem("outputs", "at least one name of a tensor", "none"))
    for name in dict.fromkeys(outputs):
        if name not in known:
            near = get_close_matches(name, islice((text for text in known if text), LOOKED_AT), 3, 0.5)
            hint = f"Near it: {', '.join(repr(shorten(text, 80)) for text in near)}." if near else ""
            problems.append(Problem(f"output '{shorten(name)}'", "the name of a tensor of the graph", "another", hint))
        elif outputs.count(name) > 1:
            problems.append(Problem(f"output '{shorten(name)}'", "each output once", f"{outputs.count(name)} times"))
    if problems:
        raise ModelError(f"cannot cut {source}", problems)


def _given(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (info.name for info in graph.input)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (item.values.name for item in graph.sparse_initializer)


def _read(node: onnx.NodeProto) -> Iterator[str]:
    """Yield what a node reads, and what the graphs inside it read of the graph around them."""
    yield from node.input
    inner = [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs)]
    while inner:
        graph = inner.pop()
        yield from (info.name for info in graph.output)
        for item in graph.node:
            yield from item.input
            inner += [graph for attribute in item.attribute for graph in (attribute.g, *attribute.graphs)]
