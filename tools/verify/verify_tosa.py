"""Every tensor of whole networks against the TOSA reference model, under `tosa-single` and `tosa-double`.

    python -m tools.verify.verify_tosa                       the DLA networks that come with qdqnp, 10 random inputs
    python -m tools.verify.verify_tosa -n 100 net.onnx

Networks of int8 codes with convolutions, additions, concatenations, maximum pools and a global average. Prints
Markdown; exits 1 where anything differs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tests.numerics.profiles.test_tflite_kernels import Count
from tests.numerics.profiles.test_tosa import DATA, MODES, compare_network
from tests.oracles import tosa


@click.command(help=__doc__)
@click.argument("models", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-n", "--count", default=10, show_default=True, help="Random inputs of each network.")
def main(models: tuple[Path, ...], count: int) -> None:
    if tosa.missing():
        raise click.ClickException(tosa.missing())
    click.echo("| network | profile | inputs | tensors | elements | differing |\n|---|---|--:|--:|--:|--:|")
    differing = 0
    for path in models or sorted(DATA.glob("*_int8.onnx")):
        for name in MODES:
            total = sum((compare_network(path, name, seed) for seed in range(count)), Count())
            cells = (path.stem, name, count, total.operators, total.codes, total.differing)
            click.echo(f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else cell for cell in cells)} |")
            differing += total.differing
    sys.exit(differing > 0)


if __name__ == "__main__":
    main()
