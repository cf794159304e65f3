"""Which rewrites of ONNX Runtime do random graphs find, when the pass that follows it is left out?

    python -m tools.verify.rewrite_table --count 3000

Leaves out one pass of a lowering after the other, and looks for the first of the random graphs (seeds 0, 1, ...) of
which a promised output differs from ONNX Runtime's, and for the first whose operators do. Prints a Markdown table, that
of docs/onnxruntime-lowering.md.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import click

import qdqnp
from qdqnp.errors import PeerError, QdqnpError
from qdqnp.graph import Graph
from qdqnp.lowering import Lowering
from qdqnp.lowering.base import Log, Pass, repeat
from qdqnp.lowering.ort import levels
from qdqnp.lowering.ort.transformers import TRANSFORMERS
from tools.verify.graphs.compare import Comparison, Peer
from tools.verify.graphs.genes import build, genome

# Passes without which nothing is left to compare: their absence shows in every graph.
SKIPPED = ("fuse", "expand-fused-matmul")


@dataclass
class Found:
    """The seeds of the first graphs that show a missing pass, -1 while there is none."""

    wrong: int = -1
    operators: int = -1


def passes(profile: str) -> list[str]:
    """Return the names of the passes that can be left out, in the order in which they run."""
    steps = (*levels.BASIC, *levels.extended(profile == "ort"))
    return [name for name in dict.fromkeys(step.name for step in steps) if name not in SKIPPED]


def used(int8_allowed: bool, graph: Graph) -> set[str]:
    """Return the names of the passes that change a graph; without one of the others all goes as it went with it."""
    names: set[str] = set()

    def watched(step: Pass) -> Pass:
        def run(before: Graph, log: Log) -> Graph:
            after = step.run(before, log)
            if after is not before:
                names.add(step.name)
            return after

        return replace(step, run=run)

    basic, more = (tuple(map(watched, steps)) for steps in (levels.BASIC, levels.extended(int8_allowed)))
    groups = (repeat("basic", basic), levels.INLINE_FUNCTIONS, repeat("extended", more))
    Lowering("watched", (levels.UNIQUE_DQ, *groups), int8_allowed).lower_graph(graph)
    return names


def search(profile: str, names: list[str], count: int, seconds: float) -> tuple[dict[str, Found], int]:
    """Return what shows each missing pass, and how many graphs were tried."""
    found = {name: Found() for name in names}
    comparisons = {name: Comparison(profile, (name,)) for name in names}
    start, seed = time.monotonic(), 0
    while seed < count and time.monotonic() - start < seconds and any(entry.wrong < 0 for entry in found.values()):
        try:
            peer = Peer(profile, build(genome(seed)), seed)
            changing = used(profile == "ort", qdqnp.load(peer.data).graph)
        except (PeerError, QdqnpError):
            changing = set()
        for name in changing & {name for name, entry in found.items() if entry.wrong < 0}:
            kind, entry = comparisons[name].against(peer).kind, found[name]
            if kind == "wrong":
                entry.wrong = seed
            if kind in ("wrong", "nodes") and entry.operators < 0:
                entry.operators = seed
        seed += 1
    return found, seed


def rewrites(name: str) -> str:
    """Return the transformers of ONNX Runtime that a pass follows."""
    return ", ".join(row.name for row in TRANSFORMERS if name in row.passes)


@click.command()
@click.option("--profile", type=click.Choice(["ort", "ort-x64"]), default="ort")
@click.option("--count", type=int, default=3000, help="how many graphs at most")
@click.option("--seconds", type=float, default=3600, help="how long at most")
@click.option("--only", multiple=True, help="these passes alone")
def main(profile: str, count: int, seconds: float, only: tuple[str, ...]) -> None:
    """Print which random graph is the first to show that a pass is missing."""
    found, tried = search(profile, list(only) or passes(profile), count, seconds)
    click.echo("| pass left out | rewrite | promised and differing | operators differ |\n|---|---|---:|---:|")
    for name, entry in found.items():
        shown = (str(seed) if seed >= 0 else "-" for seed in (entry.wrong, entry.operators))
        click.echo(f"| `{name}` | {rewrites(name)} | {' | '.join(shown)} |")
    click.echo(f"\n{tried} graphs, profile {profile}")


if __name__ == "__main__":
    main()
