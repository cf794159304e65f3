"""Which tensor of the float network each tensor of the int8 network stands for.

It is told, in this order, by the mapping that the user gave, by the name of what is quantized, by the name of the
layer, and by the structure: a layer whose inputs are paired, and that reads them as one layer of the float network and
no other does. What none of these tells is listed with the reason, and never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from qdqnp.element_types import is_float
from qdqnp.errors import InputError, Problems
from qdqnp.graph import Graph, Shape
from qdqnp.layer_quality.layers import (
    CONVERTING,
    OPEN,
    PASSING,
    PRODUCTS,
    TAKEN_IN,
    WEIGHTED,
    WITH_CODES,
    Clamp,
    Connections,
    both,
    clamp_of,
    kind_of,
)
from qdqnp.layer_quality.weights import are_others, weights_of
from qdqnp.program import Program, Step

#: What quantizers append to the name of what they quantize.
SUFFIXES = (
    "_QuantizeLinear_Output",
    "_QuantizeLinear_Input",
    "_DequantizeLinear_Output",
    "_QuantizeLinear",
    "_DequantizeLinear",
    "_quantized",
    "_quant",
    "_unclipped",
)
NOWHERE = "no name, layer or place in the float network is its own"
MAPPING, TENSOR, LAYER, STRUCTURE = "mapping", "name", "layer name", "structure"


@dataclass(frozen=True)
class TensorPair:
    """A tensor of the int8 network, and the tensor of the float network that it stands for."""

    #: The tensor of codes.
    codes: str
    #: The tensor of the float network.
    real: str
    #: What told it: 'mapping', 'name', 'layer name' or 'structure'.
    told_by: str
    #: A clamp that follows: both tensors are compared as it leaves them.
    clamp: Clamp = OPEN


@dataclass
class TensorPairing:
    """What was paired, and what was not."""

    pairs: list[TensorPair] = field(default_factory=list)
    #: By tensor of the int8 network that has no partner, why.
    unmatched: dict[str, str] = field(default_factory=dict)
    #: Tensors of layers with weights of the float network that no tensor stands for.
    unmatched_float: list[str] = field(default_factory=list)


def targets_of(codes: Connections, real: Connections) -> list[str]:
    """Return the tensors of the int8 network that are measured, in order: codes, but for those that a Clip of codes
    alone reads; and real results of weighted layers that nothing quantizes, which have the name of one in the float
    network."""
    program = codes.program
    found = []
    for step in program.steps:
        for name in step.output_names:
            readers = codes.readers.get(name, [])
            if has_codes(program, name):
                if not readers or not all(codes.clips_codes(reader) for reader in readers):
                    found.append(name)
            elif not codes.converts(step) and not any(reader.quantizes for reader in readers):
                maker = real.program.makers.get(name)
                kinds = {kind_of(each.op) for each in (step, maker) if each is not None}
                if kinds & {*WITH_CODES} and real.weighted(name) is not None:
                    found.append(name)
    return found


def has_codes(program: Program, name: str) -> bool:
    """Tell whether a tensor holds codes."""
    tensor = program.tensors[name]
    return tensor.quant is not None and not is_float(tensor.dtype)


class Matcher:
    """Pairs the tensors of two programs."""

    def __init__(self, real: Connections, codes: Connections, graph: Graph) -> None:
        """Make a matcher.

        real: the float network.
        codes: the int8 network.
        graph: the int8 network's file.
        """
        self.real, self.codes, self.graph = real, codes, graph
        self._by_label = {label: step for step in reversed(real.program.steps) for label in step.origin}
        self._found: dict[str, TensorPair] = {}
        self._why: dict[str, str] = {}

    def pair(self, mapping: Mapping[str, str]) -> TensorPairing:
        """Pair every tensor of codes.

        mapping: by tensor or layer of the int8 network, the tensor or layer of the float network.

        Raises InputError for names in the mapping that neither network has.
        """
        targets = targets_of(self.codes, self.real)
        given = self._mapped(mapping, targets)
        for name in targets:
            if name in given:
                self._accept(name, given[name], MAPPING)
            elif not self._by_names(name):
                self._by_layer(name)
        self._by_structure(targets)
        pairs = [self._found[name] for name in targets if name in self._found]
        why = {name: self._why.get(name, NOWHERE) for name in targets}
        taken = {pair.real for pair in pairs}
        left = [
            name
            for step in self.real.program.steps
            if kind_of(step.op) in WEIGHTED and self.real.weights_name(step)
            for name in step.output_names
            if not taken & set(self._onward(name))
        ]
        return TensorPairing(pairs, {name: why[name] for name in targets if name not in self._found}, left)

    # -- what the user says ------------------------------------------------------------------------------------
    def _mapped(self, mapping: Mapping[str, str], targets: Iterable[str]) -> dict[str, str]:
        problems, found = Problems(), dict[str, str]()
        known = set(targets)
        layers = {label: step for step in reversed(self.codes.program.steps) for label in step.origin}
        for left, right in mapping.items():
            name = left if left in known else next((n for n in _outputs(layers.get(left)) if n in known), "")
            real = right if right in self.real.program.tensors else next(iter(_outputs(self._by_label.get(right))), "")
            if not name:
                problems.add(f"mapping of '{left}'", "a tensor of codes or a layer of the int8 network", "no such name")
            elif not real:
                problems.add(f"mapping of '{left}'", "a tensor or a layer of the float network", f"'{right}'")
            elif not self._fits(name, real):
                shapes = [list(p.tensors[n].shape) for p, n in self._programs(name, real)]
                problems.add(f"mapping of '{left}'", f"a tensor of the shape {shapes[0]}", f"'{right}' {shapes[1]}")
            else:
                found[name] = real
        problems.raise_if_any("the mapping does not fit the two networks", InputError)
        return found

    # -- names -------------------------------------------------------------------------------------------------
    def _by_names(self, name: str) -> bool:
        for candidate in dict.fromkeys(self._called(name)):
            tensor = self.real.program.tensors.get(candidate)
            if tensor is None or tensor.const is not None or not self._fits(name, candidate):
                continue
            if not self._agrees(name, candidate):
                here, there = (", ".join(sorted(kinds)) or "input" for kinds in self._kinds(name, candidate))
                self._why[name] = f"'{candidate}' is of {here} here, and of {there} in the float network"
                continue
            others = self._other_weights(name, candidate)
            if others:
                self._why[name] = f"'{candidate}': {others}"
                continue
            self._accept(name, candidate, TENSOR)
            return True
        return False

    def _called(self, name: str) -> Iterator[str]:
        """Yield the names that a tensor of codes may have in the float network."""
        names = [name, *self.codes.quantized_in(self.graph, name)]
        for each in names:
            yield each
        for each in names:
            while (short := next((each.removesuffix(s) for s in SUFFIXES if each.endswith(s)), "")) != "":
                yield short
                each = short

    def _by_layer(self, name: str) -> None:
        step = self.codes.program.makers[name]
        at = step.output_names.index(name)
        for label in step.origin:
            for text in (label, *(label.removesuffix(suffix) for suffix in SUFFIXES)):
                other = self._by_label.get(text)
                if other is None or at >= len(other.output_names) or other.op in CONVERTING:
                    continue
                real = other.output_names[at]
                fits = self._fits(name, real) and self._agrees(name, real) and self._kinds(name, real)[0]
                if fits and not self._other_weights(name, real):
                    self._accept(name, real, LAYER)
                    return

    # -- structure ---------------------------------------------------------------------------------------------
    def _by_structure(self, targets: Iterable[str]) -> None:
        known = dict(self._roots())
        for step in self.codes.program.steps:
            if self.codes.converts(step):
                continue
            for at, name in enumerate(step.output_names):
                pair = self._found.get(self._codes_of(name))
                if pair is None:
                    real = self._place(step, at, known)
                    target = self._codes_of(name)
                    if real and self._fits(name, real) and not self._other_weights(name, real):
                        if target in set(targets):
                            self._accept(target, real, STRUCTURE)
                            pair = self._found[target]
                            self._why.pop(target, None)
                        else:
                            known[name] = real
                if pair is not None:
                    known[name] = known[pair.codes] = pair.real

    def _roots(self) -> Iterator[tuple[str, str]]:
        """Yield the inputs of both networks: by name, or in order where no name is the same."""
        here, there = self.codes.program.inputs, self.real.program.inputs
        if len(here) == len(there):
            yield from zip(here, there if not set(here) & set(there) else here, strict=True)

    def _codes_of(self, name: str) -> str:
        """Return the codes that a real tensor becomes, if it becomes any and no other does."""
        if has_codes(self.codes.program, name):
            return name
        made = [s.output_names[0] for s in self.codes.readers.get(name, ()) if s.quantizes]
        return made[0] if len(made) == 1 else name

    def _place(self, step: Step, at: int, known: Mapping[str, str]) -> str:
        """Return the tensor of the float network that has a step's place there; '' where none or several do."""
        read = [known.get(name) or known.get(self.codes.root(name)) for name in self.codes.data(step)]
        if not read or not all(read):
            return ""
        wanted = [name or "" for name in read]
        kinds = self.codes.kinds(step)
        rivals = [
            other
            for other in self.codes.readers.get(self.codes.data(step)[0], ())
            if other is not step and other.op == step.op and self.codes.data(other) == self.codes.data(step)
        ]
        found = [
            other
            for other in self.real.program.steps
            if kind_of(other.op) in kinds and sorted(self.real.root(n) for n in self.real.data(other)) == sorted(wanted)
        ]
        return found[0].output_names[at] if len(found) == 1 and not rivals and at < len(found[0].output_names) else ""

    # -- what every way has in common --------------------------------------------------------------------------
    def _programs(self, name: str, real: str) -> tuple[tuple[Program, str], tuple[Program, str]]:
        return (self.codes.program, name), (self.real.program, real)

    def _fits(self, name: str, real: str) -> bool:
        here, there = self.codes.program.tensors[name], self.real.program.tensors[real]
        return is_float(there.dtype) and _same_shape(here.shape, there.shape)

    def _kinds(self, name: str, real: str) -> tuple[frozenset[str], frozenset[str]]:
        """Return the kinds of the layers that make the two tensors: behind clamps, too."""
        found = []
        for wiring, tensor in ((self.codes, name), (self.real, real)):
            steps = list(wiring.chain(tensor))
            found.append(frozenset(kind for step in steps for kind in wiring.kinds(step)))
        return found[0], found[1]

    def _agrees(self, name: str, real: str) -> bool:
        here, there = self._kinds(name, real)
        if not here or not there:
            return here == there or self.codes.root(name) in self.codes.program.inputs
        return bool(here & there) or bool(here & PRODUCTS and there & PRODUCTS)

    def _other_weights(self, name: str, real: str) -> str:
        """Return why the weights behind two tensors are not the same ones; '' where they may be, or there are none."""
        made, wanted = weights_of(self.codes, name), weights_of(self.real, self._advanced(name, real)[0])
        return "" if made is None or wanted is None else are_others(made, wanted)

    def _accept(self, name: str, real: str, told_by: str) -> None:
        real, clamp = self._advanced(name, real)
        self._found[name] = TensorPair(name, real, told_by, clamp)

    def _onward(self, real: str) -> list[str]:
        """Return a tensor and those that follow it through what a layer may take into itself, one reader each."""
        found = [real]
        while True:
            readers = self.real.readers.get(found[-1], [])
            if len(readers) != 1 or found[-1] in self.real.program.outputs:
                return found
            if readers[0].op not in (*TAKEN_IN, *PASSING) and not self.real.adds_bias(readers[0]):
                return found
            found.append(readers[0].output_names[0])

    def _advanced(self, name: str, real: str) -> tuple[str, Clamp]:
        """Follow the float network through what the int8 layer has taken into itself, then through clamps that both
        have: nobody sees what these cut off."""
        here = self._kinds_after(name)
        clamp = OPEN
        for after in self._onward(real)[1:]:
            step = self.real.program.makers[after]
            own = clamp_of(step)
            if own is not None:
                clamp = both(clamp, own)
            elif here & self.real.kinds(step):
                break
            real = after
        return real, clamp

    def _kinds_after(self, name: str) -> frozenset[str]:
        """Return the kinds of what reads the int8 tensor, conversions left out."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            for step in self.codes.readers.get(waiting.pop(), ()):
                if self.codes.converts(step):
                    waiting += step.output_names
                else:
                    found |= self.codes.kinds(step)
        return frozenset(found)


def _outputs(step: Step | None) -> tuple[str, ...]:
    return () if step is None else step.output_names


def _same_shape(first: Shape, second: Shape) -> bool:
    return len(first) == len(second) and all(
        left == right or not isinstance(left, int) or not isinstance(right, int)
        for left, right in zip(first, second, strict=True)
    )
