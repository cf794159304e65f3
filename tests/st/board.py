"""A simulated board: a network as ST's compiler would place it, and the hook's C file run by a simulated runtime."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qdqnp.program import Step
from qdqnp.st.compiled import CompiledAdd, CompiledNetwork, CompiledPool, CompiledSum, Epoch, TensorPlace
from tests.diagnosis import small
from tests.st.writing import FLASH, RAM

Array = np.ndarray[Any, Any]
HERE = Path(__file__).parent / "ll_aton"
BUILD = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", f"-I{HERE}", "-DLL_ATON_EB_DBG_INFO"]
SIMULATED = "-DQDQNP_DUMP_ADDRESS(address)=simulated(address)"
ART = "neural-art"
#: Memory for a tensor; the next but two uses it again.
SLOT = 8192
EPOCH_END = 2
#: Where the memory lies that the firmware gives, behind the begin of the RAM.
SIMULATED_HALF = 2**19


def compiled_network() -> CompiledNetwork:
    """One epoch for each step of the small network, every layout, and memory that is used again."""
    program, traces = small.model().program(ART), small.tensors(ART)
    steps = [step for step in program.steps if step.op not in ("Flatten", "DequantizeLinear")]
    places, epochs, originals = [], [], []
    layers: dict[str, list[Any]] = {"sums": [], "adds": [], "poolings": []}
    for number, step in enumerate(steps):
        shape, kind = traces[step.output_names[0]][0].shape, step.op.removeprefix("QLinear")
        node = f"{kind}_{number}"
        tensor = f"{node}_off_bias_out_{number}" if kind == "Conv" else f"{node}_out_0"
        places.append(place(tensor, shape, number))
        epochs.append(Epoch(number, "hardware", (node,)))
        originals.append((node, step.origin))
        _add_layer(layers, step, node, tensor, number)
    return CompiledNetwork(
        "1.1.3-275", "neural-art-1.1.3", (FLASH, RAM), tuple(epochs),
        tuple(layers["sums"]), tuple(layers["adds"]), tuple(layers["poolings"]), (), (),
        tuple(places), originals=tuple(originals),
    )  # fmt: skip


def place(name: str, shape: Sequence[int], number: int) -> TensorPlace:
    channels = shape[1]
    layout = ("first", "last", "mixed")[number % 3]
    block = {"first": 1, "last": channels, "mixed": (2, 3)[number // 3 % 2]}[layout]
    size = int(np.prod(shape))
    if layout == "mixed" and number % 2:  # the last block is filled up
        size = size // channels * -(-channels // block) * block
    address = RAM.base + number % 3 * SLOT + 4 * (number % 5)  # not always at the begin of a line of the cache
    return TensorPlace(
        name, address, size, RAM.name, tuple(shape), number, number + 1, 8, True, layout, block, 7, 0, (0.1,), (3,),
        "activation",
    )  # fmt: skip


def _add_layer(layers: dict[str, list[Any]], step: Step, node: str, tensor: str, number: int) -> None:
    one, ones = (number,), np.array([16384])
    if step.op == "QLinearConv":
        layers["sums"].append(CompiledSum(node, one, 1, 0, ones, ones, 14, None, None, "none", 0, output=tensor))
    elif step.op == "QLinearAdd":
        numbers = tuple((name, 1) for name in ("A", "B", "C", "A_shift", "B_shift", "C_shift", "S"))
        layers["adds"].append(CompiledAdd(node, one, numbers, output=tensor))
    elif step.op == "MaxPool":
        layers["poolings"].append(CompiledPool(node, one, "max", (2, 2), 0, 0, 8, output=tensor))


def in_memory(codes: Array, where: TensorPlace) -> bytes:
    """Lay codes (1, C, H, W) out as the place says, block by block."""
    found = []
    for first in range(0, where.shape[1], where.batch):
        block = codes[:, first : first + where.batch]
        if where.size > codes.size:
            block = np.pad(block, ((0, 0), (0, where.batch - block.shape[1]), (0, 0), (0, 0)), constant_values=77)
        found.append(np.moveaxis(block, 1, -1).tobytes())
    return b"".join(found)


def script(network: CompiledNetwork, runs: Sequence[Mapping[str, Array]], at_once: int = 1) -> bytes:
    """What the simulation plays: the codes of each run by the compiler's name, `at_once` epochs in a block."""
    parts = []
    places = sorted(network.places, key=lambda one: one.first_epoch)
    for run in runs:
        for first in range(0, len(places), at_once):
            some = places[first : first + at_once]
            last = some[-1].first_epoch
            # an epoch of two blocks, of which the first ends nothing, and a block that is no epoch
            parts.append(struct.pack("<5I", some[0].first_epoch, last, 0, 0, 0))
            parts.append(struct.pack("<iiIII", -1, -1, EPOCH_END, 0, 0))
            parts.append(struct.pack("<5I", some[0].first_epoch, last, EPOCH_END, len(some), 0))
            for one in some:
                data = in_memory(run[one.name], one)
                parts.append(struct.pack("<2I", one.address or RAM.base + SIMULATED_HALF, len(data)) + data)
    return b"".join(parts)


def built(hook: Path, folder: Path) -> Path:
    """Build the hook with the simulation."""
    program = folder / "board"
    done = subprocess.run([*BUILD, SIMULATED, HERE / "simulation.c", hook, "-o", program], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return program


def play(program: Path, script: bytes, folder: Path, *stale: int) -> Path:
    """Play the script, and keep what the board sends.

    stale: addresses of tensors whose last line in the cache is not invalidated.
    """
    words = [program, *map(str, stale)]
    sent = subprocess.run(words, input=script, capture_output=True, check=True).stdout
    (folder / "board.log").write_bytes(sent)
    return folder / "board.log"
