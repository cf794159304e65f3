"""Print the fault table: simulated devices with one fault each, and what `compare` says of their dumps.

    python -m tools.verify.fault_table                      20 faults, 10 times each, and 200 dumps without a fault
    python -m tools.verify.fault_table -n 2 --clean 20

Layers, channels, places and pictures are drawn from a seed that is printed; `--seed` repeats a run. The devices are
those of tests/diagnosis/devices.py: plain NumPy for the wrong layer. Prints a Markdown table; exits 1 where a layer is
not found, or a dump without a fault is said to have one.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.progress import track

from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.compare.report import FAULT, CompareReport
from qdqnp.diagnosis.dump import read_dump
from qdqnp.diagnosis.replay import Reference
from qdqnp.inputs.pictures import prepare, resolved
from qdqnp.inputs.shipped import CIFAR10, model_names, pictures, shipped_model
from qdqnp.model import Model, load
from qdqnp.numerics.profiles import profile_named
from tests.diagnosis.devices import FAULTS, Device, World, simulate

Array = np.ndarray[Any, Any]
GOLDEN = ("ort", "tflite")
# The profiles that a device without a fault may have.
OTHERS = ("ort", "exact", "tflite", "tflite-single", "cmsis-nn", "neural-art")
CASES = 3
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
    #: What was said in the other runs.
    missed: list[str] = field(default_factory=list)


class Bench:
    """A shipped network with some pictures: worlds to simulate in and references to compare with, by profile."""

    def __init__(self, name: str, rng: np.random.Generator) -> None:
        self.model: Model = load(shipped_model(name))
        settings, pixels = resolved(CIFAR10, self.model.program()), pictures()[0]
        chosen = rng.choice(len(pixels), CASES, replace=False)
        # with more contrast some layers leave the range they were calibrated for
        gains = rng.choice([1, 4], CASES)
        feeds = [
            {"input": np.float32(g) * prepare(pixels[i], settings)[None]} for i, g in zip(chosen, gains, strict=True)
        ]
        self.feeds = feeds
        self.worlds = {profile: World(self.model, profile, feeds) for profile in GOLDEN}
        self.references = {profile: Reference(self.model, profile_named(profile), feeds) for profile in GOLDEN}


def on_disk(arrays: dict[str, list[Array]], folder: Path, rng: np.random.Generator) -> Path:
    """Write the dump as an archive, or as a folder of .npy files; int8 codes may be .bin files, which lose their
    shape."""
    kind = str(rng.choice(["npz", "npy", "bin"]))
    joined = {name: np.concatenate(cases) for name, cases in arrays.items()}
    if kind == "npz":
        np.savez(folder / "dump.npz", **joined)  # type: ignore[arg-type]  # no tensor is called allow_pickle
        return folder / "dump.npz"
    for name, array in joined.items():
        if kind == "bin" and array.dtype == np.int8:
            array.tofile(folder / f"{name}.bin")
        else:
            np.save(folder / f"{name}.npy", array)
    return folder


def compared(reference: Reference, arrays: dict[str, list[Array]], rng: np.random.Generator) -> CompareReport:
    with tempfile.TemporaryDirectory() as folder:
        dump = read_dump(on_disk(arrays, Path(folder), rng))
        return compare(reference, align(dump, reference.targets, CASES))


def faulty(bench: Bench, kind: str, rng: np.random.Generator) -> tuple[Device, CompareReport]:
    """Simulate a device of a drawn profile with a fault; return the device and the report on its dump."""
    used: list[str] = []

    def world() -> World:
        used.append(str(rng.choice(GOLDEN)))
        return bench.worlds[used[-1]]

    device = simulate(world, kind, rng)
    return device, compared(bench.references[used[-1]], device.dump, rng)


def judge(row: Row, device: Device, report: CompareReport) -> None:
    first = report.first
    right = first is not None and first.label == device.layer
    kinds = [finding.kind for finding in first.findings] if first is not None else []
    row.runs += 1
    row.layer += right
    row.named += right and device.kind in kinds
    row.alone += right and kinds == [device.kind]
    if not right or kinds != [device.kind]:
        row.missed.append(f"{device.layer} {device.detail}: {report.verdict()[0]}")


def without_fault(bench: Bench, rng: np.random.Generator) -> str:
    """Return what is said of a clean dump, or of another profile's dump, that names a fault; '' where nothing is."""
    golden, theirs = str(rng.choice(GOLDEN)), str(rng.choice(OTHERS))
    traces = [bench.model.trace(feeds, profile=theirs) for feeds in bench.feeds]
    names = [name for name in traces[0] if name != "input"]
    if rng.random() < 0.25:  # not every tensor was dumped
        names = [name for name in names if rng.random() < 0.6] or names[-1:]
    report = compared(bench.references[golden], {n: [trace[n] for trace in traces] for n in names}, rng)
    alarms = [row for row in report.rows if row.status == FAULT]
    return f"golden {golden}, device {theirs}: {alarms[0].name}: {alarms[0].explanation}" if alarms else ""


def markdown(rows: list[Row]) -> Iterator[str]:
    yield "| fault | runs | right layer | kind named | as the only one |"
    yield "|---|---:|---:|---:|---:|"
    total = Row("**all**", *(sum(getattr(row, key) for row in rows) for key in ("runs", "layer", "named", "alone")))
    for row in [*rows, total]:
        yield f"| {row.kind} | {row.runs} | {row.layer} | {row.named} | {row.alone} |"


@click.command()
@click.option("-n", "count", type=click.IntRange(1), default=10, show_default=True, help="Runs of each fault.")
@click.option("--clean", type=click.IntRange(0), default=200, show_default=True, help="Dumps without a fault.")
@click.option("--model", "name", type=click.Choice(QUANTIZED), default="dla46_c_int8", show_default=True)
@click.option("--seed", type=int, help="Default: another one each time.")
@click.argument("kinds", nargs=-1)
def main(count: int, clean: int, name: str, seed: int | None, kinds: tuple[str, ...]) -> None:
    """Simulate, compare, tabulate. KINDS: only these faults."""
    seed = secrets.randbits(32) if seed is None else seed
    rng = np.random.default_rng(seed)
    click.echo(f"{name}, seed {seed}\n")
    fresh: Callable[[], Bench] = partial(Bench, name, rng)
    rows = []
    for kind in [kind for kind in FAULTS if not kinds or kind in kinds]:
        row, bench = Row(kind), fresh()
        for _ in track(range(count), kind, transient=True):
            judge(row, *faulty(bench, kind, rng))
        rows.append(row)
    click.echo("\n".join(markdown(rows)))
    click.echo("".join(f"\n{row.kind}: {text}" for row in rows for text in row.missed))
    alarms, bench = [], fresh()
    for index in track(range(clean), "without a fault", transient=True):
        bench = fresh() if index % 20 == 19 else bench
        alarms += [text] if (text := without_fault(bench, rng)) else []
    click.echo(
        f"\n{clean} dumps without a fault, {len(alarms)} false alarms" + "".join(f"\n  {text}" for text in alarms)
    )
    sys.exit(1 if alarms or any(row.layer < row.runs for row in rows) else 0)


if __name__ == "__main__":
    main()
