"""The long tier: many random cases of every operator with a promise, bit for bit.

Integers are held against the integer oracle and ONNX Runtime, floats against ONNX Runtime.

    python -m tools.verify.long_tier                      2,000 cases per operator
    python -m tools.verify.long_tier -n 100000 QLinearAdd

Prints a Markdown table; exits 1 where anything differs. A case is its operator's name and its seed:
`tests.ops.case.check(CASES[name](numpy.random.default_rng(seed)))` repeats it, `check_bitwise` and `BITWISE` of floats.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import click
import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from tests.ops.case import Case, check, check_bitwise
from tests.ops.cases import CASES
from tests.ops.cases.floats import BITWISE
from tests.oracles import ort

#: The generators of cases by name, and how a case is checked. 'float MaxPool' is that of floats.
TIERS = {
    **{name: (generator, check) for name, generator in CASES.items()},
    **{f"float {name}" if name in CASES else name: (made, check_bitwise) for name, made in BITWISE.items()},
}


@dataclass
class Row:
    """The results of one operator."""

    #: The operator.
    name: str
    #: Number of cases.
    cases: int = 0
    #: Cases that were compared with ONNX Runtime too.
    compared: int = 0
    #: Elements that were compared.
    elements: int = 0
    #: The time for all cases.
    seconds: float = 0.0
    #: Seed and message of each failure.
    failures: list[tuple[int, str]] = field(default_factory=list)

    def add(self, seed: int, case: Case, checked: Callable[[Case], int]) -> None:
        self.cases += 1
        self.compared += ort.comparable(case.model)
        try:
            self.elements += checked(case)
        except Exception as error:  # whatever it is, it is a case that does not work, and the others go on
            self.failures.append((seed, f"{type(error).__name__}: {error}"))


def run(name: str, cases: int, first: int, progress: Progress) -> Row:
    row = Row(name)
    generator, checked = TIERS[name]
    start = time.perf_counter()
    for seed in progress.track(range(first, first + cases), description=name):
        row.add(seed, generator(np.random.default_rng(seed)), checked)
    row.seconds = time.perf_counter() - start
    return row


def table(rows: list[Row]) -> str:
    lines = ["| operator | cases | with ONNX Runtime | elements | differing | seconds |", "|---|--:|--:|--:|--:|--:|"]
    lines += [
        f"| {row.name} | {row.cases} | {row.compared} | {row.elements} | {len(row.failures)} | {row.seconds:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


@click.command(help=__doc__)
@click.argument("operators", nargs=-1, type=click.Choice(sorted(TIERS)))
@click.option("-n", "--cases", default=2000, show_default=True, help="Cases per operator.")
@click.option("--first", default=0, show_default=True, help="First seed.")
def main(operators: tuple[str, ...], cases: int, first: int) -> None:
    console = Console(stderr=True)
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn(), console=console) as shown:
        rows = [run(name, cases, first, shown) for name in operators or TIERS]
    click.echo(table(rows))
    for row in rows:
        for seed, message in row.failures[:3]:
            click.echo(f"\n{row.name}, seed {seed}: {message}", err=True)
    sys.exit(any(row.failures for row in rows))


if __name__ == "__main__":
    main()
