"""`qdqnp identify`: find out which arithmetic a device uses, from the tensors it sent back."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from qdqnp.api.identify import identify
from qdqnp.cli.fit import print_fit
from qdqnp.cli.options import (
    PATH,
    case_option,
    force_option,
    json_option,
    mapping_option,
    operators_option,
    outputs_option,
    profiles_option,
)
from qdqnp.cli.probe import print_answers
from qdqnp.cli.python_files import operators_in
from qdqnp.diagnosis.identify.identify import IdentifyReport, OperatorVerdict, ProfileSplit
from qdqnp.render.console import CONSOLE, name, print_json, table

SHOWN_CLASSES = 4


@click.command("identify")
@click.argument("golden", type=PATH)
@click.argument("dump", type=PATH)
@click.option("--model", type=PATH, help="The model, where the golden set does not hold it.")
@outputs_option
@operators_option
@mapping_option
@case_option
@profiles_option("Which to try; .toml files too.  [default: all]")
@click.option(
    "--fit",
    "fitted",
    type=PATH,
    metavar="OUT.toml",
    help="Search the families of arithmetic too, and write the profile that fits for --profile.",
)
@force_option("the file of --fit")
@click.option("--all", "show_all", is_flag=True, help="Show the arithmetics that come after the winning class, too.")
@json_option
def identify_command(
    golden: Path,
    dump: Path,
    model: Path | None,
    outputs: tuple[str, ...],
    operator_files: tuple[Path, ...],
    mapping: Path | None,
    first: int,
    listed: tuple[str, ...],
    fitted: Path | None,
    force: bool,
    show_all: bool,
    as_json: bool,
) -> None:
    """Rank the arithmetic profiles by how many codes of DUMP they do not give, for each operator.

    Each layer is fed the device's own inputs. Of the golden set only the model and the network's inputs are used: where
    a layer's inputs are not in the dump, it is judged together with the layers before it. Profiles that gave equal
    codes on all the data are one class; what would tell its members apart is searched for and named.

    --fit asks for every rule of each family (tie rules, multiplier widths, order of the scale product, inner shifts)
    and solves for Neural-ART's S1, S2 and BC layer by layer. It takes nothing that leaves one code unexplained, and
    says which choices the data leave open.

    GOLDEN may be a folder of `qdqnp probe`; DUMP is then the folder of the answers.

    Exit code 0: every operator is given, code by code, by some profile, or with --fit by a fitted one. 1: some are by
    none, or tensors differ that no arithmetic decides. 2: bad usage or input.
    """
    found = identify(
        golden,
        dump,
        model=model,
        outputs=outputs,
        operators=operators_in(operator_files),
        mapping=mapping,
        case=first,
        profiles=listed,
        fit=fitted,
        force=force,
    )
    if as_json:
        print_json(found.document())
    else:
        print_answers(found.answers)
        print_report(found.report, show_all)
        if fitted is not None and found.fitted is not None:
            print_fit(found.fitted)
            if found.left_out:
                CONSOLE.print(f"not fitted to, no rule expresses their answers: {_listed(list(found.left_out))}")
            CONSOLE.print(f"wrote {name(fitted.name)}")
    sys.exit(found.exit_code)


def print_report(report: IdentifyReport, show_all: bool = False) -> None:
    """Print what fits all operators, each operator's winning class (or the first few), and what would split it."""
    _print_verdict(report)
    rows = table(
        "operator",
        "layers",
        "profiles",
        "differing",
        "elements",
        "max LSB",
        right=("layers", "differing", "elements", "max LSB"),
    )
    for verdict in report.verdicts:
        for place, standing in enumerate(verdict.standings[: SHOWN_CLASSES if show_all else 1]):
            start = (name(verdict.name), str(len(verdict.tensors))) if place == 0 else ("", "")
            tally = standing.tally
            style = "green" if standing.tally.equal else None
            names = ", ".join(name(text) for text in standing.profiles)
            rows.add_row(*start, names, str(tally.differing), str(tally.elements), str(tally.largest), style=style)
        if not verdict.standings:
            rows.add_row(name(verdict.name), str(len(verdict.tensors)), "no profile defines it", "", "", "")
    CONSOLE.print(rows)
    for verdict in report.verdicts:
        _print_splits(verdict)
    _print_notes(report)
    left = sum(max(0, min(len(verdict.standings), SHOWN_CLASSES) - 1) for verdict in report.verdicts)
    if left and not show_all:
        CONSOLE.print(f"{left} arithmetics that give fewer codes are left out (--all shows them)")


def _print_splits(verdict: OperatorVerdict) -> None:
    if not verdict.matched:
        return
    if verdict.rule:
        CONSOLE.print()
        CONSOLE.print(f"{name(verdict.name)}: {name(verdict.rule, 400)}", soft_wrap=True)
    elif verdict.splits or verdict.inseparable:
        CONSOLE.print()
        CONSOLE.print(f"{name(verdict.name)}: several arithmetics give every code")
    for names in verdict.inseparable:
        CONSOLE.print(f"  equal on everything these layers can meet: {_listed(names)}")
    for split in verdict.splits:
        CONSOLE.print(f"  {_listed(split.one)} against {_listed(split.other)}: {_difference(split)}")


def _listed(names: list[str]) -> str:
    return ", ".join(name(text) for text in names)


def _difference(split: ProfileSplit) -> str:
    found = split.search.stimulus
    if found is None:
        return name(split.search.note, 400)
    known = "" if found.input_codes is not None else " (no input with this sum was found)"
    return f"would differ at {name(found.layer)}, {found.text}: {found.codes[0]} against {found.codes[1]}{known}"


def _print_notes(report: IdentifyReport) -> None:
    for tensor, count in report.moved.items():
        CONSOLE.print(
            f"{name(tensor)}: {count} elements differ where no arithmetic is involved: the dump or its "
            "mapping is wrong there",
            style="yellow",
        )
    for what, names in (("not made by the model", report.unknown), ("inputs not known", report.unreachable)):
        if names:
            CONSOLE.print(f"left out, {what}: {_listed(list(names[:10]))}")


def _print_verdict(report: IdentifyReport) -> None:
    missing = [verdict.name for verdict in report.verdicts if not verdict.matched]
    more = f" and {len(missing) - SHOWN_CLASSES} more" if len(missing) > SHOWN_CLASSES else ""
    if report.everywhere:
        CONSOLE.print(f"every code of every operator: {_listed(report.everywhere)}", style="bold green")
    elif missing:
        CONSOLE.print(
            f"no profile gives every code of: {_listed(missing[:SHOWN_CLASSES])}{more}; --fit searches the families of "
            "arithmetic",
            style="bold yellow",
        )
    else:
        CONSOLE.print("each operator is given by some profile, but no profile gives all of them", style="bold yellow")
