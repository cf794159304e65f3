"""Mutate each rule of each integer operator, and count the cases of the conformance pack that notice.

    python -m tools.verify.conformance_mutants --write docs/conformance.md

A mutant is qdqnp with one thing wrong: halves rounded away from zero or up, the highest or lowest code never given, a
zero point off by one, a scale off by one unit in its last place. A case notices where its outputs change. Exit code 1
where a kind of mutation that an operator can have is noticed by no case, though some input could show it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np

from qdqnp.conformance.layer import LayerCase, model_of
from qdqnp.conformance.moves import MOVES
from qdqnp.conformance.pack import spread
from qdqnp.conformance.shown import shown_to
from qdqnp.conformance.table import LAYERS, layers_of
from qdqnp.conformance.verdict import same
from qdqnp.errors import QdqnpError
from qdqnp.model import load
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import profile_named
from qdqnp.numerics.questions import Singles
from qdqnp.ops.registry import lookup
from qdqnp.quant import EIGHT_BIT, Array, code_range
from qdqnp.render.console import tracked
from tools.verify.node_tests import with_section

BEGIN, END = "<!-- mutants, by tools.verify.conformance_mutants -->", "<!-- end of mutants -->"
TIE, CLAMP, ZERO, MULTIPLIER = KINDS = ("tie", "clamp", "zero point", "multiplier by one")
Outputs = Mapping[str, Array]
#: Mutants that no input can show, by operator and name of the mutant, and why. One of them that is noticed is an error.
CANNOT: Mapping[tuple[str, str], str] = {
    ("ArgMax", "xz"): "the order of codes is that of their real numbers, whatever the zero point",
    ("QLinearSoftmax", "xz"): "Softmax does not depend on what is added to all of its inputs",
}


# -- mutants -----------------------------------------------------------------------------------------------------------
def _rint(up: Callable[[Array], Array]) -> Callable[..., Array]:
    """np.rint with another rule for halves. up: which of the halves go to the higher neighbour."""
    rint = np.rint

    def rounded(real: Any, out: Any = None, **more: Any) -> Array:
        given = np.asarray(real)
        with np.errstate(invalid="ignore"):
            tie = np.abs(given - np.trunc(given)) == 0.5
        found = np.where(tie, np.floor(given) + up(given), rint(given)).astype(given.dtype)
        if out is None:
            return found
        out[...] = found
        return np.asarray(out)

    return rounded


ROUNDINGS = {"halves away from zero": _rint(lambda real: real > 0), "halves up": _rint(lambda real: real == real)}


@contextmanager
def rounding(name: str) -> Iterator[None]:
    """Have every rounding of qdqnp's float rules round halves otherwise."""
    with mock.patch.object(np, "rint", ROUNDINGS[name]):
        yield


@dataclass(frozen=True)
class Mutant:
    """One thing that is wrong."""

    #: One of KINDS.
    kind: str
    name: str
    #: Whether a layer can have it.
    fits: Callable[[LayerCase], bool]
    #: Returns the outputs of a layer in a form on inputs.
    run: Callable[[LayerCase, str, Profile, list[Outputs]], list[Outputs]]


def _run(layer: LayerCase, form: str, profile: Profile, inputs: list[Outputs]) -> list[Outputs]:
    model = load(model_of(layer, form))
    return [model.run(given, profile=profile) for given in inputs]


def _rounds(layer: LayerCase) -> bool:
    return layer.op not in MOVES and ("ys" in layer.arrays or layer.op.startswith("DynamicQuantize"))


def _clamps(layer: LayerCase) -> bool:
    return _rounds(layer) and layer.dtype in EIGHT_BIT


def _tie(name: str) -> Mutant:
    def run(layer: LayerCase, form: str, profile: Profile, inputs: list[Outputs]) -> list[Outputs]:
        with rounding(name):
            return _run(layer, form, profile, inputs)

    return Mutant(TIE, name, _rounds, run)


def _clamp(name: str, end: int) -> Mutant:
    """Clamp one code too early: what a clamp at that end gives, clamped once more."""

    def run(layer: LayerCase, form: str, profile: Profile, inputs: list[Outputs]) -> list[Outputs]:
        low, high = code_range(layer.dtype)
        limits = (low, high - 1) if end else (low + 1, high)
        return [{**made, "y": np.clip(made["y"], *limits)} for made in _run(layer, form, profile, inputs)]

    return Mutant(CLAMP, name, _clamps, run)


def _zero(key: str) -> Mutant:
    def run(layer: LayerCase, form: str, profile: Profile, inputs: list[Outputs]) -> list[Outputs]:
        zero = layer.arrays[key]
        step = np.where(zero == code_range(zero.dtype)[1], -1, 1).astype(np.int64)
        moved = (zero.astype(np.int64) + step).astype(zero.dtype)
        return _run(replace(layer, arrays={**layer.arrays, key: moved}), form, profile, inputs)

    # weights of int8 have the zero point 0 in every exporter's models: an implementation may do without
    return Mutant(ZERO, key, lambda layer: key in layer.arrays and layer.arrays[key].dtype in EIGHT_BIT, run)


def _scale(key: str, towards: float) -> Mutant:
    def run(layer: LayerCase, form: str, profile: Profile, inputs: list[Outputs]) -> list[Outputs]:
        moved = np.nextafter(layer.arrays[key], np.float32(towards))
        return _run(replace(layer, arrays={**layer.arrays, key: moved}), form, profile, inputs)

    name = f"{key} {'+' if towards else '-'}1 ulp"
    return Mutant(MULTIPLIER, name, lambda layer: key in layer.arrays and layer.op not in MOVES, run)


MUTANTS = (
    *(_tie(name) for name in ROUNDINGS),
    _clamp("highest code", 1),
    _clamp("lowest code", 0),
    *(_zero(key) for key in ("xz", "wz", "yz")),
    *(_scale(key, towards) for key in ("xs", "ws", "ys") for towards in (np.inf, 0)),
)


# -- counting ----------------------------------------------------------------------------------------------------------
@dataclass
class Noticed:
    """What became of the mutants of one operator."""

    op: str
    #: Cases of the operator.
    cases: int = 0
    #: By mutant, how many cases it could concern, and how many noticed.
    counts: dict[str, list[int]] = field(default_factory=dict)
    #: Whether each layer is shown every code that it may see: what is not noticed then is the same.
    exhaustive: bool = True

    def kind(self, kind: str) -> tuple[int, int] | None:
        """Return how many mutants of a kind there are, and how many are noticed; None where there is none."""
        those = [self.counts[one.name] for one in MUTANTS if one.kind == kind and one.name in self.counts]
        return (len(those), sum(noticed > 0 for _, noticed in those)) if those else None

    def by_kind(self, kind: str) -> int:
        """Return how many cases notice a mutant of a kind, summed over its mutants."""
        return sum(self.counts[one.name][1] for one in MUTANTS if one.kind == kind and one.name in self.counts)


def noticed_by(op: str, profile: Profile, layers: int | None = None) -> Noticed:
    """Run every mutant on the cases of an operator.

    layers: how many of its layers at most, evenly spread.
    """
    found = Noticed(op)
    for layer in spread(layers_of(op), layers):
        try:
            inputs = [one.inputs for one in shown_to(layer, profile).shown]
        except QdqnpError:
            continue
        found.exhaustive &= _every_code(layer, inputs)
        for form in layer.forms:
            try:
                right = _run(layer, form, profile, inputs)
            except QdqnpError:
                continue
            found.cases += len(inputs)
            for mutant in MUTANTS:
                if not mutant.fits(layer):
                    continue
                count = found.counts.setdefault(mutant.name, [0, 0])
                count[0] += len(inputs)
                count[1] += _noticing(mutant, layer, form, profile, inputs, right)
    return found


def _every_code(layer: LayerCase, inputs: list[Outputs]) -> bool:
    """Tell whether a function of single codes is shown all of them."""
    operator = lookup(layer.domain, layer.op)
    single = layer.fed == ("x",) and getattr(operator, "asks", None) is Singles
    return single and np.unique(np.concatenate([given["x"].reshape(-1) for given in inputs])).size == 256


def _noticing(
    mutant: Mutant, layer: LayerCase, form: str, profile: Profile, inputs: list[Outputs], right: list[Outputs]
) -> int:
    try:
        wrong = mutant.run(layer, form, profile, inputs)
    except QdqnpError:  # such a model is refused: nobody can mistake it
        return 0
    pairs = zip(wrong, right, strict=True)
    return sum(not all(same(one[name], other[name]) for name in other) for one, other in pairs)


def markdown(rows: list[Noticed], profile: str) -> str:
    """Return the section of docs/conformance.md."""
    lines = [
        f"Under `{profile}`: of each kind, how many mutants are noticed, of how many, and by how many cases in all.",
        "",
        "| operator | cases | " + " | ".join(KINDS) + " |",
        "|---|--:|" + "--:|" * len(KINDS),
    ]
    for row in rows:
        cells = [_cell(row, kind) for kind in KINDS]
        lines.append(f"| {row.op} | {row.cases} | {' | '.join(cells)} |")
    lines += ["", "The single mutants that are noticed by no case:", "", *unnoticed(rows)]
    return "\n".join(lines)


def unnoticed(rows: Sequence[Noticed]) -> list[str]:
    """Return a row for each single mutant that no case notices, with the reason."""
    lines = ["| operator | mutant | why no case notices it |", "|---|---|---|"]
    for row in rows:
        silent = {name: why_not(row, name) for name, (_, noticed) in row.counts.items() if not noticed}
        for why in dict.fromkeys(silent.values()):
            names = ", ".join(name for name, reason in silent.items() if reason == why)
            lines.append(f"| {row.op} | {names} | {why} |")
    return lines


def why_not(row: Noticed, mutant: str) -> str:
    """Return why a mutant is noticed by no case."""
    if (row.op, mutant) in CANNOT:
        return CANNOT[row.op, mutant]
    if row.exhaustive:
        return "each layer is shown every code, and none gives another output"
    return "no value of a case lies so near to a half, or to that end, that it would change"


def missed(rows: Sequence[Noticed]) -> list[str]:
    """Return what must not be: a kind of mutant that no case of an operator notices though some input could, and a
    mutant that is noticed though it is said that none can be."""
    found = []
    for row in rows:
        for kind in KINDS:
            names = [one.name for one in MUTANTS if one.kind == kind and one.name in row.counts]
            excused = row.exhaustive or all((row.op, name) in CANNOT for name in names)
            if names and not excused and not any(row.counts[name][1] for name in names):
                found.append(f"noticed by no case: {row.op}: {kind}")
        noticed = [name for op, name in CANNOT if op == row.op and row.counts[name][1]]
        found += [f"noticed, though no input can show it: {row.op}: {name}" for name in noticed]
    return found


def _cell(row: Noticed, kind: str) -> str:
    there = row.kind(kind)
    if there is None:
        return ""
    if not there[1] and all(
        (row.op, one.name) in CANNOT for one in MUTANTS if one.kind == kind and one.name in row.counts
    ):
        return "no input shows it"
    if not there[1] and row.exhaustive:
        return "no code shows it"
    return f"{there[1]} of {there[0]}, by {row.by_kind(kind)}"


@click.command(help=__doc__)
@click.argument("operators", nargs=-1, type=click.Choice(sorted(LAYERS)))
@click.option("--profile", default="ort", show_default=True, help="The arithmetic.")
@click.option("--layers", type=int, help="At most so many layers of each operator.")
@click.option(
    "--write", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Put the table into a page."
)
def main(operators: tuple[str, ...], profile: str, layers: int | None, write: Path | None) -> None:
    named = profile_named(profile)
    chosen = [op for op in LAYERS if not operators or op in operators]
    rows = [noticed_by(op, named, layers) for op in tracked(chosen, len(chosen), "mutating")]
    rows = [row for row in rows if row.cases]
    section = markdown(rows, profile)
    click.echo(section)
    if write is not None:
        text = with_section(write.read_text(encoding="utf-8"), section, BEGIN, END)
        write.write_text(text, encoding="utf-8")
    wrong = missed(rows)
    for text in wrong:
        click.echo(text, err=True)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
