"""Finds the layers of a model by the names that ST's compiler has for them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from qdqnp.errors import InputError, Problems, shorten
from qdqnp.model import Model
from qdqnp.ops.registry import operator_of
from qdqnp.st.compiled import CompiledNetwork
from qdqnp.st.profile import layer_node

_NO_NAME = re.compile(r"[^A-Za-z0-9_]")


def labels_in(model: Model, network: CompiledNetwork) -> dict[str, str]:
    """Return the label of each compiled layer in a model, by the node of the compiled graph.

    The model is the graph that was compiled, whose nodes have the same names, or what was given to the compiler: then
    *_Q.json says which of its nodes or tensors a compiled node is, with '_' for whatever is no letter, digit or '_'.

    Raises InputError, which lists the compiled layers that the model does not have.
    """
    problems = Problems()
    outputs = {node.label: node.outputs for node in model.graph.nodes}
    there: dict[str, dict[str, bool]] = {}
    for step in model.program(lowering="device").steps:
        for name in (*step.origin, *step.output_names, *(t for label in step.origin for t in outputs.get(label, ()))):
            there.setdefault(_plain(name), {})[step.label] = bool(operator_of(step).rule)
    originals: Mapping[str, tuple[str, ...]] = dict(network.originals)
    found: dict[str, str] = {}
    layers = [*(one.name for one in network.sums), *(one.name for one in network.adds)]
    averages = [pool.name for pool in network.poolings if "average" in pool.operation]
    for node in map(layer_node, (*layers, *averages)):
        names = (node, *originals.get(node, ()))
        candidates = next((there[_plain(name)] for name in names if _plain(name) in there), {})
        having = [label for label, has_rule in candidates.items() if has_rule] or list(candidates)
        if len(having) == 1:
            found[node] = having[0]
        else:
            got = "several" if having else "none"
            listed = ", ".join(shorten(name, 60) for name in names)
            problems.add(f"compiled layer {node}", f"one layer of the model called {listed}", got)
    problems.raise_if_any("a model that is not the one that was compiled", InputError)
    return found


def _plain(name: str) -> str:
    return _NO_NAME.sub("_", name)
