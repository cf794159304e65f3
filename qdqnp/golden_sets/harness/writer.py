"""Write the harness: everything that is generated, beside what comes with qdqnp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdqnp.errors import GoldenError, Problem
from qdqnp.executor.plan import Plan
from qdqnp.files.folder import Folder
from qdqnp.files.regular import packaged
from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.formats import Writer
from qdqnp.golden_sets.harness.buffers import place
from qdqnp.golden_sets.harness.calls import CALLS
from qdqnp.golden_sets.harness.layer import INT8, LayerCode, NoKernelError, refused
from qdqnp.golden_sets.harness.text import MADE, Network, expected, header, layer_file, tables
from qdqnp.golden_sets.names import distinct
from qdqnp.golden_sets.options import Options
from qdqnp.golden_sets.tensor import Document
from qdqnp.golden_sets.writers.c_text import values
from qdqnp.graph import Sizes
from qdqnp.numerics.profile import Profile, rule_names
from qdqnp.numerics.profiles import profile_named
from qdqnp.quant import Array

#: What comes with qdqnp, and is the same for every network.
SHARED = ("qdqnp_harness.h", "qdqnp_harness.c", "main.c", "cortex_m55.cmake", "mps3_an547.ld", "mps3_an547.c")
#: The profiles that are CMSIS-NN's own arithmetic: as it is built by default, and with CMSIS_NN_USE_SINGLE_ROUNDING.
PROFILES = ("cmsis-nn", "cmsis-nn-single")
TITLE = "the network cannot run on CMSIS-NN alone"


class HarnessWriter(Writer):
    """Writes the project. It needs the codes of the inputs, and of every other tensor the checksum."""

    def __init__(self, folder: Folder, options: Options, cases: int, plan: Plan, shapes: Mapping[str, Sizes]) -> None:
        """Prepare to write.

            folder: the set's folder.
            options: how it is written.
            cases: number of inputs of the network.
            plan: the model under a profile.
            shapes: concrete shapes of its tensors.

        Raises GoldenError for a profile that is not CMSIS-NN's, and for a network with layers that no kernel computes;
        it lists all of them.
        """
        super().__init__(folder, options, cases)
        self._net = network_of(plan, shapes, options.prefix, cases)
        self._begun: set[int] = set()

    def add(self, entry: Entry, stored: Array, case: int) -> None:
        for number, name in enumerate(self._net.inputs):
            if stored.dtype == INT8 and entry.tensor.name in (name, self._net.quantized.get(name)):
                self._input(number, stored, case)

    def _input(self, number: int, stored: Array, case: int) -> None:
        """Write one case of an input; the cases follow one another in its file."""
        net = self._net
        name = f"harness/{net.prefix}_input_{number}.c"
        if number not in self._begun:
            self._begun.add(number)
            self._append(name, f'/* {MADE} */\n#include "{net.prefix}_network.h"\n\n')
            self._append(name, f"const int8_t {net.prefix}_input_{number}[{net.macro}_CASES * {stored.size}] = {{\n")
        self._append(name, values(stored, name))
        if case == self._cases - 1:
            self._append(name, "};\n")

    def finish(self, entries: Mapping[str, Entry], layers: list[Document]) -> None:
        net = self._net
        crcs = {entry.tensor.name: entry.stored.crcs for entry in entries.values() if entry.tensor.shared}
        crcs |= {made: crcs[given] for made, given in net.quantized.items() if made not in crcs}
        for index, (name, code) in enumerate(net.layers.items()):
            self._append(f"harness/{net.prefix}_layer_{name}.c", layer_file(net, index, name, code))
        self._append(f"harness/{net.prefix}_network.h", header(net))
        self._append(f"harness/{net.prefix}_network.c", tables(net))
        self._append(f"harness/{net.prefix}_expected.c", expected(net, crcs))
        for name in SHARED:
            self._append(f"harness/{name}", self._shipped(name))
        self._append("CMakeLists.txt", self._shipped("CMakeLists.txt"))

    def place(self, entry: Entry) -> dict[str, Any]:
        return {}

    def _append(self, name: str, text: str) -> None:
        self._folder.append(name, text.encode("ascii"))

    def _shipped(self, name: str) -> str:
        """Return a file that comes with qdqnp, with the network's name in it."""
        text = packaged("qdqnp.golden_sets", "harness", "c", name).decode("utf-8")
        words = {"@PREFIX@": self._net.prefix, "@MACRO@": self._net.macro}
        words["@SINGLE@"] = "ON" if self._net.single_rounding else "OFF"
        for word, value in words.items():
            text = text.replace(word, value)
        return text


def network_of(plan: Plan, shapes: Mapping[str, Sizes], prefix: str, cases: int) -> Network:
    """Return the network on CMSIS-NN.

        plan: the model under a profile.
        shapes: concrete shapes of its tensors.
        prefix: what names in C start with.
        cases: number of inputs that are checked.

    Raises GoldenError as HarnessWriter does.
    """
    single = _is_single(plan.profile)
    program, found = plan.program, list[tuple[str, NoKernelError]]()
    inputs, outputs, quantized, codes = list(program.inputs), list(program.outputs), dict[str, str](), []
    for bound in plan.steps:
        step = bound.step
        if step.quantizes and step.input_names[0] in inputs:
            given, made = step.input_names[0], step.output_names[0]
            inputs[inputs.index(given)] = made
            quantized[made] = given
        elif step.dequantizes and step.output_names[0] in outputs:
            outputs[outputs.index(step.output_names[0])] = step.input_names[0]
        else:
            codes.append(LayerCode(bound, shapes))
            try:
                _write(codes[-1])
            except NoKernelError as error:
                found.append((step.label, error))
    for name in inputs:
        if program.tensors[name].dtype != INT8:
            found.append((name, NoKernelError("an input of int8 codes, or one quantizer that reads it", "neither")))
    if found:
        raise refused(TITLE, found, [f"Kernels there are for: {', '.join(CALLS)}."])
    names = distinct([code.step.label for code in codes])
    scratch = max((code.scratch[1] for code in codes if code.scratch is not None), default=0)
    places = place(codes, inputs, outputs, shapes)
    layers = dict(zip(names, codes, strict=True))
    return Network(prefix, layers, inputs, outputs, quantized, shapes, places, scratch, cases, single)


def _write(code: LayerCode) -> None:
    row = CALLS.get(code.step.op)
    if row is None:
        raise NoKernelError(f"a kernel for {code.step.op}", "none")
    for name in code.step.output_names:
        dtype = code.bound.tensors[name].dtype
        if dtype != INT8:
            raise NoKernelError("int8 codes", f"{dtype} as output")
    row(code)


def _is_single(profile: Profile) -> bool:
    """Tell whether a profile is CMSIS-NN's arithmetic with single rounding; the other is that with two."""
    for name in PROFILES:
        own = profile_named(name)
        if all(getattr(profile, rule) == getattr(own, rule) for rule in rule_names()):
            return name != PROFILES[0]
    problem = Problem("profile", " or ".join(PROFILES), profile.name)
    raise GoldenError("the harness runs CMSIS-NN, whose arithmetic is another", [problem])
