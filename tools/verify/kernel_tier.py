"""The profiles of whole networks against the libraries' own kernels: LiteRT, TFLite Micro, CMSIS-NN, TOSA's model.

    python -m tools.verify.kernel_tier                          1,000,000 codes of each operator
    python -m tools.verify.kernel_tier -n 100000 --cmsis-nn ~/CMSIS-NN

Every operator of every profile on cases that separate the candidates (tests/numerics/profiles/tflite_cases.py).
Prints Markdown; exits 1 where anything differs. What needs packages that are absent says so. CMSIS-NN is compiled from
a checkout, with its plain C kernels.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click

from tests.numerics.profiles.test_cmsis_nn import EQUAL as CMSIS_EQUAL
from tests.numerics.profiles.test_cmsis_nn import compare as compare_cmsis
from tests.numerics.profiles.test_tflite_kernels import EQUAL, Count, compare_named
from tests.numerics.profiles.test_tosa import MODES, OPERATORS
from tests.numerics.profiles.test_tosa import compare_operators as compare_tosa
from tests.oracles import tosa
from tests.oracles.tflite_kernels import missing

CHUNK = 50_000


@click.command(help=__doc__)
@click.option("-n", "--codes", default=1_000_000, show_default=True, help="Codes of each operator.")
@click.option("--workers", default=2, show_default=True, help="Processes.")
@click.option(
    "--cmsis-nn", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A checkout to compile."
)
def main(codes: int, workers: int, cmsis_nn: Path | None) -> None:
    differing = 0
    click.echo("| kernels | operator | profile | operators | codes | differing |\n|---|---|---|--:|--:|--:|")
    sizes = [min(CHUNK, codes - at) for at in range(0, codes, CHUNK)]
    rows = [(k, kind, name, partial(compare_named, k, kind, name)) for k in EQUAL for kind, name in EQUAL[k].items()]
    for build, kinds in CMSIS_EQUAL.items() if cmsis_nn else ():
        for kind, name in kinds.items():
            rows.append((f"CMSIS-NN, {build}", kind, name, partial(compare_cmsis, cmsis_nn, build, kind, name)))
    for mode in MODES if not tosa.missing() else ():
        rows += [("TOSA reference model", kind, mode, partial(compare_tosa, kind, mode)) for kind in OPERATORS]
    with ProcessPoolExecutor(workers) as pool:
        for kernels, kind, name, count in rows:
            if kernels in EQUAL and missing(kernels):
                click.echo(f"| {kernels} | {kind} | {name} | skipped: {missing(kernels)} | | |")
                continue
            total = sum(pool.map(count, range(len(sizes)), sizes), Count())
            click.echo(f"| {kernels} | {kind} | {name} | {total.operators:,} | {total.codes:,} | {total.differing} |")
            differing += total.differing
    sys.exit(differing > 0)


if __name__ == "__main__":
    main()
