"""Run ONNX's backend node tests, as the installed onnx package makes them, through `qdqnp.load` and `run`.

    python -m tools.verify.node_tests --write docs/operators.md

Each test is a model and the data that its outputs must be. Integers and bools must be equal, floats within the
test's own rtol and atol, as onnx.backend.test compares them. Where ONNX Runtime runs the test without optimization and
the profile promises the output, it must have ONNX Runtime's bits too. A test whose data ONNX Runtime contradicts, while
qdqnp has its bits, is counted apart, and one that qdqnp refuses by the reason. Exit code 1 where anything fails.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

import qdqnp
from qdqnp.errors import Problem, QdqnpError
from qdqnp.ops.unsupported import why_not
from qdqnp.peers.ort.session import OFF, open_session
from qdqnp.render.console import tracked

PROFILE = "ort-unfused"
PASS, PEER, FAIL, REFUSED = "pass", "as ONNX Runtime", "FAIL", "refused"
BEGIN, END = "<!-- by tools.verify.node_tests -->", "<!-- end -->"
OPERATOR = "operator "
OTHERWISE = "ONNX Runtime computes something else than ONNX's data, and qdqnp"
#: How many of the tests are named that are refused for one reason; all others are named.
EXAMPLES = 3
#: What several problems have in common.
REASONS = (
    (r"opset of ai\.onnx: expected a version from \d+ to \d+, got [0-6]$", "opsets below 7"),
    ("expected a constant, got a computed tensor", "parameters that qdqnp needs when it loads a model are its inputs"),
    (r"expected one of the element types|expected (float32|int\d+|uint8|int8)\b.*, got \w+$", "other element types"),
    ("expected a tensor, got a value of type", "sequences and optional values are no tensors"),
)


@dataclass(frozen=True, eq=False)
class NodeTest:
    """A test: a model, inputs, and what its outputs must be."""

    name: str
    model: onnx.ModelProto
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    #: The relative and the absolute tolerance of floats.
    rtol: float
    atol: float


@dataclass(frozen=True)
class Outcome:
    """What became of one test."""

    #: The test's name.
    name: str
    #: PASS, PEER, FAIL or REFUSED.
    verdict: str
    #: Why it is not PASS; '' where it is.
    reason: str = ""
    #: How many outputs were held against ONNX Runtime's bits.
    bitwise: int = 0


def node_tests(op: str | None = None) -> Iterator[NodeTest]:
    """Yield every node test of the installed onnx package.

    op: the operator whose tests are wanted, None for all.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of the computations by which onnx makes its data
        cases = collect_testcases(op)
    for case in cases:
        for number, data in enumerate(case.data_sets):
            name = case.name if len(case.data_sets) == 1 else f"{case.name} ({number})"
            infos = (case.model.graph.input, case.model.graph.output)
            inputs, outputs = (
                {info.name: _array(value) for info, value in zip(declared, values, strict=False)}
                for declared, values in zip(infos, data, strict=True)
            )
            yield NodeTest(name, case.model, inputs, outputs, case.rtol, case.atol)


def _array(value: Any) -> Any:
    """Return a tensor as an array; sequences and optional values stay what they are."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if np.isscalar(value) else value


def outcome_of(test: NodeTest) -> Outcome:
    """Run one test."""
    try:
        model = qdqnp.load(test.model)
        plan = model.plan(PROFILE)
        found = model.run(test.inputs, profile=PROFILE)
    except QdqnpError as error:
        return Outcome(test.name, REFUSED, reason_of(error))
    except Exception as error:  # whatever else is raised is the failure that is looked for
        return Outcome(test.name, FAIL, f"{type(error).__name__}: {error}")
    return judged(test, found, {name for name in found if plan.promises[name].exact}, peer_outputs(test))


def judged(test: NodeTest, found: Mapping[str, Any], promised: set[str], peer: Mapping[str, Any]) -> Outcome:
    """Hold the outputs of one test against its data and against ONNX Runtime.

    found: qdqnp's outputs by name.
    promised: those of which the profile promises every bit.
    peer: ONNX Runtime's outputs; empty where it does not run the test.
    """
    bitwise = [name for name in found if name in promised and name in peer]
    for name in bitwise:
        if not same_bits(found[name], peer[name]):
            return Outcome(test.name, FAIL, f"output '{name}' is promised, and has other bits than ONNX Runtime's")
    wrong = [name for name, wanted in test.outputs.items() if not close(found.get(name), wanted, test)]
    if not wrong:
        return Outcome(test.name, PASS, "", len(bitwise))
    if all(name in bitwise for name in wrong):
        return Outcome(test.name, PEER, f"{OTHERWISE} its bits")
    if all(name in peer and close(found[name], peer[name], test) for name in wrong):
        return Outcome(test.name, PEER, f"{OTHERWISE} nearly the same, within the test's tolerances")
    return Outcome(test.name, FAIL, f"output '{wrong[0]}' is not what ONNX's data have")


def close(found: Any, wanted: Any, test: NodeTest) -> bool:
    """Tell whether an output is what the test has, as onnx.backend.test compares them."""
    if not isinstance(found, np.ndarray) or not isinstance(wanted, np.ndarray):
        return False
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return False
    if found.dtype.kind in "iub":
        return bool(np.array_equal(found, wanted))
    wide = np.complex128 if found.dtype.kind == "c" else np.float64
    return np.allclose(found.astype(wide), wanted.astype(wide), test.rtol, test.atol, equal_nan=True)


def same_bits(found: Any, wanted: Any) -> bool:
    """Tell whether two arrays are the same bit for bit, but for the payloads of NaNs."""
    if wanted.dtype == np.uint8 and found.dtype.kind == "V" and found.dtype.itemsize == 1:
        wanted = wanted.view(found.dtype)  # ONNX Runtime gives float8 as bytes
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        return False
    both = (found != found) & (wanted != wanted)  # NaN, in types that have no isnan too
    left, right = (np.where(both, found.dtype.type(0), array).tobytes() for array in (found, wanted))
    return left == right


def peer_outputs(test: NodeTest) -> Mapping[str, Any]:
    """Return ONNX Runtime's outputs by name; none where it does not run the test."""
    try:
        session = open_session(test.model.SerializeToString(), OFF, {})
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, map(np.asarray, session.run(names, dict(test.inputs))), strict=True))
    except Exception:  # what it refuses is not compared; its exceptions have no common base
        return {}


def reason_of(error: QdqnpError) -> str:
    """Return why a model is refused, in words that all models share that are refused for it."""
    for problem in error.problems:
        if problem.where.startswith(OPERATOR):
            domain, _, op = problem.where.removeprefix(OPERATOR).rpartition(".")
            return f"operators that {why_not(domain, op).reason}"
    if not error.problems:
        return error.title
    text = plain(error.problems[0])
    return next((reason for pattern, reason in REASONS if re.search(pattern, text)), text)


def plain(problem: Problem) -> str:
    """Return a problem without the names and values of one model.

    >>> plain(Problem("node Sum(y), input 1 (axes) 'a'", "a constant", "a computed tensor", "Make it one."))
    'input 1 (axes): expected a constant, got a computed tensor'
    """
    where = re.sub(r"^(node|step) .*?, ", "", problem.where)
    text = f"{where}: expected {problem.expected}, got {problem.got}"
    return re.sub(r"\[[^\]]*\]", "[...]", re.sub(r" '[^']*'", "", text))


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the section of docs/operators.md."""
    by = {verdict: [o for o in outcomes if o.verdict == verdict] for verdict in (PASS, PEER, FAIL, REFUSED)}
    lines = [
        f"onnx {onnx.__version__} has {len(outcomes)} node tests. {len(by[PASS])} pass as they are, {len(by[FAIL])} "
        f"fail, {len(by[REFUSED])} are refused,\nand in {len(by[PEER])} ONNX Runtime contradicts ONNX's data and qdqnp "
        "does as it does.\n"
        f"{sum(outcome.bitwise for outcome in outcomes)} outputs were held against ONNX Runtime bit for bit.",
        "",
        "| tests | why they do not pass |",
        "|---:|---|",
    ]
    for verdict in (FAIL, PEER, REFUSED):
        shown = EXAMPLES if verdict == REFUSED else len(by[verdict])
        lines += [f"| {len(names)} | {_cell(reason, names, shown)} |" for reason, names in grouped(by[verdict])]
    return "\n".join(lines)


def grouped(outcomes: Iterable[Outcome]) -> list[tuple[str, list[str]]]:
    """Return each reason with the names of its tests, the reason of most tests first."""
    found: dict[str, list[str]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.reason, []).append(outcome.name)
    return sorted(found.items(), key=lambda item: -len(item[1]))


def _cell(reason: str, names: Sequence[str], count: int) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:count])
    more = f", and {len(names) - count} more" if len(names) > count else ""
    return f"{reason.replace('|', ' or ')}: {shown}{more}"


def with_section(page: str, section: str, first: str = BEGIN, last: str = END) -> str:
    """Return a page with what stands between its two marks replaced. Raises click.ClickException where they miss."""
    before, begin, rest = page.partition(first)
    _, end, after = rest.partition(last)
    if not (begin and end):
        raise click.ClickException(f"the page has no section between {first} and {last}")
    return f"{before}{first}\n\n{section}\n\n{last}{after}"


@click.command()
@click.option("--op", help="The tests of one operator alone.")
@click.option("--list", "listed", is_flag=True, help="Print what became of each test.")
@click.option(
    "--write", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Put the section into a page."
)
def main(op: str | None, listed: bool, write: Path | None) -> None:
    """Run the tests, and print the section. Exit code 1 where any fails."""
    tests = list(node_tests(op))
    outcomes = [outcome_of(test) for test in tracked(tests, len(tests), "running")]
    for outcome in outcomes if listed else ():
        click.echo(f"{outcome.verdict:16}{outcome.name}: {outcome.reason}")
    section = markdown(outcomes)
    click.echo(section)
    if write is not None:
        write.write_text(with_section(write.read_text(encoding="utf-8"), section), encoding="utf-8")
    failed = sum(outcome.verdict == FAIL for outcome in outcomes)
    if failed:
        raise click.ClickException(f"{failed} of {len(outcomes)} tests fail")


if __name__ == "__main__":
    main()
