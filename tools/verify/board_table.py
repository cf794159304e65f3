"""Plant faults into a simulated STM32N6, and print what `compare` says of the stream that the dump hook sends.

    python -m tools.verify.board_table                      each of 30 faults 4 times, with each of three seeds
    python -m tools.verify.board_table -n 1 --seed 7 "stale cache line"

The hook's C file is built with a simulation of ST's runtime (tests/st/ll_aton) by gcc; its epochs are the tensors of a
small network under `neural-art`, those of a wrong layer computed in plain NumPy (tests/st/planted.py). Layers, channels
and places are drawn from the seeds. Exits 1 where a layer is not found.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
from rich.progress import track

from qdqnp.st.hook import hook_source, streamed
from qdqnp.st.names import tensor_names
from tests.diagnosis import small
from tests.st.board import built, compiled_network
from tests.st.planted import PLANTED, Bench, Found

SEEDS = (1, 2, 3)


@dataclass
class Row:
    """The counts for one fault."""

    kind: str
    runs: int = 0
    #: Runs in which the right layer is the first that diverges.
    layer: int = 0
    #: Runs in which the fault is among those named, and in which it is the only one.
    named: int = 0
    alone: int = 0
    #: What was said in the runs in which it is not named.
    missed: list[str] = field(default_factory=list)

    def add(self, found: Found) -> None:
        self.runs += 1
        self.layer += found.layer
        self.named += found.named
        self.alone += found.alone
        self.missed += [] if found.named else [found.told]

    def markdown(self) -> str:
        return f"| {self.kind} | {self.runs} | {self.layer} | {self.named} | {self.alone} |"


def bench_in(folder: Path) -> Bench:
    """Build the board in a folder."""
    network = compiled_network()
    hook = folder / "hook.c"
    tensors = streamed(network, tensor_names(small.model(), network))
    hook.write_text(hook_source(tensors, network.epochs[-1].number), encoding="utf-8")
    return Bench(built(hook, folder), network)


@click.command()
@click.option("-n", "count", type=click.IntRange(1), default=4, show_default=True, help="Runs of each fault and seed.")
@click.option("--seed", "seeds", type=int, multiple=True, default=SEEDS, show_default=True, help="Repeatable.")
@click.argument("kinds", nargs=-1)
def main(count: int, seeds: tuple[int, ...], kinds: tuple[str, ...]) -> None:
    """Plant, send, compare, tabulate. KINDS: only these faults."""
    rows = [Row(kind) for kind in PLANTED if not kinds or kind in kinds]
    with tempfile.TemporaryDirectory() as folder:
        bench = bench_in(Path(folder))
        for seed in seeds:
            rng = np.random.default_rng(seed)
            for row in track(rows, f"seed {seed}", transient=True):
                for _ in range(count):
                    row.add(bench.plant(row.kind, rng, Path(folder))[1])
    sums = (sum(getattr(row, key) for row in rows) for key in ("runs", "layer", "named", "alone"))
    click.echo("| fault | runs | right layer | named | as the only one |\n|---|---:|---:|---:|---:|")
    click.echo("\n".join(row.markdown() for row in [*rows, Row("**all**", *sums)]))
    click.echo("".join(f"\n{row.kind}: {text}" for row in rows for text in row.missed))
    sys.exit(1 if any(row.layer < row.runs for row in rows) else 0)


if __name__ == "__main__":
    main()
