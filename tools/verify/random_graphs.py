"""Random graphs of all supported operators, compared with ONNX Runtime: every output, bit for bit, and the operators of
its optimized graph with those of ours. What differs is shrunk.

    python -m tools.verify.random_graphs --count 20000 --profile ort
    python -m tools.verify.random_graphs --count 2000 --without transposes     what the graphs find without a pass
    python -m tools.verify.random_graphs --theme transformers                 functions and normalizations by parts
    python -m tools.verify.random_graphs --theme modern                       dynamic quantization, weights alone, sizes
    python -m tools.verify.random_graphs --seed 4711                          one graph again, shrunk and printed
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import click

from qdqnp.lowering import LOWERINGS
from qdqnp.peers.ort.session import KINDS
from tools.verify.graphs.compare import Comparison, Verdict
from tools.verify.graphs.genes import THEMES, Genome, build, genome
from tools.verify.graphs.shrink import listing, shrink


@dataclass
class Tally:
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, seed: int, verdict: Verdict) -> None:
        self.counts[verdict.kind] += 1
        self.examples.setdefault(verdict.kind, []).append(f"{seed} {verdict.detail}")


def run(comparison: Comparison, seeds: range, show: int, kinds: Sequence[str], theme: str = "") -> Tally:
    tally, shown, start = Tally(), 0, time.time()
    for seed in seeds:
        given = genome(seed, theme)
        verdict = _judge(comparison, given)
        tally.add(seed, verdict)
        if verdict.kind in kinds and shown < show:
            shown += 1
            small = shrink(given, lambda smaller, kind=verdict.kind: _judge(comparison, smaller).kind == kind)  # type: ignore[misc]
            print(f"seed {seed}: {_judge(comparison, small)}\n{listing(build(small))}", flush=True)
    print(f"{comparison.profile}: {dict(tally.counts)} in {time.time() - start:.0f} s", flush=True)
    return tally


def _judge(comparison: Comparison, given: Genome) -> Verdict:
    try:
        return comparison.judge(build(given), given.seed)
    except Exception as error:  # whatever it is, it is a finding
        return Verdict("crash", f"{type(error).__name__}: {error}"[:160])


@click.command()
@click.option("--profile", type=click.Choice([name for name in KINDS if name in LOWERINGS]), default="ort")
@click.option("--count", type=int, default=1000, help="how many graphs")
@click.option("--first", type=int, default=0, help="seed of the first graph")
@click.option("--seed", type=int, help="this graph alone")
@click.option("--without", multiple=True, help="name of a pass of ours to leave out")
@click.option(
    "--theme", type=click.Choice(list(THEMES)), default=None, help="what graphs are made of; drawn by default"
)
@click.option("--show", type=int, default=5, help="how many differences to shrink and print")
@click.option("--also", multiple=True, help="verdicts to shrink besides 'wrong' and 'crash', e.g. nodes")
def main(
    profile: str,
    count: int,
    first: int,
    seed: int | None,
    without: tuple[str, ...],
    theme: str | None,
    show: int,
    also: tuple[str, ...],
) -> None:
    """Compare random graphs with ONNX Runtime; exit code 1 where something promised differs."""
    seeds = range(first, first + count) if seed is None else range(seed, seed + 1)
    tally = run(Comparison(profile, without), seeds, show, ["wrong", "crash", *also], theme or "")
    for kind, examples in tally.examples.items():
        if kind != "equal":
            print(f"{kind}: {'; '.join(examples[:8])}")
    sys.exit(1 if tally.counts["wrong"] else 0)


if __name__ == "__main__":
    main()
