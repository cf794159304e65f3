"""Units become layers again: the compiler's names say which units compute one layer of the network.

Conv2D_12, Conv2D_12_subm_K     convolution units: the layer's, or the K-th part of its kernel
..._ca_pipe_K                   the K-th unit of a chain that passes sums on
Conv2D_12_suboff_N              the input's zero point is taken off
Conv2D_12_add_N                 parts are added
Conv2D_12_mul_scale_N           the narrowing in the middle, of older compilers
Conv2D_12_off_bias_N            the last narrowing
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from qdqnp.errors import Problems
from qdqnp.quant import Int64
from qdqnp.st.compiled import CompiledAdd, CompiledLookup, CompiledPool, CompiledSum, KernelPart
from qdqnp.st.units import ACTIVATION, ARITHMETIC, CONVOLUTION, POOLING, Unit, Wiring

_ROLE = re.compile(r"(.+)_(suboff|subm|add|mul_scale|off_bias)_([0-9]{1,9})")
_CHAINED = re.compile(r"(.+)_ca_pipe_[0-9]{1,9}")
_MASK = re.compile(r".*_submask_" + "_".join([r"([0-9]{1,6})"] * 8) + r"(?:_[0-9]+)?")
_POOLS = {"POOL_MAX": "max", "POOL_MIN": "min", "POOL_AVG": "average"}
_GLOBAL_POOLS = {"POOL_GMAX": "global max", "POOL_GMIN": "global min", "POOL_GAVG": "global average"}
_ACTIVATIONS = {
    "ACTIV_RELU": "relu",
    "ACTIV_PRELU": "prelu",
    "ACTIV_TRELU": "trelu",
    "ACTIV_FUNC": "function",
    "ACTIV_LUT": "table",
}


@dataclass
class CompiledLayers:
    """What the units compute."""

    sums: list[CompiledSum] = field(default_factory=list)
    adds: list[CompiledAdd] = field(default_factory=list)
    poolings: list[CompiledPool] = field(default_factory=list)
    lookups: list[CompiledLookup] = field(default_factory=list)
    #: Nodes whose units are none of these, with the reason.
    unexplained: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class _Group:
    """The units of a convolution or dense layer."""

    convolutions: list[Unit] = field(default_factory=list)
    arithmetic: dict[str, Unit] = field(default_factory=dict)


def layers_of(units: Iterable[Unit], wiring: Wiring, problems: Problems) -> CompiledLayers:
    """Return the layers that the units compute."""
    found, groups, others = CompiledLayers(), dict[str, _Group](), list[Unit]()
    listed = list(units)
    for unit in listed:
        if unit.structure.type == CONVOLUTION:
            base, _ = _base_of(unit.node)
            groups.setdefault(base, _Group()).convolutions.append(unit)
    for unit in listed:
        if unit.structure.type == CONVOLUTION:
            continue
        base, role = _base_of(unit.node)
        if unit.structure.type == ARITHMETIC and role and base in groups:
            groups[base].arithmetic.setdefault(role, unit)
        else:
            others.append(unit)
    for name, group in groups.items():
        _sum(name, group, wiring, found, problems)
    for unit in others:
        _other(unit, wiring, found)
    return found


def _base_of(node: str) -> tuple[str, str]:
    """Return the layer of a unit's node, and what the unit does for it.

    >>> _base_of("Conv2D_4_subm_1_ca_pipe_2"), _base_of("Conv2D_9_off_bias_15"), _base_of("Add_15")
    (('Conv2D_4', 'subm'), ('Conv2D_9', 'off_bias'), ('Add_15', ''))
    """
    chained = _CHAINED.fullmatch(node)
    own = chained[1] if chained else node
    role = _ROLE.fullmatch(own)
    return (role[1], role[2]) if role else (own, "")


def _sum(name: str, group: _Group, wiring: Wiring, found: CompiledLayers, problems: Problems) -> None:
    last = group.arithmetic.get("off_bias")
    if last is None:
        found.unexplained.append((name, "a convolution without a last narrowing, such as a Pad, which moves codes"))
        return
    narrowing = [unit for unit in group.convolutions if unit.number("outbytes_o", 1, 3) == 2]
    shifts = {unit.number("shift_o", 0, 31) for unit in narrowing}
    if len(shifts) != 1:
        got = ", ".join(map(str, sorted(shifts))) or "none"
        problems.add(f"layer {name}", "units that narrow to 16 bits, all with one shift", got)
        return
    middle = group.arithmetic.get("mul_scale")
    first = middle or last
    a, bc = _multiplier(first, wiring), _addend(last, wiring)
    if a is None or bc is None:
        return
    for unit in (*narrowing, first, last):
        _expect(unit, {"rounding_o": 1, "saturation_o": 1, "relu_mode_o": 0}, problems)
    for unit in {first.structure.name: first, last.structure.name: last}.values():
        _expect(unit, {"shift_x": 0, "shift_y": 0, "Ax_shift": 0, "By_shift": 0, "clipout": 0}, problems)
    a2 = int(_single(last, problems)) if middle else None
    units = (*group.convolutions, *group.arithmetic.values())
    fsub = group.convolutions[0].number("fsub", -(2**15), 2**15 - 1)
    zero = "to uint8" if "suboff" in group.arithmetic else "fsub" if fsub else "none"
    found.sums.append(
        CompiledSum(
            name=name,
            epochs=tuple(sorted({unit.epoch for unit in units})),
            channels=last.channels,
            s1=shifts.pop(),
            a=a,
            bc=bc,
            s2=last.number("shift_o", 0, 46),
            sh1=middle.number("shift_o", 0, 46) if middle else None,
            a2=a2,
            zero_point=zero,
            fsub=fsub,
            parts=_parts(group, wiring),
            chained=1 + sum(_CHAINED.fullmatch(unit.node) is not None for unit in group.convolutions),
            output=wiring.written.get(last.node, ""),
        )
    )


def _multiplier(unit: Unit, wiring: Wiring) -> Int64 | None:
    """Return A of A * x; where the unit multiplies two streams, A is the one from memory."""
    if unit.word("operation") != "ARITH_MUL":
        return unit.coefficients("A")
    stream = wiring.stream(unit.epoch, unit.node, 1)
    if stream is None:
        unit.problems.add(unit.where("operation"), "a stream from memory at port 1", "none")
        return None
    return unit.streamed(stream)


def _addend(unit: Unit, wiring: Wiring) -> Int64 | None:
    """Return what is added to A * x: BC, or B * y + (C << C_shift) where y, one for each channel, is streamed."""
    bc = unit.addend()
    stream = wiring.stream(unit.epoch, unit.node, 1) if unit.number("dualinput", 0, 1) else None
    if stream is None or bc is None:
        return bc
    b, y = unit.coefficients("B"), unit.streamed(stream)
    return None if b is None or y is None else b * y + bc


def _single(unit: Unit, problems: Problems) -> int:
    """Return the multiplier of the last narrowing, which is one for all channels."""
    a = unit.coefficients("A")
    if a is None or a.size == 1:
        return 0 if a is None else int(a[0])
    problems.add(
        unit.where("A_vector"), "one multiplier for all channels, behind a narrowing in the middle", "a vector"
    )
    return 0


def _expect(unit: Unit, fields: dict[str, int], problems: Problems) -> None:
    """Note fields that would make another arithmetic than the one that is known."""
    for name, value in fields.items():
        got = unit.field(name)
        if got != value:
            problems.add(unit.where(name), f"{value}, as in every network that was compared", repr(got))


def _parts(group: _Group, wiring: Wiring) -> tuple[KernelPart, ...]:
    """Return the parts of a kernel in the order of their numbers."""
    found = {}
    for unit in group.convolutions:
        role = _ROLE.fullmatch(unit.node)
        if role is None or role[2] != "subm":
            continue
        mask = _MASK.fullmatch(wiring.source(unit.epoch, unit.node, 1)[:1000])
        begin, size = (tuple(map(int, mask.groups()[at : at + 4])) for at in (0, 4)) if mask else (None, None)
        end = None if begin is None or size is None else tuple(a + b for a, b in zip(begin, size, strict=True))
        kernel = (unit.number("kernelHeight", 1, 255), unit.number("kernelWidth", 1, 255))
        found[int(role[3])] = KernelPart(unit.node, begin, end, kernel)  # type: ignore[arg-type]
    return tuple(found[key] for key in sorted(found))


def _other(unit: Unit, wiring: Wiring, found: CompiledLayers) -> None:
    output = wiring.written.get(unit.node, "")
    kind = unit.structure.type
    if kind == POOLING:
        _pool(unit, output, found)
    elif kind == ACTIVATION:
        _lookup(unit, output, found)
    elif kind == ARITHMETIC and unit.number("dualinput", 0, 1) and unit.word("operation") == "ARITH_AFFINE":
        _add(unit, wiring, output, found)
    else:
        operation = unit.word("operation")
        found.unexplained.append((unit.node, f"{unit.structure.kind or 'a node'} as {operation or 'an unknown unit'}"))


def _add(unit: Unit, wiring: Wiring, output: str, found: CompiledLayers) -> None:
    """Take an addition: ((A * x) >> Ax) + ((B * y) >> By) + (C << Cs), shifted by S."""
    if any(unit.pointer(f"{letter}_vector") for letter in "ABC"):
        found.unexplained.append((unit.node, "an addition with coefficients by channel"))
        return
    letters = {letter: unit.short(f"{letter}_scalar") for letter in "ABC"}
    shifts = {
        "A_shift": unit.number("Ax_shift", 0, 31),
        "B_shift": unit.number("By_shift", 0, 31),
        "C_shift": unit.number("C_shift", 0, 31),
        "S": unit.number("shift_o", 0, 46),
    }
    _expect(unit, {"rounding_o": 1, "saturation_o": 1, "combinebc": 0, "relu_mode_o": 0, "clipout": 0}, unit.problems)
    numbers = tuple({**letters, **shifts}.items())
    operands = (wiring.source(unit.epoch, unit.node, 0), wiring.source(unit.epoch, unit.node, 1))
    found.adds.append(CompiledAdd(unit.node, (unit.epoch,), numbers, operands, output))


def _pool(unit: Unit, output: str, found: CompiledLayers) -> None:
    operation = unit.word("operation")
    name = {**_POOLS, **_GLOBAL_POOLS}.get(operation)
    if name is None:
        unit.problems.add(unit.where("operation"), f"one of {', '.join({**_POOLS, **_GLOBAL_POOLS})}", repr(operation))
        return
    whole = operation in _GLOBAL_POOLS
    window = (0, 0) if whole else (unit.number("poolWinY", 0, 255), unit.number("poolWinX", 0, 255))
    multiplier = unit.number("mulval", -(2**15), 2**15 - 1)
    shift, bits = unit.number("shift_o", 0, 46), 8 * unit.number("outbytes_o", 1, 3)
    found.poolings.append(CompiledPool(unit.node, (unit.epoch,), name, window, multiplier, shift, bits, output))


def _lookup(unit: Unit, output: str, found: CompiledLayers) -> None:
    operation = _ACTIVATIONS.get(unit.word("operation"))
    if operation is None:
        expected = f"one of {', '.join(_ACTIVATIONS)}"
        unit.problems.add(unit.where("operation"), expected, repr(unit.field("operation")))
        return
    fields = ("shift_f", "shift_o", "parameter", "parameter_2", "shift_b", "shift_c", "shift_norm", "bwidth", "fsub")
    numbers = tuple((name, unit.number(name, -(2**31), 2**32 - 1)) for name in fields)
    tables = []
    for name in ("ROM0", "ROM1"):
        pointer, size = unit.pointer(f"{name}_vector"), unit.number(f"{name}_nbytes", 0, 2**16)
        data = unit.memory.bytes_at(pointer, size, unit.where(f"{name}_vector")) if pointer and size else None
        if data is not None:
            tables.append((name, data))
    named = CompiledLookup(unit.node, (unit.epoch,), unit.structure.kind, operation, numbers, tuple(tables), output)
    found.lookups.append(named)
