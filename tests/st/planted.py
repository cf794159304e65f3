"""Faults planted into the simulated board: what its stream, read by compare, is said to have.

Those of arithmetic and memory are of tests/diagnosis/devices.py, computed in plain NumPy under `neural-art`; the others
are of the toolchain around the NPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.compare.report import CompareReport
from qdqnp.diagnosis.dump import read_dump
from qdqnp.diagnosis.replay import Reference
from qdqnp.numerics.profiles import profile_named
from qdqnp.st.compiled import CompiledNetwork, TensorPlace
from qdqnp.st.names import tensor_names
from tests.diagnosis import small
from tests.diagnosis.devices import FAULTS, Device, NoEffectError, World
from tests.diagnosis.planted import simulate
from tests.st.board import ART, play, script

Array = np.ndarray[Any, Any]
OLDER = "neural-art-1.1.1"


@dataclass
class Found:
    """What compare says of a planted fault."""

    #: Whether the right layer is the first that diverges, or, of a fault without a layer, whether anything is said.
    layer: bool
    #: Whether the fault is among those named, and whether it is the only one.
    named: bool
    alone: bool
    told: str


class Bench:
    """The simulated board, and what a right one makes of two inputs."""

    def __init__(self, program: Path, network: CompiledNetwork) -> None:
        self.program, self.network = program, network
        self.model, self.feeds = small.model(), small.feeds()
        self.world = World(self.model, ART, self.feeds)
        self.names = tensor_names(self.model, network)
        self.places = {self.names[place.name]: place for place in network.places}
        self.labels = {bound.step.output_names[0]: label for label, bound in self.world.steps.items()}

    def right(self) -> dict[str, list[Array]]:
        return {name: [case[name].copy() for case in self.world.right] for name in self.places}

    def sent(self, dump: Mapping[str, Sequence[Array]], folder: Path, *stale: TensorPlace) -> Path:
        """Have the board compute these tensors and send them."""
        cases = range(len(next(iter(dump.values()))))
        runs = [{tensor: dump[name][case] for tensor, name in self.names.items()} for case in cases]
        if any(array.dtype != np.int8 for run in runs for array in run.values()):
            raise NoEffectError  # the board sends codes
        addresses = (place.address or 0 for place in stale)
        return play(self.program, script(self.network, runs), folder, *addresses)

    def compared(self, path: Path, feeds: Sequence[Mapping[str, Array]] | None = None) -> CompareReport:
        reference = Reference(self.model, profile_named(ART), list(feeds or self.feeds))
        return compare(reference, align(read_dump(path), reference.targets, len(reference.cases)))

    def plant(self, kind: str, rng: np.random.Generator, folder: Path) -> tuple[Device, Found]:
        """Plant a fault where it shows, at places that are drawn, and return what is said of it."""
        for _ in range(200):
            try:
                return PLANTED[kind](self, rng, folder)
            except NoEffectError:
                continue
        raise AssertionError(f"no place found where '{kind}' shows")

    def judged(self, device: Device, path: Path) -> tuple[Device, Found]:
        report = self.compared(path)
        if report.first is None:
            raise NoEffectError
        kinds = [finding.kind for finding in report.first.findings]
        layer = report.first.label == device.layer
        told = " ".join(report.verdict())
        return device, Found(layer, layer and device.kind in kinds, layer and kinds == [device.kind], told)

    def device(self, kind: str, name: str, wrong: list[Array], detail: str = "") -> Device:
        """A board that goes on with the right values, but sends others."""
        return self.world.device(kind, self.labels[name], detail, wrong, in_dump_only=True)


Plant = Callable[[Bench, np.random.Generator, Path], tuple[Device, Found]]


def _simulated(kind: str) -> Plant:
    def plant(bench: Bench, rng: np.random.Generator, folder: Path) -> tuple[Device, Found]:
        device = simulate(lambda: bench.world, kind, rng)
        return bench.judged(device, bench.sent(device.dump, folder))

    return plant


def _cache(bench: Bench, rng: np.random.Generator, folder: Path) -> tuple[Device, Found]:
    """The last line of a tensor is not invalidated: the CPU sends what it had there before."""
    name = str(rng.choice(list(bench.places)))
    place = bench.places[name]
    if ((place.address or 0) + place.size) % 32 in range(1, 12):
        raise NoEffectError  # of a line that holds next to nothing of the tensor nothing can be said
    if sum(other.address == place.address for other in bench.places.values()) > 1:
        raise NoEffectError  # the board of the test would lose the other tensor's line too
    device = Device("stale cache line", bench.labels[name], name, place.channels, bench.right())
    return bench.judged(device, bench.sent(bench.right(), folder, place))


def _frozen(bench: Bench, rng: np.random.Generator, folder: Path) -> tuple[Device, Found]:
    """The firmware fills another buffer than the one that the network reads."""
    dump = {name: [cases[0]] * 2 for name, cases in bench.right().items()}
    return _whole("does not depend on the input", bench.compared(bench.sent(dump, folder)), dump)


def _unsteady(bench: Bench, rng: np.random.Generator, folder: Path) -> tuple[Device, Found]:
    """The same input twice; a few elements of one tensor differ, and what is made of them."""
    name = str(rng.choice(list(bench.places)))
    dump = {key: [cases[0], cases[0].copy()] for key, cases in bench.right().items()}
    dump[name][1].reshape(-1)[rng.integers(dump[name][1].size, size=5)] ^= 4
    report = bench.compared(bench.sent(dump, folder), [bench.feeds[0], {**bench.feeds[0]}])
    device, found = _whole("does not repeat itself", report, dump)
    found.layer = any(bench.labels[name] in line for line in report.observations)
    return device, found


def _generation(bench: Bench, rng: np.random.Generator, folder: Path) -> tuple[Device, Found]:
    """The network was compiled by the other generation of the compiler."""
    made = small.tensors(OLDER)
    return _whole(OLDER, bench.compared(bench.sent({name: made[name] for name in bench.places}, folder)), made)


def _whole(words: str, report: CompareReport, dump: Mapping[str, list[Array]]) -> tuple[Device, Found]:
    """A fault of the whole board, which the verdict names by these words."""
    told = " ".join(report.verdict())
    return Device(words, "", "", "", dict(dump)), Found(bool(told), words in told, words in told, told)


def _other_tensor(bench: Bench, rng: np.random.Generator, folder: Path) -> tuple[Device, Found]:
    """The hook reads the buffer of another tensor of the same size."""
    right = bench.right()
    name = str(rng.choice(list(right)))
    others = [other for other in right if other != name and right[other][0].size == right[name][0].size]
    if not others:
        raise NoEffectError
    other = str(rng.choice(others))
    wrong = [case.reshape(right[name][0].shape) for case in right[other]]
    device = bench.device("another layer's tensor", name, wrong, other)
    return bench.judged(device, bench.sent(device.dump, folder))


def _never_written(bench: Bench, rng: np.random.Generator, folder: Path) -> tuple[Device, Found]:
    name = str(rng.choice(list(bench.places)))
    device = bench.device("all zero", name, [np.zeros_like(case) for case in bench.right()[name]])
    return bench.judged(device, bench.sent(device.dump, folder))


def _shifted(bench: Bench, rng: np.random.Generator, folder: Path) -> tuple[Device, Found]:
    """The address of a tensor whose channels do not lie side by side is a few bytes off."""
    names = [name for name, place in bench.places.items() if place.batch == 1]
    name, by = str(rng.choice(names)), int(rng.integers(1, 4))
    if by % bench.places[name].shape[-1] == 0:
        raise NoEffectError  # whole rows: that has another name
    wrong = [np.roll(case.reshape(-1), by).reshape(case.shape) for case in bench.right()[name]]
    device = bench.device("shifted by elements or bytes", name, wrong, str(by))
    return bench.judged(device, bench.sent(device.dump, folder))


def _misread(bench: Bench, rng: np.random.Generator, folder: Path) -> tuple[Device, Found]:
    """ST's tool makes real values of the output with the zero point 0, and writes them in *_val_io.npz."""
    program = bench.model.program()
    (name,) = program.outputs
    last = program.makers[name].inputs[0]
    assert last is not None and last.quant is not None
    codes = np.concatenate([case[last.name] for case in bench.world.right])
    real = (codes.astype(np.float32) * last.quant.scale).astype(np.float32)
    if not last.quant.zero_point.any():
        raise NoEffectError
    path = folder / "network_val_io.npz"
    np.savez(path, c_outputs_1=real.reshape(len(real), 1, 1, -1))
    report = bench.compared(path)
    kinds = [finding.kind for finding in report.first.findings] if report.first is not None else []
    kind = "dequantized with another zero point"
    told = " ".join(report.verdict())
    return Device(kind, "", name, "", {}), Found(report.first is not None, kind in kinds, kinds == [kind], told)


#: By the name of the fault; those with a layer have the names that compare gives them.
PLANTED: Mapping[str, Plant] = {
    "stale cache line": _cache,
    "output that does not depend on the input": _frozen,
    "device that does not repeat itself": _unsteady,
    "the other generation of the compiler": _generation,
    "int8 zero point read as float32": _misread,
    "another layer's tensor": _other_tensor,
    "all zero": _never_written,
    "shifted by elements or bytes": _shifted,
    **{kind: _simulated(kind) for kind in FAULTS if kind != "ReLU missing"},  # no layer of the network has one
}
