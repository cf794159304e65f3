"""Each fault, simulated in plain NumPy at a place drawn at random, is found where it is and named."""

from __future__ import annotations

import numpy as np
import pytest

from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.compare.status import FAULT
from qdqnp.diagnosis.dump import read_dump
from qdqnp.diagnosis.faults import all_kinds
from qdqnp.diagnosis.replay import Reference
from qdqnp.inputs.pictures import prepare, resolved
from qdqnp.inputs.shipped import CIFAR10, pictures, shipped_model
from qdqnp.model import Model, load
from qdqnp.numerics.profiles import profile_named
from tests.diagnosis import small
from tests.diagnosis.devices import Device, World
from tests.diagnosis.planted import MEMORIES, OF_AVERAGES, PLANTED, averaging, in_memory, simulate
from tests.diagnosis.small import Array

CASES = 2


@pytest.fixture(scope="module")
def model() -> Model:
    return load(shipped_model("dla46_c_int8"))


@pytest.fixture(scope="module")
def feeds(model: Model, session_seed: int) -> list[dict[str, Array]]:
    settings, pixels = resolved(CIFAR10, model.program()), pictures()[0]
    chosen = np.random.default_rng(session_seed).choice(len(pixels), CASES, replace=False)
    # with so much contrast layers leave the range they were calibrated for, on all of the pictures but one
    return [{"input": np.float32(8) * prepare(pixels[index], settings)[None]} for index in chosen]


@pytest.fixture(scope="module")
def worlds(model: Model, feeds: list[dict[str, Array]]) -> dict[str, World]:
    return {profile: World(model, profile, feeds) for profile in ("ort", "tflite")}


@pytest.fixture(scope="module")
def references(model: Model, feeds: list[dict[str, Array]]) -> dict[str, Reference]:
    return {profile: Reference(model, profile_named(profile), feeds) for profile in ("ort", "tflite")}


@pytest.fixture(scope="module")
def averages(session_seed: int) -> tuple[dict[str, World], dict[str, Reference]]:
    model, feeds = averaging(np.random.default_rng(session_seed), CASES)
    profiles = ("ort", "tflite")
    return (
        {profile: World(model, profile, feeds) for profile in profiles},
        {profile: Reference(model, profile_named(profile), feeds) for profile in profiles},
    )


@pytest.mark.parametrize("name", PLANTED)
def test_the_layer_is_found_and_the_fault_named(
    name: str,
    rng: np.random.Generator,
    worlds: dict[str, World],
    references: dict[str, Reference],
    averages: tuple[dict[str, World], dict[str, Reference]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A fault may look like another on these inputs; then it is one of those that are named. A single changed element
    beside a rounding boundary has no name, so that a flipped bit may be drawn three times."""
    if name in OF_AVERAGES:
        worlds, references = averages
    for _ in range(3 if name == "one flipped bit" else 1):
        used: list[str] = []

        def world(used: list[str] = used) -> World:
            used.append(str(rng.choice(list(worlds))))
            return in_memory(worlds[used[-1]], str(rng.choice(MEMORIES)))

        device = simulate(world, name, rng)
        path = tmp_path_factory.mktemp("dumps") / "dump.npz"
        np.savez(path, **{name: np.concatenate(cases) for name, cases in device.dump.items()})
        reference = references[used[-1]]
        report = compare(reference, align(read_dump(path), reference.targets, CASES))
        told = f"{device.layer} {device.detail}: {report.verdict()}"
        assert report.first is not None and report.first.label == device.layer, told
        if device.kind in [finding.kind for finding in report.first.findings]:
            return
    pytest.fail(told)


def test_every_fault_of_the_table_has_a_recognizer() -> None:
    """Under its own name, or under that of the kind of which it is one: then the device says so."""
    own = set(PLANTED) & set(all_kinds())
    assert len(PLANTED) == 44 and set(PLANTED) - own == {
        "clamp limit of another layer",
        "groups of an input's channels permuted",
        "another layer's weights",
        "another layer's biases",
        "shifted by elements",
    }


@pytest.mark.parametrize(
    ("golden", "theirs"), [("ort", "ort"), ("ort", "tflite"), ("tflite", "tflite-single"), ("ort", "neural-art")]
)
def test_no_false_alarm(
    golden: str, theirs: str, model: Model, feeds: list[dict[str, Array]], references: dict[str, Reference]
) -> None:
    traces = [model.trace(x, profile=theirs) for x in feeds]
    device = Device("", "", "", "", {name: [trace[name] for trace in traces] for name in traces[0] if name != "input"})
    reference = references[golden]
    report = compare(reference, align(small.dump(device.dump), reference.targets, CASES))
    assert not [row for row in report.rows if row.status == FAULT], report.verdict()
    assert report.equal == all(
        np.array_equal(a, b)
        for name, cases in device.dump.items()
        if name != "output"
        for a, b in zip(cases, [c[name] for c in reference.cases], strict=True)
    )
