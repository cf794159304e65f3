"""`qdqnp explain`: show one output element step by step, under one or more arithmetics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from qdqnp.api.explain import explain
from qdqnp.cli.inputs import Inputs, input_options
from qdqnp.cli.options import (
    ModelFile,
    case_option,
    host_float_option,
    json_option,
    layer_option,
    mapping_option,
    model_argument,
    profiles_option,
)
from qdqnp.diagnosis.explain.explain import Account, Explanation
from qdqnp.diagnosis.explain.facts import CHOSEN, COMPUTED, COPIED, FILLED, LISTED
from qdqnp.diagnosis.explain.lines import Line
from qdqnp.render.console import CONSOLE, name, print_json, table

SHOWN_OPERANDS = 16
SAID = {
    COPIED: "an input's element, unchanged:",
    CHOSEN: "one of these elements, unchanged:",
    FILLED: "no input's element, but a constant of the layer",
}


@click.command("explain")
@model_argument
@input_options(
    ".npy or .npz files, pictures, a golden set; the first input counts.  [default: a random input]",
    several=False,
    loose=True,
)
@layer_option()
@click.option(
    "--index",
    "place",
    metavar="I,J,...",
    help="The element, e.g. 0,5,12,7 (batch included); '' of a scalar.",
)
@case_option
@mapping_option
@profiles_option("Names, or paths that end in .toml; the first computes the layer's inputs.  [default: ort]")
@host_float_option
@click.option("--got", type=int, metavar="V", help="The code that a device gave: find which cause gives it.")
@json_option
def explain_command(
    model: ModelFile,
    inputs: Inputs,
    layer: str | None,
    place: str | None,
    first: int,
    mapping: Path | None,
    listed: tuple[str, ...],
    host_float: bool,
    got: int | None,
    as_json: bool,
) -> None:
    """Show how one output element of MODEL comes about: the largest products, sum, bias, multiplier, and every value
    before and after each rounding, with the distance to the nearest exact half, under each profile.

    MODEL may be a golden set: then its profile, and the input --case of it, are meant. With a DUMP behind it, the
    element is the first that a layer of the device makes wrong from what it reads, where --layer and --index do not
    say another; the layer's inputs are the device's own, and --got is what the dump has.

    With --got, each single cause is tried on the element (the faults that 'compare' knows: a dropped bias, a missing
    zero point or clamp, other padding, a narrow accumulator, truncation ...; one rounding instead of two, another order
    of the scale product, another profile): those that give this value are listed. One element may have several.

    Exit code 0: done. 2: bad usage, a bad model, or no such element.
    """
    if len(inputs.loose) > 1:
        raise click.UsageError("a golden set has its inputs, and one DUMP goes with it")
    found = explain(
        model,
        inputs,
        layer=layer,
        index=place,
        dump=next(iter(inputs.loose), None),
        mapping=mapping,
        case=first,
        profiles=listed,
        host_float=host_float,
        got=got,
    )
    if as_json:
        print_json(found.document())
    elif found.element is None:
        CONSOLE.print(found.summary(), style="bold green")
    else:
        _print(found.element)


def _print(found: Explanation) -> None:
    at = ", ".join(str(i) for i in found.index)
    CONSOLE.print(f"{name(found.tensor)}[{at}] of {found.op} {name(found.label)}")
    if found.origin != COMPUTED:
        CONSOLE.print(SAID[found.origin])
    _print_terms(found)
    _print_operands(found)
    if found.real is not None:
        CONSOLE.print(f"exact result in units of the output's scale, zero point added: {float(found.real):.9g}")
    for account in found.accounts:
        CONSOLE.print()
        _print_account(account)
    if found.got is not None:
        CONSOLE.print()
        _print_causes(found, found.got)


def _print_terms(found: Explanation) -> None:
    if not found.term_count and found.total is None:
        return
    rows = table("input", "weight", "code", "weight code", "product", right=("code", "weight code", "product"))
    for term in found.terms:
        where = "padding" if term.x_index is None else str(list(term.x_index))
        rows.add_row(
            where,
            str(list(term.w_index)),
            _centered(term.x_code, term.x_zero),
            _centered(term.w_code, term.w_zero),
            _short(term.product),
        )
    CONSOLE.print(rows)
    rest = f"the largest {len(found.terms)} of {found.term_count} products"
    CONSOLE.print(f"{rest}, {found.padded} of them in the padding")
    bias = "no bias" if found.bias is None else f"bias {_short(found.bias)}"
    if isinstance(found.total, int) and isinstance(found.bias, int):
        bias += f", together {found.total + found.bias}"
    CONSOLE.print(f"sum {'not finite' if found.total is None else _short(found.total)}; {bias}")


def _centered(code: float, zero: int) -> str:
    return f"{code} - {zero}" if isinstance(code, int) else _short(code)


def _print_operands(found: Explanation) -> None:
    if not found.operands:
        return
    rows = table("input", "code", "value", right=("code", "value"))
    for what, code, value in found.operands[:SHOWN_OPERANDS]:
        rows.add_row(name(what), _short(code), f"{value:.9g}")
    CONSOLE.print(rows)
    if found.operand_count > SHOWN_OPERANDS:
        most = "all" if found.operand_count <= LISTED else f"the first {LISTED}"
        CONSOLE.print(f"... and {found.operand_count - SHOWN_OPERANDS} more; --json prints {most}")


def _print_account(account: Account) -> None:
    status = f" ({account.status})" if account.status == "inferred" else ""
    status += f", on the host, not promised ({name(account.host_float)})" if account.host_float else ""
    if account.note:
        what = "not computed" if account.code is None else account.code
        CONSOLE.print(f"{name(account.profile)}{status}: {what}: {name(account.note, 400)}", style="bold")
        return
    saturated = ", saturated" if account.saturated else ""
    CONSOLE.print(f"{name(account.profile)}{status}: {account.code}{saturated}", style="bold")
    if account.parameters:
        numbers = ", ".join(f"{key} = {_short(value)}" for key, value in account.parameters.items())
        CONSOLE.print(f"  {numbers}")
    if account.lines:
        rows = table(
            "  step", "before rounding", "value", "from a tie", right=("before rounding", "value", "from a tie")
        )
        for line in account.lines:
            rows.add_row(f"  {name(line.name)}", *_numbers(line))
        CONSOLE.print(rows)
    if account.to_change is not None:
        CONSOLE.print(f"  {_change(account.to_change)}")


def _change(to_change: tuple[int | None, int | None]) -> str:
    changes = [f"{sign}{n}" for sign, n in zip("-+", to_change, strict=True) if n is not None]
    if not changes:
        return "no sum near this one gives another code"
    return f"the code changes where the sum changes by {' or '.join(changes)}"


def _numbers(line: Line) -> tuple[str, str, str]:
    before = "" if line.before is None else f"{float(line.before):.9f}"
    distance = line.tie_distance
    tie = "" if distance is None else "an exact half" if distance == 0 else f"{float(distance):.3g}"
    return before, _short(line.value), tie


def _short(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _print_causes(found: Explanation, got: int) -> None:
    for account in found.accounts:
        if account.code is None:
            continue
        title = f"{got} instead of {account.code} under {name(account.profile)}"
        if account.code == got:
            CONSOLE.print(f"{got} is what {name(account.profile)} gives", style="green")
        elif not account.causes:
            CONSOLE.print(f"{title}: none of the known causes gives it", style="yellow")
        else:
            CONSOLE.print(f"{title}: given by")
            for cause in account.causes:
                CONSOLE.print(f"  {cause}")
