"""The profile of a compiled network has the integers that were read, and every command takes it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import qdqnp
from qdqnp.cli import cli
from qdqnp.errors import InputError
from qdqnp.numerics.profile_toml import from_toml, load_profile
from qdqnp.numerics.profile_writer import to_toml
from qdqnp.st.compiled import CompiledAdd, CompiledNetwork, CompiledPool, CompiledSum, Epoch, KernelPart
from qdqnp.st.names import labels_in
from qdqnp.st.profile import compiled_profile
from qdqnp.st.read import read
from tests.networks import dla
from tests.st.writing import FLASH, RAM, random_network, write_folder

NAMES = ("neural-art-1.1.3", "neural-art-1.1.1")


def run(*words: object) -> Any:
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.mark.parametrize("seed", range(20))
def test_a_profile_survives_its_file(seed: int) -> None:
    network = random_network(np.random.default_rng(seed))
    profile = compiled_profile(network, "compiled")
    assert from_toml(to_toml(profile), "compiled") == profile
    assert dict(profile.conv.overrides).keys() == {layer.name for layer in network.sums}  # type: ignore[attr-defined]
    assert profile.gemm == profile.conv == profile.matmul and profile.status == "inferred"


# -- a network compiled by our own rules -------------------------------------------------------------------------------
def compiled(model: qdqnp.Model, x: np.ndarray, name: str) -> CompiledNetwork:
    """The network that a compiler would leave that follows a profile's rules."""
    program = model.program(lowering="device")
    parameters = model.trace(x, profile=name).parameters
    sums: list[CompiledSum] = []
    adds: list[CompiledAdd] = []
    pools: list[CompiledPool] = []
    names: list[tuple[str, tuple[str, ...]]] = []
    for epoch, step in enumerate(program.steps, 1):
        found = {key: np.asarray(value) for key, value in parameters.get(step.output_names[0], {}).items()}
        label = f"{step.op}_{epoch}"
        names.append((label, (step.label,)))
        if step.op in ("QLinearConv", "QGemm"):
            sums.append(compiled_sum(label, epoch, found))
        elif step.op == "QLinearAdd":
            adds.append(CompiledAdd(label, (epoch,), tuple((key, int(value)) for key, value in found.items())))
        elif step.op == "QLinearGlobalAveragePool":
            numbers = int(found["R"]), int(found["shift"])
            pools.append(CompiledPool(label, (epoch,), "global average", (0, 0), *numbers, 16))
    older = name == "neural-art-1.1.1"
    return CompiledNetwork(
        compiler="1.1.0-31" if older else "1.1.3-262",
        profile=name,
        pools=(FLASH, RAM),
        epochs=tuple(_epoch(layer) for layer in (*sums, *adds, *pools)),
        sums=tuple(sums),
        adds=tuple(adds),
        poolings=tuple(pools),
        lookups=(),
        processor=(),
        places=(),
        originals=tuple(names),
    )


def _epoch(layer: CompiledSum | CompiledAdd | CompiledPool) -> Epoch:
    return Epoch(layer.epochs[0], "hardware", (layer.name,))


def compiled_sum(label: str, epoch: int, found: dict[str, np.ndarray]) -> CompiledSum:
    older = "A1" in found
    a, bc = (np.atleast_1d(found[key]).astype(np.int64) for key in ("A1" if older else "A", "BC"))
    return CompiledSum(
        name=label,
        epochs=(epoch,),
        channels=max(a.size, bc.size),
        s1=int(found["S1"]),
        a=a,
        bc=bc,
        s2=int(found["S2"]),
        sh1=int(found["sh1"]) if older else None,
        a2=int(found["A2"]) if older else None,
        zero_point="none",
        fsub=0,
    )


def net_file(folder: Path) -> Path:
    """Write the network of the fixture below."""
    path = folder / "net.onnx"
    path.write_bytes(dla(7, size=16).SerializeToString())
    return path


@pytest.fixture(scope="module")
def network() -> tuple[qdqnp.Model, np.ndarray]:
    model = qdqnp.load(dla(7, size=16))
    shape = model.program().tensors[model.program().inputs[0]].shape
    return model, np.random.default_rng(7).normal(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize("controller", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_what_our_rules_choose_gives_what_they_give(
    tmp_path: Path, network: tuple[qdqnp.Model, np.ndarray], name: str, controller: bool
) -> None:
    model, x = network
    write_folder(tmp_path / "st", compiled(model, x, name), controller)
    assert (
        run("st", "read", tmp_path / "st", "--out", tmp_path / "mine.toml", "--model", net_file(tmp_path)).exit_code
        == 0
    )
    profile = load_profile(tmp_path / "mine.toml")
    wanted, found = (model.trace(x, profile=one) for one in (name, profile))
    assert wanted.parameters.keys() == found.parameters.keys()
    assert all(np.array_equal(wanted[tensor], found[tensor]) for tensor in wanted)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_compiler_chose_otherwise_counts(
    tmp_path: Path, network: tuple[qdqnp.Model, np.ndarray], name: str
) -> None:
    """Each kind of number, changed in one layer, changes that layer; parts of a kernel too."""
    model, x = network
    base = compiled(model, x, name)
    plain = model.trace(x, profile=name)
    steps = model.program(lowering="device").steps
    made = {f"{step.op}_{epoch}": step.output_names[0] for epoch, step in enumerate(steps, 1)}
    layer, add = base.sums[0], base.adds[0]
    fields = {"a": layer.a + 999, "bc": layer.bc + (9 << layer.s2), "s1": layer.s1 + 1, "s2": layer.s2 - 1}
    if layer.sh1 is not None:
        fields |= {"sh1": layer.sh1 - 1, "a2": int(layer.a2 or 0) // 2}
    changed: list[tuple[str, CompiledNetwork]] = [
        (layer.name, replace(base, sums=(replace(layer, **{field: value}), *base.sums[1:])))
        for field, value in fields.items()
    ]
    numbers = dict(add.numbers)
    for key in ("A", "B", "C", "S", "A_shift", "C_shift"):
        other = tuple({**numbers, key: numbers[key] + (3000 if key in "ABC" else 1)}.items())
        changed.append((add.name, replace(base, adds=(replace(add, numbers=other), *base.adds[1:]))))
    if base.poolings:
        pool = base.poolings[0]
        changed.append((pool.name, replace(base, poolings=(replace(pool, multiplier=pool.multiplier // 2),))))
    for number, (label, one) in enumerate(changed):
        write_folder(tmp_path / str(number), one)
        one = read([tmp_path / str(number)])
        profile = compiled_profile(one, "mine", labels_in(model, one))
        found = model.trace(x, profile=profile)
        assert not np.array_equal(found[made[label]], plain[made[label]]), (number, label)


def test_inspect_marks_what_differs_from_the_rules(tmp_path: Path, network: tuple[qdqnp.Model, np.ndarray]) -> None:
    model, x = network
    base = compiled(model, x, "neural-art-1.1.1")
    layer, add = base.sums[1], base.adds[0]
    numbers = tuple({**dict(add.numbers), "B": dict(add.numbers)["B"] + 7}.items())
    a = layer.a.copy()
    a[0] -= 5
    parts = (((0, 0, 0, 0), (1, 1, 2, 3)), ((0, 0, 2, 0), (1, 1, 3, 3)))
    halves = tuple(KernelPart(f"{base.sums[0].name}_subm_{at}", *part, (1, 3)) for at, part in enumerate(parts))
    sums = (replace(base.sums[0], parts=halves), replace(layer, a=a), *base.sums[2:])
    made = replace(base, sums=sums, adds=(replace(add, numbers=numbers), *base.adds[1:]))
    write_folder(tmp_path / "st", made)
    assert (
        run("st", "read", tmp_path / "st", "--out", tmp_path / "mine.toml", "--model", net_file(tmp_path)).exit_code
        == 0
    )
    words = ("inspect", tmp_path / "net.onnx", "--profile", tmp_path / "mine.toml")
    found = json.loads(run(*words, "--json").output)["stated"]
    names = dict(made.originals)
    stated = [names[one.name][0] for one in (*made.sums, *made.adds, *made.poolings)]
    assert sorted(one["label"] for one in found) == sorted(stated)
    differing = {
        (one["label"], number["name"]): (number["differing"], number["largest"])
        for one in found
        for number in one["numbers"]
        if number["differing"]
    }
    first, second, third = (names[one.name][0] for one in (sums[0], sums[1], add))
    assert differing == {(first, "parts"): (1, 0), (second, "A1"): (1, 5), (third, "B"): (1, 7)}
    text = run(*words).output
    assert f"the profile states the numbers of {len(stated)} layers; 3 differ (*) from its rules'" in text
    assert "1 by up to 5 *" in text and f"rule {dict(add.numbers)['B']} *" in text


def test_every_command_takes_it(tmp_path: Path, network: tuple[qdqnp.Model, np.ndarray]) -> None:
    model, x = network
    file, inputs, profile = tmp_path / "net.onnx", tmp_path / "x.npy", tmp_path / "mine.toml"
    np.save(inputs, x)
    write_folder(tmp_path / "st", compiled(model, x, "neural-art-1.1.1"))
    assert run("st", "read", tmp_path / "st", "--out", profile, "--model", net_file(tmp_path)).exit_code == 0
    layer = model.program(lowering="device").steps[1].label
    for words in (
        ("run", file, "--input", inputs, "--profile", profile),
        ("inspect", file, "--profile", profile),
        ("golden", file, "--input", inputs, "--profile", profile, "--out", tmp_path / "golden"),
        ("diff", file, "--input", inputs, "--profiles", f"{profile},neural-art-1.1.1,ort"),
        ("explain", file, "--input", inputs, "--profiles", f"{profile},ort", "--layer", layer, "--index", "0,0,0,0"),
        ("stimulate", file, "--layer", layer, "--profile", profile, "--out", tmp_path / "stimuli"),
        ("profiles", "show", profile),
    ):
        result = run(*words)
        assert result.exit_code == 0, (words, result.output)


def test_a_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    write_folder(tmp_path / "st", random_network(np.random.default_rng(2)))
    out = tmp_path / "mine.toml"
    out.write_text("mine", encoding="utf-8")
    assert run("st", "read", tmp_path / "st", "--out", out).exit_code == 2 and out.read_text(encoding="utf-8") == "mine"
    assert run("st", "read", tmp_path / "st", "--out", out, "--force").exit_code == 0
    assert run("st", "read", tmp_path / "st", "--out", tmp_path / "mine.txt").exit_code == 2


# -- names and splits --------------------------------------------------------------------------------------------------
def test_layers_are_called_as_in_the_model(network: tuple[qdqnp.Model, np.ndarray]) -> None:
    model, x = network
    base = compiled(model, x, "neural-art-1.1.3")
    steps = {f"{step.op}_{at}": step for at, step in enumerate(model.program(lowering="device").steps, 1)}
    wanted = {one.name: steps[one.name].label for one in (*base.sums, *base.adds, *base.poolings)}
    assert labels_in(model, base) == wanted
    by_tensor = {name: re.sub(r"\W", "_", step.output_names[0]) for name, step in steps.items()}
    assert (
        labels_in(model, replace(base, originals=tuple((name, (text,)) for name, text in by_tensor.items()))) == wanted
    )
    gemm = replace(base.sums[0], name="Gemm_2_conv_4")
    renamed = replace(base, sums=(gemm, *base.sums[1:]), originals=(("Gemm_2", base.originals[1][1]), *base.originals))
    assert "Gemm_2" in dict(compiled_profile(renamed, "x").gemm.overrides)  # type: ignore[attr-defined]
    with pytest.raises(
        InputError, match=r"compiled layer Gemm_2: expected one layer of the model called Gemm_2, got none"
    ):
        labels_in(model, replace(renamed, originals=base.originals))


def split(*parts: tuple[tuple[int, int, int, int], tuple[int, int, int, int]]) -> CompiledNetwork:
    network = random_network(np.random.default_rng(4))
    made = tuple(KernelPart(f"n_subm_{at}", begin, end, (1, 1)) for at, (begin, end) in enumerate(parts))
    return replace(network, sums=(replace(network.sums[0], parts=made, s1=3),), adds=(), poolings=())


def test_parts_say_which_element_of_the_kernel_is_whose() -> None:
    network = split(((0, 0, 0, 0), (4, 3, 2, 3)), ((0, 0, 2, 0), (4, 3, 3, 3)))
    ((_, given),) = compiled_profile(network, "x").accumulate.overrides  # type: ignore[attr-defined]
    assert dict(given) == {"S1": 3, "parts": (0, 0, 0, 0, 0, 0, 1, 1, 1)}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((((0, 0, 0, 0), (4, 3, 2, 3)), ((0, 0, 1, 0), (4, 3, 3, 3))), "parts that do not overlap"),
        ((((0, 0, 0, 0), (4, 3, 1, 3)), ((0, 0, 2, 0), (4, 3, 3, 3))), "the whole kernel"),
        ((((0, 0, 0, 0), (4, 2, 3, 3)), ((0, 2, 0, 0), (4, 3, 3, 3))), "parts that have all channels"),
        (((None, None),), "_submask_"),
    ],
)
def test_splits_that_no_rule_has(parts: Any, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        compiled_profile(split(*parts), "x")
