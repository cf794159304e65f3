"""The long tier of the arithmetic profiles: random cases against plain Python integers, the TOSA reference model and
LiteRT on real networks.

    python -m tools.verify.profile_tier                    1,000,000 cases per profile
    python -m tools.verify.profile_tier -n 100000 tflite

Prints Markdown; exits 1 where anything differs. What needs packages or networks that are absent says so.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import click

from tests.numerics.profiles import test_litert as litert
from tests.numerics.profiles import test_tosa as rescale
from tests.numerics.profiles.tier import NAMES, Count, check
from tests.oracles import tflite, tosa

CHUNK = 50_000
SMALL, SMALL_RUNS = 200_000, 80  # bytes of a network; inputs of it for every input of a larger one


def oracle_table(pool: ProcessPoolExecutor, names: tuple[str, ...], cases: int) -> int:
    """Print a row per profile; return how many cases differ."""
    click.echo("| profile | cases | exact ties | differing | seconds |\n|---|--:|--:|--:|--:|")
    differing = 0
    for name in names:
        start, sizes = time.perf_counter(), [min(CHUNK, cases - at) for at in range(0, cases, CHUNK)]
        total = sum(pool.map(check, [name] * len(sizes), range(len(sizes)), sizes), Count())
        seconds = time.perf_counter() - start
        click.echo(f"| {name} | {total.compared:,} | {total.ties:,} | {total.differing} | {seconds:.1f} |")
        differing += total.differing
    return differing


def tosa_table(cases: int) -> int:
    if tosa.missing():
        click.echo(f"\nTOSA reference model: skipped, {tosa.missing()}")
        return 0
    click.echo("\n| TOSA reference model, RESCALE | outputs | differing |\n|---|--:|--:|")
    total = 0
    for name in ("tosa-single", "tosa-double"):
        compared = differing = seed = 0
        while compared < cases:
            more, wrong = rescale.compare(name, seed, CHUNK)
            compared, differing, seed = compared + more, differing + wrong, seed + 1
        click.echo(f"| {name} | {compared:,} | {differing} |")
        total += differing
    return total


def litert_table(inputs: int) -> int:
    if tflite.missing():
        click.echo(f"\nLiteRT: skipped, {tflite.missing()}")
        return 0
    click.echo("\n| LiteRT kernels | operator | profile | operators | outputs | differing |\n|---|---|---|--:|--:|--:|")
    total = 0
    for resolver, profiles in litert.EQUAL.items():
        rows: dict[str, Counter[str]] = {}
        for path in sorted(tflite.MODELS.glob("*.tflite")):
            # small networks end in a FullyConnected of a few outputs: many runs
            for seed in range(inputs * (SMALL_RUNS if path.stat().st_size < SMALL else 1)):
                for kind, row in litert.compare(path, resolver, seed, profiles).items():
                    rows.setdefault(kind, Counter()).update(row)
        for kind, row in rows.items():
            counts = f"{row['operators']:,} | {row['outputs']:,} | {row['differing']}"
            click.echo(f"| {resolver} | {kind} | {profiles[kind]} | {counts} |")
            total += row["differing"]
    return total


@click.command(help=__doc__)
@click.argument("profiles", nargs=-1, type=click.Choice(sorted(NAMES)))
@click.option("-n", "--cases", default=1_000_000, show_default=True, help="Cases per profile.")
@click.option("--inputs", default=3, show_default=True, help="Random inputs of each network.")
@click.option("--workers", default=2, show_default=True, help="Processes.")
def main(profiles: tuple[str, ...], cases: int, inputs: int, workers: int) -> None:
    with ProcessPoolExecutor(workers) as pool:
        differing = oracle_table(pool, profiles or NAMES, cases)
    if not profiles:
        differing += tosa_table(cases) + litert_table(inputs)
    sys.exit(differing > 0)


if __name__ == "__main__":
    main()
