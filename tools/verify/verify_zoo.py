"""Verify the models of make_zoo.py, or any others, on seeded random inputs: one table of all.

    python -m tools.models.make_zoo ZOO
    python -m tools.verify.verify_zoo ZOO --count 5 --profile ort --profile ort-x64 --markdown zoo.md

Inputs are uniform over the codes of the quantizer that reads them, and a little beyond. Besides every tensor's bits,
the operators must be those of the session's optimized graph, as many of each. `accepted` counts elements that differ
where nothing is promised, within what `qdqnp verify` accepts there. A model that ONNX Runtime itself refuses is left
out, and the table says so in its words.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from qdqnp import load
from qdqnp.diagnosis.verify import VerifyReport, verify
from qdqnp.errors import PeerError, QdqnpError
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.peers.ort.peer import KINDS, OrtPeer
from qdqnp.program import Program
from qdqnp.render.console import tracked
from tools.bench.tables import Table, write_results
from tools.verify.verify_dla import quantized_models

CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Outcome:
    """The result for one model."""

    #: The model's name.
    model: str
    #: The profile's name.
    profile: str
    #: Number of steps of each operator.
    operators: Counter[str]
    #: Number of steps that compute in float32.
    floats: int
    #: The comparison; None where ONNX Runtime refused the model.
    report: VerifyReport | None
    #: What ONNX Runtime said where it refused the model; else ''.
    refusal: str = ""

    @property
    def same_operators(self) -> bool:
        return self.report is not None and self.operators == Counter(self.report.operators)

    @property
    def fine(self) -> bool:
        return bool(self.refusal) or (self.report is not None and self.report.equal and self.same_operators)

    @property
    def conversions(self) -> int:
        return sum(self.operators[op] for op in CONVERSIONS)

    def verdict(self) -> str:
        if self.report is None:
            return f"skipped, ONNX Runtime refuses it: {self.refusal}"
        if not self.report.equal:
            return self.report.verdict()
        if not self.same_operators:
            theirs = Counter(self.report.operators)
            return f"OTHER OPERATORS: {_listed(self.operators - theirs)} for {_listed(theirs - self.operators)}"
        return "accepted" if self.report.accepted else "equal"

    def as_json(self) -> dict[str, Any]:
        report = None if self.report is None else self.report.as_json()
        return {
            "model": self.model,
            "profile": self.profile,
            "operators": dict(self.operators),
            "verdict": self.verdict(),
            "report": report,
        }


def _listed(operators: Counter[str]) -> str:
    return ", ".join(f"{count} {op}" for op, count in sorted(operators.items())) or "none"


def float_steps(program: Program) -> int:
    """Count the steps that compute in float32, without the conversions between codes and floats."""
    made = [program.tensors[step.output_names[0]].dtype.kind for step in program.steps if step.op not in CONVERSIONS]
    return made.count("f")


def verified(path: Path, profile: str, count: int, seed: int) -> Outcome:
    """Compare one model. Raises QdqnpError where qdqnp cannot run it."""
    model = load(path)
    program = model.program(profile)
    operators, floats = Counter(step.op for step in program.steps), float_steps(program)
    try:
        peer = OrtPeer(path, profile)
    except PeerError as error:
        said = " ".join(problem.got for problem in error.problems)
        return Outcome(path.name, profile, operators, floats, None, said)
    report = verify(model, peer, random_feeds(program, count, seed), profile)
    return Outcome(path.name, profile, operators, floats, report)


def results_table(outcomes: Sequence[Outcome]) -> Table:
    columns = (
        "model",
        "profile",
        "verdict",
        "integer",
        "float",
        "Q and DQ",
        "tensors",
        "codes, median",
        "elements",
        "differing",
        "accepted",
    )
    return Table(columns, [_row(outcome) for outcome in outcomes], texts=3)


def _row(outcome: Outcome) -> list[str]:
    report, conversions = outcome.report, outcome.conversions
    integer = outcome.operators.total() - outcome.floats - conversions
    compared = ["-"] * 5
    if report is not None:
        codes = [len(layer.seen) for layer in report.layers if layer.seen]
        middle = f"{statistics.median(codes):g}" if codes else "-"
        counts = (report.elements, report.differing, report.accepted)
        compared = [str(len(report.layers)), middle, *map(str, counts)]
    steps = map(str, (integer, outcome.floats, conversions))
    return [outcome.model, outcome.profile, outcome.verdict(), *steps, *compared]


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--count", type=click.IntRange(1), default=3, show_default=True, help="Random inputs for each model.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    type=click.Choice(list(KINDS)),
    default=("ort",),
    show_default=True,
    help="The session to hold against; may be given again.",
)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Every tensor's result.")
@click.option("--markdown", "markdown_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the table.")
def main(
    models: tuple[Path, ...],
    count: int,
    seed: int,
    profiles: tuple[str, ...],
    json_path: Path | None,
    markdown_path: Path | None,
) -> None:
    """Verify MODELS, files or folders of them. Exit code 1 where anything differs."""
    try:
        paths = quantized_models(models)
        pairs = [(path, profile) for path in paths for profile in profiles]
        outcomes = [verified(path, profile, count, seed) for path, profile in tracked(pairs, len(pairs), "verifying")]
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error
    table = results_table(outcomes)
    table.show()
    results = {"results": [outcome.as_json() for outcome in outcomes]}
    write_results(results, table.markdown(), json_path, markdown_path)
    wrong = [outcome for outcome in outcomes if not outcome.fine]
    if wrong:
        lines = (f"{outcome.model}, {outcome.profile}: {outcome.verdict()}" for outcome in wrong)
        raise click.ClickException("\n".join(lines))


if __name__ == "__main__":
    main()
