"""Print what `identify --fit` found: for each operator the rule that was taken, and what the data leave open."""

from __future__ import annotations

from qdqnp.diagnosis.identify.families import describe
from qdqnp.diagnosis.identify.fit import Fit, Fitted
from qdqnp.diagnosis.identify.fit_narrow import NarrowFit
from qdqnp.render.console import CONSOLE, name

SHOWN = 6


def print_fit(fitted: Fitted) -> None:
    CONSOLE.print()
    CONSOLE.print(f"fitted, from {name(fitted.base)}:", style="bold")
    for fit in fitted.fits:
        _print_one(fit)
    if fitted.unseen:
        CONSOLE.print(f"not in the dump, as in {name(fitted.base)}: {', '.join(fitted.unseen)}")


def _print_one(fit: Fit) -> None:
    count = f"{fit.elements} codes of {len(fit.layers)} layers"
    if fit.chosen is None:
        near = f"; the nearest misses {fit.nearest[1]}: {name(fit.nearest[0].text, 300)}" if fit.nearest else ""
        CONSOLE.print(f"{fit.name}: no rule gives all {count}{near}", style="yellow", soft_wrap=True)
        return
    names = f" ({', '.join(fit.groups[0][0].names)})" if fit.groups and fit.groups[0][0].names else ""
    CONSOLE.print(f"{fit.name}: {name(fit.text, 300)}{names} gives all {count}", style="green", soft_wrap=True)
    if fit.groups and len(fit.groups[0]) > 1:
        CONSOLE.print(f"  {len(fit.groups[0]) - 1} more rules are equal to it on all that was searched")
    for split in fit.splits[:SHOWN]:
        found = split.search.stimulus
        where = (
            f"they part at {name(found.layer)}, {found.text}: {found.codes[0]} against {found.codes[1]}"
            if found
            else name(split.search.note, 200)
        )
        CONSOLE.print(f"  so does {name(split.other.text, 300)}; {where}", soft_wrap=True)
    if len(fit.splits) > SHOWN:
        CONSOLE.print(f"  and {len(fit.splits) - SHOWN} more that part from it; --json lists all")
    if fit.narrow is not None:
        _print_numbers(fit.narrow)


def _print_numbers(narrow: NarrowFit) -> None:
    """Print the layers whose numbers are not the formulas', and the other manners that explain all layers too."""
    for label, numbers in narrow.numbers.items():
        choices = narrow.choices[label]
        if numbers.plain and not numbers.largest and len(choices) == 1:
            continue
        offset = f", BC up to {numbers.largest} units off" if numbers.largest else ""
        open_ = (
            f"; also possible: {', '.join(str(pair) for pair in choices if pair != (numbers.s1, numbers.s2))}"
            if len(choices) > 1
            else ""
        )
        CONSOLE.print(f"  {name(label)}: S1 = {numbers.s1}, S2 = {numbers.s2}{offset}{open_}")
    for rule, count in narrow.manners[:SHOWN]:
        need = f", with another BC in {count} layers" if count else ""
        CONSOLE.print(f"  so does {name(describe(rule), 300)}{need}")
