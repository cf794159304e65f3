"""Which tensor of a model is which of the compiled network's: layers join them, by the names that ST's files keep."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qdqnp.program import Program, Step
from qdqnp.st.compiled import CompiledAdd, CompiledLookup, CompiledNetwork, CompiledPool, CompiledSum

#: How the compiler calls the only output of a node.
NODE_OUTPUT = re.compile(r"(.+)_out_0")
Layer = CompiledSum | CompiledAdd | CompiledPool | CompiledLookup

#: What stands behind a node's name where the compiler made a convolution of a dense layer.
AS_CONVOLUTION = re.compile(r"(.+)_conv_[0-9]{1,9}")


def tensor_names(network: CompiledNetwork, program: Program) -> dict[str, str]:
    """Return the model's name of each tensor that a known layer makes, by the compiler's name.

    network: the compiled network.
    program: the model that was compiled, or ST's graph of it.

    An input or an output of the network is paired where there is only one.
    """
    layers: Sequence[Layer] = (*network.sums, *network.adds, *network.poolings, *network.lookups)
    originals = dict(network.originals)
    steps = {name: step for step in reversed(program.steps) for name in step.origin}
    found: dict[str, str] = {}
    made = [(layer.name, layer.output) for layer in layers if layer.output]
    made += [(match[1], place.name) for place in network.places if (match := NODE_OUTPUT.fullmatch(place.name))]
    for node, tensor in made:
        match = AS_CONVOLUTION.fullmatch(node)
        own = match[1] if match else node
        step = next((steps[name] for name in (own, *originals.get(own, ())) if name in steps), None)
        if step is not None and step.output_names[0] not in found.values():
            found.setdefault(tensor, step.output_names[0])
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
