"""The C file that sends tensors: built without a warning, run in a simulation of the runtime, and read by compare."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import qdqnp
from qdqnp import golden_sets
from qdqnp.cli import cli
from qdqnp.diagnosis.dump import read_dump
from qdqnp.errors import InputError
from qdqnp.st.compiled import CompiledNetwork
from qdqnp.st.hook import hook_source, streamed
from qdqnp.st.names import tensor_names
from tests.diagnosis import small
from tests.networks import dla
from tests.st.board import ART, BUILD, built, compiled_network, play, script
from tests.st.planted import PLANTED, Bench
from tests.st.writing import write_folder

Array = np.ndarray[Any, Any]
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


@pytest.fixture(scope="module")
def network() -> CompiledNetwork:
    return compiled_network()


@pytest.fixture(scope="module")
def runs(network: CompiledNetwork) -> list[dict[str, Array]]:
    names, made = tensor_names(small.model(), network), small.tensors(ART)
    assert len(names) == len(network.places)
    return [{tensor: made[name][case] for tensor, name in names.items()} for case in range(2)]


@pytest.fixture(scope="module")
def golden_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("golden") / "set"
    golden_sets.write(out, dla(seed=1).SerializeToString(), small.feeds(), 2, profile=ART, name="model.onnx")
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


@pytest.fixture(scope="module")
def board(hook: Path) -> Path:
    return built(hook, hook.parent)


@pytest.fixture(scope="module")
def bench(board: Path, network: CompiledNetwork) -> Bench:
    return Bench(board, network)


def command(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


# -- it comes back -----------------------------------------------------------------------------------------------------
@needs_gcc
def test_every_tensor_comes_back(
    board: Path, network: CompiledNetwork, runs: list[dict[str, Array]], golden_set: Path, tmp_path: Path
) -> None:
    sent = play(board, script(network, runs), tmp_path)
    done = command("compare", golden_set, sent, "--json", "--partial")  # what only moves codes, at the end, is no epoch
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["uncovered"] == ["flat_239_q", "flat_239_dq"]
    assert len(report["layers"]) == len(network.places)
    assert all(row["single"]["differing"] == row["entire"]["differing"] == 0 for row in report["layers"])
    assert len(read_dump(sent).entries) == len(network.places)


@needs_gcc
def test_a_block_of_several_epochs_sends_what_is_still_there(
    board: Path, network: CompiledNetwork, runs: list[dict[str, Array]], golden_set: Path, tmp_path: Path
) -> None:
    """Every third tensor lies in the same memory: of five epochs in a block the last three are sent."""
    sent = play(board, script(network, runs[:1], at_once=5), tmp_path)
    names = {entry.name for entry in read_dump(sent).entries}
    numbers = range(len(network.places))
    kept = [n for n in numbers if n + 3 > min(n // 5 * 5 + 4, numbers[-1])]
    called = tensor_names(small.model(), network)
    assert names == {called[network.places[n].name] for n in kept}
    done = command("compare", golden_set, sent, "--case", "0", "--partial")
    assert done.exit_code == 0, done.output


@needs_gcc
@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_is_named(kind: str, bench: Bench, rng: np.random.Generator, tmp_path: Path) -> None:
    """The layer is found wherever the fault has one. A flipped bit that changes a single element beside a rounding
    boundary has no name: it may be drawn three times."""
    for _ in range(3 if kind == "one flipped bit" else 1):
        device, found = bench.plant(kind, rng, tmp_path)
        told = f"{device.layer} {device.detail}: {found.told}"
        assert found.layer, told
        if found.named:
            return
    pytest.fail(told)


@needs_gcc
def test_memory_that_the_firmware_gives(network: CompiledNetwork, runs: list[dict[str, Array]], tmp_path: Path) -> None:
    first, *others = network.places
    changed = replace(network, places=(replace(first, address=None, pool=""), *others))
    (tmp_path / "hook.c").write_text(hook_source(streamed(changed), others[-1].first_epoch), encoding="utf-8")
    sent = read_dump(play(built(tmp_path / "hook.c", tmp_path), script(changed, runs[:1]), tmp_path))
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
