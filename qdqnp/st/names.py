"""Joins a compiled network with a model: ST's files keep the names of layers and tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from qdqnp.errors import InputError, Problems, shorten
from qdqnp.model import Model
from qdqnp.ops.registry import operator_of
from qdqnp.program import Program, Step
from qdqnp.st.compiled import CompiledNetwork
from qdqnp.st.profile import layer_node

#: How the compiler calls the only output of a node.
_NODE_OUTPUT = re.compile(r"(.+)_out_0")
_NO_NAME = re.compile(r"[^A-Za-z0-9_]")


class _Steps:
    """The steps of a model by the names that a compiled network has for them.

    The model is the graph that was compiled, whose nodes have the same names, or what was given to the compiler: then
    *_Q.json says which of its nodes or tensors a compiled node is, with '_' for whatever is no letter, digit or '_'.
    """

    def __init__(self, model: Model, program: Program, network: CompiledNetwork) -> None:
        self._originals: Mapping[str, tuple[str, ...]] = dict(network.originals)
        self._there: dict[str, list[Step]] = {}
        outputs = {node.label: node.outputs for node in model.graph.nodes}
        for step in program.steps:
            made = (tensor for label in step.origin for tensor in outputs.get(label, ()))
            for name in dict.fromkeys(map(_plain, (*step.origin, *step.output_names, *made))):
                self._there.setdefault(name, []).append(step)

    def names(self, node: str) -> tuple[str, ...]:
        """Return what a compiled node may be called in the model."""
        return (node, *self._originals.get(node, ()))

    def of(self, node: str) -> Sequence[Step]:
        """Return the steps that a compiled node may be; of several those alone that have arithmetic of a profile."""
        found = next((self._there[name] for name in map(_plain, self.names(node)) if name in self._there), [])
        return [step for step in found if operator_of(step).rule] or found


def labels_in(model: Model, network: CompiledNetwork) -> dict[str, str]:
    """Return the label of each compiled layer in a model, by the node of the compiled graph.

    Raises InputError, which lists the compiled layers that the model does not have.
    """
    problems = Problems()
    steps = _Steps(model, model.program(lowering="device"), network)
    layers = [*(one.name for one in network.sums), *(one.name for one in network.adds)]
    averages = [pool.name for pool in network.poolings if "average" in pool.operation]
    found: dict[str, str] = {}
    for node in map(layer_node, (*layers, *averages)):
        labels = list(dict.fromkeys(step.label for step in steps.of(node)))
        if len(labels) == 1:
            found[node] = labels[0]
        else:
            got = "several" if labels else "none"
            listed = ", ".join(shorten(name, 60) for name in steps.names(node))
            problems.add(f"compiled layer {node}", f"one layer of the model called {listed}", got)
    problems.raise_if_any("a model that is not the one that was compiled", InputError)
    return found


def tensor_names(model: Model, network: CompiledNetwork) -> dict[str, str]:
    """Return the model's name of each tensor that a layer makes, by the compiler's name; those that are not sure are
    left out.

    An input or an output of the network is paired where there is only one.
    """
    program = model.program(network.profile)
    steps = _Steps(model, program, network)
    made = [
        (layer.name, layer.output)
        for layers in (network.sums, network.adds, network.poolings, network.lookups)
        for layer in layers
        if layer.output
    ]
    made += [(match[1], place.name) for place in network.places if (match := _NODE_OUTPUT.fullmatch(place.name))]
    found: dict[str, str] = {}
    named: set[str] = set()
    for node, tensor in made:
        makers = steps.of(layer_node(node))
        if len(makers) == 1 and tensor not in found and makers[0].output_names[0] not in named:
            found[tensor] = makers[0].output_names[0]
            named.add(found[tensor])
    for role, names in (("input", program.inputs), ("output", program.outputs)):
        places = [place for place in network.places if place.role == role]
        if len(places) == len(names) == 1:
            found.setdefault(places[0].name, _codes_of(program, names[0], role))
    return found


def _codes_of(program: Program, name: str, role: str) -> str:
    """Return the tensor that holds the codes of an input or an output of the model, or the name itself."""

    def near(step: Step) -> bool:
        if role == "input":
            return step.quantizes and name in step.input_names
        return step.dequantizes and name in step.output_names

    step = next((step for step in program.steps if near(step)), None)
    if step is None:
        return name
    return step.output_names[0] if role == "input" else step.input_names[0]


def _plain(name: str) -> str:
    return _NO_NAME.sub("_", name)
