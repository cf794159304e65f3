"""The units of the NPU as a C file sets them up, their fields checked, and what is wired to what."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.errors import Problems
from qdqnp.quant import Int64
from qdqnp.st.memory import Memory
from qdqnp.st.structures import Address, CSource, Structure

CONVOLUTION = "LL_Convacc_InitTypeDef"
ARITHMETIC = "LL_Arithacc_InitTypeDef"
POOLING = "LL_Poolacc_InitTypeDef"
ACTIVATION = "LL_Activacc_InitTypeDef"
STREAM = "LL_Streng_TensorInitTypeDef"
UNITS = (CONVOLUTION, ARITHMETIC, POOLING, ACTIVATION)

_STREAM_OF = re.compile(r"(.+)_dma_init_(in|out)_([0-9]{1,4})_[0-9]{1,9}")
_WIRE = re.compile(r"(\S+) (?:IN|OUT): in unit=(\w+ [0-9]+) in port=([0-9]+) out unit=(\w+ [0-9]+) out port=[0-9]+")


@dataclass(frozen=True)
class Unit:
    """A unit in one epoch, for one node."""

    structure: Structure
    memory: Memory = field(repr=False)
    problems: Problems = field(repr=False)

    @property
    def node(self) -> str:
        return self.structure.node

    @property
    def epoch(self) -> int:
        return self.structure.epoch

    def where(self, name: str) -> str:
        return f"{self.structure.name}.{name} (line {self.structure.line})"

    def number(self, name: str, low: int, high: int) -> int:
        """Return the integer in a field; one that is not named is 0, as in C. Outside the limits it is a problem."""
        value = self.field(name)
        if isinstance(value, int) and low <= value <= high:
            return value
        self.problems.add(self.where(name), f"an integer from {low} to {high}", repr(value))
        return max(low, 0)

    def field(self, name: str) -> Any:
        value = self.structure.value
        return value.get(name, 0) if isinstance(value, dict) else None

    def short(self, name: str) -> int:
        """Return the signed integer of 16 bits in a field, which may be written without its sign: (short)42850."""
        value = self.number(name, -(2**15), 2**16 - 1)
        return value - 2**16 if value >= 2**15 else value

    def word(self, name: str) -> str:
        """Return the name of a constant that stands in a field."""
        value = self.field(name)
        return value if isinstance(value, str) else ""

    def pointer(self, name: str) -> int | Address | None:
        """Return the address in a field; None where it is zero."""
        value = self.field(name)
        inner = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(inner, Address):
            return inner
        if isinstance(inner, int):
            return inner or None
        self.problems.add(self.where(name), "an address", repr(value))
        return None

    @property
    def channels(self) -> int:
        return self.number("fChannels", 1, 2**16 - 1)

    def coefficients(self, letter: str) -> Int64 | None:
        """Return the coefficients A, B or C: one for each channel where there is a vector, else one for all."""
        pointer = self.pointer(f"{letter}_vector")
        if pointer is None:
            return np.array([self.short(f"{letter}_scalar")], np.int64)
        bits = self._precision("ABC".index(letter))
        return self.memory.numbers(pointer, self.channels, bits, self.where(f"{letter}_vector"))

    def streamed(self, stream: Structure) -> Int64 | None:
        """Return the numbers, one for each channel, that a stream brings from memory again and again.

        A block of the memory has those of a batch of channels, as often as a line of the plane has elements.
        """
        of = Unit(stream, self.memory, self.problems)
        batch, bits = self.number("batchDepth", 1, 2**16 - 1), of.number("nbits_in", 8, 32)
        size = of.number("loop_offset", 0, 2**31) or of.number("frame_offset", 0, 2**31)
        frames, repeated = of.number("frame_tot_cnt", 1, 2**24), of.number("frame_loop_cnt", 0, 2**24) or 1
        blocks = frames // repeated
        repeats = size * 8 // max(bits * batch, 1)
        whole = size * 8 % bits == 0 and 1 <= repeats <= 2**16 and blocks * size <= 2**26
        if blocks * batch != self.channels or not whole:
            got = f"{blocks} blocks of {size} bytes for {batch}"
            self.problems.add(of.where("frame_tot_cnt"), f"numbers for {self.channels} channels", got)
            return None
        pointer, start = of.pointer("addr_base"), of.number("offset_start", 0, 2**31)
        if isinstance(pointer, Address):
            pointer = Address(pointer.symbol, pointer.offset + start)
        elif pointer is not None:
            pointer += start
        found = self.memory.numbers(pointer, blocks * size * 8 // bits, bits, of.where("addr_base"))
        if found is None:
            return None
        lines = found.reshape(blocks, size * 8 // bits)[:, : repeats * batch].reshape(blocks, repeats, batch)
        if not (lines == lines[:, :1]).all():
            self.problems.add(of.where("addr_base"), "the same numbers for all elements of a line", "different ones")
        return lines[:, 0].reshape(-1)

    def _precision(self, index: int) -> int:
        value = self.field("vec_precision")
        bits = value[index] if isinstance(value, list) and len(value) == 3 else value
        return bits if isinstance(bits, int) else 0

    def addend(self) -> Int64 | None:
        """Return what is added to A * x: C << C_shift, or B and C put together to 32 bits."""
        combined = self.number("combinebc", 0, 1)
        c = self.coefficients("C")
        if c is None:
            return None
        if not combined:
            return c << self.number("C_shift", 0, 31)
        if self.pointer("C_vector") is not None and self._precision(2) == 32:
            return c
        b = self.coefficients("B")
        return None if b is None else (b << 16) + (c & 0xFFFF)


@dataclass(frozen=True)
class Wiring:
    """What is wired to what in each epoch."""

    #: From (epoch, node, port) to the unit whose numbers come in.
    wires: dict[tuple[int, str, int], str]
    #: From (epoch, unit) to the node that it computes.
    nodes: dict[tuple[int, str], str]
    #: From (epoch, stream unit) to the stream that it reads.
    read: dict[tuple[int, str], Structure]
    #: From a node to the tensor that holds what it makes.
    written: dict[str, str]

    def source(self, epoch: int, node: str, port: int) -> str:
        """Return what comes in at a port: the tensor, or the node of the same epoch; '' where it is not known."""
        unit, stream = self.wires.get((epoch, node, port), ""), self.stream(epoch, node, port)
        return self.nodes.get((epoch, unit), "") if stream is None else stream.comments.get("addr_base", "")

    def stream(self, epoch: int, node: str, port: int) -> Structure | None:
        """Return the stream that comes from memory to a port; None where there is none."""
        return self.read.get((epoch, self.wires.get((epoch, node, port), "")))


def wiring_of(sources: Iterable[CSource]) -> Wiring:
    """Return the wiring that structures and comments of the C files state."""
    found = Wiring({}, {}, {}, {})
    for source in sources:
        for epoch, text in source.comments:
            wire = _WIRE.fullmatch(text)
            if wire:
                found.wires.setdefault((epoch, wire[1], int(wire[3])), wire[4])
        for structure in source.structures:
            at = (structure.epoch, structure.unit)
            if structure.type in UNITS:
                found.nodes.setdefault(at, structure.node)
            elif structure.type == STREAM:
                stream, tensor = _STREAM_OF.fullmatch(structure.name[:1000]), structure.comments.get("addr_base", "")
                if stream and stream[2] == "out":
                    found.written.setdefault(stream[1], tensor)
                elif stream:
                    found.read.setdefault(at, structure)
    return found
