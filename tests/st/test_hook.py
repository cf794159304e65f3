"""The C file that sends tensors: built without a warning, run in a simulation of the runtime, and read by compare."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import qdqnp
from qdqnp import golden
from qdqnp.cli import cli
from qdqnp.diagnosis.dump import read_dump
from qdqnp.errors import InputError
from qdqnp.program import Step
from qdqnp.st.compiled import CompiledAdd, CompiledNetwork, CompiledPool, CompiledSum, Epoch, TensorPlace
from qdqnp.st.hook import hook_source, streamed
from qdqnp.st.names import tensor_names
from tests.diagnosis import small
from tests.networks import dla
from tests.st.writing import FLASH, RAM, write_folder

Array = np.ndarray[Any, Any]
HERE = Path(__file__).parent / "ll_aton"
BUILD = ["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", f"-I{HERE}", "-DLL_ATON_EB_DBG_INFO"]
SIMULATED = "-DQDQNP_DUMP_ADDRESS(address)=simulated(address)"
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
ART = "neural-art"
#: Memory for a tensor; the next but two uses it again.
SLOT = 8192
EPOCH_END = 2


# -- a network as ST's compiler would place it -------------------------------------------------------------------------
def compiled() -> CompiledNetwork:
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


SIMULATED_HALF = 2**19


@pytest.fixture(scope="module")
def network() -> CompiledNetwork:
    return compiled()


@pytest.fixture(scope="module")
def runs(network: CompiledNetwork) -> list[dict[str, Array]]:
    names, made = tensor_names(small.model(), network), small.tensors(ART)
    assert len(names) == len(network.places)
    return [{tensor: made[name][case] for tensor, name in names.items()} for case in range(2)]


@pytest.fixture(scope="module")
def golden_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("golden") / "set"
    golden.write(out, dla(seed=1).SerializeToString(), small.feeds(), 2, profile=ART, name="model.onnx")
    return out


@pytest.fixture(scope="module")
def hook(network: CompiledNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the command writes."""
    folder = tmp_path_factory.mktemp("hook")
    write_folder(folder / "compiled", network)
    (folder / "model.onnx").write_bytes(dla(seed=1).SerializeToString())
    done = command("st", "dump-hook", folder / "compiled", "--model", folder / "model.onnx", "--out", folder / "hook.c")
    assert done.exit_code == 0, done.output
    assert f"sends {len(network.places)} tensors, named as in the model" in " ".join(done.output.split())
    return folder / "hook.c"


def command(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def played(hook: Path, script: bytes, folder: Path, *flags: str) -> Path:
    """Build the hook with the simulation, play the script, and keep what the board sends."""
    program = folder / "board"
    done = subprocess.run([*BUILD, SIMULATED, *flags, HERE / "simulation.c", hook, "-o", program], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    sent = subprocess.run([program], input=script, capture_output=True, check=True).stdout
    (folder / "board.log").write_bytes(sent)
    return folder / "board.log"


# -- it comes back -----------------------------------------------------------------------------------------------------
@needs_gcc
def test_every_tensor_comes_back(
    hook: Path, network: CompiledNetwork, runs: list[dict[str, Array]], golden_set: Path, tmp_path: Path
) -> None:
    sent = played(hook, script(network, runs), tmp_path)
    done = command("compare", golden_set, sent, "--json", "--partial")  # what only moves codes, at the end, is no epoch
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["uncovered"] == ["flat_239_q", "flat_239_dq"]
    assert len(report["layers"]) == len(network.places)
    assert all(row["single"]["differing"] == row["entire"]["differing"] == 0 for row in report["layers"])
    assert len(read_dump(sent).entries) == len(network.places)


@needs_gcc
def test_a_block_of_several_epochs_sends_what_is_still_there(
    hook: Path, network: CompiledNetwork, runs: list[dict[str, Array]], golden_set: Path, tmp_path: Path
) -> None:
    """Every third tensor lies in the same memory: of five epochs in a block the last three are sent."""
    sent = played(hook, script(network, runs[:1], at_once=5), tmp_path)
    names = {entry.name for entry in read_dump(sent).entries}
    numbers = range(len(network.places))
    kept = [n for n in numbers if n + 3 > min(n // 5 * 5 + 4, numbers[-1])]
    called = tensor_names(small.model(), network)
    assert names == {called[network.places[n].name] for n in kept}
    done = command("compare", golden_set, sent, "--case", "0", "--partial")
    assert done.exit_code == 0, done.output


@needs_gcc
def test_a_line_of_the_cache_that_is_not_invalidated_shows(
    hook: Path, network: CompiledNetwork, runs: list[dict[str, Array]], golden_set: Path, tmp_path: Path
) -> None:
    sent = played(hook, script(network, runs), tmp_path, "-DLOSE_THE_LAST_LINE")
    done = command("compare", golden_set, sent)
    assert done.exit_code == 1, done.output


@needs_gcc
def test_memory_that_the_firmware_gives(network: CompiledNetwork, runs: list[dict[str, Array]], tmp_path: Path) -> None:
    first, *others = network.places
    changed = replace(network, places=(replace(first, address=None, pool=""), *others))
    (tmp_path / "hook.c").write_text(hook_source(streamed(changed), others[-1].first_epoch), encoding="utf-8")
    sent = read_dump(played(tmp_path / "hook.c", script(changed, runs[:1]), tmp_path))
    (entry,) = [entry for entry in sent.entries if entry.name == first.name]
    np.testing.assert_array_equal(entry.array, runs[0][first.name])


@needs_gcc
@pytest.mark.parametrize("standard", ["c99", "c11", "gnu17"])
def test_it_compiles_without_a_warning(hook: Path, standard: str, tmp_path: Path) -> None:
    flags = [f"-std={standard}", "-pedantic", "-Wshadow", "-Wmissing-prototypes", "-c", "-o", str(tmp_path / "hook.o")]
    done = subprocess.run([*BUILD, *flags, hook], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    bare = [word for word in BUILD if word != "-DLL_ATON_EB_DBG_INFO"]
    done = subprocess.run([*bare, *flags, hook], capture_output=True, text=True)
    assert done.returncode != 0 and "Define LL_ATON_EB_DBG_INFO" in done.stderr


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc")
def test_it_compiles_for_the_processor_of_the_board(hook: Path, tmp_path: Path) -> None:
    flags = ["-mcpu=cortex-m55", "-mthumb", "-ffreestanding", "-O2", "-c", "-o", str(tmp_path / "hook.o")]
    done = subprocess.run(["arm-none-eabi-gcc", *BUILD[1:], *flags, hook], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_names_are_found_as_the_compiler_writes_them(network: CompiledNetwork) -> None:
    """*_Q.json has '_' for what is no letter, digit or '_'; nodes of PyTorch's models are called '/net/conv.0'."""
    proto = dla(seed=1)
    for node in proto.graph.node:
        node.name = f"/net/{node.name}.0"
    originals = tuple(
        (node, tuple(re.sub(r"\W", "_", f"/net/{name}.0") for name in names)) for node, names in network.originals
    )
    found = tensor_names(qdqnp.load(proto), replace(network, originals=originals))
    assert found == tensor_names(small.model(), network) and len(found) == len(network.places)


# -- what is refused ---------------------------------------------------------------------------------------------------
def test_names_cannot_leave_their_comment(network: CompiledNetwork) -> None:
    place = replace(network.places[0], address=None, name="x*/ evil(); /*\n#error")
    text = hook_source(streamed(replace(network, places=(place,))), 0)
    assert "evil()" not in text and "#error\n" not in text
    assert "   0  x___evil" in text


def test_nothing_to_send(network: CompiledNetwork) -> None:
    with pytest.raises(InputError, match="no tensor that a board could send"):
        streamed(replace(network, places=()))
    with pytest.raises(InputError, match="no tensor that a board could send"):
        streamed(network, {})


def test_what_has_no_order_is_not_sent(network: CompiledNetwork) -> None:
    """Bytes that are not those of the shape, floats, and tensors of an unknown epoch are left out."""
    first, second, third, fourth, *_ = network.places
    places = (replace(first, size=first.size + 1), replace(second, scales=()), replace(third, first_epoch=-1), fourth)
    assert [one.place for one in streamed(replace(network, places=places))] == [fourth]


def test_a_file_in_the_way_is_kept(hook: Path) -> None:
    folder = hook.parent
    text = hook.read_text(encoding="utf-8")
    done = command("st", "dump-hook", folder / "compiled", "--out", hook)
    assert done.exit_code == 2 and "would replace a file" in done.output
    assert hook.read_text(encoding="utf-8") == text
    assert command("st", "dump-hook", folder / "compiled", "--out", hook, "--force").exit_code == 0
    hook.write_text(text, encoding="utf-8")
