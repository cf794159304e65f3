"""The generated C: a file for each layer, the tables of the network, and what is expected of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qdqnp.golden_sets.harness.buffers import ArenaPlaces
from qdqnp.golden_sets.harness.layer import LayerCode, count, layout_of
from qdqnp.golden_sets.names import in_comment
from qdqnp.golden_sets.writers.c_text import values
from qdqnp.graph import Sizes
from qdqnp.version import __version__

MADE = f"Made by qdqnp {__version__}."
_PRINTED = frozenset(map(chr, range(32, 127))) - set('"\\?')


@dataclass(frozen=True, eq=False)
class Network:
    """What the generated files are made of."""

    #: What names start with.
    prefix: str
    #: The layers, each with its name in C.
    layers: Mapping[str, LayerCode]
    #: The tensors that are given, in order; then those that are kept to the end.
    inputs: Sequence[str]
    outputs: Sequence[str]
    #: The real input that a quantizer makes each of those inputs of, where one does.
    quantized: Mapping[str, str]
    #: Concrete shapes of the program's tensors.
    shapes: Mapping[str, Sizes]
    #: Where they lie.
    places: ArenaPlaces
    #: Bytes of scratch memory.
    scratch: int
    #: Inputs of the network that are checked.
    cases: int
    #: Whether the library is built with CMSIS_NN_USE_SINGLE_ROUNDING.
    single_rounding: bool

    @property
    def macro(self) -> str:
        return self.prefix.upper()

    @property
    def tensors(self) -> list[str]:
        """Return the tensors that are checked: the inputs, then what each layer makes."""
        return [*self.inputs, *(code.step.output_names[0] for code in self.layers.values())]


def layer_file(net: Network, index: int, name: str, code: LayerCode) -> str:
    """Return the file of one layer."""
    kernels = ", ".join(code.kernels) or "nothing: its memory is the input's"
    text = f"/* Layer '{in_comment(code.step.label)}' ({in_comment(code.step.op)}) by {kernels}. {MADE} */\n"
    text += f'#include "{net.prefix}_network.h"\n'
    for array, constant in code.constants.items():
        text += f"\n/* {in_comment(constant.note)} */\n"
        text += f"static const {constant.c_type} {array}[{max(constant.values.size, 1)}] = {{\n"
        text += values(constant.values, f"layer '{code.step.label}'") or "    0,\n"
        text += "};\n"
    text += "\n" if code.structs else ""
    text += "".join(f"{line}\n" for line in code.structs)
    if code.scratch is not None:
        text += f"\nint32_t {net.prefix}_scratch_{name}(void)\n{{\n    return {code.scratch[0]};\n}}\n"
    text += f"\narm_cmsis_nn_status {net.prefix}_layer_{name}(const cmsis_nn_context *scratch)\n{{\n"
    for pointer, (tensor, written) in code.pointers.items():
        own = (index, tensor) in net.places.temporaries
        at = net.places.temporaries[index, tensor] if own else net.places.tensors[tensor]
        what = "" if own else f" /* {_described(tensor, net.shapes[tensor])} */"
        text += f"    {'' if written else 'const '}int8_t *{pointer} = {net.prefix}_arena + {at};{what}\n"
    if not any("scratch" in statement for statement in code.statements):
        text += "    (void)scratch;\n"
    for statement in code.statements:
        text += "".join(f"    {line}\n" for line in statement.splitlines())
    return text + "    return ARM_CMSIS_NN_SUCCESS;\n}\n"


def _described(tensor: str, shape: Sizes) -> str:
    sizes = " x ".join(str(shape[axis]) for axis in layout_of(len(shape)).axes or range(len(shape)))
    return f"'{in_comment(tensor)}', {layout_of(len(shape)).name} {sizes}"


def header(net: Network) -> str:
    """Return the network's header."""
    guard = f"{net.macro}_NETWORK_H"
    text = f"/* A network on CMSIS-NN, layer by layer. {MADE} */\n#ifndef {guard}\n#define {guard}\n\n"
    text += '#include "qdqnp_harness.h"\n\n#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
    text += f"#define {net.macro}_LAYERS {len(net.layers)}\n#define {net.macro}_TENSORS {len(net.tensors)}\n"
    text += f"#define {net.macro}_CASES {net.cases}\n#define {net.macro}_ARENA_BYTES {net.places.size}\n\n"
    text += "/* The most that the kernels may ask for; qdqnp_net_run says so where it is too little. */\n"
    text += f"#ifndef {net.macro}_SCRATCH_BYTES\n#define {net.macro}_SCRATCH_BYTES {net.scratch}\n#endif\n\n"
    text += f"extern int8_t {net.prefix}_arena[];\nextern const qdqnp_network {net.prefix}_network;\n"
    text += f"extern const qdqnp_net_expected {net.prefix}_expected;\n"
    for at in range(len(net.inputs)):
        text += f"extern const int8_t {net.prefix}_input_{at}[];\n"
    text += "\n"
    for name, code in net.layers.items():
        text += f"arm_cmsis_nn_status {net.prefix}_layer_{name}(const cmsis_nn_context *scratch);\n"
        if code.scratch is not None:
            text += f"int32_t {net.prefix}_scratch_{name}(void);\n"
    return text + "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n"


def tables(net: Network) -> str:
    """Return the memory of the network, and the tables of its tensors and layers."""
    numbers = {name: index for index, name in enumerate(net.tensors)}
    text = f'/* {MADE} */\n#include "{net.prefix}_network.h"\n\n'
    text += f"QDQNP_ALIGNED int8_t {net.prefix}_arena[{net.macro}_ARENA_BYTES + 16];\n"
    text += f"static QDQNP_ALIGNED int8_t scratch[{net.macro}_SCRATCH_BYTES + 16];\n\n"
    text += "/* In their order of axes in memory: images and sequences with channels last. */\n"
    text += f"static const qdqnp_net_tensor tensors[{net.macro}_TENSORS] = {{\n"
    for name in net.tensors:
        shape = net.shapes[name]
        sizes = [shape[axis] for axis in layout_of(len(shape)).axes or range(len(shape))]
        listed = ", ".join(map(str, sizes)) or "0"
        at = f"{net.prefix}_arena + {net.places.tensors[name]}"
        text += f"    {{{quoted(name)}, {at}, {count(shape)}, {len(sizes)}, {{{listed}}}}},\n"
    text += f"}};\n\nstatic const qdqnp_net_layer layers[{net.macro}_LAYERS] = {{\n"
    for name, code in net.layers.items():
        scratch = f"{net.prefix}_scratch_{name}" if code.scratch is not None else "NULL"
        own = quoted(", ".join(code.kernels) or "nothing")
        tensor = numbers[code.step.output_names[0]]
        text += f"    {{{quoted(code.step.label)}, {own}, {net.prefix}_layer_{name}, {scratch}, {tensor}}},\n"
    text += "};\n\n"
    for what, names in (("inputs", net.inputs), ("outputs", net.outputs)):
        text += f"static const uint32_t {what}[] = {{{', '.join(str(numbers[name]) for name in names)}}};\n"
    text += f"\nconst qdqnp_network {net.prefix}_network = {{\n    layers, {net.macro}_LAYERS, tensors, "
    text += f"{net.macro}_TENSORS, inputs, {len(net.inputs)}, outputs, {len(net.outputs)}, scratch, "
    return text + f"{net.macro}_SCRATCH_BYTES,\n}};\n"


def expected(net: Network, crcs: Mapping[str, Sequence[int]]) -> str:
    """Return the inputs' places and the CRC-32 of each tensor in each case."""
    text = f'/* CRC-32 of the bytes in memory, as zlib computes it. {MADE} */\n#include "{net.prefix}_network.h"\n\n'
    text += f"static const uint32_t crcs[{net.macro}_CASES * {net.macro}_TENSORS] = {{\n"
    for case in range(net.cases):
        row = ", ".join(f"0x{crcs[name][case if len(crcs[name]) > 1 else 0]:08x}u" for name in net.tensors)
        text += f"    {row},\n"
    names = ", ".join(f"{net.prefix}_input_{at}" for at in range(len(net.inputs)))
    text += f"}};\n\nstatic const int8_t *const inputs[] = {{{names}}};\n"
    return text + f"\nconst qdqnp_net_expected {net.prefix}_expected = {{{net.macro}_CASES, inputs, crcs}};\n"


def quoted(text: str) -> str:
    """Return a string literal of C: what is not plain ASCII is its UTF-8 bytes in octal."""
    parts = (
        character
        if character in _PRINTED
        else "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "replace"))
        for character in text
    )
    return f'"{"".join(parts)}"'
