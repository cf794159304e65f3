"""The generated project, built with the tests' own kernels: random layers of every operator, and whole networks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

import qdqnp
from qdqnp.golden_sets.harness.calls import CALLS
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.inputs.shipped import shipped_model
from tests.golden_sets.harness.building import KERNELS, SINGLE, build, harness, needs_gcc, run
from tests.golden_sets.harness.nets import KINDS, every_layer
from tests.golden_sets.nets import code_feeds
from tests.networks import dla

pytestmark = needs_gcc
EQUAL = re.compile(r"(\d+) inputs, (\d+) layers, (\d+) elements: 0 of (\d+) tensors differ")
CLEAN = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers of every kind, two inputs."""
    model = every_layer(11, each=2)
    return harness(tmp_path_factory.mktemp("every") / "set", model, [code_feeds(model, seed) for seed in (1, 2)])


def test_the_random_layers_are_of_every_operator_that_has_a_row() -> None:
    steps = qdqnp.load(every_layer(11, each=2)).program("cmsis-nn").steps
    assert {step.op for step in steps} >= set(CALLS)


@pytest.mark.parametrize(("seed", "profile"), [(1, "cmsis-nn"), (2, "cmsis-nn"), (3, "cmsis-nn-single")])
def test_every_layer_has_the_codes_of_the_profile(tmp_path: Path, seed: int, profile: str) -> None:
    model = every_layer(seed, each=2)
    folder = harness(tmp_path / "set", model, [code_feeds(model, seed) for seed in (1, 2)], profile)
    code, lines = run(build(folder, *CLEAN, *([SINGLE] if profile.endswith("single") else [])))
    assert code == 0 and EQUAL.fullmatch(lines[-1]), lines
    assert f"{2 * len(KINDS)} layers" in lines[-1]


def test_the_other_rounding_is_noticed(every: Path) -> None:
    code, lines = run(build(every, "-O0", SINGLE))
    assert code == 1 and len(lines) > 2
    assert all(re.match(r"case \d: layer \w+, by (arm|qdqnp)_|\d inputs", line) for line in lines), lines


def test_one_wrong_weight_is_one_wrong_layer(every: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(every, folder)
    path = folder / "harness" / "golden_layer_conv_0.c"
    text = path.read_text()
    start = text.index("{\n", text.index("multiplier[")) + 2
    path.write_text(text[:start] + "    2000000000 -" + text[start:])
    code, lines = run(build(folder, "-O0"))
    wrong = {line.split(", by")[0] for line in lines[:-1]}
    assert code == 1 and wrong <= {"case 0: layer conv_0", "case 1: layer conv_0"} and wrong


def test_a_dump_is_what_compare_reads(every: Path, tmp_path: Path) -> None:
    from qdqnp.diagnosis.stream import tensors_of
    from qdqnp.errors import Problems

    code, _ = run(build(every, "-O0"), tmp_path / "dump")
    found = tensors_of(tmp_path / "dump", Problems())
    assert code == 0
    listed = json.loads((every / "manifest.json").read_text())["tensors"]
    assert set(found) == {tensor["name"] for tensor in listed}
    for name, array in found.items():
        own = next(tensor for tensor in listed if tensor["name"] == name)
        shape = [own["shape"][axis] for axis in own["axes"]] if own["axes"] else own["shape"]
        assert list(array.shape) == [2, *(shape or [])], name


def test_too_little_scratch_memory_is_said(every: Path) -> None:
    code, lines = run(build(every, "-O0", "-DGOLDEN_SCRATCH_BYTES=1"))
    assert code == 1
    assert re.fullmatch(
        r"case 0: layer \w+, by .*, failed: it wants \d+ bytes of scratch memory, there are 1 .*", lines[-1]
    )


def test_a_residual_network_runs_from_real_inputs(tmp_path: Path) -> None:
    """Views, additions, joins and a classifier, with memory that layers share, from a float input."""
    onnx.save(dla(group=2), tmp_path / "net.onnx")
    model = qdqnp.load(tmp_path / "net.onnx")
    feeds = list(random_feeds(model.program("cmsis-nn"), 3, seed=4))
    folder = harness(tmp_path / "set", tmp_path / "net.onnx", feeds)
    code, lines = run(build(folder, *CLEAN))
    assert code == 0 and EQUAL.fullmatch(lines[-1]), lines


@pytest.mark.parametrize("name", ["dla46_c_int8", "dla46x_c_int8"])
def test_the_networks_that_come_with_qdqnp_run_whole(tmp_path: Path, name: str) -> None:
    program = qdqnp.load(shipped_model(name)).program("cmsis-nn")
    folder = harness(tmp_path / "set", shipped_model(name), list(random_feeds(program, 1, seed=1)), prefix="own")
    code, lines = run(build(folder, "-O2"))
    found = EQUAL.fullmatch(lines[-1])
    assert code == 0 and found and int(found[3]) > 100_000, lines
    assert not list((folder / "harness").glob("golden_*"))


@pytest.mark.skipif(shutil.which("cmake") is None or shutil.which("make") is None, reason="needs cmake and make")
def test_cmake_builds_it(every: Path, tmp_path: Path) -> None:
    done = subprocess.run(["cmake", "-S", str(every), "-B", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode and "expected the folder with Include/arm_nnfunctions.h" in done.stderr
    configure = ["cmake", "-S", str(every), "-B", str(tmp_path), f"-DCMSIS_NN={KERNELS}", "-DCMAKE_BUILD_TYPE=Debug"]
    assert subprocess.run(configure, capture_output=True).returncode == 0
    assert subprocess.run(["cmake", "--build", str(tmp_path)], capture_output=True).returncode == 0
    assert run(tmp_path / "golden_network")[0] == 0


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc")
def test_a_cortex_m55_runs_it(every: Path, tmp_path: Path) -> None:
    """With a compiler for it, the program is built; with QEMU, it is run."""
    harness_c = every / "harness"
    flags = ["-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard", "-O1", *("-Wall", "-Wextra", "-Werror")]
    files = [*sorted(harness_c.glob("*.c")), *sorted((KERNELS / "Source").glob("*.c"))]
    link = [f"-T{harness_c / 'mps3_an547.ld'}", "--specs=rdimon.specs", "-Wl,--gc-sections"]
    include = [f"-I{KERNELS / 'Include'}", f"-I{harness_c}"]
    program = tmp_path / "program.elf"
    command = ["arm-none-eabi-gcc", *flags, *include, *map(str, files), *link, "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    if shutil.which("qemu-system-arm") is None:
        pytest.skip("built, but not run: needs qemu-system-arm")
    board = ["qemu-system-arm", "-M", "mps3-an547", "-nographic", "-semihosting", "-kernel", str(program)]
    ran = subprocess.run(board, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    assert ran.returncode == 0 and EQUAL.fullmatch(ran.stdout.splitlines()[-1]), ran.stdout


def test_the_same_call_gives_the_same_files(every: Path, tmp_path: Path) -> None:
    model = every_layer(11, each=2)
    again = harness(tmp_path / "set", model, [code_feeds(model, seed) for seed in (1, 2)])
    for path in sorted(every.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (again / path.relative_to(every)).read_bytes(), path.name


def test_inputs_are_int8_codes_in_memory_order(tmp_path: Path) -> None:
    model = every_layer(5, each=1, kinds=("max_pool",))
    feeds = code_feeds(model, 1)
    folder = harness(tmp_path / "set", model, [feeds])
    text = (folder / "harness" / "golden_input_0.c").read_text()
    numbers = [int(number) for number in re.findall(r"-?\d+(?=,)", text)]
    assert np.array_equal(numbers, np.transpose(feeds["max_pool_0_x"], (0, 2, 3, 1)).reshape(-1))
