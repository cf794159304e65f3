"""The device of an estimate: what a TOML file states of an accelerator and its memories.

    name = "My board"
    alignment = 16                    # of every tensor; 1 where it is not given

    [npu]
    clock_mhz = 1000
    macs_per_cycle = 300
    source = "where these figures are from"

    [[memories]]                      # in the order in which they are filled
    name = "SRAM"
    holds = "activations"             # or "weights"
    bytes = 2_000_000
    megabytes_per_second = 6400       # a megabyte is a million bytes
    external = false                  # the default: whether it lies outside of the chip
    source = "where these figures are from"

A file is checked as a whole: one error lists everything that is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from qdqnp.errors import InputError, Problem, Problems, shorten
from qdqnp.files.documents import read_toml
from qdqnp.files.paths import names_in, reason

ACTIVATIONS_HELD, WEIGHTS_HELD = "activations", "weights"
MOST_MEMORIES = 64
MOST_TEXT = 500


@dataclass(frozen=True)
class DeviceMemory:
    """One memory of a device."""

    #: Its name.
    name: str
    #: What lies in it, 'activations' or 'weights'.
    holds: str
    #: Its bytes.
    nbytes: int
    #: Bytes that it gives or takes in a second.
    bytes_per_second: float
    #: Whether it lies outside of the chip.
    external: bool
    #: Where the figures are from.
    source: str


@dataclass(frozen=True)
class DeviceFigures:
    """What a file states of a device."""

    #: The device's name.
    name: str
    #: What offsets of tensors are multiples of.
    alignment: int
    #: Cycles in a second.
    clock: float
    #: Multiply-accumulates in a cycle, at most.
    macs_per_cycle: float
    #: Where the figures of the accelerator are from.
    source: str
    #: Its memories, in the order in which they are filled.
    memories: tuple[DeviceMemory, ...]

    def holding(self, what: str) -> list[DeviceMemory]:
        """Return the memories that hold activations, or weights."""
        return [memory for memory in self.memories if memory.holds == what]


def device_names() -> list[str]:
    """List the devices that come with qdqnp.

    >>> device_names()
    ['stm32n6']
    """
    return [name.removesuffix(".toml") for name in names_in(device_folder()) if name.endswith(".toml")]


def device_from(text: str | Path) -> DeviceFigures:
    """Return the device of that name, or of the file where the text ends in .toml.

    Raises InputError, which lists everything that is wrong.

    >>> device_from("stm32n6").macs_per_cycle
    300.0
    """
    path = Path(text)
    if path.suffix == ".toml":
        return read_device(path)
    if str(text) not in device_names():
        expected = f"a file that ends in .toml, or one of {', '.join(device_names())}"
        raise InputError("no such device", [Problem("device", expected, f"'{shorten(str(text), 100)}'")])
    return read_device(device_folder() / f"{text}.toml")


def read_device(path: Path) -> DeviceFigures:
    """Read a device's file. Raises InputError, which lists everything that is wrong with it."""
    try:
        document = read_toml(path)
    except (OSError, ValueError) as error:
        problem = Problem(f"file {path}", "a readable TOML file", reason(error))
        raise InputError("cannot read a device", [problem]) from error
    return device_of(document, path.name)


def device_of(document: Mapping[str, Any], where: str) -> DeviceFigures:
    """Return the device that a document states.

        document: plain values, as in the file.
        where: the file's name, for messages.

    Raises InputError, which lists everything that is wrong with it.
    """
    problems = Problems()
    _check(document, _TOP, "", problems)
    npu = document.get("npu")
    if isinstance(npu, dict):
        _check(npu, _NPU, "npu.", problems)
    memories: Any = document.get("memories")
    for index, memory in enumerate(memories if _is_memories(memories) else []):
        _check(memory, _MEMORY, f"memories[{index}].", problems)
    if not problems.found:
        _check_holds(document["memories"], problems)
    problems.raise_if_any(f"not a valid device: {where}", InputError)
    listed = tuple(
        DeviceMemory(
            name=memory["name"],
            holds=memory["holds"],
            nbytes=memory["bytes"],
            bytes_per_second=memory["megabytes_per_second"] * 1e6,
            external=memory.get("external", False),
            source=memory.get("source", ""),
        )
        for memory in document["memories"]
    )
    return DeviceFigures(
        name=document["name"],
        alignment=document.get("alignment", 1),
        clock=document["npu"]["clock_mhz"] * 1e6,
        macs_per_cycle=float(document["npu"]["macs_per_cycle"]),
        source=document["npu"].get("source", ""),
        memories=listed,
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MOST_TEXT


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 100


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 1e-3 <= value <= 1e9


def _is_whole(most: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _is_memories(value: object) -> bool:
    return isinstance(value, list) and 0 < len(value) <= MOST_MEMORIES and all(isinstance(row, dict) for row in value)


@dataclass(frozen=True)
class _Key:
    """What one key of the file takes."""

    fits: Callable[[object], bool]
    expected: str
    needed: bool = True


_NAME = _Key(_is_name, "a text of 1 to 100 characters")
_SOURCE = _Key(_is_text, f"a text of at most {MOST_TEXT} characters", needed=False)
_RATE = _Key(_is_rate, "a number from 0.001 to 1e9")
_TOP = {
    "name": _NAME,
    "npu": _Key(lambda value: isinstance(value, dict), "a table"),
    "memories": _Key(_is_memories, f"1 to {MOST_MEMORIES} tables"),
    "alignment": _Key(_is_whole(2**20), "a whole number from 1 to 1048576", needed=False),
    "alignment_source": _SOURCE,
}
_NPU = {"clock_mhz": _RATE, "macs_per_cycle": _RATE, "source": _SOURCE}
_MEMORY = {
    "name": _NAME,
    "holds": _Key(lambda value: value in (ACTIVATIONS_HELD, WEIGHTS_HELD), f"{ACTIVATIONS_HELD} or {WEIGHTS_HELD}"),
    "bytes": _Key(_is_whole(2**48), "a whole number from 1 to 2**48"),
    "megabytes_per_second": _RATE,
    "external": _Key(lambda value: isinstance(value, bool), "true or false", needed=False),
    "source": _SOURCE,
}


def _check(table: Mapping[str, Any], keys: Mapping[str, _Key], path: str, problems: Problems) -> None:
    for name, key in keys.items():
        if name in table and not key.fits(table[name]):
            problems.add(f"{path}{name}", key.expected, shorten(repr(table[name]), 100))
        elif name not in table and key.needed:
            problems.add(f"{path}{name}", key.expected, "nothing")
    for name in table:
        if name not in keys:
            problems.add(f"{path}{shorten(name, 100)}", f"one of {', '.join(keys)}", "an unknown name")


def _check_holds(memories: list[dict[str, Any]], problems: Problems) -> None:
    names = [memory["name"] for memory in memories]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        problems.add("memories", "a name of its own for each", f"'{name}' {names.count(name)} times")
    for what in (ACTIVATIONS_HELD, WEIGHTS_HELD):
        if not any(memory["holds"] == what for memory in memories):
            problems.add("memories", f'one that holds = "{what}"', "none")


def device_folder() -> Path:
    """Return the folder of the devices that come with qdqnp."""
    return Path(str(files("qdqnp") / "data" / "devices"))
