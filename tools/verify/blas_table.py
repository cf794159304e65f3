"""Results under every kernel of OpenBLAS, number of threads and version of NumPy, against the definitions.

    python -m tools.verify.blas_table
    python -m tools.verify.blas_table --python ~/numpy20/bin/python --python ~/newest/bin/python --threads 1 --threads 2

OPENBLAS_CORETYPE chooses the kernel when NumPy is imported: each row is a process of its own. Every tensor of a batch
is traced under every profile, and its first picture is run alone, in chains whose rows threads share; the definitions,
step by step and without BLAS, say what tensors and outputs must be. A kernel without fused multiply-adds must be found
out by the probes (`numerics/chain.py`). Prints Markdown; exits 1 where a tensor differs or a probe is wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
import numpy as np

import qdqnp
from qdqnp.executor.fast.kernel import Definition
from qdqnp.inspection.machine import PRODUCTS
from qdqnp.kernels.scratch import Scratch
from qdqnp.model import feeds_for
from qdqnp.numerics import chain
from qdqnp.quant import Array
from qdqnp.schedule import actions, schedules
from qdqnp.schedule import compile as compiling
from tests.networks import dla
from tools.bench.tables import Table, blas_kernel

PROFILES = ("ort", "ort-x64", "ort-unfused", "ort-avx2", "exact", "tflite", "cmsis-nn", "neural-art")
#: Kernels that OpenBLAS has for x86-64, '' for the one that it chooses; those without fused multiply-adds.
CORETYPES = ("", "SkylakeX", "Haswell", "Zen", "Sandybridge", "Nehalem")
UNFUSED = ("Sandybridge", "Nehalem", "Prescott", "Core2", "Penryn", "Dunnington", "Atom", "Bobcat", "Barcelona")
PICTURES, SIZE = 3, 48

Digests = dict[str, dict[str, str]]


def network(group: int) -> tuple[qdqnp.Model, Array]:
    """Return a network that has most forms of a schedule, and a batch for it."""
    x = np.random.default_rng(group).normal(0, 1, (PICTURES, 3, SIZE, SIZE)).astype(np.float32)
    return qdqnp.load(dla(group, size=SIZE, group=group, batch="N")), x


def digest(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def defined() -> Digests:
    """Return the digest of every tensor as the definitions compute it, by profile and network, then by name."""
    asked, chain.is_openblas = chain.is_openblas, lambda: False  # type: ignore[assignment]
    try:
        return {key: _digests(*found) for key, found in _all_defined()}
    finally:
        chain.is_openblas = asked


def _all_defined() -> Iterator[tuple[str, tuple[Mapping[str, Array], Mapping[str, Array]]]]:
    for profile in PROFILES:
        for group in (1, 2):
            model, x = network(group)
            alone = _defined(model, x[:1], profile)
            outputs = {name: alone[name] for name in model.program().outputs}
            yield f"{profile}, groups of {group}", (_defined(model, x, profile), outputs)


def _digests(tensors: Mapping[str, Array], outputs: Mapping[str, Array]) -> dict[str, str]:
    """Return the digests of a batch's tensors and of the outputs for its first picture."""
    whole = {name: digest(array) for name, array in tensors.items()}
    return {**whole, **{f"{name}, one picture": digest(array) for name, array in outputs.items()}}


def _defined(model: qdqnp.Model, x: Array, profile: str) -> dict[str, Array]:
    plan = model.plan(profile)
    values = dict(feeds_for(plan, x))
    for bound in plan.steps:
        with np.errstate(all="ignore"):
            made = Definition(bound.operator, bound.binding)(bound.arrays(values), Scratch())
        values.update(zip(bound.step.output_names, made, strict=True))
    return values


def traced(threads: int) -> dict[str, Any]:
    """Return the digests of what traces and runs hold, by profile and network; and what the probes say."""
    # the pictures are small
    schedules.FEWEST_PRODUCTS = actions.FEWEST_PRODUCTS = 0
    compiling.CHAINED = 1
    found: Digests = {}
    for group in (1, 2):
        model, x = network(group)
        for profile in PROFILES:
            trace = model.trace(x, profile=profile, threads=threads)
            outputs = model.run(x[:1], profile=profile, threads=threads)
            found[f"{profile}, groups of {group}"] = _digests(trace, outputs)
    shapes = [shape for shape in PRODUCTS.values() if shape[0] > 1]
    chains = sum(chain.tiling_for(*shape) is not None for shape in shapes)
    return {
        "numpy": np.__version__,
        "kernel": blas_kernel(),
        "chains": chains,
        "shapes": len(shapes),
        "digests": found,
    }


def measure(python: str, coretype: str, threads: int) -> dict[str, Any]:
    """Return what a process of that Python, kernel and number of threads finds; {"error": ...} where it fails."""
    path = os.pathsep.join(entry for entry in sys.path if entry and "site-packages" not in entry)
    env = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": str(threads)}
    env.pop("OPENBLAS_CORETYPE", None)
    if coretype:
        env["OPENBLAS_CORETYPE"] = coretype
    command = [python, "-m", "tools.verify.blas_table", "--child", "--threads", str(threads)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return {"error": lines[-1]}
    return found


def row(coretype: str, threads: int, found: Mapping[str, Any], wanted: Digests) -> tuple[list[str], bool]:
    """Return a row of the table, and whether all is as it must be."""
    if "error" in found:
        return ["?", coretype or "its choice", "-", str(threads), "-", "-", found["error"]], False
    made: Digests = found["digests"]
    tensors = sum(map(len, wanted.values()))
    differing = sum(
        made.get(key, {}).get(name) != value for key, all_ in wanted.items() for name, value in all_.items()
    )
    refused = found["chains"] == 0
    wrong = found["kernel"] in UNFUSED and not refused
    verdict = "refused" if refused else f"one chain: {found['chains']} of {found['shapes']} shapes"
    cells = [
        found["numpy"],
        coretype or "its choice",
        found["kernel"],
        str(threads),
        f"{verdict}{', WRONG' if wrong else ''}",
        str(tensors),
        str(differing),
    ]
    return cells, not wrong and not differing


@click.command(help=__doc__)
@click.option("--python", "pythons", multiple=True, help="A Python with another NumPy.  [default: this one]")
@click.option("--coretype", "coretypes", multiple=True, help="A value of OPENBLAS_CORETYPE.  [default: several]")
@click.option("--threads", type=click.IntRange(1), multiple=True, default=(1, 2), show_default=True)
@click.option("--child", is_flag=True, hidden=True, help="Trace in this process and print JSON.")
def main(pythons: Sequence[str], coretypes: Sequence[str], threads: Sequence[int], child: bool) -> None:
    if child:
        click.echo(json.dumps(traced(threads[0])))
        return
    wanted, rows, good = defined(), [], True
    for python in pythons or (sys.executable,):
        for coretype in coretypes or CORETYPES:
            for count in threads:
                cells, right = row(coretype, count, measure(python, coretype, count), wanted)
                rows.append(cells)
                good &= right
    titles = ("NumPy", "OPENBLAS_CORETYPE", "kernel", "threads", "float sums by BLAS", "tensors", "differing")
    click.echo(Table(titles, rows, texts=5).markdown())
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
