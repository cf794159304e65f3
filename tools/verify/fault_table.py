"""Print the fault table: simulated devices with one fault each, and what `compare` says of their dumps.

    python -m tools.verify.fault_table                      of each of three seeds: 44 faults, 5 times each in NCHW and
                                                            in NHWC memory, 40 devices each with one element off by one
                                                            and with one bias of another value, 100 dumps without a
                                                            fault
    python -m tools.verify.fault_table -n 1 --off 5 --clean 5 --seed 7

Layers, channels, places and pictures are drawn from the seeds, which are printed. The devices are those of
tests/diagnosis/planted.py: plain NumPy for the wrong layer. Devices with NHWC memory write images channels last.
Prints Markdown tables: what each fault was called, and how often each name was the only one. Exits 1 where a layer is
not found, only other kinds are named, an element off by one has a name of its own, or a dump without a fault is said
to have one.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.progress import track

from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.compare.report import CompareReport
from qdqnp.diagnosis.compare.status import FAULT
from qdqnp.diagnosis.dump import read_dump
from qdqnp.diagnosis.replay import Reference
from qdqnp.inputs.pictures import prepare, resolved
from qdqnp.inputs.shipped import CIFAR10, model_names, pictures, shipped_model
from qdqnp.model import Model, load
from qdqnp.numerics.profiles import profile_named
from tests.diagnosis.devices import CONTROLS, Device, World
from tests.diagnosis.planted import MEMORIES, OF_AVERAGES, PLANTED, averaging, in_memory, simulate

Array = np.ndarray[Any, Any]
GOLDEN = ("ort", "tflite")
# The profiles that a device without a fault may have.
OTHERS = ("ort", "exact", "tflite", "tflite-single", "cmsis-nn", "neural-art")
CASES = 3
SEEDS = (1, 2, 3)
QUANTIZED = [name for name in model_names() if "int8" in name]


@dataclass
class Row:
    """The counts for one kind of fault."""

    #: The kind of fault.
    kind: str
    #: Number of simulated devices.
    runs: int = 0
    #: Runs in which the first divergence is the right layer.
    layer: int = 0
    #: Runs in which the kind is among those named.
    named: int = 0
    #: Runs in which the kind is the only one named.
    alone: int = 0
    #: Runs in which kinds are named, and not the right one.
    wrong: int = 0
    #: Runs in which it is named on the evidence of few elements, alone or not.
    few: int = 0
    #: By name, the runs in which it is the only one, and those in which it is right then.
    only: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    #: What was said in the other runs.
    missed: list[str] = field(default_factory=list)


class Bench:
    """A shipped network with some pictures: worlds to simulate in and references to compare with, by profile."""

    def __init__(self, model: Model, feeds: list[dict[str, Array]]) -> None:
        self.model, self.feeds = model, feeds
        self.worlds = {profile: World(model, profile, feeds) for profile in GOLDEN}
        self.references = {profile: Reference(model, profile_named(profile), feeds) for profile in GOLDEN}

    @classmethod
    def of_pictures(cls, name: str, rng: np.random.Generator) -> Bench:
        """Return a shipped network with pictures that are drawn."""
        model = load(shipped_model(name))
        settings, pixels = resolved(CIFAR10, model.program()), pictures()[0]
        chosen = rng.choice(len(pixels), CASES, replace=False)
        # with more contrast some layers leave the range they were calibrated for
        gains = rng.choice([1, 4], CASES)
        feeds = [
            {"input": np.float32(g) * prepare(pixels[i], settings)[None]} for i, g in zip(chosen, gains, strict=True)
        ]
        return cls(model, feeds)


def on_disk(arrays: dict[str, list[Array]], folder: Path, rng: np.random.Generator, memory: str = "nchw") -> Path:
    """Write the dump as an archive, or as a folder of .npy files. In NCHW int8 codes may be .bin files, which lose
    their shape; in NHWC images are written channels last, where their shape tells it."""
    kind = str(rng.choice(["npz", "npy"] if memory == "nhwc" else ["npz", "npy", "bin"]))
    joined = {name: np.concatenate(cases) for name, cases in arrays.items()}
    if memory == "nhwc":
        joined = {name: _last(array) for name, array in joined.items()}
    if kind == "npz":
        np.savez(folder / "dump.npz", **joined)  # type: ignore[arg-type]  # no tensor is called allow_pickle
        return folder / "dump.npz"
    for name, array in joined.items():
        if kind == "bin" and array.dtype == np.int8:
            array.tofile(folder / f"{name}.bin")
        else:
            np.save(folder / f"{name}.npy", array)
    return folder


def _last(array: Array) -> Array:
    moved = np.moveaxis(array, 1, -1) if array.ndim == 4 else array
    return np.ascontiguousarray(array if moved.shape == array.shape else moved)


def compared(
    reference: Reference, arrays: dict[str, list[Array]], rng: np.random.Generator, memory: str = "nchw"
) -> CompareReport:
    with tempfile.TemporaryDirectory() as folder:
        dump = read_dump(on_disk(arrays, Path(folder), rng, memory))
        return compare(reference, align(dump, reference.targets, CASES))


def faulty(bench: Bench, name: str, rng: np.random.Generator, memory: str = "nchw") -> tuple[Device, CompareReport]:
    """Simulate a device of a drawn profile with a fault; return the device and the report on its dump."""
    used: list[str] = []

    def world() -> World:
        used.append(str(rng.choice(GOLDEN)))
        return in_memory(bench.worlds[used[-1]], memory)

    device = simulate(world, name, rng)
    return device, compared(bench.references[used[-1]], device.dump, rng, memory)


def judge(row: Row, device: Device, report: CompareReport) -> None:
    first = report.first
    right = first is not None and first.label == device.layer
    kinds = [finding.kind for finding in first.findings] if first is not None else []
    row.runs += 1
    row.layer += right
    row.named += right and device.kind in kinds
    row.alone += right and kinds == [device.kind]
    row.wrong += right and bool(kinds) and device.kind not in kinds
    row.few += right and device.kind in kinds and first is not None and first.few
    row.only.update(kinds if len(kinds) == 1 else [])
    row.right.update(kinds if right and kinds == [device.kind] else [])
    if not right or kinds != [device.kind]:
        row.missed.append(f"{device.layer} {device.detail}: {report.verdict()[0]}")


def without_fault(bench: Bench, rng: np.random.Generator) -> str:
    """Return what is said of a clean dump, or of another profile's dump, that names a fault; '' where nothing is."""
    golden, theirs = str(rng.choice(GOLDEN)), str(rng.choice(OTHERS))
    traces = [bench.model.trace(feeds, profile=theirs) for feeds in bench.feeds]
    names = [name for name in traces[0] if name != "input"]
    if rng.random() < 0.25:  # not every tensor was dumped
        names = [name for name in names if rng.random() < 0.6] or names[-1:]
    arrays, memory = {n: [trace[n] for trace in traces] for n in names}, str(rng.choice(MEMORIES))
    report = compared(bench.references[golden], arrays, rng, memory)
    alarms = [row for row in report.rows if row.status == FAULT]
    return f"golden {golden}, device {theirs}: {alarms[0].name}: {alarms[0].explanation}" if alarms else ""


def markdown(rows: list[Row]) -> Iterator[str]:
    yield "| fault | runs | right layer | kind named | as the only one | another named | on few elements |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    keys = ("runs", "layer", "named", "alone", "wrong", "few")
    total = Row("**all**", *(sum(getattr(row, key) for row in rows) for key in keys))
    for row in [*rows, total]:
        yield f"| {row.kind} | {' | '.join(str(getattr(row, key)) for key in keys)} |"


def names(rows: list[Row]) -> Iterator[str]:
    """How often each name was the only one, and how often it was the right one then."""
    only: Counter[str] = sum((row.only for row in rows), Counter())
    right: Counter[str] = sum((row.right for row in rows), Counter())
    yield "| name | the only one | and right |"
    yield "|---|---:|---:|"
    for name, count in sorted(only.items(), key=lambda item: (-item[1], item[0])):
        yield f"| {name} | {count} | {right[name]} |"


@click.command()
@click.option(
    "-n", "count", type=click.IntRange(1), default=5, show_default=True, help="Runs of each fault, memory and seed."
)
@click.option("--off", type=click.IntRange(0), default=40, show_default=True, help="Devices with no fault of the list.")
@click.option("--clean", type=click.IntRange(0), default=100, show_default=True, help="Right dumps of each seed.")
@click.option("--model", "name", type=click.Choice(QUANTIZED), default="dla46_c_int8", show_default=True)
@click.option("--seed", "seeds", type=int, multiple=True, default=SEEDS, show_default=True, help="Repeatable.")
@click.argument("kinds", nargs=-1)
def main(count: int, off: int, clean: int, name: str, seeds: tuple[int, ...], kinds: tuple[str, ...]) -> None:
    """Simulate, compare, tabulate. KINDS: only these faults."""
    click.echo(f"{name}, seeds {', '.join(map(str, seeds))}\n")
    rows = [Row(kind) for kind in PLANTED if not kinds or kind in kinds]
    controls, alarms = [Row(kind) for kind in CONTROLS if not kinds or kind in kinds], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        bench, average = Bench.of_pictures(name, rng), Bench(*averaging(rng, CASES))
        for row, runs in [*((row, 2 * count) for row in rows), *((row, off) for row in controls)]:
            for run in track(range(runs), f"seed {seed}: {row.kind}", transient=True):
                chosen, memory = average if row.kind in OF_AVERAGES else bench, MEMORIES[run % 2]
                judge(row, *faulty(chosen, row.kind, rng, memory))
        for index in track(range(clean), f"seed {seed}: without a fault", transient=True):
            bench = Bench.of_pictures(name, rng) if index % 20 == 19 else bench
            alarms += [text] if (text := without_fault(bench, rng)) else []
    click.echo("\n".join([*markdown(rows), "", *names(rows)]))
    for row in controls:
        click.echo(f"\n{row.kind}: {row.runs} runs, {row.layer} right layers; named alone: {dict(row.only) or 'none'}")
    click.echo("".join(f"\n{row.kind}: {text}" for row in rows for text in row.missed))
    click.echo(
        f"\n{clean * len(seeds)} dumps without a fault, {len(alarms)} false alarms"
        + "".join(f"\n  {a}" for a in alarms)
    )
    wrong = (
        any(row.layer < row.runs for row in [*rows, *controls])
        or any(row.wrong for row in rows)
        or any(row.only for row in controls[:1])
    )
    sys.exit(1 if alarms or wrong else 0)


if __name__ == "__main__":
    main()
